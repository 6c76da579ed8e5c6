//! What `run` and `create` can say of a container's restarts and health, with docker's spelling.

use clap::Args;
use knarr_proto::v1::RestartPolicy;

use crate::options::keep;

/// Restarts and health.
#[derive(Debug, Args)]
pub(crate) struct KeepOptions {
    /// Restart policy to apply when a container exits: no, on-failure[:N], always or unless-stopped
    #[arg(long, value_name = "POLICY", value_parser = keep::restart)]
    pub(crate) restart: Option<RestartPolicy>,
}
