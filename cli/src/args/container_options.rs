//! What `run` and `create` can say of a container, with docker's spelling. Values are understood in [`crate::options`].

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use knarr_proto::v1::{Device, DeviceRate, Mount, Ulimit};

use crate::args::keep_options::KeepOptions;
use crate::args::network_options::NetworkOptions;
use crate::options::namespace::{host_or_own, ipc, isolation, of_windows, pid, private_or_host};
use crate::options::security::{self, SecurityOption};
use crate::options::{Seconds, device, key_value, mount, pids_limit, size, tmpfs, ulimit, volume};

/// Everything but the image and its command.
#[derive(Debug, Args)]
pub(crate) struct ContainerOptions {
    #[command(flatten, next_help_heading = "Streams")]
    pub(crate) streams: StreamOptions,
    #[command(flatten, next_help_heading = "Output")]
    pub(crate) log: LogOptions,
    #[command(flatten, next_help_heading = "Identity")]
    pub(crate) identity: IdentityOptions,
    #[command(flatten, next_help_heading = "Process")]
    pub(crate) process: ProcessOptions,
    #[command(flatten, next_help_heading = "Files")]
    pub(crate) files: FileOptions,
    #[command(flatten, next_help_heading = "Limits")]
    pub(crate) resources: ResourceOptions,
    #[command(flatten, next_help_heading = "Limits of devices")]
    pub(crate) block_io: BlockIoOptions,
    #[command(flatten, next_help_heading = "Rights")]
    pub(crate) security: SecurityOptions,
    #[command(flatten, next_help_heading = "Networks")]
    pub(crate) network: NetworkOptions,
    #[command(flatten, next_help_heading = "Namespaces")]
    pub(crate) namespaces: NamespaceOptions,
    #[command(flatten, next_help_heading = "Restarts")]
    pub(crate) keep: KeepOptions,
    #[command(flatten)]
    pub(crate) elsewhere: ElsewhereOptions,
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
    /// Add an annotation to the container (passed through to the OCI runtime)
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) annotation: Vec<(String, String)>,
    /// Container NIS domain name
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) domainname: String,
}

/// What is recorded of the output.
#[derive(Debug, Args)]
pub(crate) struct LogOptions {
    /// Logging driver for the container: json-file, local or none
    #[arg(long, value_name = "DRIVER")]
    pub(crate) log_driver: Option<LogDriver>,
    /// Log driver options: max-size=SIZE, max-file=N
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) log_opt: Vec<(String, String)>,
}

/// Where the output is recorded. The first two are one: a file of knarr's own form, bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogDriver {
    JsonFile,
    Local,
    None,
}

/// Whose namespaces the container is in.
#[derive(Debug, Args)]
pub(crate) struct NamespaceOptions {
    /// PID namespace to use: host or container:NAME
    #[arg(long, value_name = "NAMESPACE", default_value = "", hide_default_value = true, value_parser = pid)]
    pub(crate) pid: String,
    /// IPC namespace to use: private, none or host
    #[arg(long, value_name = "NAMESPACE", default_value = "", hide_default_value = true, value_parser = ipc)]
    pub(crate) ipc: String,
    /// UTS namespace to use: host
    #[arg(long, value_name = "NAMESPACE", default_value = "", hide_default_value = true, value_parser = host_or_own)]
    pub(crate) uts: String,
    /// Cgroup namespace to use: private or host
    #[arg(long, value_name = "NAMESPACE", default_value = "", hide_default_value = true, value_parser = private_or_host)]
    pub(crate) cgroupns: String,
    /// User namespace to use: host
    #[arg(long, value_name = "NAMESPACE", default_value = "", hide_default_value = true, value_parser = host_or_own)]
    pub(crate) userns: String,
    /// Optional parent cgroup for the container
    #[arg(long, value_name = "CGROUP", default_value = "", hide_default_value = true)]
    pub(crate) cgroup_parent: String,
}

