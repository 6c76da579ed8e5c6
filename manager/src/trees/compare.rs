//! What changed between two trees: one that holds only changes, as overlayfs writes them, against what is below it; or a
//! whole tree against the one that it was a copy of. A container may go on changing what is looked at: what it removes
//! meanwhile is left out.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Stat};
use rustix::io::Errno;

use super::walk::{list, open_below, path_of};

/// What paths may take together: some hundred thousand of them. A container can make more.
const MAX_PATH_BYTES: usize = 64 << 20;
/// Marks a directory of an overlay that hides what is below it.
const OPAQUE: &CStr = c"trusted.overlay.opaque";

/// How an entry changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    Modified,
    Added,
    Deleted,
}

/// A changed entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) kind: ChangeKind,
    /// Relative to the trees.
    pub(crate) path: PathBuf,
}

/// How a tree tells its changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// It holds only what changed, with whiteouts and opaque marks.
    Layer,
    /// It holds everything.
    Whole,
}

/// The changes that made `new` of `old`, which is `None` when there was nothing, by path. Of a directory that is gone
/// only itself is told, and a directory with a change below it has changed, too.
///
/// # Errors
/// The kernel's; [`Errno::OVERFLOW`] when there are too many to be told.
pub(crate) fn compare(
    new: BorrowedFd<'_>,
    form: Form,
    old: Option<BorrowedFd<'_>>,
) -> Result<Vec<Change>, Errno> {
    let mut comparison = Comparison { new, form, old, changes: Vec::new(), path_bytes: 0 };
    let mut pending = vec![Pair { path: PathBuf::new(), was_directory: old.is_some() }];
    while let Some(pair) = pending.pop() {
        comparison.directory(&pair, &mut pending)?;
    }
    let Comparison { mut changes, .. } = comparison;
    if form == Form::Whole {
        add_parents(&mut changes);
    }
    changes.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(changes)
}

struct Comparison<'a> {
    new: BorrowedFd<'a>,
    form: Form,
    old: Option<BorrowedFd<'a>>,
    changes: Vec<Change>,
    path_bytes: usize,
}

/// A directory of the new tree.
struct Pair {
    path: PathBuf,
    /// It was a directory before, whose other entries it may still show.
    was_directory: bool,
}

/// An entry of the old directory.
type Before = HashMap<CString, Stat>;

impl Comparison<'_> {
    fn directory(&mut self, pair: &Pair, pending: &mut Vec<Pair>) -> Result<(), Errno> {
        let Some(directory) = gone(open_below(self.new, &pair.path))? else { return Ok(()) };
        let old = match (pair.was_directory, self.old) {
            (true, Some(old)) => gone(open_below(old, &pair.path))?,
            _ => None,
        };
        let mut before = old.as_ref().map_or(Ok(Before::new()), entries)?;
        for (name, _) in list(&directory)? {
            let Some(stat) = stat_at(&directory, &name)? else { continue };
            let was = before.remove(&name);
            let path = pair.path.join(path_of(&name));
            let kind = FileType::from_raw_mode(stat.st_mode);
            if self.form == Form::Layer && kind == FileType::CharacterDevice && stat.st_rdev == 0 {
                if was.is_some() {
                    self.add(ChangeKind::Deleted, path)?;
                }
                continue;
            }
            let was_directory = was.is_some_and(|was| is_directory(&was));
            match was {
                None => self.add(ChangeKind::Added, path.clone())?,
                Some(was) if self.form == Form::Layer || differ(&was, &stat) => {
                    self.add(ChangeKind::Modified, path.clone())?;
                }
                Some(_) => {}
            }
            if kind == FileType::Directory {
                pending.push(Pair { path, was_directory });
            }
        }
        // What a layer does not name is still what it was, except below an opaque directory.
        if self.form == Form::Whole || is_opaque(&directory) {
            for name in before.into_keys() {
                self.add(ChangeKind::Deleted, pair.path.join(path_of(&name)))?;
            }
        }
        Ok(())
    }

    fn add(&mut self, kind: ChangeKind, path: PathBuf) -> Result<(), Errno> {
        self.path_bytes += path.as_os_str().len() + size_of::<Change>();
        if self.path_bytes > MAX_PATH_BYTES {
            return Err(Errno::OVERFLOW);
        }
        self.changes.push(Change { kind, path });
        Ok(())
    }
}

/// `None` for what was removed or replaced meanwhile.
fn gone<T>(result: Result<T, Errno>) -> Result<Option<T>, Errno> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn stat_at(directory: &OwnedFd, name: &CString) -> Result<Option<Stat>, Errno> {
    gone(rustix::fs::statat(directory, name.as_c_str(), AtFlags::SYMLINK_NOFOLLOW))
}

fn entries(directory: &OwnedFd) -> Result<Before, Errno> {
    let mut entries = Before::new();
    for (name, _) in list(directory)? {
        if let Some(stat) = stat_at(directory, &name)? {
            entries.insert(name, stat);
        }
    }
    Ok(entries)
}

fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

fn is_opaque(directory: &OwnedFd) -> bool {
    let mut value = [0; 1];
    matches!(rustix::fs::fgetxattr(directory, OPAQUE, &mut value), Ok(1) if value == *b"y")
}

/// Whether an entry of a whole tree was changed. A directory's size and time tell only of what is in it.
fn differ(was: &Stat, now: &Stat) -> bool {
    let owner_and_mode = |stat: &Stat| (stat.st_mode, stat.st_uid, stat.st_gid, stat.st_rdev);
    let content = |stat: &Stat| (stat.st_size, stat.st_mtime, stat.st_mtime_nsec);
    owner_and_mode(was) != owner_and_mode(now) || (!is_directory(now) && content(was) != content(now))
}

/// Adds the directories that have changed only because something below them has.
fn add_parents(changes: &mut Vec<Change>) {
    let known: std::collections::HashSet<&Path> =
        changes.iter().map(|change| change.path.as_path()).collect();
    let mut parents = std::collections::BTreeSet::new();
    for change in changes.iter() {
        for parent in change.path.ancestors().skip(1) {
            let is_new = !known.contains(parent) && parents.insert(parent.to_owned());
            if parent.as_os_str().is_empty() || !is_new {
                break;
            }
        }
    }
    parents.remove(Path::new(""));
    changes.extend(parents.into_iter().map(|path| Change { kind: ChangeKind::Modified, path }));
}

#[cfg(test)]
#[path = "compare/tests.rs"]
mod tests;
