//! The tables of volumes and of who uses them. Plain statements; no files are touched.

use rusqlite::types::Type;
use rusqlite::{OptionalExtension, Row, Transaction};

use super::model::Volume;
use crate::time::UnixNs;

pub(crate) const SCHEMA_1: &str = "
CREATE TABLE volumes (
  name TEXT PRIMARY KEY,                            -- also the directory's name
  options TEXT NOT NULL,                            -- JSON, as labels
  labels TEXT NOT NULL,
  is_anonymous INTEGER NOT NULL,
  created_at INTEGER NOT NULL                       -- nanoseconds since 1970
) STRICT;
CREATE TABLE volume_uses (
  owner TEXT NOT NULL,                              -- a container's id
  target TEXT NOT NULL,                             -- where it is mounted
  volume TEXT NOT NULL REFERENCES volumes (name) ON DELETE RESTRICT,
  PRIMARY KEY (owner, target)
) STRICT;
CREATE INDEX volume_uses_by_volume ON volume_uses (volume);
";

const COLUMNS: &str = "SELECT name, options, labels, is_anonymous, created_at FROM volumes";

pub(super) fn get(tx: &Transaction<'_>, name: &str) -> rusqlite::Result<Option<Volume>> {
    tx.prepare_cached(&format!("{COLUMNS} WHERE name = ?1"))?.query_row([name], read).optional()
}

/// Every volume, by name.
pub(super) fn list(tx: &Transaction<'_>) -> rusqlite::Result<Vec<Volume>> {
    tx.prepare_cached(&format!("{COLUMNS} ORDER BY name"))?.query_map([], read)?.collect()
}

/// Adds a volume. Returns false when there is one of that name.
pub(super) fn insert(tx: &Transaction<'_>, volume: &Volume) -> rusqlite::Result<bool> {
    let json = |map| serde_json::to_string(map).expect("texts are JSON");
    let added = tx
        .prepare_cached(
            "INSERT INTO volumes (name, options, labels, is_anonymous, created_at) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (name) DO NOTHING",
        )?
        .execute((
            &volume.name,
            json(&volume.options),
            json(&volume.labels),
            volume.is_anonymous,
            volume.created_at.0.cast_signed(),
        ))?;
    Ok(added > 0)
}

pub(super) fn delete(tx: &Transaction<'_>, name: &str) -> rusqlite::Result<()> {
    tx.prepare_cached("DELETE FROM volumes WHERE name = ?1")?.execute([name]).map(drop)
}

pub(super) fn add_use(tx: &Transaction<'_>, owner: &str, target: &str, volume: &str) -> rusqlite::Result<()> {
    tx.prepare_cached("INSERT OR REPLACE INTO volume_uses (owner, target, volume) VALUES (?1, ?2, ?3)")?
        .execute([owner, target, volume])
        .map(drop)
}

/// The containers that use a volume, each once.
pub(super) fn users(tx: &Transaction<'_>, volume: &str) -> rusqlite::Result<Vec<String>> {
    tx.prepare_cached("SELECT DISTINCT owner FROM volume_uses WHERE volume = ?1 ORDER BY owner")?
        .query_map([volume], |row| row.get(0))?
        .collect()
}

/// Where a container has which volumes.
pub(super) fn uses(tx: &Transaction<'_>, owner: &str) -> rusqlite::Result<Vec<(String, Volume)>> {
    let statement = format!(
        "SELECT v.name, v.options, v.labels, v.is_anonymous, v.created_at, u.target
         FROM volume_uses u JOIN ({COLUMNS}) v ON v.name = u.volume WHERE u.owner = ?1"
    );
    tx.prepare_cached(&statement)?.query_map([owner], |row| Ok((row.get(5)?, read(row)?)))?.collect()
}

pub(super) fn release(tx: &Transaction<'_>, owner: &str) -> rusqlite::Result<()> {
    tx.prepare_cached("DELETE FROM volume_uses WHERE owner = ?1")?.execute([owner]).map(drop)
}

/// Everyone for whom a volume is held.
pub(super) fn owners(tx: &Transaction<'_>) -> rusqlite::Result<Vec<String>> {
    tx.prepare_cached("SELECT DISTINCT owner FROM volume_uses")?.query_map([], |row| row.get(0))?.collect()
}

fn read(row: &Row<'_>) -> rusqlite::Result<Volume> {
    let json = |column: usize| -> rusqlite::Result<_> {
        let text: String = row.get(column)?;
        serde_json::from_str(&text)
            .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error)))
    };
    Ok(Volume {
        name: row.get(0)?,
        options: json(1)?,
        labels: json(2)?,
        is_anonymous: row.get(3)?,
        created_at: UnixNs(row.get::<_, i64>(4)?.cast_unsigned()),
    })
}
