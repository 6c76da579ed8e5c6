//! Which database a root is opened with: its own where that is whole and new enough, otherwise one made of what can be
//! read of it and of its last good copy. Nothing is thrown away: what was there is set aside below `lost/`.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::lineage::Lineage;
use super::reserve::Reserve;
use super::salvage::{names, salvage};
use super::{Migrations, Store, StoreError};
use crate::files::failed;
use crate::lost::Lost;

/// The database's file below the root.
const FILE_NAME: &str = "knarr.db";
/// The last good copy of it.
pub(super) const COPY_NAME: &str = "knarr.db.copy";
/// A database that is being made of damaged ones.
const NEW_NAME: &str = "knarr.db.new";
/// The same when it is whole, and only has to take the old one's place: what a start that was killed has left to do.
const MADE_NAME: &str = "knarr.db.made";
/// A root with anything in one of these has been used.
const USED: [&str; 4] = ["containers", "snapshots", "content/blobs/sha256", "content/blobs/sha512"];

/// Whether the records name everything that is below the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum History {
    /// They are what the last knarrd wrote, or the root is new.
    Whole,
    /// Some may be missing, so that what they do not name may still be needed. The reason, for people.
    Broken(String),
}

/// A database file as it was found.
#[derive(Debug)]
enum Condition {
    /// Not there, or empty.
    Missing,
    /// All of it can be read.
    Good(Option<Lineage>),
    /// SQLite's reason.
    Damaged(String),
}

/// What is wrong with a root's database.
struct Trouble {
    reason: String,
    /// The files that a new one is to be made of; `None` where it stays as it is.
    sources: Option<Vec<PathBuf>>,
}

impl Store {
    /// Opens the database of `root`, and makes one in a new root. Blocks.
    ///
    /// # Errors
    /// [`StoreError`] where the file system refuses, and for a database of a newer knarrd. Damage is no error.
    pub(crate) fn of_root(root: &Path, migrations: &Migrations) -> Result<Self, StoreError> {
        let path = root.join(FILE_NAME);
        // Looking at a database makes files, too.
        let reserve = Reserve::at_start(&path);
        if root.join(MADE_NAME).exists() {
            let aside = put_in_place(root)?;
            tracing::warn!(aside = %aside.display(), "a database that the last knarrd made anew was put in its place");
        }
        let expected = Lineage::of_root(root);
        let own = look(&path)?;
        let copy = match look(&root.join(COPY_NAME)) {
            Ok(Condition::Good(copy)) => copy,
            Ok(Condition::Missing | Condition::Damaged(_)) | Err(_) => None,
        };
        let history = match trouble(root, &own, expected.as_ref(), copy.as_ref()) {
            None => History::Whole,
            Some(Trouble { reason, sources: None }) => History::Broken(reason),
            Some(Trouble { reason, sources: Some(sources) }) => {
                let aside = replace(root, &sources, migrations)?;
                History::Broken(format!("{reason}; what was there is kept in {}", aside.display()))
            }
        };
        let own = match own {
            Condition::Good(own) => own,
            Condition::Missing | Condition::Damaged(_) => None,
        };
        let known = [expected, own, copy];
        let revision = known.iter().flatten().map(|lineage| lineage.revision).max().unwrap_or(0);
        let lineage = known.into_iter().flatten().next().unwrap_or_else(Lineage::new);
        if let History::Broken(reason) = &history {
            tracing::error!(reason, "records may be missing: nothing is removed for want of one");
        }
        let store = Self::open_as(&path, migrations, history, reserve)?;
        store.begin(root, &Lineage { revision, ..lineage });
        Ok(store)
    }
}

/// Looks at a database without changing it.
fn look(path: &Path) -> Result<Condition, StoreError> {
    match fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Condition::Missing),
        Err(source) => return Err(failed("look at", path)(source).into()),
        Ok(metadata) if metadata.len() == 0 => return Ok(Condition::Missing),
        Ok(_) => {}
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let checked = Connection::open_with_flags(path, flags).and_then(|database| {
        database.busy_timeout(super::BUSY_TIMEOUT)?;
        database.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        let verdict: String = database.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        match verdict.as_str() {
            // Not checked: whether text is text.
            "ok" => match unreadable_table(&database)? {
                Some(table) => Ok(Condition::Damaged(format!("a row of {table} cannot be read"))),
                None => Lineage::of_database(&database).map(Condition::Good),
            },
            _ => Ok(Condition::Damaged(verdict)),
        }
    });
    match checked {
        Err(error) if is_damage(&error) => Ok(Condition::Damaged(error.to_string())),
        other => other.map_err(|source| StoreError::Open { path: path.to_owned(), source }),
    }
}

