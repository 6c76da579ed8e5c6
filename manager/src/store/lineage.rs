//! Which database belongs to a root directory, and how new it has to be.
//!
//! Database and root both keep the database's id and a revision, which grows with every start and every copy of the
//! database. The root's is written last: a database whose revision is lower has lost records (an old copy, a lost WAL),
//! one with another id is another root's. The root also keeps the revision that the database's own file has at least: an
//! old file beside a newer WAL looks new, and has lost what is not in the WAL.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, OptionalExtension};

/// The root's file: id, revision and the revision of the database without its WAL, in one line.
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
        let mut words = text.split_whitespace();
        Some(Self { database: words.next()?.to_owned(), revision: words.next()?.parse().ok()? })
    }

    /// Whether the database file at `path`, without its WAL, is older than the root knows it to be. One that cannot be
    /// read by itself, because its WAL was being brought into it, is not.
    pub(super) fn is_file_too_old(root: &Path, path: &Path) -> bool {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        let name = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
        let alone = Connection::open_with_flags(format!("file:{name}?immutable=1"), flags);
        match alone.and_then(|database| Self::of_database(&database)) {
            Ok(alone) => alone.map_or(0, |alone| alone.revision) < least_revision(root),
            Err(_) => false,
        }
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

    /// Replaces the root's file. Only after the database has it; `is_in_file` when it has it without its WAL.
    pub(super) fn write_to_root(&self, root: &Path, is_in_file: bool) -> Result<(), io::Error> {
        let least = if is_in_file { self.revision } else { least_revision(root) };
        let temporary = root.join(format!("{FILE_NAME}.new"));
        fs::write(&temporary, format!("{} {} {least}\n", self.database, self.revision))?;
        fs::rename(temporary, path(root))
    }
}

/// The revision that the database's own file has at least; 0 when that is not known.
fn least_revision(root: &Path) -> i64 {
    let text = fs::read_to_string(path(root)).unwrap_or_default();
    text.split_whitespace().nth(2).and_then(|word| word.parse().ok()).unwrap_or(0)
}

fn path(root: &Path) -> PathBuf {
    root.join(FILE_NAME)
}
