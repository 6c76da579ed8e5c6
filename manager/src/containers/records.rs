//! What becomes of containers: written to their table, then shown to readers and waiters, then told as events. Only this
//! file knows the table's columns: one row each, what never changes beside what does.

use std::sync::Arc;

use knarr_proto::id::ContainerId;
use rusqlite::{Transaction, params};
use tokio::sync::watch;

use super::container::Container;
use super::copy;
use super::error::ContainerError;
use super::life::{Durability, Event, Life};
use super::spec::{Record, Settings, Spec};
use crate::error::Chain;
use crate::events::{Events, Subject};
use crate::store::{History, Store, StoreError};

/// The first schema; `upgrade` has what the second made of it. All but id, name and phase are JSON, and those are there
/// for people and for uniqueness.
pub(crate) const SCHEMA_1: &str = "
CREATE TABLE containers (
    id       TEXT PRIMARY KEY,
    name     TEXT NOT NULL UNIQUE,
    phase    TEXT NOT NULL,
    identity TEXT NOT NULL,
    life     TEXT NOT NULL
) STRICT, WITHOUT ROWID;";

/// Where it is kept and told; clones share it.
#[derive(Clone)]
pub(super) struct Records {
    store: Store,
    events: Arc<Events>,
    /// How many containers have a process.
    live: watch::Sender<usize>,
}

impl Records {
    pub(super) fn new(store: Store, events: Arc<Events>) -> Self {
        Self { store, events, live: watch::Sender::new(0) }
    }

    pub(super) fn live(&self) -> watch::Receiver<usize> {
        self.live.subscribe()
    }

    /// Every row.
    pub(super) async fn read(&self) -> Result<Vec<Row>, StoreError> {
        self.store.read("read the containers", all).await
    }

    /// Whether rows may have been lost before this start.
    pub(super) fn may_be_missing(&self) -> bool {
        *self.store.history() != History::Whole
    }

    /// Records the intent to make a container.
    pub(super) async fn insert(&self, record: Record, life: Life) -> Result<(), StoreError> {
        let inserted = move |tx: &Transaction<'_>| insert(tx, &record, &life);
        self.store.write_unsynced("record a new container", inserted).await
    }

    /// Puts a whole record in the place of the row with `old_key`.
    pub(super) async fn replace(
        &self,
        old_key: Option<Vec<u8>>,
        record: Record,
        life: Life,
    ) -> Result<(), StoreError> {
        let write = move |tx: &Transaction<'_>| {
            old_key.as_ref().map_or(Ok(()), |key| delete_key(tx, key))?;
            insert(tx, &record, &life)
        };
        self.store.write("mend a container's record", write).await
    }

    /// Records what has happened to `container`, on disk and then in memory.
    pub(super) async fn enter(&self, container: &Container, event: Event) -> Result<(), ContainerError> {
        let durability = event.durability(container.settings().auto_remove);
        let life = container.after(event)?;
        self.write(container, &life, durability).await?;
        self.show(container, life);
        Ok(())
    }

    /// Writes the life of `container` to its row.
    pub(super) async fn write(
        &self,
        container: &Container,
        life: &Life,
        durability: Durability,
    ) -> Result<(), StoreError> {
        let (id, row) = (container.id().clone(), life.clone());
        let store = self.store.for_removal();
        let doing = "record a container's state";
        let updated = move |tx: &Transaction<'_>| update(tx, &id, &row);
        match durability {
            Durability::Unsynced => store.write_unsynced(doing, updated).await,
            Durability::Synced => store.write(doing, updated).await,
        }
    }

    /// Records what a verb has changed of `container`, on the disk, in the bundle's copy, and then in memory.
    pub(super) async fn change(
        &self,
        container: &Container,
        settings: Settings,
    ) -> Result<(), ContainerError> {
        let (id, row) = (container.id().clone(), settings.clone());
        let changed = move |tx: &Transaction<'_>| update_settings(tx, &id, &row);
        self.store.write("record a container's settings", changed).await?;
        container.set_settings(Arc::new(settings));
        let (bundle, record) = (container.bundle.clone(), container.record());
        let kept = tokio::task::spawn_blocking(move || copy::keep(&bundle, &record)).await?;
        if let Err(error) = kept {
            // The database has it; the copy is for the day when that is lost.
            tracing::warn!(container = %container.id(), error = %Chain(&error), "the bundle's copy is old");
        }
        Ok(())
    }

    /// Publishes the new state of `container` to readers and waiters.
    pub(super) fn show(&self, container: &Container, life: Life) {
        let now = life.phase.holds_shim();
        let before = container.life.send_replace(life).phase.holds_shim();
        if now != before {
            self.live.send_modify(|live| *live = if now { *live + 1 } else { live.saturating_sub(1) });
        }
    }

    /// Counts a container that was loaded with a process.
    pub(super) fn count_live(&self) {
        self.live.send_modify(|live| *live += 1);
    }

    /// Forgets a container's row.
    pub(super) async fn delete(&self, id: ContainerId) -> Result<(), StoreError> {
        let store = self.store.for_removal();
        store.write_unsynced("forget a container", move |tx| delete(tx, &id)).await
    }

    /// Forgets the row with this key, whatever it is.
    pub(super) async fn delete_key(&self, key: Vec<u8>) -> Result<(), StoreError> {
        self.store.write_unsynced("forget a container", move |tx| delete_key(tx, &key)).await
    }

    /// Tells what has happened to `container`.
    pub(super) fn publish(&self, container: &Container, action: &'static str, more: &[(&str, String)]) {
        let mut attributes = container.settings().labels.clone();
        attributes.insert("name".to_owned(), container.name());
        attributes.insert("image".to_owned(), container.spec.image.reference.clone());
        attributes.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        self.events.publish(Subject::Container, action, container.id().as_str(), attributes);
    }
}

