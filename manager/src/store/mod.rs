//! The daemon's records: one SQLite database, one writer, several readers.
//!
//! A noun brings its tables as migrations (`migrations.rs`) and its statements as closures; nothing here knows what
//! the rows mean. Writes keep their order whatever happens (WAL); which are on disk when they return, see
//! docs/decisions/0002.

mod migrations;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use knarr_proto::kind::Kind;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

/// Idle reading connections that are kept; more are opened when needed and closed after use.
const MAX_IDLE_READERS: usize = 4;
/// Only another process can hold the database's lock: an administrator's sqlite3, for as long as a person waits.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The database; clones share it.
#[derive(Clone)]
pub(crate) struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    writer: Mutex<Connection>,
    idle_readers: Mutex<Vec<Connection>>,
}

/// Why the records could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The database file cannot be opened or made.
    #[error("cannot open the database {}", path.display())]
    Open {
        /// The database file.
        path: PathBuf,
        /// SQLite's reason.
        source: rusqlite::Error,
    },
    /// A newer knarrd has written this database.
    #[error(
        "the database {} has schema {found}, this knarrd knows only {known}: start a newer knarrd",
        path.display()
    )]
    TooNew {
        /// The database file.
        path: PathBuf,
        /// Its `user_version`.
        found: u32,
        /// The newest that this program has.
        known: u32,
    },
    /// A migration failed; the database is as it was before it.
    #[error("cannot bring the database to schema {version}")]
    Migrate {
        /// The schema that was to be reached.
        version: u32,
        /// SQLite's reason.
        source: rusqlite::Error,
    },
    /// A statement failed; nothing of its transaction was kept.
    #[error("cannot {doing} in the database")]
    Query {
        /// What the noun was doing.
        doing: &'static str,
        /// SQLite's reason.
        source: rusqlite::Error,
    },
    /// The blocking task that ran the statement is gone: the daemon is stopping, or the statement panicked.
    #[error("the database task ended while it was to {doing}")]
    Task {
        /// What the noun was doing.
        doing: &'static str,
        /// Tokio's reason.
        source: tokio::task::JoinError,
    },
}

impl StoreError {
    /// What kind of failure this is.
    #[must_use]
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Open { source, .. } | Self::Migrate { source, .. } | Self::Query { source, .. } => {
                match source.sqlite_error_code() {
                    Some(rusqlite::ErrorCode::DiskFull) => Kind::ResourceExhausted,
                    Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
                        Kind::DataLoss
                    }
                    _ => Kind::Internal,
                }
            }
            Self::TooNew { .. } => Kind::FailedPrecondition,
            Self::Task { .. } => Kind::Internal,
        }
    }
}

impl Store {
    /// Opens the database at `path`, makes it when it is not there, and brings it to the newest schema. Blocks.
    ///
    /// # Errors
    /// [`StoreError::Open`], [`StoreError::TooNew`] or [`StoreError::Migrate`].
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let failed = |source| StoreError::Open { path: path.to_owned(), source };
        let mut writer = Connection::open(path).map_err(failed)?;
        configure(&writer).map_err(failed)?;
        migrations::apply(&mut writer, path)?;
        Ok(Self {
            shared: Arc::new(Shared {
                path: path.to_owned(),
                writer: Mutex::new(writer),
                idle_readers: Mutex::new(Vec::new()),
            }),
        })
    }

    /// Runs `operation` in one immediate transaction, on a thread that may block. `doing` completes the sentence
    /// "cannot …". Rolled back when the operation fails; on disk when it does not.
    ///
    /// # Errors
    /// [`StoreError::Query`], [`StoreError::Task`].
    pub(crate) async fn write<T, F>(&self, doing: &'static str, operation: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, rusqlite::Error> + Send + 'static,
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
        F: FnOnce(&Transaction<'_>) -> Result<T, rusqlite::Error> + Send + 'static,
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
        operation: impl FnOnce(&Transaction<'_>) -> Result<T, rusqlite::Error>,
    ) -> Result<T, StoreError> {
        self.transact("FULL", operation).map_err(|source| StoreError::Query { doing, source })
    }

    /// [`Store::write_unsynced`] for a caller that may block.
    ///
    /// # Errors
    /// [`StoreError::Query`].
    pub(crate) fn write_unsynced_blocking<T>(
        &self,
        doing: &'static str,
        operation: impl FnOnce(&Transaction<'_>) -> Result<T, rusqlite::Error>,
    ) -> Result<T, StoreError> {
        self.transact("NORMAL", operation).map_err(|source| StoreError::Query { doing, source })
    }

    fn transact<T>(
        &self,
        synchronous: &str,
        operation: impl FnOnce(&Transaction<'_>) -> Result<T, rusqlite::Error>,
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
        let idle = self.shared.idle_readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut reader = match idle {
            Some(reader) => reader,
            None => self.new_reader()?,
        };
        let transaction = reader.transaction().map_err(failed)?;
        let value = operation(&transaction).map_err(failed)?;
        drop(transaction);
        let mut idle = self.shared.idle_readers.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE_READERS {
            idle.push(reader);
        }
        Ok(value)
    }

    fn new_reader(&self) -> Result<Connection, StoreError> {
        let path = &self.shared.path;
        let failed = |source| StoreError::Open { path: path.clone(), source };
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let reader = Connection::open_with_flags(path, flags).map_err(failed)?;
        reader.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
        Ok(reader)
    }
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
mod tests {
    use super::*;

    fn opened() -> (tempfile::TempDir, Store) {
        let directory = tempfile::tempdir().expect("a directory");
        let store = Store::open(&directory.path().join("knarr.db")).expect("a new database");
        (directory, store)
    }

    #[test]
    fn a_database_opens_again_with_the_same_schema() {
        let (directory, store) = opened();
        drop(store);
        Store::open(&directory.path().join("knarr.db")).expect("the same database");
    }

    #[test]
    fn a_database_from_a_newer_daemon_is_refused() {
        let (directory, store) = opened();
        store.write_blocking("pretend", |tx| tx.pragma_update(None, "user_version", 10_000)).expect("set");
        drop(store);
        let error = Store::open(&directory.path().join("knarr.db")).err().expect("refused");
        assert!(matches!(error, StoreError::TooNew { found: 10_000, .. }), "{error:?}");
        assert_eq!(error.kind(), Kind::FailedPrecondition);
    }

    #[tokio::test]
    async fn a_failed_write_leaves_nothing() {
        let (_directory, store) = opened();
        store.write_blocking("make a table", |tx| tx.execute_batch("CREATE TABLE t(x)")).expect("made");
        let failed = store
            .write("insert", |tx| {
                tx.execute("INSERT INTO t VALUES (1)", [])?;
                tx.execute("INSERT INTO nowhere VALUES (1)", [])
            })
            .await;
        assert!(matches!(failed, Err(StoreError::Query { doing: "insert", .. })), "{failed:?}");
        let count: i64 = store
            .read("count", |tx| tx.query_row("SELECT count(*) FROM t", [], |row| row.get(0)))
            .await
            .expect("count");
        assert_eq!(count, 0);
    }
}
