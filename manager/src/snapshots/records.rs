//! The snapshots' table. Plain statements; no files are touched.

use std::collections::HashSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{OptionalExtension, Row, Transaction, named_params};

use crate::trees::Usage;

pub(crate) const SCHEMA_1: &str = "
CREATE TABLE snapshots (
  number INTEGER PRIMARY KEY,                       -- also the directory's name
  key TEXT NOT NULL UNIQUE,
  parent INTEGER REFERENCES snapshots (number),
  kind INTEGER NOT NULL CHECK (kind IN (1, 2)),     -- 1 committed, 2 active
  created_at INTEGER NOT NULL,                      -- microseconds since 1970
  snapshotter TEXT NOT NULL,
  size_bytes INTEGER,                               -- known once committed
  inodes INTEGER
) STRICT;
CREATE INDEX snapshots_by_parent ON snapshots (parent);
";

/// What a snapshot is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Read-only for ever; others may stand on it.
    Committed,
    /// Writable, and nothing stands on it.
    Active,
}

/// What is known of a snapshot.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    /// Its directory's name.
    pub(crate) number: i64,
    /// Chain id when committed, container id when active.
    pub(crate) key: String,
    /// The key of what it stands on.
    pub(crate) parent: Option<String>,
    /// What it is for.
    pub(crate) kind: Kind,
    /// When it was made.
    pub(crate) created_at: SystemTime,
    /// Who made it: "overlayfs" or "native".
    pub(crate) snapshotter: String,
    /// Counted when it was committed.
    pub(crate) usage: Option<Usage>,
}

/// A row to be: an active snapshot.
pub(super) struct New {
    pub(super) number: i64,
    pub(super) key: String,
    pub(super) parent: Option<i64>,
    pub(super) created_at: SystemTime,
    pub(super) snapshotter: &'static str,
}

const COLUMNS: &str = "
SELECT s.number, s.key, p.key, s.kind, s.created_at, s.snapshotter, s.size_bytes, s.inodes
FROM snapshots s LEFT JOIN snapshots p ON p.number = s.parent";

fn read(row: &Row<'_>) -> rusqlite::Result<Snapshot> {
    let kind = if row.get::<_, i64>(3)? == 1 { Kind::Committed } else { Kind::Active };
    let micros = u64::try_from(row.get::<_, i64>(4)?).unwrap_or(0);
    let usage = match (row.get::<_, Option<i64>>(6)?, row.get::<_, Option<i64>>(7)?) {
        (Some(size), Some(inodes)) => {
            Some(Usage { size_bytes: size.unsigned_abs(), inodes: inodes.unsigned_abs() })
        }
        _ => None,
    };
    Ok(Snapshot {
        number: row.get(0)?,
        key: row.get(1)?,
        parent: row.get(2)?,
        kind,
        created_at: UNIX_EPOCH + Duration::from_micros(micros),
        snapshotter: row.get(5)?,
        usage,
    })
}

pub(super) fn list(tx: &Transaction<'_>) -> rusqlite::Result<Vec<Snapshot>> {
    tx.prepare_cached(&format!("{COLUMNS} ORDER BY s.number"))?.query_map([], read)?.collect()
}

pub(super) fn get(tx: &Transaction<'_>, key: &str) -> rusqlite::Result<Option<Snapshot>> {
    tx.prepare_cached(&format!("{COLUMNS} WHERE s.key = ?1"))?.query_row([key], read).optional()
}

/// The numbers from `key` down to the bottom; empty when it is not there.
pub(super) fn chain(tx: &Transaction<'_>, key: &str) -> rusqlite::Result<Vec<i64>> {
    tx.prepare_cached(
        "WITH RECURSIVE chain (number, parent, depth) AS (
           SELECT number, parent, 0 FROM snapshots WHERE key = ?1
           UNION ALL
           SELECT s.number, s.parent, depth + 1 FROM snapshots s JOIN chain ON s.number = chain.parent
           WHERE depth < 1000)                           -- a damaged record may make it a circle
         SELECT number FROM chain ORDER BY depth",
    )?
    .query_map([key], |row| row.get(0))?
    .collect()
}

pub(super) fn insert(tx: &Transaction<'_>, new: &New) -> rusqlite::Result<()> {
    let since_epoch = new.created_at.duration_since(UNIX_EPOCH).unwrap_or_default();
    tx.prepare_cached(
        "INSERT INTO snapshots (number, key, parent, kind, created_at, snapshotter)
         VALUES (:number, :key, :parent, 2, :created_at, :snapshotter)",
    )?
    .execute(named_params! {
        ":number": new.number,
        ":key": new.key,
        ":parent": new.parent,
        ":created_at": i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX),
        ":snapshotter": new.snapshotter,
    })?;
    Ok(())
}

pub(super) fn commit(tx: &Transaction<'_>, number: i64, key: &str, usage: Usage) -> rusqlite::Result<()> {
    let (size, inodes) = (usage.size_bytes.cast_signed(), usage.inodes.cast_signed());
    tx.prepare_cached(
        "UPDATE snapshots SET key = ?2, kind = 1, size_bytes = ?3, inodes = ?4 WHERE number = ?1 AND kind = 2",
    )?
    .execute((number, key, size, inodes))?;
    Ok(())
}

/// Puts snapshot `new` below all that stands on `old`, whose row goes.
pub(super) fn replace(tx: &Transaction<'_>, old: i64, new: i64) -> rusqlite::Result<()> {
    tx.execute("UPDATE snapshots SET parent = ?2 WHERE parent = ?1", (old, new))?;
    tx.execute("DELETE FROM snapshots WHERE number = ?1", [old])?;
    Ok(())
}

pub(super) fn delete(tx: &Transaction<'_>, key: &str) -> rusqlite::Result<Option<i64>> {
    tx.prepare_cached("DELETE FROM snapshots WHERE key = ?1 RETURNING number")?
        .query_row([key], |row| row.get(0))
        .optional()
}

/// Interrupted unpacking starts from nothing: its files are not known to be whole. Returns the numbers.
pub(super) fn drop_interrupted(tx: &Transaction<'_>, prefix: &str) -> rusqlite::Result<()> {
    tx.execute("DELETE FROM snapshots WHERE kind = 2 AND substr(key, 1, length(?1)) = ?1", [prefix])?;
    Ok(())
}

/// Deletes committed leaves outside `kept`, then what became a leaf by it, down to the bottom; and unpackings, whose keys
/// are `prefix` and what they would have become, that have been given up.
pub(super) fn delete_unused(
    tx: &Transaction<'_>,
    prefix: &str,
    kept: &HashSet<String>,
) -> rusqlite::Result<Vec<(i64, String)>> {
    let mut leaves = tx.prepare(
        "SELECT number, key FROM snapshots s
         WHERE (kind = 1 OR kind = 2 AND substr(key, 1, length(?1)) = ?1)
           AND NOT EXISTS (SELECT 1 FROM snapshots c WHERE c.parent = s.number)",
    )?;
    let mut delete = tx.prepare("DELETE FROM snapshots WHERE number = ?1")?;
    let mut gone = Vec::new();
    loop {
        let found: Vec<(i64, String)> =
            leaves.query_map([prefix], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
        let is_kept = |key: &str| kept.contains(key.strip_prefix(prefix).unwrap_or(key));
        let unused: Vec<_> = found.into_iter().filter(|(_, key)| !is_kept(key)).collect();
        if unused.is_empty() {
            return Ok(gone);
        }
        for (number, _) in &unused {
            delete.execute([number])?;
        }
        gone.extend(unused);
    }
}