/// Adds a container; its phase says that it is being made.
fn insert(tx: &Transaction<'_>, record: &Record, life: &Life) -> Result<(), rusqlite::Error> {
    let mut statement = tx.prepare_cached(
        "INSERT INTO containers (id, name, image, phase, spec, settings, life) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    let Record { spec, settings } = record;
    let (spec_json, settings_json, life_json) = (json(spec)?, json(settings)?, json(life)?);
    let (id, image) = (spec.id.as_str(), &spec.image.reference);
    statement.execute(params![id, settings.name, image, phase(life), spec_json, settings_json, life_json])?;
    Ok(())
}

/// Records where in its life a container is now.
fn update(tx: &Transaction<'_>, id: &ContainerId, life: &Life) -> Result<(), rusqlite::Error> {
    let mut statement = tx.prepare_cached("UPDATE containers SET phase = ?2, life = ?3 WHERE id = ?1")?;
    statement.execute(params![id.as_str(), phase(life), json(life)?])?;
    Ok(())
}

/// Records what verbs may change of it.
fn update_settings(
    tx: &Transaction<'_>,
    id: &ContainerId,
    settings: &Settings,
) -> Result<(), rusqlite::Error> {
    let mut statement = tx.prepare_cached("UPDATE containers SET name = ?2, settings = ?3 WHERE id = ?1")?;
    statement.execute(params![id.as_str(), settings.name, json(settings)?])?;
    Ok(())
}

/// Forgets a container.
fn delete(tx: &Transaction<'_>, id: &ContainerId) -> Result<(), rusqlite::Error> {
    tx.prepare_cached("DELETE FROM containers WHERE id = ?1")?.execute([id.as_str()])?;
    Ok(())
}

/// A row as it is read: what cannot be understood of it costs only itself.
pub(super) struct Row {
    /// The id as it is there, to find the row by.
    pub(super) key: Vec<u8>,
    pub(super) id: String,
    pub(super) name: String,
    pub(super) phase: String,
    pub(super) record: Result<Record, serde_json::Error>,
    pub(super) life: Result<Life, serde_json::Error>,
}

/// Every container.
pub(super) fn all(tx: &Transaction<'_>) -> Result<Vec<Row>, rusqlite::Error> {
    let mut statement = tx.prepare("SELECT id, name, phase, spec, settings, life FROM containers")?;
    let rows = statement.query_map([], |row| {
        // Text that is no longer UTF-8 is still text, of which the rest may be right.
        let text = |column| {
            row.get_ref(column)
                .map(|value| String::from_utf8_lossy(value.as_bytes().unwrap_or_default()).into_owned())
        };
        Ok(Row {
            key: row.get_ref(0)?.as_bytes().unwrap_or_default().to_vec(),
            id: text(0)?,
            name: text(1)?,
            phase: text(2)?,
            record: record(&text(3)?, &text(4)?),
            life: serde_json::from_str(&text(5)?),
        })
    })?;
    rows.collect()
}

/// Forgets the row with this key, whatever it is.
fn delete_key(tx: &Transaction<'_>, key: &[u8]) -> Result<(), rusqlite::Error> {
    tx.execute("DELETE FROM containers WHERE id = CAST(?1 AS TEXT)", [key]).map(drop)
}

fn record(spec: &str, settings: &str) -> Result<Record, serde_json::Error> {
    let (spec, settings): (Spec, Settings) = (serde_json::from_str(spec)?, serde_json::from_str(settings)?);
    Ok(Record { spec, settings })
}

fn phase(life: &Life) -> String {
    format!("{:?}", life.phase).to_lowercase()
}

fn json(value: &impl serde::Serialize) -> Result<String, rusqlite::Error> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}
