//! Directories and small files in a snapshot, whose own links lead where they lead in the container.

use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::io::Errno;

use super::error::{EditFault, failed};
use super::message::Owner;

pub(super) const DIRECTORY_MODE: u32 = 0o755;
const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// Links in links.
const MAX_LINKS: usize = 40;

/// Opens the directory at `path`.
pub(super) fn directory_at(root: &OwnedFd, path: &[u8]) -> Result<OwnedFd, Errno> {
    let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let path = if path.is_empty() { b"." } else { path };
    rustix::fs::openat2(root, path, DIRECTORY, Mode::empty(), within)
}

/// Makes the directories of `path` that are missing; opens the last one, and says whether it is new.
pub(super) fn directories(root: &OwnedFd, path: &[u8], owner: Owner) -> Result<(OwnedFd, bool), EditFault> {
    match directory_at(root, path) {
        Ok(directory) => return Ok((directory, false)),
        Err(Errno::NOENT) => {}
        Err(Errno::NOTDIR) => {
            let path = String::from_utf8_lossy(path).into_owned();
            return Err(EditFault::InTheWay { path, what: "it is not a directory".into() });
        }
        Err(errno) => return Err(failed("open", path)(errno)),
    }
    let mut whole: Vec<u8> = Vec::new();
    let mut is_new = false;
    let mut links = 0;
    let mut pending: Vec<Vec<u8>> = names(path).rev().map(<[u8]>::to_vec).collect();
    while let Some(name) = pending.pop() {
        let parent = directory_at(root, &whole).map_err(failed("open", &whole))?;
        is_new = match rustix::fs::mkdirat(&parent, name.as_slice(), Mode::from_raw_mode(DIRECTORY_MODE)) {
            Ok(()) => {
                let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
                rustix::fs::chownat(
                    &parent,
                    name.as_slice(),
                    Some(uid),
                    Some(gid),
                    AtFlags::SYMLINK_NOFOLLOW,
                )
                .map_err(failed("give away", &name))?;
                true
            }
            Err(Errno::EXIST) => false,
            Err(errno) => return Err(failed("make", path)(errno)),
        };
        // A link whose end is missing: its end is what is made.
        if let Ok(link) = rustix::fs::readlinkat(&parent, name.as_slice(), Vec::new()) {
            links += 1;
            if links > MAX_LINKS {
                return Err(failed("make", path)(Errno::LOOP));
            }
            let link = link.into_bytes();
            if link.starts_with(b"/") {
                whole.clear();
            }
            pending.extend(names(&link).rev().map(<[u8]>::to_vec));
            continue;
        }
        if name == b".." {
            let end = whole.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
            whole.truncate(end);
        } else {
            if !whole.is_empty() {
                whole.push(b'/');
            }
            whole.extend_from_slice(&name);
        }
    }
    Ok((directory_at(root, &whole).map_err(failed("open", &whole))?, is_new))
}

fn names(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".")
}

/// Writes a small file, in place of what has its name.
pub(super) fn file(
    root: &OwnedFd,
    path: &str,
    text: &str,
    (mode, owner): (u32, Owner),
) -> Result<(), EditFault> {
    let path = path.trim_start_matches('/');
    let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
    let (parent, _) = directories(root, above.as_bytes(), owner)?;
    let said = path.as_bytes();
    match rustix::fs::unlinkat(&parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(failed("replace", said)(errno)),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(&parent, name, flags, Mode::RUSR).map_err(failed("make", said))?;
    let mut left = text.as_bytes();
    while !left.is_empty() {
        let count = rustix::io::write(&file, left).map_err(failed("write", said))?;
        left = &left[count..];
    }
    let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
    rustix::fs::fchown(&file, Some(uid), Some(gid)).map_err(failed("give away", said))?;
    rustix::fs::fchmod(&file, Mode::from_raw_mode(mode)).map_err(failed("set the mode of", said))
}