/// What docker has on Windows alone; docker on Linux takes the first and refuses the others.
#[derive(Debug, Args)]
pub(crate) struct ElsewhereOptions {
    /// Container isolation technology: default
    #[arg(long, value_name = "KIND", default_value = "", hide_default_value = true, hide = true, value_parser = isolation)]
    pub(crate) isolation: String,
    #[arg(long, value_name = "N", hide = true, value_parser = of_windows)]
    pub(crate) cpu_count: Option<u64>,
    #[arg(long, value_name = "N", hide = true, value_parser = of_windows)]
    pub(crate) cpu_percent: Option<u64>,
    #[arg(long, value_name = "BYTES", hide = true, value_parser = of_windows)]
    pub(crate) io_maxbandwidth: Option<u64>,
    #[arg(long, value_name = "N", hide = true, value_parser = of_windows)]
    pub(crate) io_maxiops: Option<u64>,
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
    /// Run an init inside the container that forwards signals and reaps processes
    #[arg(long)]
    pub(crate) init: bool,
    /// Signal to stop the container
    #[arg(long, default_value = "", hide_default_value = true, value_name = "SIGNAL")]
    pub(crate) stop_signal: String,
    /// Timeout (in seconds) to stop a container; -1 waits for ever
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub(crate) stop_timeout: Option<Seconds>,
}

#[derive(Debug, Args)]
pub(crate) struct FileOptions {
    /// Bind mount a host directory or file, or mount a volume: [SOURCE:]TARGET[:ro,rprivate,nocopy…]
    #[arg(short, long, value_name = "[SOURCE:]TARGET[:OPTIONS]", value_parser = volume::parse)]
    pub(crate) volume: Vec<Mount>,
    /// Volume driver for the volumes of --volume: there is local
    #[arg(long, value_name = "DRIVER", default_value = "", hide_default_value = true)]
    pub(crate) volume_driver: String,
    /// Mount volumes from the specified container(s): CONTAINER[:ro]
    #[arg(long, value_name = "CONTAINER")]
    pub(crate) volumes_from: Vec<String>,
    /// Attach a filesystem mount to the container: type=bind|volume|tmpfs,source=…,target=…
    #[arg(long, value_parser = mount::parse)]
    pub(crate) mount: Vec<Mount>,
    /// Mount a tmpfs directory: TARGET[:size=64m,mode=1777,ro]
    #[arg(long, value_name = "TARGET[:OPTIONS]", value_parser = tmpfs::parse)]
    pub(crate) tmpfs: Vec<Mount>,
    /// Mount the container's root filesystem as read only
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Size of /dev/shm
    #[arg(long, value_name = "BYTES", value_parser = size::parse)]
    pub(crate) shm_size: Option<i64>,
    /// Add a host device to the container: HOST[:CONTAINER][:rwm]; of a directory, those in it
    #[arg(long, value_name = "DEVICE", value_parser = device::parse)]
    pub(crate) device: Vec<Device>,
    /// Add a rule to the cgroup allowed devices list: "c 13:* rwm"
    #[arg(long, value_name = "RULE", value_parser = device::parse_rule)]
    pub(crate) device_cgroup_rule: Vec<String>,
}

/// Limits; what they are of has groups of its own.
#[derive(Debug, Args)]
pub(crate) struct ResourceOptions {
    #[command(flatten)]
    pub(crate) memory: MemoryOptions,
    #[command(flatten)]
    pub(crate) cpu: CpuOptions,
    /// Tune container pids limit (set -1 for unlimited)
    #[arg(long, value_name = "N", value_parser = pids_limit, allow_negative_numbers = true)]
    pub(crate) pids_limit: Option<i64>,
    /// Ulimit options
    #[arg(long, value_name = "NAME=SOFT[:HARD]", value_parser = ulimit::parse)]
    pub(crate) ulimit: Vec<Ulimit>,
}

#[derive(Debug, Args)]
pub(crate) struct MemoryOptions {
    #[command(flatten)]
    pub(crate) limits: MemoryLimitOptions,
    /// Tune container memory swappiness (0 to 100)
    #[arg(long, value_name = "N", value_parser = size::parse_swappiness, allow_negative_numbers = true)]
    pub(crate) memory_swappiness: Option<i64>,
    /// Disable OOM Killer
    #[arg(long)]
    pub(crate) oom_kill_disable: bool,
    /// Tune host's OOM preferences (-1000 to 1000)
    #[arg(long, value_name = "N", allow_negative_numbers = true, default_value_t = 0, hide_default_value = true,
          value_parser = clap::value_parser!(i32).range(-1000..=1000))]
    pub(crate) oom_score_adj: i32,
}

