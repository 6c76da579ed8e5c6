//! What docker has of restarts and health, to and from the API's messages.

use serde_json::{Value, json};

use super::fields::{Fields, InvalidBody};
use crate::v1::{ContainerConfig, RestartPolicy};

/// `HostConfig.RestartPolicy`; nothing for one without a name.
///
/// # Errors
/// [`InvalidBody`].
pub(super) fn restart(host: &Fields) -> Result<Option<RestartPolicy>, InvalidBody> {
    let asked = host.object("RestartPolicy")?;
    let policy = RestartPolicy { name: asked.text("Name")?, max_retries: asked.number("MaximumRetryCount")? };
    Ok((policy != RestartPolicy::default()).then_some(policy))
}

/// The same, back.
pub(super) fn restart_back(config: &ContainerConfig) -> Value {
    match &config.restart {
        Some(policy) => json!({"Name": policy.name, "MaximumRetryCount": policy.max_retries}),
        None => json!({"Name": "no", "MaximumRetryCount": 0}),
    }
}
