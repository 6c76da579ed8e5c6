//! Arguments of the commands on knarrd and on knarr itself.

use clap::{Args, Subcommand};

/// Verbs that stand alone (`knarr info`) and below `system` (`knarr system info`).
#[derive(Debug, Subcommand)]
pub(crate) enum SystemVerb {
    /// Get real time events from knarrd
    Events(EventsArgs),
    /// Display system-wide information
    Info(InfoArgs),
}

/// Below `knarr system`.
#[derive(Debug, Subcommand)]
pub(crate) enum SystemCommand {
    #[command(flatten)]
    Verb(SystemVerb),
}

/// `knarr events`
#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// Filter output: type, event, container, image or label, as KEY=VALUE
    #[arg(short, long = "filter", value_name = "KEY=VALUE")]
    pub(crate) filters: Vec<String>,
    /// 'json' or a Go template
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) format: String,
    /// Show all events created since a timestamp or relative time
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Stream events until this timestamp or relative time
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
}

/// `knarr info`
#[derive(Debug, Args)]
pub(crate) struct InfoArgs {
    /// 'json' or a Go template
    #[arg(short, long, default_value = "", hide_default_value = true)]
    pub(crate) format: String,
}

/// `knarr version`
#[derive(Debug, Args)]
pub(crate) struct VersionArgs {
    /// 'json' or a Go template
    #[arg(short, long, default_value = "", hide_default_value = true)]
    pub(crate) format: String,
}

/// `knarr man`
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// An existing directory
    #[arg(value_name = "DIRECTORY")]
    pub(crate) directory: std::path::PathBuf,
}

/// `knarr completion`
#[derive(Debug, Args)]
pub(crate) struct CompletionArgs {
    /// For which shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}
