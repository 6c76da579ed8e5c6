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
    #[command(flatten, next_help_heading = "Health")]
    pub(crate) health: HealthOptions,
}

/// How the container's health is found out.
#[derive(Debug, Args)]
pub(crate) struct HealthOptions {
    /// Command to run to check health
    #[arg(long, value_name = "COMMAND", default_value = "", hide_default_value = true)]
    pub(crate) health_cmd: String,
    /// Time between running the check (ms|s|m|h) [default: 30s]
    #[arg(long, value_name = "DURATION", value_parser = keep::nanoseconds, allow_hyphen_values = true)]
    pub(crate) health_interval: Option<i64>,
    /// Maximum time to allow one check to run (ms|s|m|h) [default: 30s]
    #[arg(long, value_name = "DURATION", value_parser = keep::nanoseconds, allow_hyphen_values = true)]
    pub(crate) health_timeout: Option<i64>,
    /// Start period for the container to initialize before starting health-retries countdown (ms|s|m|h) [default: 0s]
    #[arg(long, value_name = "DURATION", value_parser = keep::nanoseconds, allow_hyphen_values = true)]
    pub(crate) health_start_period: Option<i64>,
    /// Time between running the check during the start period (ms|s|m|h) [default: 5s]
    #[arg(long, value_name = "DURATION", value_parser = keep::nanoseconds, allow_hyphen_values = true)]
    pub(crate) health_start_interval: Option<i64>,
    /// Consecutive failures needed to report unhealthy [default: 3]
    #[arg(long, value_name = "N", value_parser = keep::retries, allow_negative_numbers = true)]
    pub(crate) health_retries: Option<i64>,
    /// What becomes of an unhealthy container: none, restart, stop or kill
    #[arg(long, value_name = "ACTION", value_parser = ["none", "restart", "stop", "kill"])]
    pub(crate) health_on_failure: Option<String>,
    /// Disable any container-specified HEALTHCHECK
    #[arg(long)]
    pub(crate) no_healthcheck: bool,
}
