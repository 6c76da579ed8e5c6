//! Removing: what is in an entry's way, and what a layer says is gone from the layers below (OCI image-spec,
//! "Whiteouts"). Whiteouts never take what came with the same layer, whichever stands first in it.

use std::collections::HashSet;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, FileType, Mode};
use rustix::io::Errno;

use super::error::{LayerError, placing};
use super::path::below;
use super::tree::{Directory, Missing, Tree};
use crate::trees::{list, remove_below};

/// How a layer's removals are kept.
pub(super) enum Remover {
    /// For overlayfs: devices 0/0 and opaque directories.
    Whiteouts,
    /// The layers below were copied here: their files are deleted, those of this layer (and all directories above
    /// them) stay.
    Deletion { placed: HashSet<Vec<u8>> },
}

impl Remover {
    pub(super) fn deletion() -> Self {
        Self::Deletion { placed: HashSet::new() }
    }

    /// Remembers that this path came with the layer.
    pub(super) fn placed(&mut self, path: &[u8]) {
        let Self::Deletion { placed } = self else { return };
        let mut end = path.len();
        while placed.insert(path[..end].to_vec()) {
            let Some(slash) = path[..end].iter().rposition(|byte| *byte == b'/') else { return };
            end = slash;
        }
    }

    /// Removes whatever has this name.
    pub(super) fn clear(
        &self,
        tree: &mut Tree,
        directory: &Directory,
        name: &[u8],
    ) -> Result<(), LayerError> {
        let path = below(&directory.path, name);
        match rustix::fs::unlinkat(&directory.descriptor, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::ISDIR) => {
                tree.removed(&path);
                remove_below(&directory.descriptor, name).map_err(placing("replace", &path))
            }
            Err(errno) => Err(placing("replace", &path)(errno)),
        }
    }

    /// Makes `name` of the layers below disappear.
    pub(super) fn hide(&self, tree: &mut Tree, directory: &Directory, name: &[u8]) -> Result<(), LayerError> {
        let path = below(&directory.path, name);
        let here = match rustix::fs::statat(&directory.descriptor, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Some(FileType::from_raw_mode(stat.st_mode)),
            Err(Errno::NOENT) => None,
            Err(errno) => return Err(placing("look at", &path)(errno)),
        };
        match (self, here) {
            (Self::Whiteouts, Some(FileType::Directory)) => match tree.directory(&path, Missing::Leave)? {
                Some(kept) if kept.lower.is_some() => tree.hide_below(&kept),
                _ => Ok(()),
            },
            (Self::Whiteouts, Some(_)) | (Self::Deletion { .. }, None) => Ok(()),
            (Self::Whiteouts, None) => {
                let is_below = directory
                    .lower
                    .as_ref()
                    .is_some_and(|lower| rustix::fs::statat(lower, name, AtFlags::SYMLINK_NOFOLLOW).is_ok());
                if !is_below {
                    return Ok(());
                }
                tree.charge(0)?;
                let kind = FileType::CharacterDevice;
                rustix::fs::mknodat(&directory.descriptor, name, kind, Mode::empty(), 0)
                    .map_err(placing("make the whiteout of", &path))
            }
            (Self::Deletion { placed }, Some(kind)) => match (placed.contains(&path), kind) {
                (false, _) => self.clear(tree, directory, name),
                (true, FileType::Directory) => match tree.directory(&path, Missing::Leave)? {
                    Some(kept) => self.hide_all(tree, &kept),
                    None => Ok(()),
                },
                (true, _) => Ok(()),
            },
        }
    }

    /// Makes everything of the layers below in this directory disappear.
    pub(super) fn hide_all(&self, tree: &mut Tree, directory: &Directory) -> Result<(), LayerError> {
        match self {
            // overlayfs has no opaque root.
            Self::Whiteouts if directory.path.is_empty() => {
                let Some(lower) = &directory.lower else { return Ok(()) };
                let names = list(lower).map_err(placing("list below", b""))?;
                names.iter().try_for_each(|(name, _)| self.hide(tree, directory, name.as_bytes()))
            }
            Self::Whiteouts if directory.lower.is_some() => tree.hide_below(directory),
            Self::Whiteouts => Ok(()),
            Self::Deletion { placed } => prune(tree, placed, &directory.descriptor, &directory.path),
        }
    }
}

/// Deletes what is not in `placed`. Goes no deeper than a layer's paths.
fn prune(
    tree: &mut Tree,
    placed: &HashSet<Vec<u8>>,
    directory: &OwnedFd,
    path: &[u8],
) -> Result<(), LayerError> {
    for (name, kind) in list(directory).map_err(placing("list", path))? {
        let child = below(path, name.as_bytes());
        let is_placed = placed.contains(&child);
        if !is_placed && kind == FileType::Directory {
            tree.removed(&child);
            remove_below(directory, name.as_bytes()).map_err(placing("remove", &child))?;
        } else if !is_placed {
            rustix::fs::unlinkat(directory, name.as_c_str(), AtFlags::empty())
                .map_err(placing("remove", &child))?;
        } else if kind == FileType::Directory {
            let opened = rustix::fs::openat(directory, name.as_c_str(), super::tree::OPEN, Mode::empty())
                .map_err(placing("open", &child))?;
            prune(tree, placed, &opened, &child)?;
        }
    }
    Ok(())
}
