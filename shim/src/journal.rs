//! The shim's own messages, for the machine's administrator: containerd's `log` fifo in the bundle, else `shim.log`
//! there. Bounded, and never waits: a reader that does not read loses lines.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::sync::OnceLock;
use std::time::SystemTime;

use rustix::fs::OFlags;

use crate::timestamp::rfc3339;

/// A shim that has this much to say about one container repeats itself.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Process-wide like stderr, which the server does not have: the process that started it may wait for its end of file.
static JOURNAL: OnceLock<Journal> = OnceLock::new();

#[derive(Debug)]
struct Journal {
    file: File,
    is_bounded: bool,
    debug: bool,
}

/// Opens the journal of the server for `bundle`. On a full disk, or without a bundle, there is none: a shim that cannot
/// write messages can still do everything else.
pub(crate) fn open(bundle: &Path, debug: bool) {
    // It would be told here.
    try_open(bundle, debug).ok();
}

fn try_open(bundle: &Path, debug: bool) -> std::io::Result<()> {
    let fifo = bundle.join("log");
    let is_fifo = fifo.symlink_metadata().is_ok_and(|metadata| metadata.file_type().is_fifo());
    let file = if is_fifo {
        // For reading too: then a containerd that restarts neither fails the open nor breaks the pipe.
        let flags = (OFlags::NONBLOCK | OFlags::NOFOLLOW).bits().cast_signed();
        OpenOptions::new().read(true).write(true).custom_flags(flags).open(fifo)?
    } else {
        OpenOptions::new().append(true).create(true).mode(0o600).open(bundle.join("shim.log"))?
    };
    // Only main calls this, once.
    JOURNAL.set(Journal { file, is_bounded: !is_fifo, debug }).ok();
    Ok(())
}

/// The program's last words: into the journal, or to the caller's stderr.
pub(crate) fn fail(message: &str) {
    if JOURNAL.get().is_some() {
        write("fatal", message);
    } else {
        eprintln!("containerd-shim-knarr-v2: {message}");
    }
}

/// A person may have to act.
pub(crate) fn warn(message: &str) {
    write("warning", message);
}

/// The shim's own path, with -debug.
pub(crate) fn debug(message: &str) {
    if JOURNAL.get().is_some_and(|journal| journal.debug) {
        write("debug", message);
    }
}

fn write(level: &str, message: &str) {
    let line = format!("time=\"{}\" level={level} msg={message:?}\n", rfc3339(SystemTime::now()));
    let Some(journal) = JOURNAL.get() else {
        eprint!("{line}");
        return;
    };
    let is_full =
        journal.is_bounded && journal.file.metadata().map_or(true, |file| file.len() > MAX_FILE_BYTES);
    if !is_full {
        // No reader is left.
        (&journal.file).write_all(line.as_bytes()).ok();
    }
}
