//! `process.selinuxLabel`: the SELinux context that the next exec, and the keyring made before it, get.
//! Never computes labels and never relabels files.

use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::io::Errno;

use super::label;

/// Why a label is not in force.
#[derive(Debug, thiserror::Error)]
pub enum SelinuxError {
    /// Asked for on a kernel without it.
    #[error("selinux label {0:?} is specified in config, but selinux is disabled or not supported")]
    NotEnabled(String),
    /// EINVAL here means a context that the loaded policy does not know.
    #[error("can't set {purpose} label {label:?}")]
    Apply {
        /// `process` or `keyring`.
        purpose: &'static str,
        /// The label.
        label: String,
        /// What the kernel said.
        source: Errno,
    },
}

/// Whether the kernel has SELinux and a policy is loaded: selinuxfs is mounted only then.
pub fn is_enabled() -> bool {
    Path::new("/sys/fs/selinux/enforce").exists()
}

/// Refuses a label that cannot be applied; `label` is the process's or `linux.mountLabel`. Call in the plan.
///
/// # Errors
/// [`SelinuxError::NotEnabled`].
pub fn check(label: &str) -> Result<(), SelinuxError> {
    if label.is_empty() || is_enabled() {
        return Ok(());
    }
    Err(SelinuxError::NotEnabled(label.to_owned()))
}

/// Labels the keys that the calling thread makes from now on. Call right before the session keyring is joined.
///
/// # Errors
/// [`SelinuxError::Apply`].
pub fn apply_to_keyring(procfs: BorrowedFd<'_>, label: &str) -> Result<(), SelinuxError> {
    apply(procfs, "keycreate", "keyring", label)
}

/// Has the next exec of the calling thread run under the label. Call in `confine`, before seccomp, with the descriptor
/// of a verified procfs.
///
/// # Errors
/// [`SelinuxError::Apply`].
pub fn apply_on_exec(procfs: BorrowedFd<'_>, label: &str) -> Result<(), SelinuxError> {
    apply(procfs, "exec", "process", label)
}

fn apply(
    procfs: BorrowedFd<'_>,
    attribute: &str,
    purpose: &'static str,
    label: &str,
) -> Result<(), SelinuxError> {
    if label.is_empty() {
        return Ok(());
    }
    label::write(procfs, attribute, label.as_bytes()).map_err(|source| SelinuxError::Apply {
        purpose,
        label: label.to_owned(),
        source,
    })
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
