//! A container's recorded output, through rotation: older files first, then the newest as it grows. Following waits for
//! the kernel to say that something changed (inotify); it never polls.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use knarr_proto::frame::Stream;
use knarr_proto::log::{MAX_CONTENT_BYTES, Record, Tag};
use rustix::fs::inotify;
use tokio::io::unix::AsyncFd;

use super::container::Container;
use super::error::{ContainerError, files};
use super::handle::Containers;
use super::tail::{Beginnings, skip_to_tail};

/// What is read at one go, so that a long log is neither in memory at once nor read in tiny steps.
const BATCH_BYTES: usize = 256 * 1024;
/// A record: its longest content, and time, stream and tag before it.
const MAX_RECORD_BYTES: u64 = MAX_CONTENT_BYTES as u64 + 128;

/// Which output is wanted. Times are RFC 3339 in UTC with nine digits, whose text order is their time order.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogOptions {
    pub(crate) follow: bool,
    pub(crate) stdout: bool,
    pub(crate) stderr: bool,
    pub(crate) since: Option<String>,
    pub(crate) until: Option<String>,
    /// The last so many lines only.
    pub(crate) tail: Option<u64>,
}

impl LogOptions {
    /// Whether a stream's output is asked for; asking for neither is asking for both.
    pub(super) fn wants(&self, stream: Stream) -> bool {
        let both = self.stdout == self.stderr;
        match stream {
            Stream::Stdout => both || self.stdout,
            Stream::Stderr => both || self.stderr,
        }
    }
}

/// A piece of output, at most [`MAX_CONTENT_BYTES`] and a newline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogPiece {
    pub(crate) stream: Stream,
    /// RFC 3339.
    pub(crate) time: String,
    /// With its newline when the line is complete.
    pub(crate) data: Vec<u8>,
}

/// Reads a container's log, once through.
pub(crate) struct LogReader {
    files: Files,
    options: LogOptions,
    follow: Option<Follow>,
}

struct Follow {
    container: Arc<Container>,
    stopping: tokio_util::sync::CancellationToken,
    changes: AsyncFd<OwnedFd>,
}

/// The log's files, oldest first; the first one is being read.
struct Files {
    path: PathBuf,
    max_files: u32,
    open: VecDeque<Open>,
    /// The number of the first one that is open, counted from where reading began.
    front: usize,
    /// What is left out there, for a tail.
    beginnings: Beginnings,
    opened_once: bool,
    /// Where a log that is not followed ends: the newest file and its size when reading began. A container that writes
    /// faster than its log is read would never let it end.
    end: Option<((u64, u64), u64)>,
}

/// One file of the log.
pub(super) struct Open {
    pub(super) reader: BufReader<File>,
    inode: (u64, u64),
    /// Behind the last whole record.
    pub(super) offset: u64,
    /// The beginning of a record whose end is not written yet.
    pub(super) rest: Vec<u8>,
}

/// The container's recorded output.
///
/// # Errors
/// [`ContainerError::NotFound`], [`ContainerError::NoLog`], or that the log cannot be watched.
pub(crate) fn logs(
    containers: &Containers,
    text: &str,
    options: &LogOptions,
) -> Result<LogReader, ContainerError> {
    let container = containers.registry.find(text)?;
    let bounds = containers.execution.logs.chosen(container.spec.streams.log);
    let bounds = bounds.ok_or_else(|| ContainerError::NoLog(container.name()))?;
    let mut reader = LogReader::new(&container.bundle, bounds.max_files, options);
    if options.follow {
        let stopping = containers.work.stopping();
        let changes = watch(&container.bundle).map_err(files("watch", &container.bundle))?;
        reader.follow = Some(Follow { container, stopping, changes });
    }
    Ok(reader)
}

impl LogReader {
    /// Of the log in `bundle`, as far as it is now.
    pub(super) fn new(bundle: &Path, max_files: u32, options: &LogOptions) -> Self {
        let path = bundle.join(crate::tasks::bundle::LOG);
        let files = Files {
            path,
            max_files,
            open: VecDeque::new(),
            front: 0,
            beginnings: Beginnings::default(),
            opened_once: false,
            end: None,
        };
        Self { files, options: options.clone(), follow: None }
    }

