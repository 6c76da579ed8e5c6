//! The last good copy of the database, beside it: what a damaged or lost one is made of again. Made some time after a
//! change, by reading every row, so that a database that can no longer be read never replaces its copy.

use std::path::Path;
use std::sync::PoisonError;
use std::time::Duration;

use super::lineage::Lineage;
use super::open::COPY_NAME;
use super::{Store, StoreError};
use crate::files::failed;

/// How long records may be in the database alone. Copying a thousand containers' takes some dozen milliseconds.
const QUIET: Duration = Duration::from_secs(5);

impl Store {
    /// Makes a copy now, and another some seconds after each change. Never returns: dropping the future ends it.
    pub(crate) async fn keep_copies(&self) {
        loop {
            if let Err(error) = self.copy().await {
                tracing::warn!(error = %crate::error::Chain(&error), "the database could not be copied");
            }
            self.shared.changed.notified().await;
            tokio::time::sleep(QUIET).await;
        }
    }

    /// Replaces the last good copy.
    ///
    /// # Errors
    /// [`StoreError`]; the copy before it is still there, then.
    pub(crate) async fn copy(&self) -> Result<(), StoreError> {
        let store = self.clone();
        super::off_thread("copy the records", move || store.copy_blocking()).await
    }

    pub(super) fn copy_blocking(&self) -> Result<(), StoreError> {
        let Some(root) = self.shared.path.parent() else { return Ok(()) };
        let lineage = self.advance()?;
        let (new, copy) = (root.join(format!("{COPY_NAME}.new")), root.join(COPY_NAME));
        match std::fs::remove_file(&new) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(failed("remove", new)(error).into());
            }
            _ => {}
        }
        let target = new.to_string_lossy().into_owned();
        self.shared.readers.with(|connection| {
            let copied = connection.execute("VACUUM INTO ?1", [&target]);
            copied.map(drop).map_err(|source| StoreError::Query { doing: "copy the records", source })
        })?;
        std::fs::rename(&new, &copy).map_err(failed("replace", copy))?;
        if let Some(lineage) = lineage {
            lineage.write_to_root(root, false).map_err(failed("write into", root))?;
        }
        Ok(())
    }

    /// Gives the database its next revision.
    fn advance(&self) -> Result<Option<Lineage>, StoreError> {
        let next = |tx: &rusqlite::Transaction<'_>| {
            let next = Lineage::of_database(tx)?.map(|lineage| lineage.next());
            next.as_ref().map_or(Ok(()), |next| next.write_to_database(tx))?;
            Ok(next)
        };
        self.transact("NORMAL", next).map_err(|source| StoreError::Query { doing: "count a copy", source })
    }

    /// Gives database and root the revision after `lineage`. What keeps them from being written (a full disk) is
    /// logged: it costs certainty at the next start, not this one.
    pub(super) fn begin(&self, root: &Path, lineage: &Lineage) {
        let next = lineage.next();
        let begun = self
            .transact("FULL", |tx| next.write_to_database(tx))
            .map_err(|error| error.to_string())
            .and_then(|()| {
                let is_in_file = self.bring_log_in();
                next.write_to_root(root, is_in_file).map_err(|error| error.to_string())
            });
        if let Err(error) = begun {
            tracing::warn!(error, "the database's revision could not be recorded");
        }
    }

    /// Brings all of the WAL into the database's file. Returns false if that was not possible.
    fn bring_log_in(&self) -> bool {
        let writer = self.shared.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let checkpoint = writer.query_row("PRAGMA wal_checkpoint(FULL)", [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
        });
        matches!(checkpoint, Ok((0, pages, brought_in)) if pages == brought_in)
    }
}
