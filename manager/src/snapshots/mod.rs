//! Snapshots: the file systems of images (committed, keyed by chain id) and containers (active, keyed by container id).
//! This module owns their directories and their table; how a directory becomes a file system is the [`Snapshotter`]'s.
//!
//! A directory's name is a number, given once. It is made before its row is written, and a committed one is removed after
//! its row is gone: so a directory without a row is rubbish as long as no rows are missing (`orphans`).
#![allow(
    clippy::disallowed_methods,
    reason = "files are touched on blocking threads, and before clients are served"
)]

mod choice;
#[cfg(test)]
mod conformance;
mod detached;
mod directory;
mod error;
mod held;
mod native;
mod orphans;
mod overlay;
mod probe;
mod records;
mod snapshotter;

use std::collections::HashSet;
use std::fs::{DirBuilder, File};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::SystemTime;

use rusqlite::Transaction;
use rustix::fs::Mode;

pub(crate) use choice::Choice;
pub(crate) use detached::{mount_overlay, view_layers};
pub(crate) use error::SnapshotError;
pub(crate) use records::{Kind, Snapshot};
pub(crate) use snapshotter::{Layout, Mount, MountType, Snapshotter};

use crate::content::Digest;
use crate::files::failed;
use crate::lost::Lost;
use crate::store::{Store, StoreError};
use crate::trees::{self, Change, Form, Usage};
use choice::Chosen;

pub(crate) use records::SCHEMA_1;

/// Keys of snapshots that a layer is being unpacked into. A space is in no container id, so they cannot meet.
const UNPACK_PREFIX: &str = "unpack ";

/// The snapshots; clones share them.
#[derive(Clone)]
pub(crate) struct Snapshots {
    shared: Arc<Shared>,
}

struct Shared {
    root: PathBuf,
    store: Store,
    chosen: Chosen,
    next_number: AtomicI64,
}

impl Snapshots {
    /// Opens (or makes) the snapshots below `root` and sweeps what interrupted work left behind. Blocks.
    ///
    /// # Errors
    /// [`SnapshotError::Root`] for a path that overlayfs cannot be told, [`SnapshotError::Unsupported`] when the chosen
    /// snapshotter does not work here or the records are another's; [`SnapshotError::File`], [`SnapshotError::Store`].
    pub(crate) fn open(root: &Path, store: Store, choice: Choice) -> Result<Self, SnapshotError> {
        let is_separator = |byte: &u8| b",:\\".contains(byte);
        if root.as_os_str().as_encoded_bytes().iter().any(is_separator) {
            return Err(SnapshotError::Root { root: root.to_owned() });
        }
        DirBuilder::new().recursive(true).mode(0o700).create(root).map_err(failed("make directory", root))?;
        let known = store.read_blocking("list snapshots", records::list)?;
        // Interrupted unpacking starts from nothing: its files are not known to be whole.
        let (interrupted, known): (Vec<_>, Vec<_>) =
            known.into_iter().partition(|snapshot| snapshot.key.starts_with(UNPACK_PREFIX));
        let numbers = |snapshots: &[Snapshot]| snapshots.iter().map(|snapshot| snapshot.number).collect();
        let on_disk = orphans::sweep(
            root,
            &orphans::Known {
                numbers: numbers(&known),
                interrupted: numbers(&interrupted),
                history: store.history(),
            },
        )?;
        // After the sweep, which writes nothing: what it gave back may be the room for that.
        if !interrupted.is_empty() {
            store.for_removal().write_blocking("drop interrupted snapshots", |tx| {
                records::drop_interrupted(tx, UNPACK_PREFIX)
            })?;
        }
        // Last, for it needs room as well.
        // A record that names another one is damaged.
        let mut names = known.iter().map(|snapshot| snapshot.snapshotter.as_str());
        let chosen = choice::choose(root, choice, names.find(|name| choice::NAMES.contains(name)))?;
        let last = known.iter().map(|snapshot| snapshot.number).chain(on_disk).max().unwrap_or(0);
        let next_number = AtomicI64::new(last + 1);
        Ok(Self { shared: Arc::new(Shared { root: root.to_owned(), store, chosen, next_number }) })
    }

