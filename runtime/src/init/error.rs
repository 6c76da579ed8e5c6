//! Why the container's first process could not be made.

use rustix::io::Errno;

use crate::handshake::error::ChannelError;
use crate::hooks::HookError;
use crate::process::console::ConsoleError;
use crate::process::launch::LaunchError;
use crate::rootfs::error::RootError;
use crate::spec::linux::NamespaceKind;

/// Why the container's first process could not be made.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub(crate) enum InitError {
    #[error(transparent)]
    Channel(#[from] ChannelError),
    #[error(transparent)]
    Root(#[from] RootError),
    #[error(transparent)]
    Console(#[from] ConsoleError),
    #[error(transparent)]
    Launch(#[from] LaunchError),
    #[error(transparent)]
    Hook(#[from] HookError),
    #[error("cannot enter the container's cgroup")]
    Cgroup { source: Errno },
    #[error("cannot join the {kind:?} namespace")]
    Join { kind: NamespaceKind, source: Errno },
    #[error("cannot make the {kind:?} namespace")]
    Make { kind: NamespaceKind, source: Errno },
    #[error("cannot set the offsets of the time namespace")]
    TimeOffsets { source: Errno },
    #[error("cannot become root of the user namespace")]
    BecomeRoot { source: Errno },
    #[error("cannot enter the root filesystem {0:?} in the mount namespace")]
    Directory(std::path::PathBuf, #[source] Errno),
    #[error("cannot write sysctl {name}")]
    Sysctl { name: String, source: Errno },
    #[error("cannot set the host name")]
    HostName { source: Errno },
    #[error("cannot set the domain name")]
    DomainName { source: Errno },
    #[error("cannot bring the loopback interface up")]
    Loopback { source: Errno },
    #[error("cannot join the container's namespaces")]
    JoinContainer { source: Errno },
    #[error("cannot set the CPU affinity")]
    Affinity { source: Errno },
    #[error("cannot wait for start")]
    Gate { source: Errno },
}

impl InitError {
    /// The path or name that it is about, for the log.
    pub(crate) fn path(&self) -> Option<String> {
        match self {
            Self::Root(
                RootError::Mount { destination: path, .. }
                | RootError::Device { path, .. }
                | RootError::Mask { path, .. }
                | RootError::Readonly { path, .. }
                | RootError::Cwd { path, .. },
            )
            | Self::Launch(LaunchError::Chdir { cwd: path, .. } | LaunchError::Exec { program: path, .. })
            | Self::Sysctl { name: path, .. } => Some(path.clone()),
            Self::Launch(LaunchError::Program(error)) => Some(error.name().to_owned()),
            Self::Directory(path, _) => Some(path.display().to_string()),
            _ => None,
        }
    }
}
