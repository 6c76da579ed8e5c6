//! The session keyring: every container gets one of its own, `_ses.<id>` as runc names it, so that it neither sees
//! nor fills the keyring of its starter. exec joins the same one by name.

use std::ffi::CString;

use rustix::io::Errno;

use crate::sys::keyring;

/// Longer than any description: KEY_MAX_DESC_SIZE (4096) and the four fields before it.
const DESCRIPTION_MAX: usize = 4096 + 64;

/// KEY_USR_SEARCH: exec, which may run under another uid of ours, has to find the keyring.
const USER_MAY_SEARCH: u32 = 0x0008_0000;

/// KEY_OTH_SEARCH: in a user namespace the joiner's uid is not the keyring's owner.
const OTHER_MAY_SEARCH: u32 = 0x0000_0008;

/// Why a container has no keyring of its own.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyringError {
    /// EDQUOT here means that the user owns too many keys (kernel.keys.maxkeys).
    #[error("unable to join session keyring {name:?}")]
    Join {
        /// Name of the keyring.
        name: String,
        /// What the kernel said.
        source: Errno,
    },
    /// The keyring was joined but exec could not find it.
    #[error("unable to mod keyring permissions of {name:?}")]
    Permissions {
        /// Name of the keyring.
        name: String,
        /// What the kernel said.
        source: Errno,
    },
}

/// Leaves the caller's session keyring for the container's. The child does it once it is in its user namespace.
///
/// A kernel without keys is no error, as in runc: there is then nothing to keep apart.
///
/// # Errors
/// [`KeyringError`].
pub(crate) fn join_session(container_id: &str, in_user_namespace: bool) -> Result<(), KeyringError> {
    let name = format!("_ses.{container_id}");
    let terminated = CString::new(name.as_str()).expect("a container id has no NUL");
    let key = match keyring::join_session_keyring(&terminated) {
        Ok(key) => key,
        Err(Errno::NOSYS) => return Ok(()),
        Err(source) => return Err(KeyringError::Join { name, source }),
    };
    let added = if in_user_namespace { OTHER_MAY_SEARCH } else { USER_MAY_SEARCH };
    let mut description = [0; DESCRIPTION_MAX];
    keyring::describe(key, &mut description)
        .and_then(|length| permissions_of(&description[..length]).ok_or(Errno::BADMSG))
        .and_then(|permissions| keyring::set_permissions(key, permissions | added))
        .map_err(|source| KeyringError::Permissions { name, source })
}

/// The fourth field of `type;uid;gid;permissions;description`, which is hexadecimal.
fn permissions_of(description: &[u8]) -> Option<u32> {
    let field = description.split(|&byte| byte == b';').nth(3)?;
    u32::from_str_radix(str::from_utf8(field).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use crate::security::keyring::permissions_of;

    #[test]
    fn permissions_are_read_from_the_description() {
        assert_eq!(permissions_of(b"keyring;0;0;3f030000;_ses.web"), Some(0x3f03_0000));
        assert_eq!(permissions_of(b"keyring;0;0"), None);
        assert_eq!(permissions_of(b"keyring;0;0;zz;x"), None);
    }
}
