//! Which files a copy takes. Every name is resolved beneath the root of the sources: whatever links are in there, none
//! leads out. The same selection is made where a copy's key is made, and where it is carried out.

use std::os::fd::{AsFd, OwnedFd};

use knarr_proto::ignore::Ignore;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::error::{EditFault, failed};
use crate::trees;

/// What a copy is to take.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Selection {
    /// Paths with wildcards, from the root of the sources.
    pub(crate) sources: Vec<String>,
    /// Patterns of what is left out.
    pub(crate) excludes: Vec<String>,
    /// Keeps the directories that stand in a source's path, from `/./` on.
    pub(crate) parents: bool,
}

/// A file, or a directory with all that is in it.
#[derive(Debug)]
pub(crate) struct Chosen {
    /// In the sources.
    pub(crate) path: Vec<u8>,
    /// Where it goes, below the target: the file's name, or nothing for a directory's content.
    pub(crate) name: Vec<u8>,
    pub(crate) is_directory: bool,
}

const WITHIN: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);

impl Selection {
    /// What is left out.
    pub(crate) fn ignore(&self) -> Result<Ignore, EditFault> {
        Ignore::new(&self.excludes).map_err(EditFault::Wrong)
    }

    /// Finds what is selected below `root`.
    ///
    /// # Errors
    /// [`EditFault::Missing`] for a source that names nothing.
    pub(crate) fn find(&self, root: &OwnedFd) -> Result<Vec<Chosen>, EditFault> {
        let mut all = Vec::new();
        for source in &self.sources {
            let (above, rest) = match source.split_once("/./") {
                Some((above, rest)) if self.parents => (above, rest),
                _ => ("", source.as_str()),
            };
            let mut found = Vec::new();
            let mut parts = names(above);
            parts.extend(names(rest));
            let pivot = names(above).len();
            expand(root, &parts, Vec::new(), &mut found)?;
            if found.is_empty() {
                return Err(EditFault::Missing(source.clone()));
            }
            for path in found {
                let stat = stat(root, &path).map_err(failed("look at", &path))?;
                let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
                let name = match (self.parents, is_directory) {
                    (true, _) => after(&path, pivot),
                    (false, true) => Vec::new(),
                    (false, false) => after(&path, path.split(|byte| *byte == b'/').count() - 1),
                };
                all.push(Chosen { path, name, is_directory });
            }
        }
        Ok(all)
    }
}

/// A path's names, cleaned: `..` goes up to the root at most.
fn names(path: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    names
}

/// A path without its first names.
fn after(path: &[u8], count: usize) -> Vec<u8> {
    path.split(|byte| *byte == b'/').skip(count).collect::<Vec<_>>().join(&b'/')
}

/// Replaces wildcards by what there is, name by name.
fn expand(root: &OwnedFd, parts: &[&str], path: Vec<u8>, found: &mut Vec<Vec<u8>>) -> Result<(), EditFault> {
    let Some((first, rest)) = parts.split_first() else {
        match stat(root, &path) {
            Ok(_) => found.push(path),
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(errno) => return Err(failed("look at", &path)(errno)),
        }
        return Ok(());
    };
    let below = |name: &[u8]| match path.is_empty() {
        true => name.to_vec(),
        false => [path.as_slice(), b"/", name].concat(),
    };
    if !first.contains(['*', '?', '[', '\\']) {
        return expand(root, rest, below(first.as_bytes()), found);
    }
    let pattern = knarr_proto::ignore::Pattern::parse(first).map_err(EditFault::Wrong)?;
    let directory = match open_directory(root, &path) {
        Ok(directory) => directory,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
        Err(errno) => return Err(failed("open", &path)(errno)),
    };
    let mut matching: Vec<Vec<u8>> = trees::list(&directory)
        .map_err(failed("list", &path))?
        .into_iter()
        .map(|(name, _)| name.into_bytes())
        .filter(|name| pattern.matches(name))
        .collect();
    matching.sort();
    matching.into_iter().try_for_each(|name| expand(root, rest, below(&name), found))
}

/// What a path of the sources leads to, links followed.
pub(crate) fn stat(root: impl AsFd, path: &[u8]) -> Result<Stat, Errno> {
    rustix::fs::fstat(open(root, path, OFlags::PATH)?)
}

/// Opens a directory of the sources.
pub(crate) fn open_directory(root: impl AsFd, path: &[u8]) -> Result<OwnedFd, Errno> {
    open(root, path, OFlags::RDONLY | OFlags::DIRECTORY)
}

/// Opens what a path leads to beneath the root.
pub(crate) fn open(root: impl AsFd, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let path = if path.is_empty() { b"." } else { path };
    rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), WITHIN)
}
