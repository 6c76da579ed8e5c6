//! The copy of a container's record in its bundle, of which a lost record is made again. Nothing here is synced to disk.
//! Its functions block.
#![allow(clippy::disallowed_methods, reason = "its functions are called on blocking threads")]

use std::fs;
use std::path::Path;

use knarr_proto::id::ContainerId;

use super::spec::Record;
use super::upgrade;
use crate::files::{FileError, failed};

/// The copy's name in the bundle.
const COPY: &str = "container.json";

/// Keeps a copy of the record, unless there is one that says the same.
pub(super) fn keep(bundle: &Path, record: &Record) -> Result<(), FileError> {
    let json = serde_json::to_vec(record).expect("a record of our own types is JSON");
    let path = bundle.join(COPY);
    if fs::read(&path).is_ok_and(|kept| kept == json) {
        return Ok(());
    }
    fs::write(&path, &json).map_err(failed("write", path))
}

/// The copy of container `id`'s record, if it can be read; also one that an earlier version wrote.
pub(super) fn read(bundle: &Path, id: &ContainerId) -> Option<Record> {
    let text = fs::read_to_string(bundle.join(COPY)).ok()?;
    let record = serde_json::from_str(&text).ok().filter(|record: &Record| record.spec.id == *id);
    record.or_else(|| upgrade::record(id, &text))
}
