//! The noun: volumes are made, listed, looked at, removed, and mounted into containers.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{DATA, Disk};
use super::error::VolumeError;
use super::local::{self, VolumeSource};
use super::model::{LOCAL, NewVolume, View, VolumeUse};
use super::records;
use crate::events::Events;
use crate::filters::{Filters, label_matches};
use crate::held::OwnerId;
use crate::store::Store;

/// Where a volume's files are, from the bundle of a container of the same root.
pub(crate) fn path_beside(bundle: &Path, volume: &str) -> PathBuf {
    let root = bundle.parent().and_then(Path::parent).unwrap_or(bundle);
    root.join("volumes").join(volume).join(DATA)
}

/// All volumes of a root.
#[derive(Clone)]
pub(crate) struct Volumes {
    pub(super) disk: Arc<Disk>,
    pub(super) pruning: Arc<tokio::sync::Mutex<()>>,
}

impl Volumes {
    /// The volumes below `root`, a directory that is there.
    pub(crate) fn new(root: PathBuf, store: Store, events: Arc<Events>) -> Self {
        let pruning = Arc::new(tokio::sync::Mutex::new(()));
        Self { disk: Arc::new(Disk::new(root, store, events)), pruning }
    }

    /// Makes a volume. One of the same name that is there already is returned as it is, as docker does.
    ///
    /// # Errors
    /// [`VolumeError`]; nothing is left behind then.
    pub(crate) async fn create(&self, new: NewVolume) -> Result<View, VolumeError> {
        self.blocking(move |volumes| {
            let changing = volumes.changing();
            let name = new.name.clone();
            let wanted = new.volume()?;
            volumes.make(&changing, &wanted)?;
            volumes.view(&name)?.ok_or(VolumeError::NotFound(name))
        })
        .await
    }

    /// One volume.
    ///
    /// # Errors
    /// [`VolumeError::NotFound`], [`VolumeError::Store`].
    pub(crate) async fn inspect(&self, name: &str) -> Result<View, VolumeError> {
        let name = name.to_owned();
        self.blocking(move |volumes| volumes.view(&name)?.ok_or(VolumeError::NotFound(name))).await
    }

    /// The volumes that match, by name.
    ///
    /// # Errors
    /// [`VolumeError::Store`].
    pub(crate) async fn list(&self, filters: Filters) -> Result<Vec<View>, VolumeError> {
        self.blocking(move |volumes| {
            let views = volumes.views()?.into_iter();
            Ok(views.filter(|view| filters.all_match(|key, value| matches(view, key, value))).collect())
        })
        .await
    }

    /// Removes a volume that no container uses. With `force`, that there is none is no error.
    ///
    /// # Errors
    /// [`VolumeError::NotFound`], [`VolumeError::InUse`]; [`VolumeError::Store`].
    pub(crate) async fn remove(&self, name: &str, force: bool) -> Result<(), VolumeError> {
        let name = name.to_owned();
        self.blocking(move |volumes| {
            let changing = volumes.changing();
            match volumes.view(&name)? {
                None if force => Ok(()),
                None => Err(VolumeError::NotFound(name)),
                Some(view) if view.users.is_empty() => volumes.discard(&changing, &view.volume),
                Some(view) => Err(VolumeError::InUse { name, users: view.users }),
            }
        })
        .await
    }

    /// Holds volumes for a container, and makes those that are missing. `root` is the container's own root, as its image
    /// has it: an empty volume is seeded from there.
    ///
    /// # Errors
    /// [`VolumeError`]; what is held already is let go by [`Held::release`](crate::held::Held::release).
    pub(crate) async fn hold(
        &self,
        owner: &OwnerId,
        uses: Vec<VolumeUse>,
        root: impl FnOnce() -> io::Result<OwnedFd> + Send + 'static,
    ) -> Result<(), VolumeError> {
        let owner = owner.to_string();
        self.blocking(move |volumes| {
            let changing = volumes.changing();
            for wanted in &uses {
                volumes.make(&changing, &wanted.volume.volume()?)?;
            }
            let rows: Vec<(String, String)> =
                uses.iter().map(|used| (used.target.clone(), used.volume.name.clone())).collect();
            let holder = owner.clone();
            volumes.store.write_blocking("hold volumes", move |tx| {
                rows.iter().try_for_each(|(target, volume)| records::add_use(tx, &holder, target, volume))
            })?;
            let empty: Vec<&VolumeUse> = uses.iter().filter(|wanted| volumes.awaits_seed(wanted)).collect();
            if empty.is_empty() {
                return Ok(());
            }
            let root = root().map_err(VolumeError::Root)?;
            empty.into_iter().try_for_each(|wanted| volumes.seed(&root, wanted, &owner))
        })
        .await
    }

    /// What is mounted for a container's volumes, by target.
    ///
    /// # Errors
    /// [`VolumeError::Gone`], [`VolumeError::Address`], [`VolumeError::Store`].
    pub(crate) async fn sources(
        &self,
        owner: &OwnerId,
    ) -> Result<BTreeMap<String, VolumeSource>, VolumeError> {
        let owner = owner.to_string();
        self.blocking(move |volumes| {
            let uses = volumes
                .store
                .read_blocking("read a container's volumes", move |tx| records::uses(tx, &owner))?;
            let sources = uses.into_iter().map(|(target, volume)| {
                let source = local::source(&volume, &volumes.data(&volume.name))?;
                Ok((target, source))
            });
            sources.collect()
        })
        .await
    }

    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Disk) -> Result<T, VolumeError> + Send + 'static,
    ) -> Result<T, VolumeError> {
        let disk = Arc::clone(&self.disk);
        tokio::task::spawn_blocking(move || work(&disk)).await?
    }
}

fn matches(view: &View, key: &str, value: &str) -> bool {
    let label = |name: &str| view.volume.labels.get(name).map(String::as_str);
    match key {
        "name" => view.volume.name.contains(value),
        "driver" => value == LOCAL,
        "label" => label_matches(value, label),
        "dangling" => view.users.is_empty() == ["true", "1"].contains(&value),
        _ => false,
    }
}
