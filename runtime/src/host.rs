//! What is true of the host, found out once. Nothing here changes it.
#![forbid(unsafe_code)]

use std::path::Path;

use crate::args::Rootless;
use crate::cgroup::{CgroupError, Layout};
use crate::spec::{NamespaceKind, Spec};
use crate::sys::file;

/// The facts that plans depend on.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// Our effective user id.
    pub euid: u32,
    /// Whether a lack of permission on cgroups is forgiven: we are not the host's root, or were told so.
    pub is_rootless: bool,
    /// Whether we are in a user namespace, in which nobody makes device nodes.
    pub in_user_namespace: bool,
    /// The cgroup hierarchies.
    pub cgroups: Layout,
}

impl Host {
    /// Looks at the host.
    ///
    /// # Errors
    /// [`CgroupError::Read`] when mountinfo cannot be read.
    pub fn probe(rootless: Rootless) -> Result<Self, CgroupError> {
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
    let identity = |path: &Path| rustix::fs::stat(path).ok().map(|status| (status.st_dev, status.st_ino));
    let own = identity(&Path::new("/proc/self/ns").join(kind.file_name()));
    own.is_some() && own == identity(file)
}

/// Takes the namespaces off the list that are given by path and are our own: the container shares those with us, and
/// must have none of what a container has in a namespace of its own: kernel settings, a host name, mounts. A user namespace
/// stays, since one that was asked for is a protection: the kernel refuses to join it.
pub(crate) fn leave_out_own_namespaces(spec: &mut Spec) {
    spec.linux.namespaces.retain(|one| {
        let is_own = !one.path.is_empty() && is_own_namespace(one.kind, Path::new(&one.path));
        !is_own || one.kind == NamespaceKind::User
    });
}
