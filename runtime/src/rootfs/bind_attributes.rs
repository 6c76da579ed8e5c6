//! The attributes of a bind mount as runc and mount(2)'s remount have them: naming one attribute sets all of them, so
//! that those of the source which were not named go; access time stays as it was unless a mode is named. Where the
//! container has a user namespace, what the kernel would have locked there stays, and cannot be taken away.

use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use crate::plan::mounts::Attributes;
use crate::sys::mount::attributes;

const LOCKED: u64 =
    libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOEXEC;
const ATIME: u64 = libc::MOUNT_ATTR__ATIME;

/// What of `asked` is to be changed in `made`, a copy of the source.
///
/// # Errors
/// EPERM when something is to be taken away that a user namespace's mounts keep.
pub(super) fn change_of(
    asked: Attributes,
    made: BorrowedFd<'_>,
    in_user_namespace: bool,
) -> Result<Attributes, Errno> {
    if asked.is_empty() {
        return Ok(asked);
    }
    match in_user_namespace {
        false => Ok(all_named(asked)),
        true => kept(asked, attributes(made)?),
    }
}

/// A mode of access time is asked for, and not only that one be left.
fn names_access_time(asked: Attributes) -> bool {
    asked.clear & ATIME == ATIME || asked.set & libc::MOUNT_ATTR_NODIRATIME != 0
}

fn all_named(asked: Attributes) -> Attributes {
    let mut clear = LOCKED | libc::MOUNT_ATTR_NOSYMFOLLOW;
    if names_access_time(asked) {
        clear |= ATIME | libc::MOUNT_ATTR_NODIRATIME;
    }
    // The field of modes is always cleared whole.
    Attributes { set: asked.set, clear: clear & !(asked.set & !ATIME) }
}

fn kept(asked: Attributes, present: u64) -> Result<Attributes, Errno> {
    let access_time = ATIME | libc::MOUNT_ATTR_NODIRATIME;
    let is_other_time = names_access_time(asked) && (asked.set ^ present) & access_time != 0;
    if asked.clear & present & LOCKED != 0 || is_other_time {
        return Err(Errno::PERM);
    }
    Ok(Attributes { set: asked.set & !access_time, clear: libc::MOUNT_ATTR_NOSYMFOLLOW & !asked.set })
}

#[cfg(test)]
mod tests {
    use super::*;
    use libc::{
        MOUNT_ATTR_NOATIME as NOATIME, MOUNT_ATTR_NODEV as NODEV, MOUNT_ATTR_NODIRATIME as NODIRATIME,
        MOUNT_ATTR_NOSUID as NOSUID, MOUNT_ATTR_NOSYMFOLLOW as NOSYMFOLLOW, MOUNT_ATTR_RDONLY as RDONLY,
        MOUNT_ATTR_STRICTATIME as STRICTATIME,
    };

    #[test]
    fn whoever_names_one_names_them_all() {
        let named = all_named(Attributes { set: RDONLY, clear: 0 });
        assert_eq!(named, Attributes { set: RDONLY, clear: (LOCKED | NOSYMFOLLOW) & !RDONLY });
        let named = all_named(Attributes { set: NODIRATIME, clear: 0 });
        assert_eq!(named, Attributes { set: NODIRATIME, clear: LOCKED | NOSYMFOLLOW | ATIME });
        let named = all_named(Attributes { set: STRICTATIME, clear: ATIME });
        assert_eq!(named.clear, LOCKED | NOSYMFOLLOW | ATIME | NODIRATIME);
        // "atime" takes "noatime" back where it was said, and says nothing about the source.
        assert_eq!(all_named(Attributes { set: 0, clear: NOATIME }).clear, LOCKED | NOSYMFOLLOW);
    }

    #[test]
    fn what_a_user_namespace_locks_is_kept_and_not_given_up() {
        let asked = |set, clear| Attributes { set, clear };
        let changed = Ok(asked(RDONLY, NOSYMFOLLOW));
        assert_eq!(kept(asked(RDONLY, 0), NOSUID | NODEV | NOATIME), changed);
        assert_eq!(kept(asked(0, RDONLY), RDONLY), Err(Errno::PERM));
        assert_eq!(kept(asked(0, RDONLY), NOSUID), Ok(asked(0, NOSYMFOLLOW)));
        assert_eq!(kept(asked(NOATIME, ATIME), NOATIME), Ok(asked(0, NOSYMFOLLOW)));
        assert_eq!(kept(asked(0, ATIME), NOATIME), Err(Errno::PERM));
        assert_eq!(kept(asked(NODIRATIME, 0), 0), Err(Errno::PERM));
        assert_eq!(kept(asked(0, NODIRATIME), NODIRATIME), Ok(asked(0, NOSYMFOLLOW)));
    }
}