    /// The snapshotter's name, "overlayfs" or "native".
    #[must_use]
    pub(crate) fn snapshotter(&self) -> &'static str {
        self.shared.chosen.snapshotter.name()
    }

    /// What the administrator should know of this choice: that snapshots are whole copies, and why.
    #[must_use]
    pub(crate) fn warning(&self) -> Option<&str> {
        self.shared.chosen.warning.as_deref()
    }

    /// Whether a snapshot's own directory holds only what it changes.
    #[must_use]
    pub(crate) fn is_layered(&self) -> bool {
        self.shared.chosen.snapshotter.is_layered()
    }

    /// Makes an active snapshot `key` on top of the committed `parent` (nothing when `None`), and says how to mount it.
    ///
    /// # Errors
    /// [`SnapshotError::Exists`], [`SnapshotError::NoParent`], [`SnapshotError::File`], [`SnapshotError::Store`].
    pub(crate) async fn prepare(
        &self,
        key: &str,
        parent: Option<&Digest>,
    ) -> Result<Vec<Mount>, SnapshotError> {
        let (key, parent) = (key.to_owned(), parent.cloned());
        self.blocking(move |snapshots| {
            snapshots.prepare_blocking(&key, parent.as_ref()).map(|layout| snapshots.mounts_of(&layout))
        })
        .await
    }

    /// How to mount snapshot `key`: writable when active, read-only when committed.
    ///
    /// # Errors
    /// [`SnapshotError::NotFound`], [`SnapshotError::Store`].
    pub(crate) async fn mounts(&self, key: &str) -> Result<Vec<Mount>, SnapshotError> {
        let key = key.to_owned();
        self.blocking(move |snapshots| Ok(snapshots.mounts_of(&snapshots.layout(&key)?))).await
    }

    /// Opens what snapshot `key` shows as a detached read-only mount: no other process sees it, it touches no work
    /// directory, and it is gone when the descriptor is closed. Blocks.
    ///
    /// # Errors
    /// [`SnapshotError::NotFound`], [`SnapshotError::File`], [`SnapshotError::Store`].
    pub(crate) fn view(&self, key: &str) -> Result<OwnedFd, SnapshotError> {
        let layout = self.layout(key)?;
        let mut layers = vec![layout.upper()];
        if self.is_layered() {
            layers.extend(layout.lower);
        }
        Ok(view_layers(&layers).map_err(failed("look into", layout.directory))?)
    }

    /// What snapshot `key` changed of what is below it, by path. It may be in use.
    ///
    /// # Errors
    /// [`SnapshotError::NotFound`], [`SnapshotError::File`], [`SnapshotError::Store`].
    pub(crate) async fn changes(&self, key: &str) -> Result<Vec<Change>, SnapshotError> {
        let key = key.to_owned();
        self.blocking(move |snapshots| snapshots.changes_blocking(&key)).await
    }

    fn changes_blocking(&self, key: &str) -> Result<Vec<Change>, SnapshotError> {
        let layout = self.layout(key)?;
        let own = rustix::fs::open(layout.upper(), trees::OPEN_DIRECTORY, Mode::empty());
        let own = own.map_err(failed("open", layout.upper()))?;
        // Copies are whole: the nearest one below shows all.
        let (form, below) = match self.is_layered() {
            true => (Form::Layer, layout.lower.as_slice()),
            false => (Form::Whole, layout.lower.get(..1).unwrap_or_default()),
        };
        let below = match below {
            [] => None,
            layers => Some(view_layers(layers).map_err(failed("look below", &layout.directory))?),
        };
        let changes = trees::compare(own.as_fd(), form, below.as_ref().map(AsFd::as_fd));
        Ok(changes.map_err(failed("compare", layout.directory))?)
    }

    /// Turns active snapshot `key` into the committed snapshot `chain_id`. All of it is on disk before its row says so.
    ///
    /// # Errors
    /// [`SnapshotError::NotFound`], [`SnapshotError::NotActive`], [`SnapshotError::Exists`], [`SnapshotError::File`],
    /// [`SnapshotError::Store`].
    pub(crate) async fn commit(&self, key: &str, chain_id: &Digest) -> Result<(), SnapshotError> {
        let (key, chain_id) = (key.to_owned(), chain_id.clone());
        self.blocking(move |snapshots| snapshots.commit_blocking(&key, &chain_id)).await
    }

    /// Removes snapshot `key` with everything in it.
    ///
    /// # Errors
    /// [`SnapshotError::NotFound`], [`SnapshotError::InUse`] when another stands on it; [`SnapshotError::File`] when the
    /// record is gone but files are left, which the next start sweeps; [`SnapshotError::Store`].
    pub(crate) async fn remove(&self, key: &str) -> Result<(), SnapshotError> {
        let key = key.to_owned();
        self.blocking(move |snapshots| snapshots.remove_blocking(&key)).await
    }

    /// Forgets snapshot `key`, and sets its files aside where people can find them.
    ///
    /// # Errors
    /// [`SnapshotError::NotFound`], [`SnapshotError::InUse`], [`SnapshotError::Store`].
    pub(crate) async fn set_aside(&self, key: &str) -> Result<(), SnapshotError> {
        let key = key.to_owned();
        self.blocking(move |snapshots| {
            let directory = snapshots.directory(snapshots.stat_blocking(&key)?.number);
            if directory.exists() {
                let root = &snapshots.shared.root;
                let kept = Lost::below(root.parent().unwrap_or(root)).set_aside(&directory);
                let kept = kept.map_err(failed("set aside", &directory))?;
                tracing::warn!(key, kept = %kept.display(), "a snapshot that nothing holds was set aside");
            }
            snapshots.remove_blocking(&key)
        })
        .await
    }

    /// What snapshot `key` alone uses, without its parents.
    ///
    /// # Errors
    /// [`SnapshotError::NotFound`], [`SnapshotError::File`], [`SnapshotError::Store`].
    pub(crate) async fn usage(&self, key: &str) -> Result<Usage, SnapshotError> {
        let key = key.to_owned();
        self.blocking(move |snapshots| {
            let snapshot = snapshots.stat_blocking(&key)?;
            match snapshot.usage {
                Some(usage) => Ok(usage),
                None => {
                    let directory = snapshots.directory(snapshot.number).join("fs");
                    Ok(trees::usage(&directory).map_err(failed("count", directory))?)
                }
            }
        })
        .await
    }

    /// The lengths of the files that were written into snapshot `key`, its parents left out.
    ///
    /// # Errors
    /// [`SnapshotError::NotFound`], [`SnapshotError::File`], [`SnapshotError::Store`].
    pub(crate) async fn written_bytes(&self, key: &str) -> Result<u64, SnapshotError> {
        let key = key.to_owned();
        self.blocking(move |snapshots| {
            let directory = snapshots.directory(snapshots.stat_blocking(&key)?.number).join("fs");
            Ok(trees::file_bytes(&directory).map_err(failed("count", directory))?)
        })
        .await
    }

    /// What is known of snapshot `key`.
    ///
    /// # Errors
    /// [`SnapshotError::NotFound`], [`SnapshotError::Store`].
    pub(crate) async fn stat(&self, key: &str) -> Result<Snapshot, SnapshotError> {
        let key = key.to_owned();
        self.blocking(move |snapshots| snapshots.stat_blocking(&key)).await
    }

    /// Every snapshot, oldest first.
    ///
    /// # Errors
    /// [`SnapshotError::Store`].
    pub(crate) async fn list(&self) -> Result<Vec<Snapshot>, SnapshotError> {
        Ok(self.shared.store.read("list snapshots", records::list).await?)
    }

    /// Whether the committed snapshot `chain_id` is here, its directory included.
    ///
    /// # Errors
    /// [`SnapshotError::Store`].
    pub(crate) async fn has(&self, chain_id: &Digest) -> Result<bool, SnapshotError> {
        let key = chain_id.to_string();
        self.blocking(move |snapshots| {
            let found =
                snapshots.shared.store.read_blocking("look for a snapshot", |tx| records::get(tx, &key))?;
            Ok(found.is_some_and(|snapshot| snapshots.has_files(&snapshot)))
        })
        .await
    }

    fn has_files(&self, snapshot: &Snapshot) -> bool {
        self.directory(snapshot.number).join("fs").is_dir()
    }

    /// Makes a fresh active snapshot to unpack the layer into that makes `chain_id`; what an earlier try left is removed.
    pub(crate) async fn prepare_layer(
        &self,
        chain_id: &Digest,
        parent: Option<&Digest>,
    ) -> Result<(String, Layout), SnapshotError> {
        let (key, parent) = (format!("{UNPACK_PREFIX}{chain_id}"), parent.cloned());
        self.blocking(move |snapshots| {
            match snapshots.remove_blocking(&key) {
                Ok(()) | Err(SnapshotError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
            let layout = snapshots.prepare_blocking(&key, parent.as_ref())?;
            Ok((key, layout))
        })
        .await
    }

    /// Removes the snapshots, committed or half unpacked, on which nothing stands and that `kept` does not name. Blocks.
    pub(crate) fn collect_blocking(&self, kept: &HashSet<Digest>) -> Result<Vec<String>, SnapshotError> {
        let kept: HashSet<String> = kept.iter().map(ToString::to_string).collect();
        let store = self.shared.store.for_removal();
        let gone = store
            .write_blocking("collect snapshots", |tx| records::delete_unused(tx, UNPACK_PREFIX, &kept))?;
        for (number, _) in &gone {
            removed(&self.directory(*number))?;
        }
        Ok(gone.into_iter().map(|(_, key)| key).collect())
    }

    async fn blocking<T, F>(&self, operation: F) -> Result<T, SnapshotError>
    where
        T: Send + 'static,
        F: FnOnce(&Self) -> Result<T, SnapshotError> + Send + 'static,
    {
        let snapshots = self.clone();
        tokio::task::spawn_blocking(move || operation(&snapshots)).await.map_err(SnapshotError::Task)?
    }

    fn directory(&self, number: i64) -> PathBuf {
        self.shared.root.join(number.to_string())
    }

    fn prepare_blocking(&self, key: &str, parent: Option<&Digest>) -> Result<Layout, SnapshotError> {
        let parents = match parent {
            None => Vec::new(),
            Some(parent) => {
                let name = parent.to_string();
                let chain =
                    self.shared.store.read_blocking("read a snapshot", |tx| records::chain(tx, &name))?;
                if chain.is_empty() {
                    return Err(SnapshotError::NoParent { parent: name });
                }
                chain
            }
        };
        let number = self.shared.next_number.fetch_add(1, Ordering::Relaxed);
        let layout = self.layout_of(number, &parents, Kind::Active);
        let made = self.make(key, &layout, number, parents.first().copied());
        if made.is_err() {
            // The first error is the one to tell; what is left has no row, and the next start sweeps it.
            drop(removed(&layout.directory));
        }
        made.map(|()| layout)
    }

    fn make(
        &self,
        key: &str,
        layout: &Layout,
        number: i64,
        parent: Option<i64>,
    ) -> Result<(), SnapshotError> {
        self.shared.chosen.snapshotter.prepare(layout)?;
        let row = records::New {
            number,
            key: key.to_owned(),
            parent,
            created_at: SystemTime::now(),
            snapshotter: self.shared.chosen.snapshotter.name(),
        };
        // Without its row the directory is rubbish, whether or not it got as far as the disk.
        let inserted =
            self.shared.store.write_unsynced_blocking("record a snapshot", |tx| records::insert(tx, &row));
        match inserted {
            Ok(()) => Ok(()),
            Err(error) if is_constraint(&error, rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE) => {
                Err(SnapshotError::Exists { key: key.to_owned() })
            }
            Err(error) if is_constraint(&error, rusqlite::ffi::SQLITE_CONSTRAINT_FOREIGNKEY) => {
                Err(SnapshotError::NoParent {
                    parent: parent.map(|number| number.to_string()).unwrap_or_default(),
                })
            }
            Err(error) => Err(error.into()),
        }
    }

    fn commit_blocking(&self, key: &str, chain_id: &Digest) -> Result<(), SnapshotError> {
        let snapshot = self.stat_blocking(key)?;
        if snapshot.kind != Kind::Active {
            return Err(SnapshotError::NotActive { key: key.to_owned() });
        }
        let name = chain_id.to_string();
        // Looked at before anything is changed; of two that commit the same at once, one still fails at its row.
        let old = self.shared.store.read_blocking("look for a snapshot", |tx| records::get(tx, &name))?;
        // One whose directory was deleted is replaced, below all that stands on it.
        let lost = match old {
            Some(old) if self.has_files(&old) => return Err(SnapshotError::Exists { key: name }),
            old => old.map(|old| old.number),
        };
        let layout = self.layout(key)?;
        self.shared.chosen.snapshotter.commit(&layout)?;
        // One syncfs for a layer's thousands of files, and the root for the directory's own name.
        let directory = File::open(&layout.directory).map_err(failed("open snapshot", &layout.directory))?;
        rustix::fs::syncfs(&directory).map_err(failed("sync snapshot", &layout.directory))?;
        let usage = trees::usage(&layout.upper()).map_err(failed("count", layout.upper()))?;
        let number = snapshot.number;
        let renamed = self.shared.store.write_blocking("commit a snapshot", |tx| {
            lost.map_or(Ok(()), |lost| records::replace(tx, lost, number))?;
            records::commit(tx, number, &name, usage)
        });
        match renamed {
            Ok(()) => Ok(()),
            Err(error) if is_constraint(&error, rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE) => {
                Err(SnapshotError::Exists { key: name })
            }
            Err(error) => Err(error.into()),
        }
    }

    fn remove_blocking(&self, key: &str) -> Result<(), SnapshotError> {
        let (store, snapshot) = (self.shared.store.for_removal(), self.stat_blocking(key)?);
        let directory = self.directory(snapshot.number);
        let delete = |tx: &Transaction<'_>| records::delete(tx, key);
        // An active one gives its space back before anything is written: the disk may be full of it. If this is
        // interrupted, its owner removes it again. A committed one has to be whole or gone.
        let deleted = if snapshot.kind == Kind::Active {
            removed(&directory)?;
            store.write_unsynced_blocking("remove a snapshot", delete)
        } else {
            store.write_blocking("remove a snapshot", delete)
        };
        match deleted {
            Ok(Some(_)) => removed(&directory),
            Ok(None) => Err(SnapshotError::NotFound { key: key.to_owned() }),
            Err(error) if is_constraint(&error, rusqlite::ffi::SQLITE_CONSTRAINT_FOREIGNKEY) => {
                Err(SnapshotError::InUse { key: key.to_owned() })
            }
            Err(error) => Err(error.into()),
        }
    }

    fn stat_blocking(&self, key: &str) -> Result<Snapshot, SnapshotError> {
        let found = self.shared.store.read_blocking("read a snapshot", |tx| records::get(tx, key))?;
        found.ok_or_else(|| SnapshotError::NotFound { key: key.to_owned() })
    }

    /// Where snapshot `key` is on disk, and what it stands on. Blocks.
    ///
    /// # Errors
    /// [`SnapshotError::NotFound`], [`SnapshotError::Store`].
    pub(crate) fn layout(&self, key: &str) -> Result<Layout, SnapshotError> {
        let (chain, found) = self
            .shared
            .store
            .read_blocking("read a snapshot", |tx| Ok((records::chain(tx, key)?, records::get(tx, key)?)))?;
        match (chain.split_first(), found) {
            (Some((number, parents)), Some(snapshot)) => Ok(self.layout_of(*number, parents, snapshot.kind)),
            _ => Err(SnapshotError::NotFound { key: key.to_owned() }),
        }
    }

    fn layout_of(&self, number: i64, parents: &[i64], kind: Kind) -> Layout {
        let lower = parents.iter().map(|parent| self.directory(*parent).join("fs")).collect();
        Layout { directory: self.directory(number), lower, kind }
    }

    fn mounts_of(&self, layout: &Layout) -> Vec<Mount> {
        self.shared.chosen.snapshotter.mounts(layout)
    }
}

fn is_constraint(error: &StoreError, code: i32) -> bool {
    let StoreError::Query { source, .. } = error else { return false };
    source.sqlite_error().is_some_and(|error| error.extended_code == code)
}

/// Removes a snapshot's directory; that it is gone already is no error.
fn removed(directory: &Path) -> Result<(), SnapshotError> {
    Ok(trees::remove(directory).map_err(failed("remove", directory))?)
}
