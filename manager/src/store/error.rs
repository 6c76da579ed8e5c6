//! Why the records could not be read or written.

use std::path::PathBuf;

use knarr_proto::kind::Kind;
use rusqlite::{ErrorCode, ffi};

use crate::files::FileError;

/// The database failed.
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
    /// The file system refused.
    #[error(transparent)]
    File(#[from] FileError),
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
    /// What would be written now, no later knarrd would find.
    #[error(
        "the database {} was deleted or replaced while knarrd ran: containers go on and can be removed, but nothing new can be recorded until knarrd is started again",
        path.display()
    )]
    Gone {
        /// Where it was.
        path: PathBuf,
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
                    _ if is_disk_full(source) => Kind::ResourceExhausted,
                    Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Kind::DataLoss,
                    _ => Kind::Internal,
                }
            }
            Self::TooNew { .. } | Self::Gone { .. } => Kind::FailedPrecondition,
            Self::File(source) => source.kind(),
            Self::Task { .. } => Kind::Internal,
        }
    }
}

/// SQLite tells a log that cannot grow by the first, a file that cannot be made by the others.
pub(super) fn is_disk_full(error: &rusqlite::Error) -> bool {
    let Some(failure) = error.sqlite_error() else { return false };
    failure.code == ErrorCode::DiskFull
        || [ffi::SQLITE_IOERR_SHMSIZE, ffi::SQLITE_IOERR_SHMOPEN].contains(&failure.extended_code)
}
