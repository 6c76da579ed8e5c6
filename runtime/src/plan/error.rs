//! Why a configuration cannot be carried out, in runc's words where it has some.

use crate::spec::linux::NamespaceKind;

/// sethostname's bound (`__NEW_UTS_LEN`).
pub(crate) const HOST_NAME_MAX_BYTES: usize = 64;

/// Why a configuration cannot be carried out. Where runc has a text for it, it is runc's.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub(crate) enum PlanError {
    #[error("config.json: root.path must be set")]
    NoRoot,
    #[error("process property must not be empty")]
    NoProcess,
    #[error("process.cwd: Cwd property must not be empty")]
    NoCwd,
    #[error("process.cwd: Cwd must be an absolute path, not {0:?}")]
    RelativeCwd(String),
    #[error("process.args: args must not be empty")]
    NoArgs,
    #[error("process.oomScoreAdj {0} is not between -1000 and 1000")]
    OomScoreAdj(i32),
    #[error("process.env[{index}]: invalid environment variable {entry:?}: it must have the form KEY=value")]
    Environment { index: usize, entry: String },
    #[error("{field} contains a NUL character")]
    Nul { field: &'static str },
    #[error("process.user.{field}: id {id} is not valid: ids range from 0 to 4294967294")]
    Id { field: String, id: u32 },
    #[error("process.user.umask: {0:#o} has more than the bits of 0777")]
    Umask(u32),
    #[error("process.rlimits[{index}].type: unknown rlimit type {kind:?}")]
    UnknownRlimit { index: usize, kind: String },
    #[error("process.rlimits[{index}].type: {kind} is there twice")]
    RlimitTwice { index: usize, kind: String },
    #[error("process.rlimits[{index}].soft: the soft limit of {kind} is above its hard limit")]
    RlimitSoftAboveHard { index: usize, kind: String },
    #[error("linux.namespaces[{index}]: malformed spec file: duplicated ns {}", .kind.name())]
    NamespaceTwice { index: usize, kind: NamespaceKind },
    #[error("annotations: a key is empty")]
    EmptyAnnotation,
    #[error("mounts[{index}]")]
    Mount { index: usize, source: Box<PlanError> },
    #[error("linux.devices[{index}]")]
    Device { index: usize, source: Box<PlanError> },
    #[error("linux.namespaces: a user namespace needs a mount namespace")]
    NoMountNamespace,
    #[error("{field} needs a new namespace of type {} in linux.namespaces", .kind.name())]
    NeedsNamespace { field: &'static str, kind: NamespaceKind },
    #[error("User namespaces enabled, but no {field} found")]
    NoMappings { field: &'static str },
    #[error("{field}: {reason}")]
    Mapping { field: &'static str, reason: &'static str },
    #[error("config.json has {count} mounts, more than {most}")]
    TooManyMounts { count: usize, most: usize },
    #[error("linux.{field} has {count} paths, more than {most}")]
    TooManyPaths { field: &'static str, count: usize, most: usize },
    #[error("cannot mount on {destination:?}: it is the root itself")]
    MountOnRoot { destination: String },
    #[error("the mount at {destination} has no type and no bind option")]
    MountWithoutType { destination: String },
    #[error("the bind mount at {destination} has no source")]
    BindWithoutSource { destination: String },
    #[error("bind mounts cannot have any filesystem-specific options applied: {option} at {destination}")]
    BindWithData { destination: String, option: String },
    #[error("{destination:?} cannot be mounted because it is inside /proc")]
    MountInsideProc { destination: String },
    #[error("the mount at {destination} cannot be id-mapped: only bind mounts can")]
    IdMapOfFilesystem { destination: String },
    #[error("the mount at {destination} has mappings for users or for groups alone; it needs both")]
    HalfIdMap { destination: String },
    #[error(
        "the mount at {destination} is to be mapped as the container's user namespace, but linux.namespaces has none"
    )]
    IdMapWithoutUserNamespace { destination: String },
    #[error(
        "linux.rootfsPropagation {0:?} is none of shared, slave, private, unbindable (or those with an r)"
    )]
    Propagation(String),
    #[error("device path {path:?} is not an absolute path below the root")]
    DevicePath { path: String },
    #[error("device {path}: its numbers must be zero or above")]
    DeviceNumber { path: String },
    #[error("linux.sysctl: sysctl {name:?} is not in a separate kernel namespace")]
    Sysctl { name: String },
    #[error("{field} is longer than {HOST_NAME_MAX_BYTES} bytes")]
    NameTooLong { field: &'static str },
    #[error("linux.timeOffsets: {0:?} is no clock of a time namespace (monotonic, boottime)")]
    Clock(String),
    #[error("linux.timeOffsets.{clock}.nanosecs: {nanosecs} is a second or more")]
    Nanoseconds { clock: String, nanosecs: u32 },
    #[error("unable to move network devices without a NET namespace (linux.netDevices)")]
    NetDeviceWithoutNamespace,
    #[error("linux.netDevices: invalid network device name {0:?}")]
    NetDevice(String),
    #[error("linux.{field}[{index}]: {path:?} is not absolute")]
    RelativePath { field: &'static str, index: usize, path: String },
}
