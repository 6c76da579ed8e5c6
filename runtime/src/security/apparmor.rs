//! `process.apparmorProfile`: the AppArmor profile that the next exec enters. Never loads profiles.

use std::path::Path;

use rustix::io::Errno;

use crate::rootfs::procfs::Procfs;

/// Why a profile is not in force.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppArmorError {
    /// Asked for on a kernel without it; running unconfined instead would be a lie.
    #[error("apparmor profile {0:?} is asked for but apparmor is not enabled on this machine")]
    NotEnabled(String),
    /// ENOENT here means that the profile is not loaded.
    #[error("unable to apply apparmor profile: apparmor failed to apply profile {profile:?}")]
    Apply {
        /// The profile.
        profile: String,
        /// What the kernel said.
        source: Errno,
    },
}

/// Whether the kernel has AppArmor and it is on.
pub(crate) fn is_enabled() -> bool {
    is_enabled_at(Path::new("/sys/module/apparmor/parameters/enabled"))
}

fn is_enabled_at(parameter: &Path) -> bool {
    std::fs::read(parameter).is_ok_and(|text| text.first() == Some(&b'Y'))
}

/// Refuses a profile that cannot be applied; the empty name asks for nothing.
///
/// # Errors
/// [`AppArmorError::NotEnabled`].
pub(crate) fn check(profile: &str) -> Result<(), AppArmorError> {
    if profile.is_empty() || is_enabled() {
        return Ok(());
    }
    Err(AppArmorError::NotEnabled(profile.to_owned()))
}

/// Has the next exec of the calling thread enter the profile; must come before no_new_privs and seccomp.
///
/// # Errors
/// [`AppArmorError::Apply`].
pub(crate) fn apply_on_exec(procfs: &Procfs, profile: &str) -> Result<(), AppArmorError> {
    if profile.is_empty() {
        return Ok(());
    }
    let value = format!("exec {profile}");
    // Since 5.8 AppArmor has a directory of its own, which stays right when several modules are stacked.
    let written = match procfs.write("thread-self/attr/apparmor/exec", value.as_bytes()) {
        Err(Errno::NOENT) => procfs.write("thread-self/attr/exec", value.as_bytes()),
        other => other,
    };
    written.map_err(|source| AppArmorError::Apply { profile: profile.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_parameter_that_says_yes_is_enabled() {
        let dir = std::env::temp_dir().join(format!("knarr-apparmor-{}", std::process::id()));
        assert!(!is_enabled_at(&dir));
        std::fs::write(&dir, "N\n").unwrap();
        assert!(!is_enabled_at(&dir));
        std::fs::write(&dir, "Y\n").unwrap();
        assert!(is_enabled_at(&dir));
        std::fs::remove_file(&dir).unwrap();
    }

    #[test]
    fn no_profile_is_always_fine() {
        assert!(check("").is_ok());
    }
}