    /// The next pieces; `None` at the end, which for a followed log is after the container's.
    ///
    /// # Errors
    /// [`ContainerError::File`] when the log cannot be read.
    pub(crate) async fn next(mut self) -> Result<Option<(Vec<LogPiece>, Self)>, ContainerError> {
        loop {
            // Asked before reading, so that what was written before the end is read after it is known.
            let is_over = match &self.follow {
                Some(follow) => follow.is_over().await,
                None => true,
            };
            let (reader, batch) = tokio::task::spawn_blocking(move || {
                let batch = self.files.read(&self.options);
                (self, batch)
            })
            .await?;
            self = reader;
            let batch = batch.map_err(files("read the log", &self.files.path))?;
            if !batch.pieces.is_empty() {
                return Ok(Some((batch.pieces, self)));
            }
            if batch.past_until || (batch.at_end && is_over) {
                return Ok(None);
            }
            if let Some(follow) = self.follow.as_mut().filter(|_| batch.at_end) {
                follow.changed().await.map_err(files("watch the log", &self.files.path))?;
            }
        }
    }
}

#[cfg(test)]
impl LogReader {
    /// All pieces that are there now.
    pub(super) fn read_all(mut self) -> io::Result<Vec<LogPiece>> {
        let mut pieces = Vec::new();
        loop {
            let batch = self.files.read(&self.options)?;
            pieces.extend(batch.pieces);
            if batch.at_end || batch.past_until {
                return Ok(pieces);
            }
        }
    }
}

impl Follow {
    /// Whether nothing will be written any more. An ended container's shim may still be writing until the clean-up,
    /// which has the turn, is done.
    async fn is_over(&self) -> bool {
        if self.stopping.is_cancelled() {
            return true;
        }
        let (live, removed) = {
            let life = self.container.life.borrow();
            (life.phase.holds_shim(), life.removed)
        };
        if live || removed {
            return removed;
        }
        drop(self.container.turn.lock().await);
        !self.container.life.borrow().phase.holds_shim()
    }

    /// Returns when the log or the container has changed.
    async fn changed(&mut self) -> io::Result<()> {
        let mut life = self.container.life.subscribe();
        let ended = life.wait_for(|life| !life.phase.holds_shim());
        tokio::select! {
            ready = self.changes.readable_mut() => {
                let mut ready = ready?;
                // Which file it was does not matter: all that has come is thrown away.
                let mut buffer = [MaybeUninit::uninit(); 4096];
                match rustix::io::read(ready.get_inner(), &mut buffer) {
                    Ok(_) => {}
                    Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => ready.clear_ready(),
                    Err(errno) => return Err(errno.into()),
                }
            }
            _ = ended => {}
            () = self.stopping.cancelled() => {}
        }
        Ok(())
    }
}

#[expect(
    deprecated,
    reason = "what replaces it is unsafe to call; an OwnedFd keeps the promise that it asks for"
)]
fn watch(directory: &Path) -> io::Result<AsyncFd<OwnedFd>> {
    let descriptor = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    let changes = inotify::WatchFlags::MODIFY
        | inotify::WatchFlags::CREATE
        | inotify::WatchFlags::MOVED_TO
        | inotify::WatchFlags::DELETE_SELF;
    inotify::add_watch(&descriptor, directory, changes)?;
    AsyncFd::with_interest(descriptor, tokio::io::Interest::READABLE)
}

struct Batch {
    pieces: Vec<LogPiece>,
    /// There is nothing more at the moment.
    at_end: bool,
    /// There will be nothing more that is wanted.
    past_until: bool,
}

impl Files {
    fn read(&mut self, options: &LogOptions) -> io::Result<Batch> {
        if !self.opened_once {
            self.opened_once = true;
            self.open = self.newer_than(None)?;
            if let Some(newest) = self.open.back().filter(|_| !options.follow) {
                self.end = Some((newest.inode, newest.reader.get_ref().metadata()?.len()));
            }
            if let Some(lines) = options.tail {
                self.beginnings = skip_to_tail(&mut self.open, options, lines)?;
            }
        }
        let beginnings = self.beginnings;
        let mut batch = Batch { pieces: Vec::new(), at_end: false, past_until: false };
        let mut bytes = 0;
        while bytes < BATCH_BYTES && !batch.past_until {
            let Some(current) = self.open.front_mut() else {
                self.open = self.newer_than(None)?;
                batch.at_end = self.open.is_empty();
                if batch.at_end { break } else { continue }
            };
            if self.end.is_some_and(|(newest, size)| current.inode == newest && current.offset >= size) {
                batch.at_end = true;
                break;
            }
            let place = (self.front, current.offset);
            match current.next_line()? {
                Some(line) => {
                    bytes += line.len();
                    take(&line, options, &mut batch, |stream| beginnings.leave_out(stream, place));
                }
                None if self.open.len() > 1 => {
                    self.open.pop_front();
                    self.front += 1;
                }
                None if self.end.is_some() => {
                    batch.at_end = true;
                    break;
                }
                None => {
                    let newer = self.newer_than(self.open.front().map(|open| open.inode))?;
                    batch.at_end = newer.is_empty();
                    if batch.at_end {
                        break;
                    }
                    // Rotated: what was written to this one before that is still to be read.
                    self.open.extend(newer);
                }
            }
        }
        Ok(batch)
    }

