//! What `run` and `create` can say of a container, with docker's spelling. Values are understood in [`crate::options`].

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use knarr_proto::v1::{Mount, NetworkMode, Ulimit};

use crate::options::{Seconds, key_value, mount, network, pids_limit, security, size, tmpfs, ulimit, volume};

/// Everything but the image and its command.
#[derive(Debug, Args)]
pub(crate) struct ContainerOptions {
    #[command(flatten, next_help_heading = "Streams")]
    pub(crate) streams: StreamOptions,
    #[command(flatten, next_help_heading = "Identity")]
    pub(crate) identity: IdentityOptions,
    #[command(flatten, next_help_heading = "Process")]
    pub(crate) process: ProcessOptions,
    #[command(flatten, next_help_heading = "Files")]
    pub(crate) files: FileOptions,
    #[command(flatten, next_help_heading = "Limits")]
    pub(crate) resources: ResourceOptions,
    #[command(flatten, next_help_heading = "Rights")]
    pub(crate) security: SecurityOptions,
    #[command(flatten, next_help_heading = "Image")]
    pub(crate) image: ImageOptions,
}

/// A standard stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StreamName {
    #[value(name = "stdin", alias = "STDIN")]
    Stdin,
    #[value(name = "stdout", alias = "STDOUT")]
    Stdout,
    #[value(name = "stderr", alias = "STDERR")]
    Stderr,
}

/// When the image is fetched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum PullPolicy {
    Always,
    #[default]
    Missing,
    Never,
}

#[derive(Debug, Args)]
pub(crate) struct StreamOptions {
    /// Attach to STDIN, STDOUT or STDERR
    #[arg(short, long, value_name = "STREAM", ignore_case = true)]
    pub(crate) attach: Vec<StreamName>,
    /// Keep STDIN open even if not attached
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// Allocate a pseudo-TTY
    #[arg(short, long)]
    pub(crate) tty: bool,
}

#[derive(Debug, Args)]
pub(crate) struct IdentityOptions {
    /// Assign a name to the container
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) name: String,
    /// Container host name
    #[arg(short = 'h', long, default_value = "", hide_default_value = true)]
    pub(crate) hostname: String,
    /// Set meta data on a container
    #[arg(short, long, value_name = "KEY[=VALUE]")]
    pub(crate) label: Vec<String>,
    /// Read in a line delimited file of labels
    #[arg(long, value_name = "FILE")]
    pub(crate) label_file: Vec<PathBuf>,
    /// Write the container ID to the file
    #[arg(long, value_name = "FILE")]
    pub(crate) cidfile: Option<PathBuf>,
    /// Automatically remove the container when it exits
    #[arg(long)]
    pub(crate) rm: bool,
    /// Connect a container to a network: none or host [default: none]
    #[arg(long, visible_alias = "net", value_name = "NETWORK", value_parser = network)]
    pub(crate) network: Option<NetworkMode>,
}

#[derive(Debug, Args)]
pub(crate) struct ProcessOptions {
    /// Overwrite the default ENTRYPOINT of the image
    #[arg(long, value_name = "COMMAND")]
    pub(crate) entrypoint: Option<String>,
    /// Set environment variables
    #[arg(short, long, value_name = "KEY[=VALUE]")]
    pub(crate) env: Vec<String>,
    /// Read in a file of environment variables
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Vec<PathBuf>,
    /// Username or UID (format: <name|uid>[:<group|gid>])
    #[arg(short, long, default_value = "", hide_default_value = true)]
    pub(crate) user: String,
    /// Add additional groups to join
    #[arg(long, value_name = "GROUP")]
    pub(crate) group_add: Vec<String>,
    /// Working directory inside the container
    #[arg(short, long, default_value = "", hide_default_value = true, value_name = "DIR")]
    pub(crate) workdir: String,
    /// Signal to stop the container
    #[arg(long, default_value = "", hide_default_value = true, value_name = "SIGNAL")]
    pub(crate) stop_signal: String,
    /// Timeout (in seconds) to stop a container; -1 waits for ever
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub(crate) stop_timeout: Option<Seconds>,
}

