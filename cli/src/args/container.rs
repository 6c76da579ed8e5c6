//! Arguments of the commands on containers.

use clap::{Args, Subcommand, ValueEnum};
use knarr_proto::detach::DetachKeys;
use knarr_proto::v1::RestartPolicy;

use super::container_options::{ContainerOptions, CpuOptions, MemoryLimitOptions};
use crate::options::{Seconds, device, keep, pids_limit};

/// Verbs that stand alone (`knarr rm`) and below `container` (`knarr container rm`).
#[derive(Debug, Subcommand)]
pub(crate) enum ContainerVerb {
    /// Create and run a new container from an image
    #[command(override_usage = "knarr run [OPTIONS] IMAGE [COMMAND] [ARG...]", disable_help_flag = true)]
    Run(Box<RunArgs>),
    /// Create a new container
    #[command(override_usage = "knarr create [OPTIONS] IMAGE [COMMAND] [ARG...]", disable_help_flag = true)]
    Create(Box<CreateArgs>),
    /// Start one or more stopped containers
    Start(StartArgs),
    /// Stop one or more running containers
    Stop(StopArgs),
    /// Restart one or more containers
    Restart(StopArgs),
    /// Kill one or more running containers
    Kill(KillArgs),
    /// Pause all processes within one or more containers
    Pause(NamesArgs),
    /// Unpause all processes within one or more containers
    Unpause(NamesArgs),
    /// Rename a container
    Rename(RenameArgs),
    /// Update configuration of one or more containers
    Update(UpdateArgs),
    /// Display the running processes of a container
    #[command(override_usage = "knarr top CONTAINER [ps OPTIONS]")]
    Top(TopArgs),
    /// Display a live stream of container(s) resource usage statistics
    Stats(StatsArgs),
    /// Remove one or more containers
    #[command(alias = "remove")]
    Rm(RmArgs),
    /// Execute a command in a running container
    #[command(override_usage = "knarr exec [OPTIONS] CONTAINER COMMAND [ARG...]")]
    Exec(ExecArgs),
    /// Attach local standard input, output, and error streams to a running container
    Attach(AttachArgs),
    /// Fetch the logs of a container
    Logs(LogsArgs),
    /// Inspect changes to files or directories on a container's filesystem
    Diff(DiffArgs),
    /// Block until one or more containers stop, then print their exit codes
    Wait(WaitArgs),
}

/// Below `knarr container`.
#[derive(Debug, Subcommand)]
pub(crate) enum ContainerCommand {
    #[command(flatten)]
    Verb(Box<ContainerVerb>),
    /// List containers
    #[command(aliases = ["list", "ps"])]
    Ls(PsArgs),
    /// Return low-level information on containers
    Inspect(InspectContainerArgs),
    /// Remove all stopped containers
    Prune(PruneArgs),
}

/// `knarr run`
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Run container in background and print container ID
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// Proxy received signals to the process, when it has no terminal
    #[arg(long, default_value_t = true, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          action = clap::ArgAction::Set, value_name = "BOOL", hide_possible_values = true)]
    pub(crate) sig_proxy: bool,
    /// Override the key sequence for detaching a container
    #[arg(long, value_name = "KEYS")]
    pub(crate) detach_keys: Option<DetachKeys>,
    #[command(flatten)]
    pub(crate) create: CreateArgs,
}

/// `knarr create`, and most of `knarr run`
#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// Print help
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
    #[command(flatten)]
    pub(crate) options: ContainerOptions,
    /// The image, and the command that replaces its own; flags behind the image are the command's
    #[arg(required = true, trailing_var_arg = true, value_name = "IMAGE [COMMAND] [ARG...]", hide = true)]
    pub(crate) image_and_command: Vec<String>,
}

/// `knarr start`
#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    /// Attach STDOUT/STDERR and forward signals
    #[arg(short, long)]
    pub(crate) attach: bool,
    /// Attach container's STDIN
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// Override the key sequence for detaching a container
    #[arg(long, value_name = "KEYS")]
    pub(crate) detach_keys: Option<DetachKeys>,
    /// Their names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    pub(crate) containers: Vec<String>,
}

