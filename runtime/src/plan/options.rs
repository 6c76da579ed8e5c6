//! The words of `mounts[].options`, as mount(8) and runc have them.

use crate::sys::mount::Reach;

const RDONLY: u64 = libc::MOUNT_ATTR_RDONLY;
const NOSUID: u64 = libc::MOUNT_ATTR_NOSUID;
const NODEV: u64 = libc::MOUNT_ATTR_NODEV;
const NOEXEC: u64 = libc::MOUNT_ATTR_NOEXEC;
const NOATIME: u64 = libc::MOUNT_ATTR_NOATIME;
const STRICTATIME: u64 = libc::MOUNT_ATTR_STRICTATIME;
const NODIRATIME: u64 = libc::MOUNT_ATTR_NODIRATIME;
const NOSYMFOLLOW: u64 = libc::MOUNT_ATTR_NOSYMFOLLOW;
/// The field of the three exclusive access time modes; relatime is the one with the value 0.
const ATIME: u64 = libc::MOUNT_ATTR__ATIME;
/// What "norelatime" takes back: the bit of the field that stands for no mode, since relatime has none.
const RELATIME: u64 = ATIME & !NOATIME & !STRICTATIME;

/// What one word asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// Set and clear `MOUNT_ATTR_*`.
    Attribute { set: u64, clear: u64 },
    /// A flag of the filesystem, which its driver must know.
    Superblock,
    /// `MS_*` propagation.
    Propagation(u64),
    /// A bind mount.
    Bind,
    /// Change a mount that is there.
    Remount,
    /// Copy what the mount hides into it.
    CopyUp,
    /// Map ids.
    IdMap,
    /// Says nothing.
    Nothing,
}

const fn set(set: u64) -> Word {
    Word::Attribute { set, clear: 0 }
}

const fn clear(clear: u64) -> Word {
    Word::Attribute { set: 0, clear }
}

const fn atime(mode: u64) -> Word {
    Word::Attribute { set: mode, clear: ATIME }
}

/// Each word, whether a leading `r` makes it recursive, and what it asks for.
const WORDS: &[(&str, bool, Word)] = &[
    ("defaults", false, Word::Nothing),
    ("ro", true, set(RDONLY)),
    ("rw", true, clear(RDONLY)),
    ("nosuid", true, set(NOSUID)),
    ("suid", true, clear(NOSUID)),
    ("nodev", true, set(NODEV)),
    ("dev", true, clear(NODEV)),
    ("noexec", true, set(NOEXEC)),
    ("exec", true, clear(NOEXEC)),
    ("nodiratime", true, set(NODIRATIME)),
    ("diratime", true, clear(NODIRATIME)),
    ("nosymfollow", true, set(NOSYMFOLLOW)),
    ("symfollow", true, clear(NOSYMFOLLOW)),
    ("noatime", true, atime(NOATIME)),
    ("strictatime", true, atime(STRICTATIME)),
    ("relatime", true, atime(0)),
    // These take a mode back that was named before; what the mount has by itself stays, as with mount(2).
    ("atime", true, clear(NOATIME)),
    ("norelatime", true, clear(RELATIME)),
    ("nostrictatime", true, clear(STRICTATIME)),
    ("sync", false, Word::Superblock),
    ("async", false, Word::Superblock),
    ("dirsync", false, Word::Superblock),
    ("mand", false, Word::Superblock),
    ("nomand", false, Word::Nothing),
    ("lazytime", false, Word::Superblock),
    ("nolazytime", false, Word::Superblock),
    ("iversion", false, Word::Superblock),
    ("noiversion", false, Word::Nothing),
    ("silent", false, Word::Nothing),
    ("loud", false, Word::Nothing),
    ("remount", false, Word::Remount),
    ("tmpcopyup", false, Word::CopyUp),
    ("bind", true, Word::Bind),
    ("idmap", true, Word::IdMap),
    ("private", true, Word::Propagation(libc::MS_PRIVATE)),
    ("slave", true, Word::Propagation(libc::MS_SLAVE)),
    ("shared", true, Word::Propagation(libc::MS_SHARED)),
    ("unbindable", true, Word::Propagation(libc::MS_UNBINDABLE)),
];

/// The meaning of a word and how far it goes; none for filesystem data.
pub(super) fn meaning(word: &str) -> Option<(Word, Reach)> {
    let find = |name: &str| WORDS.iter().find(|(known, ..)| *known == name);
    if let Some((_, _, meaning)) = find(word) {
        return Some((*meaning, Reach::One));
    }
    let (_, recursive, meaning) = find(word.strip_prefix('r')?)?;
    recursive.then_some((*meaning, Reach::Tree))
}

/// `slave`, `rslave` … and so on; none for other words.
pub(super) fn propagation(word: &str) -> Option<(u64, Reach)> {
    match meaning(word)? {
        (Word::Propagation(flag), reach) => Some((flag, reach)),
        _ => None,
    }
}

/// Every word that is understood, for `features`.
pub(crate) fn known_words() -> impl Iterator<Item = String> {
    WORDS.iter().flat_map(|(name, recursive, _)| {
        std::iter::once((*name).to_owned()).chain(recursive.then(|| format!("r{name}")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_r_in_front_makes_an_attribute_recursive() {
        assert_eq!(meaning("ro"), Some((set(RDONLY), Reach::One)));
        assert_eq!(meaning("rro"), Some((set(RDONLY), Reach::Tree)));
        assert_eq!(meaning("relatime"), Some((atime(0), Reach::One)));
        assert_eq!(meaning("rrelatime"), Some((atime(0), Reach::Tree)));
        assert_eq!(meaning("rw"), Some((clear(RDONLY), Reach::One)));
        assert_eq!(meaning("remount"), Some((Word::Remount, Reach::One)));
        assert_eq!(meaning("rbind"), Some((Word::Bind, Reach::Tree)));
        assert_eq!(propagation("rslave"), Some((libc::MS_SLAVE, Reach::Tree)));
        assert_eq!(propagation("ro"), None);
    }

    #[test]
    fn other_words_belong_to_the_filesystem() {
        for word in ["size=1m", "rsync", "newinstance", "", "r"] {
            assert_eq!(meaning(word), None, "{word}");
        }
    }
}
