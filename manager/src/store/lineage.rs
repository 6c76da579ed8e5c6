//! Which database belongs to a root directory, and how new it has to be.
//!
//! Database and root both keep the database's id and a revision, which grows with every start and every copy of the
//! database. The root's is written last: a database whose revision is lower has lost records (an old copy, a lost WAL),
//! one with another id is another root's.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension};

/// The root's file: id and revision, in one line.
const FILE_NAME: &str = "knarr.lineage";
const TABLE: &str = "
CREATE TABLE IF NOT EXISTS lineage (
  only INTEGER PRIMARY KEY CHECK (only = 1),
  database TEXT NOT NULL,                           -- an id, made with the database
  revision INTEGER NOT NULL
) STRICT;";

/// A database's id and its revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lineage {
    pub(super) database: String,
    pub(super) revision: i64,
}

impl Lineage {
    /// A new database's.
    pub(super) fn new() -> Self {
        let mut bytes = [0; 16];
        // Sixteen bytes come in one piece; without them the process id tells roots apart well enough.
        if rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).is_err() {
            bytes[..4].copy_from_slice(&std::process::id().to_be_bytes());
        }
        Self { database: bytes.iter().map(|byte| format!("{byte:02x}")).collect(), revision: 0 }
    }

    /// The one after it.
    pub(super) fn next(&self) -> Self {
        Self { database: self.database.clone(), revision: self.revision + 1 }
    }

    /// What the root expects; `None` for a new root, and for one whose file says nothing that can be read.
    pub(super) fn of_root(root: &Path) -> Option<Self> {
        let text = fs::read_to_string(path(root)).ok()?;
        let (database, revision) = text.trim_end().split_once(' ')?;
        Some(Self { database: database.to_owned(), revision: revision.parse().ok()? })
    }

    /// What the database says of itself; `None` for one that was made before there were lineages.
    pub(super) fn of_database(database: &Connection) -> Result<Option<Self>, rusqlite::Error> {
        let exists = "SELECT 1 FROM sqlite_schema WHERE name = 'lineage'";
        if database.query_row(exists, [], |_| Ok(())).optional()?.is_none() {
            return Ok(None);
        }
        let row = |row: &rusqlite::Row<'_>| Ok(Self { database: row.get(0)?, revision: row.get(1)? });
        database.query_row("SELECT database, revision FROM lineage", [], row).optional()
    }

    pub(super) fn write_to_database(&self, database: &Connection) -> Result<(), rusqlite::Error> {
        database.execute_batch(TABLE)?;
        let insert = "INSERT OR REPLACE INTO lineage (only, database, revision) VALUES (1, ?1, ?2)";
        database.execute(insert, (&self.database, self.revision)).map(drop)
    }

    /// Replaces the root's file. Only after the database has it.
    pub(super) fn write_to_root(&self, root: &Path) -> Result<(), io::Error> {
        let temporary = root.join(format!("{FILE_NAME}.new"));
        fs::write(&temporary, format!("{} {}\n", self.database, self.revision))?;
        fs::rename(temporary, path(root))
    }
}

fn path(root: &Path) -> PathBuf {
    root.join(FILE_NAME)
}
