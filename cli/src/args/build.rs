//! Arguments of the commands that build images.

use clap::{Args, Subcommand, ValueEnum};

use knarr_proto::v1::Ulimit;

use crate::options::{size, ulimit};

/// `knarr build`
#[derive(Debug, Args)]
pub(crate) struct BuildArgs {
    /// Set build-time variables: NAME=VALUE, or NAME for that of the environment
    #[arg(long = "build-arg", value_name = "NAME[=VALUE]")]
    pub(crate) build_args: Vec<String>,
    /// Set the parent cgroup for RUN instructions
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) cgroup_parent: String,
    /// Name of the Dockerfile [default: PATH/Dockerfile]; - is STDIN
    #[arg(short, long, default_value = "", hide_default_value = true)]
    pub(crate) file: String,
    /// Write the image ID to a file
    #[arg(long, value_name = "FILE")]
    pub(crate) iidfile: Option<std::path::PathBuf>,
    /// Set metadata for an image
    #[arg(long = "label", value_name = "NAME[=VALUE]")]
    pub(crate) labels: Vec<String>,
    /// Set the networking mode for RUN instructions: none or host
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) network: String,
    /// Do not use the cache when building the image
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// Set target platform for build
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) platform: String,
    /// Set type of progress output
    #[arg(long, value_enum, default_value = "auto", hide_default_value = true)]
    pub(crate) progress: ProgressForm,
    /// Always attempt to pull all referenced images
    #[arg(long)]
    pub(crate) pull: bool,
    /// Suppress the build output and print image ID on success
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Remove intermediate containers; knarr keeps none
    #[arg(long, hide = true)]
    rm: bool,
    /// Likewise
    #[arg(long, hide = true)]
    force_rm: bool,
    /// Secret to expose to the build: id=NAME[,src=FILE] or id=NAME,env=VARIABLE
    #[arg(long = "secret", value_name = "id=NAME,…")]
    pub(crate) secrets: Vec<String>,
    /// Shared memory size for RUN instructions
    #[arg(long, value_name = "BYTES", value_parser = size::parse)]
    pub(crate) shm_size: Option<i64>,
    /// Name and optionally a tag
    #[arg(short, long = "tag", value_name = "NAME[:TAG]")]
    pub(crate) tags: Vec<String>,
    /// Set the target build stage to build
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) target: String,
    /// Ulimit options
    #[arg(long = "ulimit", value_name = "NAME=SOFT[:HARD]", value_parser = ulimit::parse)]
    pub(crate) ulimits: Vec<Ulimit>,
    /// The context: a directory, or - for a tar archive or a Dockerfile from STDIN
    #[arg(value_name = "PATH|-")]
    pub(crate) context: String,
}

/// How a build is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressForm {
    /// As it fits the output
    Auto,
    /// Line by line
    Plain,
    /// Nothing
    Quiet,
}

/// Below `knarr builder`.
#[derive(Debug, Subcommand)]
pub(crate) enum BuilderCommand {
    /// Build an image from a Dockerfile
    Build(Box<BuildArgs>),
    /// Remove build cache
    Prune(BuilderPruneArgs),
}

/// `knarr builder prune`
#[derive(Debug, Args)]
pub(crate) struct BuilderPruneArgs {
    /// Remove all unused build cache, not just dangling ones; knarr has no difference
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    pub(crate) force: bool,
}