#[derive(Debug, Args)]
pub(crate) struct FileOptions {
    /// Bind mount a host directory or file: SOURCE:TARGET[:ro,rprivate…]
    #[arg(short, long, value_name = "SOURCE:TARGET[:OPTIONS]", value_parser = volume::parse)]
    pub(crate) volume: Vec<Mount>,
    /// Attach a filesystem mount to the container: type=bind|tmpfs,source=…,target=…
    #[arg(long, value_parser = mount::parse)]
    pub(crate) mount: Vec<Mount>,
    /// Mount a tmpfs directory: TARGET[:size=64m,mode=1777,ro]
    #[arg(long, value_name = "TARGET[:OPTIONS]", value_parser = tmpfs::parse)]
    pub(crate) tmpfs: Vec<Mount>,
    /// Mount the container's root filesystem as read only
    #[arg(long)]
    pub(crate) read_only: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ResourceOptions {
    /// Memory limit
    #[arg(short, long, value_name = "BYTES", value_parser = size::parse)]
    pub(crate) memory: Option<i64>,
    /// Swap limit equal to memory plus swap: '-1' to enable unlimited swap
    #[arg(long, value_name = "BYTES", value_parser = size::parse_swap, allow_negative_numbers = true)]
    pub(crate) memory_swap: Option<i64>,
    /// Memory soft limit
    #[arg(long, value_name = "BYTES", value_parser = size::parse)]
    pub(crate) memory_reservation: Option<i64>,
    /// Number of CPUs
    #[arg(long, value_name = "DECIMAL", value_parser = size::parse_cpus)]
    pub(crate) cpus: Option<i64>,
    /// CPU shares (relative weight)
    #[arg(short, long, value_name = "N")]
    pub(crate) cpu_shares: Option<u64>,
    /// CPUs in which to allow execution (0-3, 0,1)
    #[arg(long, default_value = "", hide_default_value = true, value_name = "CPUS")]
    pub(crate) cpuset_cpus: String,
    /// MEMs in which to allow execution (0-3, 0,1)
    #[arg(long, default_value = "", hide_default_value = true, value_name = "MEMS")]
    pub(crate) cpuset_mems: String,
    /// Tune container pids limit (set -1 for unlimited)
    #[arg(long, value_name = "N", value_parser = pids_limit, allow_negative_numbers = true)]
    pub(crate) pids_limit: Option<i64>,
    /// Ulimit options
    #[arg(long, value_name = "NAME=SOFT[:HARD]", value_parser = ulimit::parse)]
    pub(crate) ulimit: Vec<Ulimit>,
}

#[derive(Debug, Args)]
pub(crate) struct SecurityOptions {
    /// Add Linux capabilities
    #[arg(long, value_name = "CAPABILITY")]
    pub(crate) cap_add: Vec<String>,
    /// Drop Linux capabilities
    #[arg(long, value_name = "CAPABILITY")]
    pub(crate) cap_drop: Vec<String>,
    /// Give extended privileges to this container
    #[arg(long)]
    pub(crate) privileged: bool,
    /// Security options: no-new-privileges
    #[arg(long, value_name = "OPTION", value_parser = security)]
    pub(crate) security_opt: Vec<bool>,
    /// Sysctl options
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) sysctl: Vec<(String, String)>,
}

#[derive(Debug, Args)]
pub(crate) struct ImageOptions {
    /// Pull image before running
    #[arg(long, value_name = "POLICY", default_value = "missing")]
    pub(crate) pull: PullPolicy,
    /// Set platform if the image has several
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) platform: String,
    /// Suppress the pull output
    #[arg(short, long)]
    pub(crate) quiet: bool,
}
