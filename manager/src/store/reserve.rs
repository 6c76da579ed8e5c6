//! Room kept for the records, so that a full disk can be left: removing something has to write, too. It is given back
//! when a removal finds no room, or at start, and kept again once there is room.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use crate::files::has_room;

/// What SQLite writes at most before it writes over the same again, its log (4 MiB), fits.
const RESERVED_BYTES: u64 = 4 << 20;
/// Disks run out of inodes, too. Starting takes a handful.
const RESERVED_FILES: u32 = 32;
/// With less than this, the disk counts as full at start.
const FULL_BYTES: u64 = 1 << 20;
const FULL_FILES: u64 = 16;

/// Blocks that SQLite's log has before it needs them: as long as it is before it is written from its beginning again.
const LOG_BYTES: u64 = 4 << 20;

/// Allocates the blocks of the log of `database` in advance, so that records can still be changed on a full disk.
/// Its length does not change. Where there is no room, or the file system has no such thing, it grows as it did.
pub(super) fn allocate_log(database: &Path) {
    let mut log = database.as_os_str().to_owned();
    log.push("-wal");
    let allocated = File::options()
        .write(true)
        .open(&log)
        .and_then(|file| Ok(rustix::fs::fallocate(&file, FallocateFlags::KEEP_SIZE, 0, LOG_BYTES)?));
    if let Err(error) = allocated {
        tracing::debug!(log = %Path::new(&log).display(), %error, "the database's log has no blocks of its own");
    }
}

/// The room, a directory of files beside the database.
pub(super) struct Reserve {
    directory: PathBuf,
    is_kept: AtomicBool,
}

impl Reserve {
    /// Finds what an earlier knarrd kept, and gives it back if the disk is full: opening the database writes.
    pub(super) fn at_start(database: &Path) -> Self {
        let directory = database.with_file_name("reserve");
        let is_kept = AtomicBool::new(directory.exists());
        let reserve = Self { directory, is_kept };
        if reserve.is_disk_full() {
            reserve.give_back();
        }
        reserve
    }

    /// Makes room. Returns false if there was none to give.
    pub(super) fn give_back(&self) -> bool {
        if !self.is_kept.swap(false, Ordering::Relaxed) {
            return false;
        }
        match fs::remove_dir_all(&self.directory) {
            Ok(()) => {
                tracing::warn!(reserve = %self.directory.display(), "the disk is full: the room reserved for removals is used");
                true
            }
            Err(error) => {
                tracing::warn!(reserve = %self.directory.display(), %error, "the reserved room cannot be given back");
                false
            }
        }
    }

    /// Keeps room if none is kept and there is some. Costs nothing while it is kept.
    pub(super) fn keep(&self) {
        if self.is_kept.load(Ordering::Relaxed) {
            return;
        }
        match self.make() {
            Ok(is_kept) => self.is_kept.store(is_kept, Ordering::Relaxed),
            Err(error) => {
                tracing::debug!(reserve = %self.directory.display(), %error, "no room is reserved");
                // What there is of it is no reserve, and somebody needs it.
                drop(fs::remove_dir_all(&self.directory));
            }
        }
    }

    fn make(&self) -> io::Result<bool> {
        let beside = File::open(self.directory.parent().unwrap_or(Path::new("/")))?;
        if !has_room(&beside, RESERVED_BYTES)? {
            return Ok(false);
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        for number in 1..RESERVED_FILES {
            File::create(self.directory.join(number.to_string()))?;
        }
        let file = File::create(self.directory.join("0"))?;
        match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, RESERVED_BYTES) {
            Err(Errno::OPNOTSUPP) => {
                io::copy(&mut io::repeat(0).take(RESERVED_BYTES), &mut &file)?;
            }
            other => other?,
        }
        Ok(true)
    }

    fn is_disk_full(&self) -> bool {
        let Some(disk) = self.directory.parent().and_then(|beside| rustix::fs::statvfs(beside).ok()) else {
            return false;
        };
        let has_inodes = disk.f_files == 0 || disk.f_favail >= FULL_FILES;
        disk.f_bavail.saturating_mul(disk.f_frsize) < FULL_BYTES || !has_inodes
    }
}