/// What `update` can change of it, too.
#[derive(Debug, Args)]
pub(crate) struct MemoryLimitOptions {
    /// Memory limit
    #[arg(short, long, value_name = "BYTES", value_parser = size::parse)]
    pub(crate) memory: Option<i64>,
    /// Swap limit equal to memory plus swap: '-1' to enable unlimited swap
    #[arg(long, value_name = "BYTES", value_parser = size::parse_swap, allow_negative_numbers = true)]
    pub(crate) memory_swap: Option<i64>,
    /// Memory soft limit
    #[arg(long, value_name = "BYTES", value_parser = size::parse)]
    pub(crate) memory_reservation: Option<i64>,
}

#[derive(Debug, Args)]
pub(crate) struct CpuOptions {
    /// Number of CPUs
    #[arg(long, value_name = "DECIMAL", value_parser = size::parse_cpus)]
    pub(crate) cpus: Option<i64>,
    /// CPU shares (relative weight)
    #[arg(short, long, value_name = "N")]
    pub(crate) cpu_shares: Option<u64>,
    /// Limit CPU CFS (Completely Fair Scheduler) period, in microseconds
    #[arg(long, value_name = "MICROSECONDS", default_value_t = 0, hide_default_value = true)]
    pub(crate) cpu_period: u64,
    /// Limit CPU CFS (Completely Fair Scheduler) quota, in microseconds
    #[arg(
        long,
        value_name = "MICROSECONDS",
        default_value_t = 0,
        hide_default_value = true,
        allow_negative_numbers = true
    )]
    pub(crate) cpu_quota: i64,
    /// Limit CPU real-time period in microseconds
    #[arg(long, value_name = "MICROSECONDS", default_value_t = 0, hide_default_value = true)]
    pub(crate) cpu_rt_period: u64,
    /// Limit CPU real-time runtime in microseconds
    #[arg(
        long,
        value_name = "MICROSECONDS",
        default_value_t = 0,
        hide_default_value = true,
        allow_negative_numbers = true
    )]
    pub(crate) cpu_rt_runtime: i64,
    /// CPUs in which to allow execution (0-3, 0,1)
    #[arg(long, default_value = "", hide_default_value = true, value_name = "CPUS")]
    pub(crate) cpuset_cpus: String,
    /// MEMs in which to allow execution (0-3, 0,1)
    #[arg(long, default_value = "", hide_default_value = true, value_name = "MEMS")]
    pub(crate) cpuset_mems: String,
}

/// Limits of reading from and writing to block devices.
#[derive(Debug, Args)]
pub(crate) struct BlockIoOptions {
    /// Block IO (relative weight), between 10 and 1000, or 0 to disable
    #[arg(long, value_name = "WEIGHT", default_value_t = 0, hide_default_value = true, value_parser = device::parse_weight)]
    pub(crate) blkio_weight: u32,
    /// Block IO weight (relative device weight)
    #[arg(long, value_name = "DEVICE:WEIGHT", value_parser = device::parse_device_weight)]
    pub(crate) blkio_weight_device: Vec<DeviceRate>,
    /// Limit read rate (bytes per second) from a device
    #[arg(long, value_name = "DEVICE:BYTES", value_parser = device::parse_bytes_rate)]
    pub(crate) device_read_bps: Vec<DeviceRate>,
    /// Limit write rate (bytes per second) to a device
    #[arg(long, value_name = "DEVICE:BYTES", value_parser = device::parse_bytes_rate)]
    pub(crate) device_write_bps: Vec<DeviceRate>,
    /// Limit read rate (IO per second) from a device
    #[arg(long, value_name = "DEVICE:N", value_parser = device::parse_rate)]
    pub(crate) device_read_iops: Vec<DeviceRate>,
    /// Limit write rate (IO per second) to a device
    #[arg(long, value_name = "DEVICE:N", value_parser = device::parse_rate)]
    pub(crate) device_write_iops: Vec<DeviceRate>,
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
    /// Security options: no-new-privileges, seccomp=FILE|unconfined|builtin, apparmor=PROFILE,
    /// systempaths=unconfined, writable-cgroups, label=disable
    #[arg(long, value_name = "OPTION", value_parser = security::parse)]
    pub(crate) security_opt: Vec<SecurityOption>,
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
