//! Records and bundles, brought together before anything is done with either. A record that cannot be read is made
//! again of the bundle; a bundle without a record gets one; a record of which nothing is left is forgotten.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use knarr_proto::id::ContainerId;
use rusqlite::Transaction;

use super::error::{ContainerError, files};
use super::life::Remains;
use super::model::{Config, Exit, Identity, Life, Phase, Process, UnixNs};
use super::table::{self, Row};
use super::{Containers, bundle};
use crate::shims::short;

/// Why a container is damaged.
const NO_RECORD: &str = "its record cannot be read, and its directory has no copy of it";

/// A container as it can be loaded.
pub(super) struct Loaded {
    pub(super) identity: Identity,
    pub(super) life: Life,
    /// Why only removing it makes sense.
    pub(super) damage: Option<String>,
}

/// A container's record as it was, and as it is to be.
struct Repair {
    /// The key of the row that it replaces.
    old_key: Option<Vec<u8>>,
    loaded: Loaded,
}

impl Containers {
    /// Reads all records, and mends what is wrong with them.
    ///
    /// # Errors
    /// When records or bundles cannot be read at all.
    pub(super) async fn reconcile(&self) -> Result<Vec<Loaded>, ContainerError> {
        let parts = self.parts();
        let rows = parts.store.read("read the containers", table::all).await?;
        let snapshots = parts.snapshots.list().await;
        let snapshots = snapshots.map_err(|source| ContainerError::Snapshot { doing: "list", source })?;
        let held: HashSet<String> = snapshots.into_iter().map(|snapshot| snapshot.key).collect();
        let (bundles, boot_id) = (parts.bundles.clone(), parts.boot_id.clone());
        let look = move || Reading { bundles, boot_id, held }.read(rows);
        let Judged { sound, repairs, forgotten } = tokio::task::spawn_blocking(look).await??;
        let mut loaded = sound;
        for repair in repairs {
            let id = repair.loaded.identity.id.clone();
            tracing::warn!(container = %id, damage = repair.loaded.damage, "a container's record was made anew");
            let (identity, life) = (repair.loaded.identity.clone(), repair.loaded.life.clone());
            let write = move |tx: &Transaction<'_>| {
                repair.old_key.as_ref().map_or(Ok(()), |key| table::delete_key(tx, key))?;
                table::insert(tx, &identity, &life)
            };
            if let Err(error) = parts.store.write("mend a container's record", write).await {
                tracing::error!(container = %id, error = %crate::error::Chain(&error), "a container's record was not mended");
            }
            loaded.push(repair.loaded);
        }
        for key in forgotten {
            parts.store.write_unsynced("forget a container", move |tx| table::delete_key(tx, &key)).await?;
        }
        Ok(loaded)
    }
}

/// All records, by what is to be done about them.
struct Judged {
    sound: Vec<Loaded>,
    /// To be written.
    repairs: Vec<Repair>,
    /// Keys of what is to be forgotten.
    forgotten: Vec<Vec<u8>>,
}

/// What the records are held against.
struct Reading {
    bundles: PathBuf,
    boot_id: String,
    /// Keys of all snapshots.
    held: HashSet<String>,
}

impl Reading {
    fn read(&self, rows: Vec<Row>) -> Result<Judged, ContainerError> {
        let mut directories: HashSet<String> = names(&self.bundles)?.into_iter().collect();
        let (mut sound, mut repairs, mut forgotten) = (Vec::new(), Vec::new(), Vec::new());
        let mut taken = HashSet::new();
        for row in rows {
            let (key, name) = (row.key.clone(), row.name.clone());
            let (loaded, is_sound) = self.container(row);
            let Some(loaded) = loaded else {
                tracing::error!(name, "nothing in a container's record can be read: it is left as it is");
                continue;
            };
            let id = loaded.identity.id.as_str().to_owned();
            let is_there = directories.remove(&id) || self.held.contains(&id);
            let was_made = !matches!(loaded.life.phase, Phase::Creating | Phase::Removing);
            if !is_there && was_made {
                tracing::info!(container = id, "forgotten: neither its directory nor its snapshot is there");
                forgotten.push(key);
                continue;
            }
            taken.insert(loaded.identity.name.clone());
            if is_sound {
                self.back_up(&loaded.identity);
                sound.push(loaded);
            } else {
                repairs.push(Repair { old_key: Some(key), loaded });
            }
        }
        for name in directories {
            let Ok(id) = name.parse::<ContainerId>() else { continue };
            let bundle = self.bundles.join(&name);
            if bundle::is_empty(&bundle) {
                continue;
            }
            let (mut identity, damage) = match bundle::record(&bundle).filter(|record| record.id == id) {
                Some(identity) => (identity, None),
                None => (unreadable(id.clone(), format!("lost-{}", short(&id))), Some(NO_RECORD.to_owned())),
            };
            if taken.contains(&identity.name) {
                identity.name = format!("{}-{}", identity.name, short(&id));
            }
            taken.insert(identity.name.clone());
            let life = self.life(&bundle);
            repairs.push(Repair { old_key: None, loaded: Loaded { identity, life, damage } });
        }
        Ok(Judged { sound, repairs, forgotten })
    }

