//! What a container's shim does for it without being asked, from the API's messages to the noun's words and back. Pure.

use knarr_proto::keep::policy::{self, InvalidPolicy, RestartPolicy};
use knarr_proto::v1;

/// When the container is started again.
///
/// # Errors
/// [`InvalidPolicy`].
pub(in crate::api) fn policy(asked: &v1::RestartPolicy) -> Result<RestartPolicy, InvalidPolicy> {
    policy::policy(&asked.name, asked.max_retries)
}

/// Nothing for the default.
pub(super) fn policy_back(policy: RestartPolicy) -> Option<v1::RestartPolicy> {
    let max_retries = policy.max_retries().into();
    (policy != RestartPolicy::No).then(|| v1::RestartPolicy { name: policy.name().to_owned(), max_retries })
}
