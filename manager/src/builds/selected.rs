//! The digest of what a copy takes: paths, types, modes, owners, contents, attributes; no times. It is the part of a key
//! that says whether files have changed.
#![allow(clippy::disallowed_methods, reason = "its functions are called on blocking threads")]

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};

use super::key::Key;
use crate::content::{Algorithm, Hasher};
use crate::layers::edit::EditFault;
use crate::layers::edit::select::{self, Selection};
use crate::trees;

const BUFFER_BYTES: usize = 256 << 10;

/// Adds to `key` what `selection` takes below `root`. `with_owners` when the copy keeps them.
///
/// # Errors
/// [`EditFault`].
pub(super) fn add(
    key: &mut Key,
    root: &OwnedFd,
    selection: &Selection,
    with_owners: bool,
) -> Result<(), EditFault> {
    let ignore = selection.ignore()?;
    for chosen in selection.find(root)? {
        key.add(&chosen.name);
        if !chosen.is_directory {
            if !ignore.excludes(&chosen.name) {
                let stat = select::stat(root, &chosen.path).map_err(fault("look at", &chosen.path))?;
                entry(key, &stat, with_owners);
                let open = select::open(root, &chosen.path, OFlags::RDONLY | OFlags::NONBLOCK);
                content(key, &stat, open, &chosen.path)?;
            }
            continue;
        }
        let directory = select::open_directory(root, &chosen.path).map_err(fault("open", &chosen.path))?;
        let mut pending = vec![(directory, Vec::new())];
        while let Some((directory, path)) = pending.pop() {
            let stat = rustix::fs::fstat(&directory).map_err(fault("look at", &path))?;
            key.add(&path);
            entry(key, &stat, with_owners);
            let mut names = trees::list(&directory).map_err(fault("list", &path))?;
            names.sort_by(|one, other| one.0.cmp(&other.0));
            for (name, kind) in names {
                let below = match path.is_empty() {
                    true => name.as_bytes().to_vec(),
                    false => [path.as_slice(), b"/", name.as_bytes()].concat(),
                };
                let excluded = ignore.excludes(&below);
                if kind == FileType::Directory {
                    if !excluded || ignore.may_include_below(&below) {
                        let inner =
                            rustix::fs::openat(&directory, &name, trees::OPEN_DIRECTORY, Mode::empty());
                        pending.push((inner.map_err(fault("open", &below))?, below));
                    }
                } else if !excluded {
                    let stat = rustix::fs::statat(&directory, &name, AtFlags::SYMLINK_NOFOLLOW);
                    let stat = stat.map_err(fault("look at", &below))?;
                    key.add(&below);
                    entry(key, &stat, with_owners);
                    if kind == FileType::Symlink {
                        let link = rustix::fs::readlinkat(&directory, &name, Vec::new());
                        key.add(link.map_err(fault("read", &below))?.as_bytes());
                    } else {
                        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                        let open = rustix::fs::openat(&directory, &name, flags, Mode::empty());
                        content(key, &stat, open, &below)?;
                    }
                }
            }
        }
    }
    Ok(())
}

fn fault(doing: &'static str, path: &[u8]) -> impl FnOnce(rustix::io::Errno) -> EditFault {
    crate::layers::edit::failed(doing, path)
}

fn entry(key: &mut Key, stat: &Stat, with_owners: bool) {
    key.add(stat.st_mode.to_le_bytes());
    if with_owners {
        key.add(stat.st_uid.to_le_bytes()).add(stat.st_gid.to_le_bytes());
    }
    key.add(stat.st_rdev.to_le_bytes());
}

/// Of a regular file; others are all said by their entry.
fn content(
    key: &mut Key,
    stat: &Stat,
    open: Result<OwnedFd, rustix::io::Errno>,
    path: &[u8],
) -> Result<(), EditFault> {
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(());
    }
    let file = open.map_err(fault("open", path))?;
    let mut capability = [0; 64];
    if let Ok(size) = rustix::fs::fgetxattr(&file, c"security.capability", &mut capability[..]) {
        key.add(&capability[..size]);
    }
    let mut file = File::from(file);
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut buffer = vec![0; BUFFER_BYTES.min(stat.st_size.unsigned_abs() as usize + 1)];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => hasher.update(&buffer[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => {
                let errno = rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::IO);
                return Err(fault("read", path)(errno));
            }
        }
    }
    key.add(hasher.finish().to_string());
    Ok(())
}
