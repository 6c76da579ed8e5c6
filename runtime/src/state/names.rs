//! Names of files in a container's state directory.

/// The name of the start gate inside a container's state directory. A container in which it exists is `created`.
pub(crate) const START_GATE: &str = "exec.fifo";

/// The directory that a container with a notify socket sees, and the socket's name in it.
pub(crate) const NOTIFY_DIRECTORY: &str = "notify";

/// See [`NOTIFY_DIRECTORY`].
pub(crate) const NOTIFY_SOCKET: &str = "notify.sock";

/// The name of the kept configuration.
pub(crate) const CONFIG: &str = "config.json";