/// `knarr stop`, `knarr restart`
#[derive(Debug, Args)]
pub(crate) struct StopArgs {
    /// Signal to send to the container
    #[arg(short, long, default_value = "", hide_default_value = true)]
    pub(crate) signal: String,
    /// Seconds to wait before killing the container; -1 waits for ever
    #[arg(short, long, visible_alias = "time", value_name = "SECONDS", allow_negative_numbers = true)]
    pub(crate) timeout: Option<Seconds>,
    /// Their names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    pub(crate) containers: Vec<String>,
}

/// `knarr kill`
#[derive(Debug, Args)]
pub(crate) struct KillArgs {
    /// Signal to send to the container
    #[arg(short, long, default_value = "KILL")]
    pub(crate) signal: String,
    /// Their names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    pub(crate) containers: Vec<String>,
}

/// `knarr diff`
#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// Its name or id
    #[arg(value_name = "CONTAINER")]
    pub(crate) container: String,
}

/// `knarr pause`, `knarr unpause`
#[derive(Debug, Args)]
pub(crate) struct NamesArgs {
    /// Their names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    pub(crate) containers: Vec<String>,
}

/// `knarr rename`
#[derive(Debug, Args)]
pub(crate) struct RenameArgs {
    /// Its name or id
    #[arg(value_name = "CONTAINER")]
    pub(crate) container: String,
    /// The name that it is to have
    #[arg(value_name = "NEW_NAME")]
    pub(crate) new_name: String,
}

/// `knarr update`
#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    #[command(flatten)]
    pub(crate) memory: MemoryLimitOptions,
    #[command(flatten)]
    pub(crate) cpu: CpuOptions,
    /// Tune container pids limit (set -1 for unlimited)
    #[arg(long, value_name = "N", value_parser = pids_limit, allow_negative_numbers = true)]
    pub(crate) pids_limit: Option<i64>,
    /// Block IO (relative weight), between 10 and 1000, or 0 to leave it as it is
    #[arg(long, value_name = "WEIGHT", default_value_t = 0, hide_default_value = true, value_parser = device::parse_weight)]
    pub(crate) blkio_weight: u32,
    /// Restart policy to apply when a container exits: no, on-failure[:N], always or unless-stopped
    #[arg(long, value_name = "POLICY", value_parser = keep::restart)]
    pub(crate) restart: Option<RestartPolicy>,
    /// Their names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    pub(crate) containers: Vec<String>,
}

/// `knarr top`
#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    /// The container, and arguments of ps
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "CONTAINER [ps OPTIONS]",
        hide = true
    )]
    pub(crate) container_and_options: Vec<String>,
}

/// `knarr stats`
#[derive(Debug, Args)]
pub(crate) struct StatsArgs {
    /// Show all containers (default shows just running)
    #[arg(short, long)]
    pub(crate) all: bool,
    /// 'table', 'table TEMPLATE', 'json' or a Go template
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) format: String,
    /// Disable streaming stats and only pull the first result
    #[arg(long)]
    pub(crate) no_stream: bool,
    /// Do not truncate output
    #[arg(long)]
    pub(crate) no_trunc: bool,
    /// Their names or ids; all that run without any
    #[arg(value_name = "CONTAINER")]
    pub(crate) containers: Vec<String>,
}

/// `knarr rm`
#[derive(Debug, Args)]
pub(crate) struct RmArgs {
    /// Force the removal of a running container (uses SIGKILL)
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Remove anonymous volumes associated with the container
    #[arg(short = 'v', long)]
    pub(crate) volumes: bool,
    /// Their names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    pub(crate) containers: Vec<String>,
}

/// `knarr ps`
#[derive(Debug, Args)]
pub(crate) struct PsArgs {
    /// Show all containers (default shows just running)
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Filter output: id, name, label, status, ancestor or exited, as KEY=VALUE
    #[arg(short, long = "filter", value_name = "KEY=VALUE")]
    pub(crate) filters: Vec<String>,
    /// 'table', 'table TEMPLATE', 'json' or a Go template
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) format: String,
    /// Show n last created containers (includes all states)
    #[arg(short = 'n', long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) last: Option<i64>,
    /// Show the latest created container (includes all states)
    #[arg(short, long)]
    pub(crate) latest: bool,
    /// Don't truncate output
    #[arg(long)]
    pub(crate) no_trunc: bool,
    /// Only display container IDs
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Display total file sizes
    #[arg(short, long)]
    pub(crate) size: bool,
}

