//! The flags that `create`, `run`, `restore` and `exec` share.

use std::path::PathBuf;

use crate::notify::Watcher;

/// Flags of `create`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// Gets the terminal's master; absolute.
    pub(crate) console_socket: Option<PathBuf>,
    /// Gets a pidfd; absolute.
    pub(crate) pidfd_socket: Option<PathBuf>,
    /// Gets the pid; absolute.
    pub(crate) pid_file: Option<PathBuf>,
    /// Move the root instead of pivoting.
    pub(crate) no_pivot: bool,
    /// Stay in the caller's session keyring.
    pub(crate) no_new_keyring: bool,
    /// Descriptors from 3 on to pass on.
    pub(crate) preserve_fds: u32,
    /// Gets the container's notifications.
    pub(crate) notify: Option<Watcher>,
}
