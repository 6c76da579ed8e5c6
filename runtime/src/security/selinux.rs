//! `process.selinuxLabel`: the SELinux context that the next exec gets. Never computes labels and never relabels files.

use std::path::Path;

use rustix::io::Errno;

use crate::rootfs::procfs::Procfs;

/// Why a label is not in force.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SelinuxError {
    /// Asked for on a kernel without it.
    #[error("selinux label {0:?} is specified in config, but selinux is disabled or not supported")]
    NotEnabled(String),
    /// EINVAL here means a context that the loaded policy does not know.
    #[error("can't set process label {label:?}")]
    Apply {
        /// The label.
        label: String,
        /// What the kernel said.
        source: Errno,
    },
}

/// Whether the kernel has SELinux and a policy is loaded: selinuxfs is mounted only then.
pub(crate) fn is_enabled() -> bool {
    Path::new("/sys/fs/selinux/enforce").exists()
}

/// Refuses a label that cannot be applied; the empty one asks for nothing.
///
/// # Errors
/// [`SelinuxError::NotEnabled`].
pub(crate) fn check(label: &str) -> Result<(), SelinuxError> {
    if label.is_empty() || is_enabled() {
        return Ok(());
    }
    Err(SelinuxError::NotEnabled(label.to_owned()))
}

/// Has the next exec of the calling thread run under the label; must come before seccomp.
///
/// # Errors
/// [`SelinuxError::Apply`].
pub(crate) fn apply_on_exec(procfs: &Procfs, label: &str) -> Result<(), SelinuxError> {
    if label.is_empty() {
        return Ok(());
    }
    procfs
        .write("thread-self/attr/exec", label.as_bytes())
        .map_err(|source| SelinuxError::Apply { label: label.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_without_selinux_is_refused_and_none_is_fine() {
        assert!(check("").is_ok());
        if !is_enabled() {
            assert!(matches!(check("system_u:system_r:container_t:s0"), Err(SelinuxError::NotEnabled(_))));
        }
    }
}
