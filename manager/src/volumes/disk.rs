//! Volumes on the disk: a directory and a row each, and in which order they come and go.
#![allow(clippy::disallowed_methods, reason = "its functions are called on blocking threads")]

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::error::VolumeError;
use super::model::{LOCAL, View, Volume, VolumeUse};
use super::{records, seed};
use crate::error::Chain;
use crate::events::{Events, Subject};
use crate::files::failed;
use crate::lost::Lost;
use crate::store::{History, Store};
use crate::trees;

/// A volume's files, below its directory; beside them is what knarrd keeps of it.
pub(super) const DATA: &str = "_data";
/// A copy of the volume's row, for the day when that is lost.
const COPY: &str = "volume.json";

/// The volumes of a root: rows and directories. Its functions block.
pub(super) struct Disk {
    root: PathBuf,
    pub(super) store: Store,
    events: Arc<Events>,
    /// Held while volumes are made or removed: between a look at who uses one and its removal nobody takes it.
    changing: Mutex<()>,
}

impl Disk {
    pub(super) fn new(root: PathBuf, store: Store, events: Arc<Events>) -> Self {
        Self { root, store, events, changing: Mutex::new(()) }
    }

    pub(super) fn changing(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn directory(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub(super) fn data(&self, name: &str) -> PathBuf {
        self.directory(name).join(DATA)
    }

    pub(super) fn view(&self, name: &str) -> Result<Option<View>, VolumeError> {
        let asked = name.to_owned();
        let found = self.store.read_blocking("look a volume up", move |tx| {
            let Some(volume) = records::get(tx, &asked)? else { return Ok(None) };
            Ok(Some((records::users(tx, &asked)?, volume)))
        })?;
        Ok(found.map(|(users, volume)| View { path: self.data(&volume.name), volume, users }))
    }

    pub(super) fn views(&self) -> Result<Vec<View>, VolumeError> {
        let listed = self.store.read_blocking("list volumes", |tx| {
            let volumes = records::list(tx)?.into_iter();
            volumes
                .map(|volume| Ok((records::users(tx, &volume.name)?, volume)))
                .collect::<Result<Vec<_>, _>>()
        })?;
        let view = |(users, volume): (_, Volume)| View { path: self.data(&volume.name), volume, users };
        Ok(listed.into_iter().map(view).collect())
    }

    /// Directories first, then the row: what a kill leaves between them is swept.
    pub(super) fn make(&self, _changing: &MutexGuard<'_, ()>, wanted: &Volume) -> Result<(), VolumeError> {
        if self.view(&wanted.name)?.is_some() {
            return Ok(());
        }
        let directory = self.directory(&wanted.name);
        let mut private = fs::DirBuilder::new();
        private.recursive(true).mode(0o700).create(&directory).map_err(failed("make", &directory))?;
        let data = directory.join(DATA);
        let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(&data);
        made.map_err(failed("make", &data))?;
        let copy = directory.join(COPY);
        let json = serde_json::to_vec(wanted).expect("a volume is JSON");
        fs::write(&copy, json).map_err(failed("write", &copy))?;
        let row = wanted.clone();
        self.store.write_blocking("record a volume", move |tx| records::insert(tx, &row).map(drop))?;
        self.publish("create", wanted);
        Ok(())
    }

    /// The row first: what is left of the files without one is swept.
    pub(super) fn discard(&self, _changing: &MutexGuard<'_, ()>, volume: &Volume) -> Result<(), VolumeError> {
        let name = volume.name.clone();
        let store = self.store.for_removal();
        store.write_blocking("remove a volume", move |tx| records::delete(tx, &name))?;
        self.publish("destroy", volume);
        self.remove_files(&self.directory(&volume.name));
        Ok(())
    }

    /// Makes room for another volume of that name at once; removing a million files takes its time.
    fn remove_files(&self, directory: &Path) {
        let name = directory.file_name().unwrap_or_default().to_string_lossy();
        let aside = self.root.join(format!(".{name}.{}", crate::time::UnixNs::now().0));
        let gone = match fs::rename(directory, &aside) {
            Ok(()) => aside,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
            Err(_) => directory.to_owned(),
        };
        std::thread::spawn(move || {
            if let Err(error) = trees::remove(&gone) {
                tracing::warn!(directory = %gone.display(), %error, "what a volume left is removed at the next start");
            }
        });
    }

    pub(super) fn seed(&self, root: &OwnedFd, wanted: &VolumeUse, owner: &str) -> Result<(), VolumeError> {
        let Some(view) = self.view(&wanted.volume.name)? else { return Ok(()) };
        // What its options mount is seen in the container only.
        if !view.volume.options.is_empty() {
            return Ok(());
        }
        let is_shared = view.users.iter().any(|user| user != owner);
        let directory = self.directory(&view.volume.name);
        Ok(seed::seed(root, &wanted.target, &directory, is_shared)
            .map_err(failed("copy the image's files into", &view.path))?)
    }

    fn publish(&self, action: &'static str, volume: &Volume) {
        let attributes = BTreeMap::from([("driver".to_owned(), LOCAL.to_owned())]);
        self.events.publish(Subject::Volume, action, &volume.name, attributes);
    }

    /// The copy of a volume's row that is kept with its files.
    fn kept(&self, name: &str) -> Option<Volume> {
        let text = fs::read(self.directory(name).join(COPY)).ok()?;
        let volume: Volume = serde_json::from_slice(&text).ok()?;
        (volume.name == name).then_some(volume)
    }

    /// Whether a use wants its volume seeded, and that is empty.
    pub(super) fn awaits_seed(&self, wanted: &VolumeUse) -> bool {
        let listed = fs::read_dir(self.data(&wanted.volume.name));
        wanted.is_seeded && listed.is_ok_and(|mut entries| entries.next().is_none())
    }

    /// With all records there, a directory without one is what a kill has left of making or removing a volume. Where records
    /// are missing it is a volume, and gets its record back.
    pub(super) fn sweep_directories(&self) -> Result<(), VolumeError> {
        let root = &self.root;
        let known: HashSet<String> = self.views()?.into_iter().map(|view| view.volume.name).collect();
        for entry in fs::read_dir(root).map_err(failed("list", root))? {
            let entry = entry.map_err(failed("list", root))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if known.contains(&name) {
                continue;
            }
            if name.starts_with('.') || *self.store.history() == History::Whole {
                self.remove_files(&entry.path());
                continue;
            }
            match self.kept(&name) {
                Some(volume) => {
                    self.store.write_blocking("record a volume", move |tx| records::insert(tx, &volume))?;
                    tracing::warn!(volume = name, "the record of a volume was lost, and was made again");
                }
                None => match Lost::below(root.parent().unwrap_or(root)).set_aside(&entry.path()) {
                    Ok(kept) => {
                        tracing::warn!(volume = name, kept = %kept.display(), "a directory without a record was set aside");
                    }
                    Err(error) => {
                        tracing::warn!(volume = name, error = %Chain(&error), "a directory without a record stays");
                    }
                },
            }
        }
        Ok(())
    }
}