    /// The files newer than the one with this inode, oldest first. Opened newest first: rotation only ever moves a file
    /// to a higher number, so none is missed, and one that is met twice is known by its inode.
    #[allow(clippy::disallowed_methods, reason = "on a blocking thread")]
    fn newer_than(&self, inode: Option<(u64, u64)>) -> io::Result<VecDeque<Open>> {
        let mut found: VecDeque<Open> = VecDeque::new();
        for number in 0..=self.max_files {
            let path = match number {
                0 => self.path.clone(),
                _ => PathBuf::from(format!("{}.{number}", self.path.display())),
            };
            let file = match File::open(&path) {
                Ok(file) => file,
                // Between a rename and the next create there is no newest file.
                Err(error) if error.kind() == io::ErrorKind::NotFound && number == 0 => continue,
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => return Err(error),
            };
            let metadata = file.metadata()?;
            let this = (metadata.dev(), metadata.ino());
            if Some(this) == inode {
                break;
            }
            if !found.iter().any(|open| open.inode == this) {
                found.push_front(Open {
                    reader: BufReader::with_capacity(64 * 1024, file),
                    inode: this,
                    offset: 0,
                    rest: Vec::new(),
                });
            }
        }
        Ok(found)
    }
}

impl Open {
    /// The next whole record with its newline; `None` when there is none yet.
    pub(super) fn next_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let limit = MAX_RECORD_BYTES.saturating_sub(self.rest.len() as u64).max(1);
        self.reader.by_ref().take(limit).read_until(b'\n', &mut self.rest)?;
        let whole = self.rest.ends_with(b"\n") || self.rest.len() as u64 >= MAX_RECORD_BYTES;
        if !whole {
            return Ok(None);
        }
        self.offset += self.rest.len() as u64;
        Ok(Some(std::mem::take(&mut self.rest)))
    }
}

