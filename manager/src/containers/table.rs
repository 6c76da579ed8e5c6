//! The containers' table: one row each, what never changes beside what does. Only this file knows its columns.

use knarr_proto::id::ContainerId;
use rusqlite::{Transaction, params};

use super::model::{Identity, Life};

/// The first schema: identity and life are JSON (model.rs), the rest is for people and for uniqueness.
pub(crate) const SCHEMA_1: &str = "
CREATE TABLE containers (
    id       TEXT PRIMARY KEY,
    name     TEXT NOT NULL UNIQUE,
    phase    TEXT NOT NULL,
    identity TEXT NOT NULL,
    life     TEXT NOT NULL
) STRICT, WITHOUT ROWID;";

/// Adds a container; its phase says that it is being made.
pub(super) fn insert(tx: &Transaction<'_>, identity: &Identity, life: &Life) -> Result<(), rusqlite::Error> {
    let mut statement = tx.prepare_cached(
        "INSERT INTO containers (id, name, phase, identity, life) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    let (identity_json, life_json) = (json(identity)?, json(life)?);
    statement.execute(params![identity.id.as_str(), identity.name, phase(life), identity_json, life_json])?;
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

/// Every container.
pub(super) fn all(tx: &Transaction<'_>) -> Result<Vec<(Identity, Life)>, rusqlite::Error> {
    let mut statement = tx.prepare("SELECT identity, life FROM containers")?;
    let rows = statement.query_map([], |row| {
        let parse = |column, error| {
            rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
        };
        let (identity, life): (String, String) = (row.get(0)?, row.get(1)?);
        let identity = serde_json::from_str(&identity).map_err(|error| parse(0, error))?;
        let life = serde_json::from_str(&life).map_err(|error| parse(1, error))?;
        Ok((identity, life))
    })?;
    rows.collect()
}

fn phase(life: &Life) -> String {
    format!("{:?}", life.phase).to_lowercase()
}

fn json(value: &impl serde::Serialize) -> Result<String, rusqlite::Error> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}
