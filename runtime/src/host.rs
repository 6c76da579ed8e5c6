//! What is true of the host, found out once. Nothing here changes it.
#![forbid(unsafe_code)]

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::args::globals::Rootless;
use crate::cgroup::error::CgroupError;
use crate::cgroup::layout::Layout;
use crate::spec::Spec;
use crate::spec::linux::NamespaceKind;
use crate::sys::{file, namespace};

/// The facts that plans depend on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Host {
    /// Our effective user id.
    pub(crate) euid: u32,
    /// Whether a lack of permission on cgroups is forgiven: we are not the host's root, or were told so.
    pub(crate) is_rootless: bool,
    /// Whether we are in a user namespace, in which device nodes cannot be made.
    pub(crate) in_user_namespace: bool,
    /// The cgroup hierarchies.
    pub(crate) cgroups: Layout,
}

impl Host {
    /// Looks at the host.
    ///
    /// # Errors
    /// [`CgroupError::Read`] when mountinfo cannot be read.
    pub(crate) fn probe(rootless: Rootless) -> Result<Self, CgroupError> {
        let euid = rustix::process::geteuid().as_raw();
        let in_user_namespace = is_in_user_namespace();
        let is_rootless = match rootless {
            Rootless::Yes => true,
            Rootless::No => false,
            Rootless::Auto => euid != 0 || in_user_namespace,
        };
        Ok(Self { euid, is_rootless, in_user_namespace, cgroups: Layout::detect()? })
    }
}

/// The initial user namespace maps all of 2³²−1 ids onto themselves; as runc tells it.
pub(crate) fn is_in_user_namespace() -> bool {
    let text = file::read_text("/proc/self/uid_map".as_ref(), file::MAX_PROC_BYTES);
    text.is_ok_and(|text| !text.split_whitespace().eq(["0", "0", "4294967295"]))
}

/// Whether a file of a namespace is of the one that we are in ourselves. What cannot be looked at is not.
pub(crate) fn is_own_namespace(kind: NamespaceKind, file: &Path) -> bool {
    let own = own_namespace(kind);
    own.is_some() && own == identity(file)
}

/// Device and inode of our own namespace of a kind.
fn own_namespace(kind: NamespaceKind) -> Option<(u64, u64)> {
    identity(&Path::new("/proc/self/ns").join(kind.file_name()))
}

fn identity(file: &Path) -> Option<(u64, u64)> {
    rustix::fs::stat(file).ok().map(|status| (status.st_dev, status.st_ino))
}

/// Why a namespace that is given by path cannot be joined.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub(crate) enum NamespaceError {
    #[error("cannot open the {} namespace {path:?} to join", .kind.name())]
    Open { kind: NamespaceKind, path: PathBuf, source: Errno },
    #[error("the {} namespace {path:?} has become our own since it was looked at", .kind.name())]
    Changed { kind: NamespaceKind, path: PathBuf },
}

/// Opens a namespace that [`leave_out_own_namespaces`] has left on the list. The plan relies on its not being our own,
/// which another process can change by the path: a bound file can be replaced, a pid used again.
pub(crate) fn open_namespace(kind: NamespaceKind, path: &Path) -> Result<OwnedFd, NamespaceError> {
    let failed = |source| NamespaceError::Open { kind, path: path.to_owned(), source };
    let opened = namespace::open(path).map_err(failed)?;
    let status = rustix::fs::fstat(&opened).map_err(failed)?;
    if kind != NamespaceKind::User && own_namespace(kind) == Some((status.st_dev, status.st_ino)) {
        return Err(NamespaceError::Changed { kind, path: path.to_owned() });
    }
    Ok(opened)
}

/// Takes the namespaces off the list that are given by path and are our own: the container shares those with us, and
/// must have none of what a container has in a namespace of its own: kernel settings, a host name, mounts. A user
/// namespace stays, since one that was asked for is a protection: the kernel refuses to join it.
pub(crate) fn leave_out_own_namespaces(spec: &mut Spec) {
    spec.linux.namespaces.retain(|one| {
        let is_own = !one.path.is_empty() && is_own_namespace(one.kind, Path::new(&one.path));
        !is_own || one.kind == NamespaceKind::User
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_has_come_to_name_our_own_namespace_is_not_joined() {
        for kind in [
            NamespaceKind::Network,
            NamespaceKind::Ipc,
            NamespaceKind::Uts,
            NamespaceKind::Mount,
            NamespaceKind::Pid,
        ] {
            let own = Path::new("/proc/self/ns").join(kind.file_name());
            assert!(is_own_namespace(kind, &own), "{kind:?}");
            assert!(matches!(open_namespace(kind, &own), Err(NamespaceError::Changed { .. })), "{kind:?}");
            // One of another kind is another, and the kernel refuses it.
            assert!(open_namespace(kind, Path::new("/proc/self/ns/user")).is_ok(), "{kind:?}");
        }
        let missing = open_namespace(NamespaceKind::Network, Path::new("/nonexistent"));
        assert!(matches!(missing, Err(NamespaceError::Open { source: Errno::NOENT, .. })));
    }
}
