//! The daemon's records: one SQLite database, one writer, several readers.
//!
//! The caller brings the tables as migrations and the statements as closures; nothing here knows what the rows mean.
//! Writes keep their order whatever happens (WAL); which are on disk when they return, see docs/decisions/0002. A
//! database that is damaged, missing or too old is replaced by what can be read of it and of its last good copy
//! (`open`, `salvage`, `copies`).
#![allow(
    clippy::disallowed_methods,
    reason = "files are touched on blocking threads, and before clients are served"
)]

mod copies;
mod error;
mod lineage;
mod migrate;
mod open;
mod readers;
mod reserve;
mod salvage;

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::Notify;

use crate::files::{FileError, failed};

pub(crate) use error::StoreError;
pub(crate) use migrate::Migrations;
pub(crate) use open::History;
use readers::Readers;
use reserve::Reserve;

/// Only another process can hold the database's lock: an administrator's sqlite3, for as long as a person waits.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The database; clones share it.
#[derive(Clone)]
pub(crate) struct Store {
    shared: Arc<Shared>,
    /// Whether a write that finds the disk full may use the reserved room.
    may_use_reserve: bool,
}

struct Shared {
    path: PathBuf,
    /// The file that was opened there.
    file: FileId,
    readers: Readers,
    /// Closed after the readers, so that it can bring the WAL into the database.
    writer: Mutex<Connection>,
    history: History,
    /// Told after every write.
    changed: Notify,
    reserve: Reserve,
}

impl Store {
    /// Opens the database at `path`, makes it when it is not there, and brings it to the newest schema. Blocks.
    ///
    /// # Errors
    /// [`StoreError::Open`], [`StoreError::TooNew`] or [`StoreError::Migrate`].
    #[cfg(test)]
    pub(crate) fn open(path: &Path, migrations: &Migrations) -> Result<Self, StoreError> {
        Self::open_as(path, migrations, History::Whole, Reserve::at_start(path))
    }

    /// Whether the records name everything that is below the root.
    pub(crate) fn history(&self) -> &History {
        &self.shared.history
    }

    fn open_as(
        path: &Path,
        migrations: &Migrations,
        history: History,
        reserve: Reserve,
    ) -> Result<Self, StoreError> {
        let failed = |source| StoreError::Open { path: path.to_owned(), source };
        let mut writer = Connection::open(path).map_err(failed)?;
        configure(&writer).map_err(failed)?;
        migrate::apply(&mut writer, path, migrations)?;
        reserve::allocate_log(path);
        reserve.keep();
        let file = file_id(path)?;
        Ok(Self {
            may_use_reserve: false,
            shared: Arc::new(Shared {
                path: path.to_owned(),
                file,
                writer: Mutex::new(writer),
                readers: Readers::new(path.to_owned(), file),
                history,
                changed: Notify::new(),
                reserve,
            }),
        })
    }

    /// The same records, for writes that remove something or tell how it ended: those succeed on a full disk, too.
    #[must_use]
    pub(crate) fn for_removal(&self) -> Self {
        Self { may_use_reserve: true, ..self.clone() }
    }

    /// Runs `operation` in one immediate transaction, on a thread that may block. `doing` completes the sentence
    /// "cannot …". Rolled back when the operation fails; on disk when it does not.
    ///
    /// # Errors
    /// [`StoreError::Query`], [`StoreError::Task`].
    pub(crate) async fn write<T, F>(&self, doing: &'static str, operation: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&Transaction<'_>) -> Result<T, rusqlite::Error> + Send + 'static,
    {
        let store = self.clone();
        off_thread(doing, move || store.write_blocking(doing, operation)).await
    }

    /// [`Store::write`] for what recovery makes good: it survives knarrd's own end, however that comes, but a power cut
    /// may take it, with all that was written after it and nothing before it. The next synced write keeps it as well.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub(crate) async fn write_unsynced<T, F>(
        &self,
        doing: &'static str,
        operation: F,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&Transaction<'_>) -> Result<T, rusqlite::Error> + Send + 'static,
    {
        let store = self.clone();
        off_thread(doing, move || store.write_unsynced_blocking(doing, operation)).await
    }

