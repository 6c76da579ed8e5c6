//! The container's log: records appended to a file that is rotated at its size. A disk that is full costs records, which
//! are counted, never the container.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use knarr_proto::frame::Stream;
use knarr_proto::log::append_records;
use knarr_proto::stdio::LogTarget;

use crate::journal;
use crate::timestamp::rfc3339;

/// The log of one container.
#[derive(Debug)]
pub(crate) struct Log {
    target: LogTarget,
    file: File,
    size: u64,
    /// Bytes of output that could not be recorded since the last time that one could.
    lost: u64,
    /// Reused for records; given back when large.
    buffer: Vec<u8>,
}

/// Kept between appends: a line or two. A flood's buffer is given back to the system.
const KEPT_BUFFER_BYTES: usize = 4096;

impl Log {
    /// Opens the newest file, made if missing and ended with a newline if an earlier writer died in the middle.
    pub(crate) fn open(target: LogTarget) -> io::Result<Self> {
        let mut file = open_newest(Path::new(&target.path))?;
        let mut size = file.metadata()?.len();
        if size > 0 {
            file.seek(SeekFrom::Start(size - 1))?;
            let mut last = [0];
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
                size += 1;
            }
        }
        Ok(Self { target, file, size, lost: 0, buffer: Vec::new() })
    }

    /// Records what the process wrote. Never fails the caller: what cannot be recorded is counted and told in the
    /// shim's own log.
    pub(crate) fn append(&mut self, stream: Stream, chunk: &[u8]) {
        if chunk.is_empty() {
            return;
        }
        let mut records = std::mem::take(&mut self.buffer);
        append_records(&mut records, &rfc3339(SystemTime::now()), stream, chunk);
        match self.store(&records) {
            Ok(()) => {
                if self.lost > 0 {
                    journal::warn(&format!(
                        "log {}: {} bytes of output were lost",
                        self.target.path, self.lost
                    ));
                    self.lost = 0;
                }
            }
            Err(error) => {
                if self.lost == 0 {
                    journal::warn(&format!("log {}: output is being lost: {error}", self.target.path));
                }
                self.lost += u64::try_from(chunk.len()).unwrap_or(u64::MAX);
            }
        }
        records.clear();
        records.shrink_to(KEPT_BUFFER_BYTES);
        self.buffer = records;
    }

    fn store(&mut self, records: &[u8]) -> io::Result<()> {
        if self.size >= self.target.max_size_bytes {
            self.rotate()?;
        }
        if let Err(error) = self.file.write_all(records) {
            // Half a record must not swallow the next one; a file that cannot even be cut gets a torn line.
            self.file.set_len(self.size)?;
            return Err(error);
        }
        self.size += u64::try_from(records.len()).expect("a length fits");
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        let newest = Path::new(&self.target.path);
        for number in (1..self.target.max_files).rev() {
            let older = numbered(newest, number);
            let source = if number == 1 { newest.to_owned() } else { numbered(newest, number - 1) };
            match fs::rename(source, older) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        if self.target.max_files == 1 {
            fs::remove_file(newest)?;
        }
        self.file = open_newest(newest)?;
        self.size = self.file.metadata()?.len();
        Ok(())
    }
}

fn open_newest(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o640).open(path)
}

fn numbered(newest: &Path, number: u32) -> PathBuf {
    let mut name = newest.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use knarr_proto::log::Record;

    fn log_in(directory: &Path, max_size_bytes: u64, max_files: u32) -> LogTarget {
        let path = directory.join("log").to_str().expect("UTF-8").to_owned();
        LogTarget { path, max_size_bytes, max_files }
    }

    fn contents(path: &Path) -> Vec<String> {
        let text = fs::read(path).expect("the file is there");
        text.split(|byte| *byte == b'\n')
            .filter_map(Record::parse)
            .map(|record| String::from_utf8(record.content.to_vec()).expect("UTF-8"))
            .collect()
    }

    #[test]
    fn a_full_file_is_rotated_and_the_oldest_is_let_go() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut log = Log::open(log_in(directory.path(), 40, 2)).expect("writable");
        for line in ["one\n", "two\n", "three\n"] {
            log.append(Stream::Stdout, line.as_bytes());
        }
        assert_eq!(contents(&directory.path().join("log")), ["three"]);
        assert_eq!(contents(&directory.path().join("log.1")), ["two"]);
        assert!(!directory.path().join("log.2").exists());
    }

    #[test]
    fn one_file_is_one_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut log = Log::open(log_in(directory.path(), 1, 1)).expect("writable");
        log.append(Stream::Stdout, b"one\n");
        log.append(Stream::Stdout, b"two\n");
        assert_eq!(contents(&directory.path().join("log")), ["two"]);
        assert_eq!(fs::read_dir(directory.path()).expect("readable").count(), 1);
    }

    #[test]
    fn a_torn_record_does_not_swallow_the_next() {
        let directory = tempfile::tempdir().expect("a directory");
        let target = log_in(directory.path(), 1000, 2);
        fs::write(&target.path, "2026-11-23T10:00").expect("writable");
        let mut log = Log::open(target).expect("writable");
        log.append(Stream::Stderr, b"whole\n");
        assert_eq!(contents(&directory.path().join("log")), ["whole"]);
    }
}
