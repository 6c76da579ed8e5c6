//! Restart policies and health checks, as they are typed.

use knarr_proto::keep::policy::{InvalidPolicy, RestartPolicy as Policy};
use knarr_proto::v1::RestartPolicy;

use super::BadOption;
use crate::args::container_options::ContainerOptions;

/// `--restart`
pub(crate) fn restart(text: &str) -> Result<RestartPolicy, InvalidPolicy> {
    let policy: Policy = text.parse()?;
    Ok(RestartPolicy { name: policy.name().to_owned(), max_retries: policy.max_retries().into() })
}

/// What contradicts itself.
///
/// # Errors
/// `--rm` and `--restart` exclude each other.
pub(crate) fn check(options: &ContainerOptions) -> Result<(), BadOption> {
    let restarts = options.keep.restart.as_ref().is_some_and(|policy| policy.name != Policy::No.name());
    match restarts && options.identity.rm {
        true => Err(BadOption::Conflict("cannot specify both --restart and --rm")),
        false => Ok(()),
    }
}
