//! What a task's shim is to do without being asked, and what it has done: the two files of [`knarr_proto::keep`] in the
//! bundle.
#![allow(clippy::disallowed_methods, reason = "its functions work on blocking threads")]

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use knarr_proto::id::ContainerId;
use knarr_proto::keep::{FILE_NAME, KEPT_FILE_NAME, Keep, Kept};
use tokio::task::spawn_blocking;

use super::{TaskError, Tasks};
use crate::files::{FileError, failed};

/// Thirty-two runs and five outputs of 4 KiB, each letter of which may be six in JSON.
const MAX_BYTES: u64 = 512 * 1024;

impl Tasks {
    /// Says what the container's shim is to do. It looks at its next end, or when it is told to.
    ///
    /// # Errors
    /// [`TaskError::File`].
    pub(crate) async fn order(&self, id: &ContainerId, keep: Keep) -> Result<(), TaskError> {
        let bundle = self.bundle(id);
        Ok(spawn_blocking(move || write(&bundle, &keep)).await??)
    }

    /// What the container's last shim has done, if it has left a record.
    pub(crate) async fn kept(&self, id: &ContainerId) -> Option<Kept> {
        let bundle = self.bundle(id);
        // A panic is no record.
        spawn_blocking(move || read(&bundle)).await.ok().flatten()
    }
}

/// Replaces the file; without anything to do there is none.
fn write(bundle: &Path, keep: &Keep) -> Result<(), FileError> {
    let path = bundle.join(FILE_NAME);
    if !keep.is_needed() {
        return match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(source)),
            _ => Ok(()),
        };
    }
    let temporary = bundle.join(".keep.json.new");
    let text = serde_json::to_vec(keep).expect("it has no map with odd keys");
    fs::write(&temporary, text).map_err(failed("write", &temporary))?;
    fs::rename(&temporary, &path).map_err(failed("write", path))
}

/// As [`Tasks::kept`], on a blocking thread.
pub(crate) fn read(bundle: &Path) -> Option<Kept> {
    let mut text = Vec::new();
    let file = fs::File::open(bundle.join(KEPT_FILE_NAME)).ok()?;
    file.take(MAX_BYTES).read_to_end(&mut text).ok()?;
    Kept::parse(&text)
}
