//! Arguments of the commands on volumes.

use clap::{Args, Subcommand};

use super::container::InspectOneTypeArgs;

/// Below `knarr volume`.
#[derive(Debug, Subcommand)]
pub(crate) enum VolumeCommand {
    /// Create a volume
    Create(CreateVolumeArgs),
    /// List volumes
    #[command(alias = "list")]
    Ls(VolumesArgs),
    /// Return detailed information on volumes
    Inspect(InspectOneTypeArgs),
    /// Remove one or more volumes
    #[command(alias = "remove")]
    Rm(RemoveVolumesArgs),
    /// Remove unused volumes
    Prune(PruneVolumesArgs),
}

/// `knarr volume create`
#[derive(Debug, Args)]
pub(crate) struct CreateVolumeArgs {
    /// Specify volume driver name: there is local
    #[arg(short, long, default_value = "local")]
    pub(crate) driver: String,
    /// Set metadata for a volume
    #[arg(long, value_name = "KEY[=VALUE]")]
    pub(crate) label: Vec<String>,
    /// Set driver specific options: type, o and device
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub(crate) opt: Vec<String>,
    /// Left out for one that is made up
    #[arg(value_name = "VOLUME")]
    pub(crate) name: Option<String>,
}

/// `knarr volume ls`
#[derive(Debug, Args)]
pub(crate) struct VolumesArgs {
    /// Filter output: name, driver, label or dangling, as KEY=VALUE
    #[arg(short, long = "filter", value_name = "KEY=VALUE")]
    pub(crate) filters: Vec<String>,
    /// 'table', 'table TEMPLATE', 'json' or a Go template
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) format: String,
    /// Only display volume names
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// `knarr volume rm`
#[derive(Debug, Args)]
pub(crate) struct RemoveVolumesArgs {
    /// Force the removal: that there is none is no error
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Their names
    #[arg(required = true, value_name = "VOLUME")]
    pub(crate) volumes: Vec<String>,
}

/// `knarr volume prune`
#[derive(Debug, Args)]
pub(crate) struct PruneVolumesArgs {
    /// Remove all unused volumes, not just anonymous ones
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Filter what is removed: label or label!, as KEY=VALUE
    #[arg(long = "filter", value_name = "KEY=VALUE")]
    pub(crate) filters: Vec<String>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    pub(crate) force: bool,
}
