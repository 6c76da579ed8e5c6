//! Keeps the exit record in the bundle. It is on the disk, fsynced, before the exit is reported; it never decides
//! what the exit means.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use knarr_proto::exit::{ExitRecord, FILE_NAME, VERSION};

/// The record could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExitError {
    /// The file system refused.
    #[error("cannot keep the exit record {path}")]
    Write {
        /// The record's path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is one, but it cannot be read.
    #[error("cannot read the exit record {path}")]
    Read {
        /// The record's path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A record of a layout that this build does not know.
    #[error("the exit record has version {0}; this shim reads version {VERSION}")]
    Version(u32),
}

/// Replaces the record in `bundle`: temporary file, fsync, rename, fsync of the directory.
pub(crate) fn write(bundle: &Path, record: &ExitRecord) -> Result<(), ExitError> {
    let path = bundle.join(FILE_NAME);
    let temporary = bundle.join(".exit.json.new");
    let text = serde_json::to_vec(record).expect("an exit record has no map with odd keys");
    replace(bundle, &temporary, &path, &text).map_err(|source| ExitError::Write { path, source })
}

fn replace(directory: &Path, temporary: &Path, path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = File::create(temporary)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(temporary, path)?;
    File::open(directory)?.sync_all()
}

/// The record in `bundle`, if the container has ended.
pub(crate) fn read(bundle: &Path) -> Result<Option<ExitRecord>, ExitError> {
    let path = bundle.join(FILE_NAME);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(ExitError::Read { path, source }),
    };
    let record: ExitRecord =
        serde_json::from_slice(&text).map_err(|error| ExitError::Read { path, source: error.into() })?;
    if record.version == VERSION { Ok(Some(record)) } else { Err(ExitError::Version(record.version)) }
}

/// Removes the record of an earlier run, so that a new one cannot be taken for ended.
pub(crate) fn forget(bundle: &Path) -> Result<(), ExitError> {
    let path = bundle.join(FILE_NAME);
    match fs::remove_file(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(ExitError::Write { path, source }),
        _ => Ok(()),
    }
}

/// Nanoseconds since 1970; 0 for a clock before that.
pub(crate) fn unix_ns(at: SystemTime) -> u64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_back_and_another_version_is_refused() {
        let bundle = tempfile::tempdir().expect("a directory");
        assert_eq!(read(bundle.path()).expect("no record is no error"), None);

        let record =
            ExitRecord { version: VERSION, pid: 7, code: 137, exited_at_unix_ns: 9, oom_killed: true };
        write(bundle.path(), &record).expect("writable");
        assert_eq!(read(bundle.path()).expect("readable"), Some(record.clone()));

        write(bundle.path(), &ExitRecord { version: 2, ..record }).expect("writable");
        assert!(matches!(read(bundle.path()), Err(ExitError::Version(2))));

        forget(bundle.path()).expect("removable");
        assert_eq!(read(bundle.path()).expect("gone"), None);
    }
}