/// A table with a text that is no UTF-8.
fn unreadable_table(database: &Connection) -> Result<Option<String>, rusqlite::Error> {
    let tables = names(database, "SELECT name FROM sqlite_schema WHERE type = 'table'")?;
    for table in tables {
        let mut statement = database.prepare(&format!("SELECT * FROM \"{table}\""))?;
        let columns = statement.column_count();
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let is_wrong = |column| matches!(row.get_ref(column), Ok(ValueRef::Text(text)) if str::from_utf8(text).is_err());
            if (0..columns).any(is_wrong) {
                return Ok(Some(table));
            }
        }
    }
    Ok(None)
}

/// Whether it is the file's content that is wrong, and not the machine.
fn is_damage(error: &rusqlite::Error) -> bool {
    use ErrorCode as E;
    let code = error.sqlite_error_code();
    matches!(code, None | Some(E::DatabaseCorrupt | E::NotADatabase | E::TypeMismatch | E::Unknown))
}

fn trouble(
    root: &Path,
    own: &Condition,
    expected: Option<&Lineage>,
    copy: Option<&Lineage>,
) -> Option<Trouble> {
    let name = root.join(FILE_NAME);
    let is_ours = |copy: &Lineage| expected.is_none_or(|expected| expected.database == copy.database);
    let copy = copy.filter(|copy| is_ours(copy));
    let copy_file = || copy.map(|_| root.join(COPY_NAME));
    let because = |reason: &str, sources| {
        Some(Trouble { reason: format!("the database {} {reason}", name.display()), sources })
    };
    match (own, expected) {
        (Condition::Missing, None) if is_unused(root) => None,
        (Condition::Missing, _) => because("is missing", Some(Vec::from_iter(copy_file()))),
        (Condition::Damaged(cause), _) => {
            let sources = std::iter::once(name.clone()).chain(copy_file()).collect();
            because(&format!("is damaged ({cause})"), Some(sources))
        }
        (Condition::Good(_), None) => None,
        (Condition::Good(Some(own)), Some(expected)) if own.database != expected.database => {
            because("belongs to another root", Some(Vec::from_iter(copy_file())))
        }
        (Condition::Good(_), Some(_)) if Lineage::is_file_too_old(root, &name) => {
            because("is older than its own log", copy_file().map(|copy| vec![copy]))
        }
        (Condition::Good(Some(own)), Some(expected)) if own.revision >= expected.revision => None,
        (Condition::Good(own), Some(_)) => {
            let revision = own.as_ref().map_or(0, |own| own.revision);
            let newer = copy_file().filter(|_| copy.is_some_and(|copy| copy.revision > revision));
            because("is older than the files beside it", newer.map(|newer| vec![newer]))
        }
    }
}

fn is_unused(root: &Path) -> bool {
    let is_empty = |name| fs::read_dir(root.join(name)).map_or(true, |mut entries| entries.next().is_none());
    USED.into_iter().all(is_empty)
}

/// Makes a new database of `sources` and puts it in the old one's place. Returns where the old one is now.
fn replace(root: &Path, sources: &[PathBuf], migrations: &Migrations) -> Result<PathBuf, StoreError> {
    let new = root.join(NEW_NAME);
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let leftover = root.join(format!("{NEW_NAME}{suffix}"));
        match fs::remove_file(&leftover) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(failed("remove", leftover)(error).into());
            }
            _ => {}
        }
    }
    let rows = salvage(&new, sources, migrations)?;
    tracing::warn!(rows, "the database was made anew of what could be read");
    // From here on the old one's rows are in it, and are not asked for any more, whatever ends this start.
    fs::File::open(&new).and_then(|file| file.sync_all()).map_err(failed("sync", &new))?;
    fs::rename(&new, root.join(MADE_NAME)).map_err(failed("rename", &new))?;
    put_in_place(root)
}

/// Sets the old database aside and puts the one that was made in its place. Can be repeated, however far it came.
fn put_in_place(root: &Path) -> Result<PathBuf, StoreError> {
    let lost = Lost::below(root);
    let mut aside = lost.directory().to_owned();
    // The WAL goes last: a database whose WAL was taken away would look whole.
    for suffix in ["", "-wal", "-shm"] {
        let path = root.join(format!("{FILE_NAME}{suffix}"));
        if path.exists() {
            let kept = lost.set_aside(&path).map_err(failed("set aside", &path))?;
            aside = if suffix.is_empty() { kept } else { aside };
        }
    }
    let made = root.join(MADE_NAME);
    fs::rename(&made, root.join(FILE_NAME)).map_err(failed("put in its place", made))?;
    Ok(aside)
}
