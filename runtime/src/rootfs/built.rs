//! The root with all its mounts, before it is entered.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::error::RootError;
use super::procfs::Procfs;
use super::tree::Tree;

/// The root with all its mounts, not yet entered: the moment of the createContainer hooks.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) tree: Tree,
    /// The procfs that was mounted for the container, if it was and can be written through.
    pub(crate) procfs: Option<Procfs>,
    /// The devpts that was mounted for the container.
    pub(crate) devpts: Option<OwnedFd>,
    /// Read-only tmpfs: writable until all that belongs into them is there.
    pub(crate) readonly_later: Vec<OwnedFd>,
}

impl Built {
    /// A procfs to write kernel settings through: the container's when it is ours, otherwise one of our own.
    pub(crate) fn take_procfs(&mut self) -> Result<Procfs, RootError> {
        match self.procfs.take() {
            Some(procfs) => Ok(procfs),
            None => Procfs::mount().map_err(|source| RootError::Procfs { source }),
        }
    }

    /// The devpts that was mounted for the container.
    pub(crate) fn devpts(&self) -> Option<BorrowedFd<'_>> {
        self.devpts.as_ref().map(AsFd::as_fd)
    }
}