    /// [`Store::write`] for a caller that may block.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub(crate) fn write_blocking<T>(
        &self,
        doing: &'static str,
        operation: impl Fn(&Transaction<'_>) -> Result<T, rusqlite::Error>,
    ) -> Result<T, StoreError> {
        self.check_is_there()?;
        let written = self.transact("FULL", operation);
        self.shared.changed.notify_one();
        written.map_err(|source| StoreError::Query { doing, source })
    }

    /// [`Store::write_unsynced`] for a caller that may block.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub(crate) fn write_unsynced_blocking<T>(
        &self,
        doing: &'static str,
        operation: impl Fn(&Transaction<'_>) -> Result<T, rusqlite::Error>,
    ) -> Result<T, StoreError> {
        self.check_is_there()?;
        let written = self.transact("NORMAL", operation);
        self.shared.changed.notify_one();
        written.map_err(|source| StoreError::Query { doing, source })
    }

    /// Refuses to acknowledge what would be lost with a file that has no name any more. What ends or removes something
    /// goes on: it would be done again at the next start.
    fn check_is_there(&self) -> Result<(), StoreError> {
        let is_there =
            self.may_use_reserve || file_id(&self.shared.path).is_ok_and(|id| id == self.shared.file);
        if is_there { Ok(()) } else { Err(StoreError::Gone { path: self.shared.path.clone() }) }
    }

    fn transact<T>(
        &self,
        synchronous: &str,
        operation: impl Fn(&Transaction<'_>) -> Result<T, rusqlite::Error>,
    ) -> Result<T, rusqlite::Error> {
        let reserve = &self.shared.reserve;
        match self.attempt(synchronous, &operation) {
            Err(error) if self.may_use_reserve && error::is_disk_full(&error) && reserve.give_back() => {
                self.attempt(synchronous, &operation)
            }
            Ok(value) => {
                reserve.keep();
                Ok(value)
            }
            failed => failed,
        }
    }

    fn attempt<T>(
        &self,
        synchronous: &str,
        operation: &impl Fn(&Transaction<'_>) -> Result<T, rusqlite::Error>,
    ) -> Result<T, rusqlite::Error> {
        // A panic in an operation rolled its transaction back, so the connection is still good.
        let mut writer = self.shared.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer.pragma_update(None, "synchronous", synchronous)?;
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let value = operation(&transaction)?;
        transaction.commit()?;
        Ok(value)
    }

    /// Runs `operation` on one consistent view of the records, on a thread that may block.
    ///
    /// # Errors
    /// [`StoreError::Query`], [`StoreError::Task`].
    pub(crate) async fn read<T, F>(&self, doing: &'static str, operation: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, rusqlite::Error> + Send + 'static,
    {
        let store = self.clone();
        off_thread(doing, move || store.read_blocking(doing, operation)).await
    }

    /// [`Store::read`] for a caller that may block.
    ///
    /// # Errors
    /// [`StoreError::Query`], [`StoreError::Open`] when another reading connection cannot be had.
    pub(crate) fn read_blocking<T>(
        &self,
        doing: &'static str,
        operation: impl FnOnce(&Transaction<'_>) -> Result<T, rusqlite::Error>,
    ) -> Result<T, StoreError> {
        let failed = |source| StoreError::Query { doing, source };
        self.shared.readers.with(|reader| {
            let transaction = reader.transaction().map_err(failed)?;
            operation(&transaction).map_err(failed)
        })
    }
}

/// A file's device and inode.
type FileId = (u64, u64);

fn file_id(path: &Path) -> Result<FileId, FileError> {
    let metadata = std::fs::metadata(path).map_err(failed("look at", path))?;
    Ok((metadata.dev(), metadata.ino()))
}

async fn off_thread<T: Send + 'static>(
    doing: &'static str,
    operation: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(operation).await.map_err(|source| StoreError::Task { doing, source })?
}

fn configure(writer: &Connection) -> Result<(), rusqlite::Error> {
    writer.busy_timeout(BUSY_TIMEOUT)?;
    writer.pragma_update(None, "journal_mode", "WAL")?;
    writer.pragma_update(None, "foreign_keys", "ON")
}

#[cfg(test)]
mod tests;
