//! The containers' table: one row each, what never changes beside what does. Only this file knows its columns.

use knarr_proto::id::ContainerId;
use rusqlite::{Transaction, params};

use super::life::Life;
use super::spec::{Record, Settings, Spec};

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

/// Adds a container; its phase says that it is being made.
pub(super) fn insert(tx: &Transaction<'_>, record: &Record, life: &Life) -> Result<(), rusqlite::Error> {
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
pub(super) fn update(tx: &Transaction<'_>, id: &ContainerId, life: &Life) -> Result<(), rusqlite::Error> {
    let mut statement = tx.prepare_cached("UPDATE containers SET phase = ?2, life = ?3 WHERE id = ?1")?;
    statement.execute(params![id.as_str(), phase(life), json(life)?])?;
    Ok(())
}

/// Forgets a container.
pub(super) fn delete(tx: &Transaction<'_>, id: &ContainerId) -> Result<(), rusqlite::Error> {
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
pub(super) fn delete_key(tx: &Transaction<'_>, key: &[u8]) -> Result<(), rusqlite::Error> {
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
