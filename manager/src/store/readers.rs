//! Connections for reading: a bounded number, taken in turns. SQLite keeps the descriptors of closed connections for as
//! long as another one holds a lock on the same file, so connections beyond those that are kept would never be given
//! back.

use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OpenFlags};

use super::{BUSY_TIMEOUT, FileId, StoreError, file_id};

/// Reads at the same time; a read takes some hundred microseconds, and the machines have some processors.
const MAX_READERS: usize = 4;

pub(super) struct Readers {
    path: PathBuf,
    /// The file that was opened there.
    file: FileId,
    pool: Mutex<Pool>,
    returned: Condvar,
}

#[derive(Default)]
struct Pool {
    idle: Vec<Connection>,
    /// Those that are idle, and those in use.
    open: usize,
}

/// A connection's place in the pool, given back even when a read panics.
struct Place<'a> {
    readers: &'a Readers,
    connection: Option<Connection>,
}

impl Readers {
    /// Readers of the database at `path`, which is `file`.
    pub(super) fn new(path: PathBuf, file: FileId) -> Self {
        Self { path, file, pool: Mutex::default(), returned: Condvar::new() }
    }

    /// Runs `read` with a connection, after waiting for one. Blocks.
    pub(super) fn with<T>(
        &self,
        read: impl FnOnce(&mut Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut place = self.take();
        let mut connection = match place.connection.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let result = read(&mut connection);
        place.connection = Some(connection);
        result
    }

    fn take(&self) -> Place<'_> {
        let mut pool = self.lock();
        loop {
            if let Some(connection) = pool.idle.pop() {
                return Place { readers: self, connection: Some(connection) };
            }
            if pool.open < MAX_READERS {
                pool.open += 1;
                return Place { readers: self, connection: None };
            }
            pool = self.returned.wait(pool).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn connect(&self) -> Result<Connection, StoreError> {
        // Another one in its place would tell what to keep, and what to delete.
        if !file_id(&self.path).is_ok_and(|id| id == self.file) {
            return Err(StoreError::Gone { path: self.path.clone() });
        }
        let failed = |source| StoreError::Open { path: self.path.clone(), source };
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags).map_err(failed)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
        Ok(connection)
    }

    // Every change is a single step, so a panic elsewhere leaves the pool right.
    fn lock(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut pool = self.readers.lock();
        match self.connection.take() {
            Some(connection) => pool.idle.push(connection),
            None => pool.open -= 1,
        }
        drop(pool);
        self.readers.returned.notify_one();
    }
}