fn take(line: &[u8], options: &LogOptions, batch: &mut Batch, is_left_out: impl Fn(Stream) -> bool) {
    // A torn record, of a machine that lost power: left out.
    let Some(record) = Record::parse(line.strip_suffix(b"\n").unwrap_or(line)) else { return };
    if options.until.as_deref().is_some_and(|until| record.time > until) {
        batch.past_until = true;
        return;
    }
    if !options.wants(record.stream)
        || is_left_out(record.stream)
        || options.since.as_deref().is_some_and(|since| record.time < since)
    {
        return;
    }
    let mut data = record.content.to_vec();
    if record.tag == Tag::Full {
        data.push(b'\n');
    }
    batch.pieces.push(LogPiece { stream: record.stream, time: record.time.to_owned(), data });
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests serve no clients")]
mod tests {
    use super::*;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("knarrd-logs-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).expect("a scratch directory");
            Self(path)
        }

        fn write(&self, file: &str, records: &[(&str, &str, &str)]) {
            let lines: String = records
                .iter()
                .map(|(second, tag, text)| {
                    format!("2026-11-23T10:00:{second}.000000000Z stdout {tag} {text}\n")
                })
                .collect();
            std::fs::write(self.0.join(file), lines).expect("written");
        }

        fn read(&self, options: &LogOptions) -> String {
            let mut reader = LogReader::new(&self.0, 5, options);
            let mut text = String::new();
            loop {
                let batch = reader.files.read(options).expect("readable");
                for piece in batch.pieces {
                    text.push_str(&String::from_utf8(piece.data).expect("text"));
                }
                if batch.at_end || batch.past_until {
                    return text;
                }
            }
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).expect("cleaned up");
        }
    }

    #[test]
    fn a_log_that_grows_faster_than_it_is_read_ends_where_it_ended_at_the_beginning() {
        use std::io::Write as _;

        let scratch = Scratch::new("grows");
        let line = "x".repeat(1000);
        let records: Vec<_> = (0..600).map(|_| ("01", "F", line.as_str())).collect();
        scratch.write("log", &records);
        let mut reader = LogReader::new(&scratch.0, 5, &LogOptions::default());
        let mut count = 0;
        for round in 0.. {
            assert!(round < 100, "it does not end");
            let batch = reader.files.read(&reader.options).expect("readable");
            count += batch.pieces.len();
            if batch.at_end {
                break;
            }
            if round == 1 {
                std::fs::rename(scratch.0.join("log"), scratch.0.join("log.1")).expect("rotated");
            }
            let mut log =
                File::options().create(true).append(true).open(scratch.0.join("log")).expect("there");
            for _ in 0..600 {
                writeln!(log, "2026-11-23T10:00:02.000000000Z stdout F {line}").expect("written");
            }
        }
        assert_eq!(count, 600);
    }

    #[test]
    fn rotated_files_are_read_oldest_first() {
        let scratch = Scratch::new("order");
        scratch.write("log.2", &[("01", "F", "one")]);
        scratch.write("log.1", &[("02", "F", "two"), ("03", "P", "thr")]);
        scratch.write("log", &[("03", "F", "ee"), ("04", "F", "four")]);
        let tail = |lines| scratch.read(&LogOptions { tail: Some(lines), ..LogOptions::default() });
        assert_eq!(scratch.read(&LogOptions::default()), "one\ntwo\nthree\nfour\n");
        assert_eq!(tail(0), "");
        assert_eq!(tail(1), "four\n");
        assert_eq!(tail(3), "two\nthree\nfour\n");
        assert_eq!(tail(99), "one\ntwo\nthree\nfour\n");
    }

    #[test]
    fn an_unfinished_line_is_a_line_of_the_tail() {
        let scratch = Scratch::new("unfinished");
        scratch.write("log", &[("01", "F", "one"), ("02", "P", "tw")]);
        let tail = |lines| scratch.read(&LogOptions { tail: Some(lines), ..LogOptions::default() });
        assert_eq!((tail(0).as_str(), tail(1).as_str(), tail(2).as_str()), ("", "tw", "one\ntw"));
    }

    #[test]
    fn times_are_bounds() {
        let scratch = Scratch::new("times");
        scratch.write("log", &[("01", "F", "a"), ("02", "F", "b"), ("03", "F", "c")]);
        let at = |second: &str| Some(format!("2026-11-23T10:00:{second}.000000000Z"));
        let between = LogOptions { since: at("02"), until: at("02"), ..LogOptions::default() };
        assert_eq!(scratch.read(&between), "b\n");
        assert_eq!(scratch.read(&LogOptions { stderr: true, ..LogOptions::default() }), "");
    }

    #[test]
    fn a_line_without_its_end_yet_is_read_when_it_is_there() {
        let scratch = Scratch::new("torn");
        let path = scratch.0.join("log");
        std::fs::write(&path, "2026-11-23T10:00:01.000000000Z std").expect("written");
        let options = LogOptions { follow: true, ..LogOptions::default() };
        let mut reader = LogReader::new(&scratch.0, 5, &options);
        assert!(reader.files.read(&options).expect("readable").pieces.is_empty());
        io::Write::write_all(
            &mut File::options().append(true).open(&path).expect("opened"),
            b"out F x\n2026-11-23T10:00:02.000000000Z stdout P y\n",
        )
        .expect("appended");
        let pieces = reader.files.read(&options).expect("readable").pieces;
        let data: Vec<&[u8]> = pieces.iter().map(|piece| piece.data.as_slice()).collect();
        assert_eq!(data, [&b"x\n"[..], b"y"]);
    }

    #[test]
    fn a_reader_goes_on_in_the_next_file_after_a_rotation() {
        let scratch = Scratch::new("rotate");
        scratch.write("log", &[("01", "F", "a")]);
        let options = LogOptions { follow: true, ..LogOptions::default() };
        let mut reader = LogReader::new(&scratch.0, 5, &options);
        assert_eq!(reader.files.read(&options).expect("readable").pieces.len(), 1);
        std::fs::rename(scratch.0.join("log"), scratch.0.join("log.1")).expect("rotated");
        std::fs::rename(scratch.0.join("log.1"), scratch.0.join("log.2")).expect("rotated twice");
        scratch.write("log.1", &[("02", "F", "b")]);
        scratch.write("log", &[("03", "F", "c")]);
        let pieces = reader.files.read(&options).expect("readable").pieces;
        let data: Vec<&[u8]> = pieces.iter().map(|piece| piece.data.as_slice()).collect();
        assert_eq!(data, [&b"b\n"[..], b"c\n"]);
    }
}
