//! Records and bundles, brought together before anything is done with either. A record that cannot be read is made
//! again of the bundle; a bundle without a record gets one; a record of which nothing is left is forgotten.
#![allow(clippy::disallowed_methods, reason = "before clients are served")]

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use knarr_proto::id::ContainerId;

use super::copy;
use super::error::ContainerError;
use super::execution::Execution;
use super::life::{Exit, Life, Phase, Remains};
use super::records::{Records, Row};
use super::served::served;
use super::spec::Record;
use super::storage::Storage;
use crate::tasks::bundle;
use crate::tasks::shims::short;
use crate::time::UnixNs;

/// Why a container is damaged.
const NO_RECORD: &str = "its record cannot be read, and its directory has no copy of it";

/// A container as it can be loaded.
pub(super) struct Loaded {
    pub(super) record: Record,
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

/// Reads all records, and mends what is wrong with them.
///
/// # Errors
/// When records or bundles cannot be read at all.
pub(super) async fn reconcile(
    records: &Records,
    storage: &Storage,
    execution: &Execution,
) -> Result<Vec<Loaded>, ContainerError> {
    let rows = records.read().await?;
    let snapshots = storage.snapshots.list().await;
    let snapshots = snapshots.map_err(|source| ContainerError::Snapshot { doing: "list", source })?;
    let held: HashSet<String> = snapshots.into_iter().map(|snapshot| snapshot.key).collect();
    let (bundles, boot_id) = (execution.tasks.bundles.clone(), execution.boot_id.clone());
    let is_unheld = |row: &Row| !bundles.join(&row.id).exists() && !held.contains(&row.id);
    let served = match rows.is_empty() || records.may_be_missing() || rows.iter().any(is_unheld) {
        true => served(&execution.tasks).await,
        false => HashSet::new(),
    };
    let look = move || Reading { bundles, boot_id, held, served }.read(rows);
    let Judged { sound, repairs, forgotten } = tokio::task::spawn_blocking(look).await??;
    let mut loaded = sound;
    for Repair { old_key, loaded: mended } in repairs {
        let id = mended.record.spec.id.clone();
        tracing::warn!(container = %id, damage = mended.damage, "a container's record was made anew");
        let written = records.replace(old_key, mended.record.clone(), mended.life.clone()).await;
        if let Err(error) = written {
            tracing::error!(container = %id, error = %crate::error::Chain(&error), "a container's record was not mended");
        }
        loaded.push(mended);
    }
    for key in forgotten {
        records.delete_key(key).await?;
    }
    Ok(loaded)
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
    /// Those that living shims have, where one of them may have no record.
    served: HashSet<ContainerId>,
}

impl Reading {
    fn read(&self, rows: Vec<Row>) -> Result<Judged, ContainerError> {
        let mut directories: HashSet<String> = bundle::names(&self.bundles)?.into_iter().collect();
        let (mut sound, mut repairs, mut forgotten) = (Vec::new(), Vec::new(), Vec::new());
        let (mut taken, mut recorded) = (HashSet::new(), HashSet::new());
        for row in rows {
            let (key, name) = (row.key.clone(), row.name.clone());
            let (loaded, is_sound) = self.container(row);
            let Some(loaded) = loaded else {
                tracing::error!(name, "nothing in a container's record can be read: it is left as it is");
                continue;
            };
            let id = loaded.record.spec.id.as_str().to_owned();
            let is_there = directories.remove(&id)
                || self.held.contains(&id)
                || self.served.contains(&loaded.record.spec.id);
            recorded.insert(loaded.record.spec.id.clone());
            let was_made = !matches!(loaded.life.phase, Phase::Creating | Phase::Removing);
            if !is_there && was_made {
                tracing::info!(container = id, "forgotten: neither its directory nor its snapshot is there");
                forgotten.push(key);
                continue;
            }
            taken.insert(loaded.record.settings.name.clone());
            if is_sound {
                self.back_up(&loaded.record);
                sound.push(loaded);
            } else {
                repairs.push(Repair { old_key: Some(key), loaded });
            }
        }
        let mut unrecorded: HashSet<ContainerId> = self.served.difference(&recorded).cloned().collect();
        let is_made = |id: &ContainerId| !bundle::is_empty(&self.bundles.join(id.as_str()));
        unrecorded.extend(directories.iter().filter_map(|name| name.parse().ok()).filter(is_made));
        for id in unrecorded {
            let bundle = self.bundles.join(id.as_str());
            let (mut record, damage) = match copy::read(&bundle, &id) {
                Some(record) => (record, None),
                None => {
                    let name = format!("lost-{}", short(&id));
                    (Record::unknown(id.clone(), name), Some(NO_RECORD.to_owned()))
                }
            };
            let name = &mut record.settings.name;
            if taken.contains(name) {
                *name = format!("{name}-{}", short(&id));
            }
            taken.insert(name.clone());
            let life = self.life(&id, &bundle);
            repairs.push(Repair { old_key: None, loaded: Loaded { record, life, damage } });
        }
        Ok(Judged { sound, repairs, forgotten })
    }

    /// Bundles without a copy of the record, or with one of an earlier version's form, get one.
    fn back_up(&self, record: &Record) {
        let bundle = self.bundles.join(record.spec.id.as_str());
        if bundle.exists()
            && let Err(error) = copy::keep(&bundle, record)
        {
            tracing::warn!(container = %record.spec.id, error = %crate::error::Chain(&error), "no copy of a record was kept");
        }
    }

    /// The container of a row, if anything of it can be read, and whether the row says all of it.
    fn container(&self, row: Row) -> (Option<Loaded>, bool) {
        let id = row.id.parse::<ContainerId>().ok();
        let is_consistent =
            |record: &Record| record.spec.id.as_str() == row.id && record.settings.name == row.name;
        let whole = row.record.as_ref().is_ok_and(is_consistent);
        let (record, damage) = match (row.record, &id) {
            (Ok(record), _) if whole => (record, None),
            // Two copies of the id differ: the bundle tells which is right.
            (Ok(record), _) if self.bundles.join(record.spec.id.as_str()).exists() => (record, None),
            (_, Some(id)) => match copy::read(&self.bundles.join(id.as_str()), id) {
                Some(record) => (record, None),
                None => (Record::unknown(id.clone(), row.name), Some(NO_RECORD.to_owned())),
            },
            (Ok(record), None) => (record, None),
            (Err(_), None) => return (None, false),
        };
        let bundle = self.bundles.join(record.spec.id.as_str());
        let is_sound = whole && row.life.is_ok();
        let life = row.life.unwrap_or_else(|_| match row.phase.as_str() {
            "creating" => Life::creating(),
            "removing" => Life::rebuilt(Remains::Removal),
            _ => self.life(&record.spec.id, &bundle),
        });
        (Some(Loaded { record, life, damage }), is_sound)
    }

    /// What a bundle says of a container's life. Whether it runs, the shim and the kernel tell.
    fn life(&self, id: &ContainerId, bundle: &Path) -> Life {
        if let Some(record) = bundle::read_exit_record(bundle) {
            let exit = Exit {
                code: record.code,
                finished_at: UnixNs(record.exited_at_unix_ns),
                oom_killed: record.oom_killed,
                error: String::new(),
            };
            return Life::rebuilt(Remains::Exit(exit));
        }
        let was_started = self.served.contains(id) || bundle.join("init.pid").exists();
        let process = Remains::Process { boot_id: self.boot_id.clone() };
        Life::rebuilt(if was_started { process } else { Remains::Nothing })
    }
}