/// `knarr exec`
#[derive(Debug, Args)]
pub(crate) struct ExecArgs {
    /// Detached mode: run command in the background
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// Override the key sequence for detaching a container
    #[arg(long, value_name = "KEYS")]
    pub(crate) detach_keys: Option<DetachKeys>,
    /// Set environment variables
    #[arg(short, long, value_name = "KEY[=VALUE]")]
    pub(crate) env: Vec<String>,
    /// Read in a file of environment variables
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Vec<std::path::PathBuf>,
    /// Keep STDIN open even if not attached
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// Give extended privileges to the command
    #[arg(long)]
    pub(crate) privileged: bool,
    /// Allocate a pseudo-TTY
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Username or UID (format: "<name|uid>[:<group|gid>]")
    #[arg(short, long, default_value = "", hide_default_value = true)]
    pub(crate) user: String,
    /// Working directory inside the container
    #[arg(short, long, default_value = "", hide_default_value = true, value_name = "DIR")]
    pub(crate) workdir: String,
    /// The container, and the command; flags behind the container are the command's
    #[arg(required = true, trailing_var_arg = true, value_name = "CONTAINER COMMAND [ARG...]", hide = true)]
    pub(crate) container_and_command: Vec<String>,
}

/// `knarr attach`
#[derive(Debug, Args)]
pub(crate) struct AttachArgs {
    /// Override the key sequence for detaching a container
    #[arg(long, value_name = "KEYS")]
    pub(crate) detach_keys: Option<DetachKeys>,
    /// Do not attach STDIN
    #[arg(long)]
    pub(crate) no_stdin: bool,
    /// Proxy all received signals to the process, when it has no terminal
    #[arg(long, default_value_t = true, num_args = 0..=1, require_equals = true, default_missing_value = "true",
          action = clap::ArgAction::Set, value_name = "BOOL", hide_possible_values = true)]
    pub(crate) sig_proxy: bool,
    /// Its name or id
    #[arg(value_name = "CONTAINER")]
    pub(crate) container: String,
}

/// `knarr logs`
#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// Follow log output
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Show logs since a timestamp (2026-01-02T13:23:37Z) or relative (42m for 42 minutes)
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Show logs before a timestamp (2026-01-02T13:23:37Z) or relative (42m for 42 minutes)
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Number of lines to show from the end of the logs
    #[arg(short = 'n', long, value_name = "N", default_value = "all", allow_negative_numbers = true)]
    pub(crate) tail: String,
    /// Show timestamps
    #[arg(short, long)]
    pub(crate) timestamps: bool,
    /// Its name or id
    #[arg(value_name = "CONTAINER")]
    pub(crate) container: String,
}

/// `knarr wait`
#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// Their names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    pub(crate) containers: Vec<String>,
}

/// What `inspect` looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ObjectType {
    Container,
    Image,
    Network,
    Volume,
}

/// `knarr inspect`
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// Only inspect objects of the given type
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) kind: Option<ObjectType>,
    #[command(flatten)]
    pub(crate) objects: InspectContainerArgs,
}

/// `knarr container inspect`
#[derive(Debug, Args)]
pub(crate) struct InspectContainerArgs {
    /// Display total file sizes of containers
    #[arg(short, long)]
    pub(crate) size: bool,
    #[command(flatten)]
    pub(crate) objects: InspectOneTypeArgs,
}

/// `knarr image inspect`, and what the others take, too
#[derive(Debug, Args)]
pub(crate) struct InspectOneTypeArgs {
    /// 'json' or a Go template
    #[arg(short, long, default_value = "", hide_default_value = true)]
    pub(crate) format: String,
    /// Names or ids
    #[arg(required = true, value_name = "NAME|ID")]
    pub(crate) names: Vec<String>,
}

/// `knarr container prune`
#[derive(Debug, Args)]
pub(crate) struct PruneArgs {
    /// Filter what is removed: until, label or label!, as KEY=VALUE
    #[arg(long = "filter", value_name = "KEY=VALUE")]
    pub(crate) filters: Vec<String>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    pub(crate) force: bool,
}