    /// Bundles from before there were copies of records get one.
    fn back_up(&self, identity: &Identity) {
        let bundle = self.bundles.join(identity.id.as_str());
        if bundle.exists()
            && bundle::record(&bundle).is_none()
            && let Err(error) = bundle::keep_record(&bundle, identity)
        {
            tracing::warn!(container = %identity.id, error = %crate::error::Chain(&error), "no copy of a record was kept");
        }
    }

    /// The container of a row, if anything of it can be read, and whether the row says all of it.
    fn container(&self, row: Row) -> (Option<Loaded>, bool) {
        let id = row.id.parse::<ContainerId>().ok();
        let is_consistent = |identity: &Identity| identity.id.as_str() == row.id && identity.name == row.name;
        let of_bundle = |id: &ContainerId| {
            bundle::record(&self.bundles.join(id.as_str())).filter(|record| record.id == *id)
        };
        let whole = row.identity.as_ref().is_ok_and(is_consistent);
        let (identity, damage) = match (row.identity, &id) {
            (Ok(identity), _) if whole => (identity, None),
            // Two copies of the id differ: the bundle tells which is right.
            (Ok(identity), _) if self.bundles.join(identity.id.as_str()).exists() => (identity, None),
            (_, Some(id)) => match of_bundle(id) {
                Some(identity) => (identity, None),
                None => (unreadable(id.clone(), row.name), Some(NO_RECORD.to_owned())),
            },
            (Ok(identity), None) => (identity, None),
            (Err(_), None) => return (None, false),
        };
        let bundle = self.bundles.join(identity.id.as_str());
        let is_sound = whole && row.life.is_ok();
        let life = row.life.unwrap_or_else(|_| match row.phase.as_str() {
            "creating" => Life::creating(),
            "removing" => Life::rebuilt(Remains::Removal),
            _ => self.life(&bundle),
        });
        (Some(Loaded { identity, life, damage }), is_sound)
    }

    /// What a bundle says of a container's life. Whether it runs, the shim and the kernel tell.
    fn life(&self, bundle: &Path) -> Life {
        if let Some(record) = bundle::exit_record(bundle) {
            let exit = Exit {
                code: record.code,
                finished_at: UnixNs(record.exited_at_unix_ns),
                oom_killed: record.oom_killed,
                error: String::new(),
            };
            return Life::rebuilt(Remains::Exit(exit));
        }
        let was_started = bundle.join("init.pid").exists();
        let process = Remains::Process { boot_id: self.boot_id.clone() };
        Life::rebuilt(if was_started { process } else { Remains::Nothing })
    }
}

/// Stands for a container of which only id and name are known.
fn unreadable(id: ContainerId, name: String) -> Identity {
    Identity {
        id,
        name,
        image_id: String::new(),
        created_at: UnixNs(0),
        config: Config::default(),
        process: Process::default(),
    }
}

pub(super) fn names(directory: &Path) -> Result<Vec<String>, ContainerError> {
    let entries = std::fs::read_dir(directory).map_err(files("read", directory))?;
    Ok(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
}

/// Removes the bundles of interrupted creations, in which there is nothing. Returns how many.
pub(super) fn clear_bundles(bundles: &Path, known: &HashSet<ContainerId>) -> Result<usize, ContainerError> {
    let mut cleared = 0;
    for name in names(bundles)? {
        let directory = bundles.join(&name);
        let is_unknown = name.parse::<ContainerId>().is_ok_and(|id| !known.contains(&id));
        if is_unknown && bundle::is_empty(&directory) {
            bundle::remove(&directory)?;
            cleared += 1;
        }
    }
    Ok(cleared)
}
