//! The builds' tables: what a step made, and the steps under way. Plain statements; no files are touched.

use std::time::SystemTime;

use rusqlite::{OptionalExtension, Transaction};

use crate::collect::Needed;
use crate::content::Digest;

/// Some thousand files of instructions.
const MAX_CONFIGURATIONS: i64 = 100_000;

pub(crate) const SCHEMA_1: &str = "
CREATE TABLE build_cache (
  key TEXT PRIMARY KEY,                              -- digest of all that the step depends on
  chain_id TEXT NOT NULL,                            -- the snapshot after it
  diff_id TEXT NOT NULL,                             -- its layer, and the layer's blob
  size_bytes INTEGER NOT NULL,
  step TEXT NOT NULL,                                -- the instruction, for people
  made_at INTEGER NOT NULL,                          -- nanoseconds since 1970
  used_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE build_steps (
  id TEXT PRIMARY KEY                                -- of the task and the active snapshot of a step under way
) STRICT, WITHOUT ROWID;
";

/// Configurations that were made before: docker tells of them as of layers.
pub(crate) const SCHEMA_2: &str = "
CREATE TABLE build_configurations (
  key TEXT PRIMARY KEY,                              -- digest of a configuration and of the files that it is for
  used_at INTEGER NOT NULL                           -- nanoseconds since 1970
) STRICT, WITHOUT ROWID;
";

/// What a step made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) chain_id: Digest,
    pub(crate) diff_id: Digest,
    pub(crate) size_bytes: u64,
    /// When, in nanoseconds since 1970.
    pub(crate) made_at: i64,
}

pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

pub(super) fn find(tx: &Transaction<'_>, key: &str) -> rusqlite::Result<Option<Made>> {
    tx.prepare_cached("SELECT chain_id, diff_id, size_bytes, made_at FROM build_cache WHERE key = ?1")?
        .query_row([key], |row| {
            Ok(Made {
                chain_id: row.get(0)?,
                diff_id: row.get(1)?,
                size_bytes: row.get::<_, i64>(2)?.unsigned_abs(),
                made_at: row.get(3)?,
            })
        })
        .optional()
}

pub(super) fn used(tx: &Transaction<'_>, keys: &[String]) -> rusqlite::Result<()> {
    let mut update = tx.prepare_cached("UPDATE build_cache SET used_at = ?2 WHERE key = ?1")?;
    keys.iter().try_for_each(|key| update.execute((key, now())).map(drop))
}

pub(super) fn keep(tx: &Transaction<'_>, key: &str, made: &Made, step: &str) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT OR REPLACE INTO build_cache (key, chain_id, diff_id, size_bytes, step, made_at, used_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute((
        key,
        &made.chain_id,
        &made.diff_id,
        made.size_bytes.cast_signed(),
        step,
        made.made_at,
        now(),
    ))?;
    Ok(())
}

/// Whether a configuration was made before.
pub(super) fn is_known(tx: &Transaction<'_>, key: &str) -> rusqlite::Result<bool> {
    tx.prepare_cached("SELECT EXISTS (SELECT 1 FROM build_configurations WHERE key = ?1)")?
        .query_row([key], |row| row.get(0))
}

/// Remembers configurations, and no more than can be of use.
pub(super) fn know(tx: &Transaction<'_>, keys: &[String]) -> rusqlite::Result<()> {
    let mut insert = tx.prepare_cached("INSERT OR REPLACE INTO build_configurations VALUES (?1, ?2)")?;
    keys.iter().try_for_each(|key| insert.execute((key, now())).map(drop))?;
    tx.prepare_cached(
        "DELETE FROM build_configurations WHERE key NOT IN
         (SELECT key FROM build_configurations ORDER BY used_at DESC LIMIT ?1)",
    )?
    .execute([MAX_CONFIGURATIONS])?;
    Ok(())
}

/// Forgets everything; returns the keys.
pub(super) fn forget(tx: &Transaction<'_>) -> rusqlite::Result<Vec<String>> {
    tx.execute("DELETE FROM build_configurations", [])?;
    tx.prepare_cached("DELETE FROM build_cache RETURNING key")?.query_map([], |row| row.get(0))?.collect()
}

pub(super) fn begin(tx: &Transaction<'_>, id: &str) -> rusqlite::Result<()> {
    tx.prepare_cached("INSERT INTO build_steps (id) VALUES (?1)")?.execute([id]).map(drop)
}

pub(super) fn end(tx: &Transaction<'_>, id: &str) -> rusqlite::Result<()> {
    tx.prepare_cached("DELETE FROM build_steps WHERE id = ?1")?.execute([id]).map(drop)
}

pub(super) fn under_way(tx: &Transaction<'_>) -> rusqlite::Result<Vec<String>> {
    tx.prepare_cached("SELECT id FROM build_steps")?.query_map([], |row| row.get(0))?.collect()
}

/// Every blob and every snapshot that the cache keeps.
pub(crate) fn needed(tx: &Transaction<'_>) -> rusqlite::Result<Needed> {
    let column = |statement: &str| -> rusqlite::Result<Vec<Digest>> {
        tx.prepare_cached(statement)?.query_map([], |row| row.get(0))?.collect()
    };
    Ok(Needed {
        blobs: column("SELECT DISTINCT diff_id FROM build_cache")?,
        snapshots: column("SELECT DISTINCT chain_id FROM build_cache")?,
    })
}
