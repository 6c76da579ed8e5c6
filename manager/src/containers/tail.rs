//! Where the last lines of a log begin. A line is all records of one stream up to the one that ends it: records of the
//! other stream may lie between, and it may begin in an older file than it ends in. Lines are counted by their last
//! records, an unfinished line's included; each stream then begins behind its last line that is left out. Files are
//! read newest first, and no more of them than that takes.

use std::collections::VecDeque;
use std::io::{self, Seek, SeekFrom};

use knarr_proto::frame::Stream;
use knarr_proto::log::{Record, Tag};

use super::logs::{LogOptions, Open};

/// A place in the log: the number of the open file, and the offset in it.
pub(super) type Place = (usize, u64);

/// Something for each stream.
#[derive(Clone, Copy, Debug, Default)]
struct PerStream<T> {
    stdout: T,
    stderr: T,
}

impl<T> PerStream<T> {
    fn get(&self, stream: Stream) -> &T {
        match stream {
            Stream::Stdout => &self.stdout,
            Stream::Stderr => &self.stderr,
        }
    }

    fn get_mut(&mut self, stream: Stream) -> &mut T {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }
}

/// Where each stream begins; the default is at once.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Beginnings(PerStream<Place>);

impl Beginnings {
    /// Whether a record of `stream` that begins at `place` belongs to a line that is left out.
    pub(super) fn leave_out(&self, stream: Stream, place: Place) -> bool {
        place < *self.0.get(stream)
    }
}

/// What one file has of one stream.
#[derive(Clone, Copy, Debug, Default)]
struct StreamInFile {
    /// The offset after its last record.
    last: Option<u64>,
    /// The offset after its last record that ends a line.
    last_end: Option<u64>,
}

impl StreamInFile {
    fn is_unfinished(self) -> bool {
        self.last != self.last_end
    }
}

/// The file in which the first of the wanted lines ends.
struct Found {
    index: usize,
    /// How many lines that end there are left out.
    skip: u64,
    streams: PerStream<StreamInFile>,
    /// Streams with records in newer files: a line that is unfinished here goes on there.
    goes_on: PerStream<bool>,
}

/// Leaves only the last `lines` lines of `open` (oldest first) to be read: older files are dropped, the first that is
/// left is moved to where reading begins, and what is left out from there on is returned.
pub(super) fn skip_to_tail(
    open: &mut VecDeque<Open>,
    options: &LogOptions,
    lines: u64,
) -> io::Result<Beginnings> {
    let streams: Vec<Stream> =
        [Stream::Stdout, Stream::Stderr].into_iter().filter(|stream| options.wants(*stream)).collect();
    let Some(found) = find_file(open, &streams, lines)? else { return Ok(Beginnings::default()) };
    let beginnings = find_beginnings(open, &streams, &found)?;
    let first = streams.iter().map(|stream| *beginnings.get(*stream)).min().unwrap_or_default();
    open.drain(..first.0);
    if let Some(front) = open.front_mut() {
        front.seek(first.1)?;
    }
    let moved = |(index, offset): Place| (index.saturating_sub(first.0), offset);
    let PerStream { stdout, stderr } = beginnings;
    Ok(Beginnings(PerStream { stdout: moved(stdout), stderr: moved(stderr) }))
}

fn find_file(open: &mut VecDeque<Open>, wanted: &[Stream], lines: u64) -> io::Result<Option<Found>> {
    let mut goes_on = PerStream::default();
    let mut missing = lines;
    for index in (0..open.len()).rev() {
        let mut count = 0;
        let mut streams: PerStream<StreamInFile> = PerStream::default();
        open[index].scan(|record, after| {
            let stream = streams.get_mut(record.stream);
            stream.last = Some(after);
            if record.tag == Tag::Full {
                stream.last_end = Some(after);
                count += u64::from(wanted.contains(&record.stream));
            }
        })?;
        let unfinished =
            wanted.iter().filter(|stream| streams.get(**stream).is_unfinished() && !goes_on.get(**stream));
        count += unfinished.count() as u64;
        if count >= missing {
            return Ok(Some(Found { index, skip: count - missing, streams, goes_on }));
        }
        missing -= count;
        for stream in wanted {
            *goes_on.get_mut(*stream) |= streams.get(*stream).last.is_some();
        }
    }
    Ok(None)
}

fn find_beginnings(
    open: &mut VecDeque<Open>,
    wanted: &[Stream],
    found: &Found,
) -> io::Result<PerStream<Place>> {
    let mut skipped = 0;
    let mut behind: PerStream<Option<Place>> = PerStream::default();
    open[found.index].scan(|record, after| {
        let is_last = found.streams.get(record.stream).last == Some(after);
        let is_end = record.tag == Tag::Full || (is_last && !found.goes_on.get(record.stream));
        if is_end && skipped < found.skip && wanted.contains(&record.stream) {
            skipped += 1;
            *behind.get_mut(record.stream) = Some((found.index, after));
        }
    })?;
    let mut beginnings = PerStream::default();
    for stream in wanted {
        let has_records = found.streams.get(*stream).last.is_some() || *found.goes_on.get(*stream);
        *beginnings.get_mut(*stream) = match (behind.get(*stream), has_records) {
            (Some(place), _) => *place,
            // Its first line may have begun in an older file.
            (None, true) => last_end_before(open, *stream, found.index)?,
            (None, false) => (found.index, 0),
        };
    }
    Ok(beginnings)
}

/// The place behind the last finished line of `stream` in files older than `index`; the log's beginning if there is none.
fn last_end_before(open: &mut VecDeque<Open>, stream: Stream, index: usize) -> io::Result<Place> {
    for older in (0..index).rev() {
        let mut end = None;
        open[older].scan(|record, after| {
            if record.stream == stream && record.tag == Tag::Full {
                end = Some(after);
            }
        })?;
        if let Some(end) = end {
            return Ok((older, end));
        }
    }
    Ok((0, 0))
}

impl Open {
    /// Reads the file once through from its beginning, with the offset behind each record, and goes back to it.
    fn scan(&mut self, mut visit: impl FnMut(&Record<'_>, u64)) -> io::Result<()> {
        self.seek(0)?;
        while let Some(line) = self.next_line()? {
            if let Some(record) = Record::parse(line.strip_suffix(b"\n").unwrap_or(&line)) {
                visit(&record, self.offset);
            }
        }
        self.seek(0)
    }

    fn seek(&mut self, offset: u64) -> io::Result<()> {
        self.rest.clear();
        self.offset = offset;
        self.reader.seek(SeekFrom::Start(offset)).map(drop)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests serve no clients")]
mod tests {
    use super::super::logs::{LogPiece, LogReader};
    use super::*;

    /// `o` and `e` are a piece of stdout or stderr, `O` and `E` end the line.
    fn write(directory: &tempfile::TempDir, file: &str, records: &str) {
        let text: String = records
            .split_whitespace()
            .map(|record| {
                let (kind, content) = record.split_at(1);
                let stream = if "oO".contains(kind) { "stdout" } else { "stderr" };
                let tag = if "OE".contains(kind) { "F" } else { "P" };
                format!("2026-11-23T10:00:00.000000000Z {stream} {tag} {content}\n")
            })
            .collect();
        std::fs::write(directory.path().join(file), text).expect("written");
    }

    /// The pieces that are shown, in the notation of [`write`].
    fn tail(directory: &tempfile::TempDir, options: &LogOptions) -> String {
        let reader = LogReader::new(directory.path(), 5, options);
        let shown =
            reader.read_all().expect("readable").into_iter().map(|LogPiece { stream, data, .. }| {
                let text = String::from_utf8(data).expect("text");
                let kind = if stream == Stream::Stdout { "o" } else { "e" };
                match text.strip_suffix('\n') {
                    Some(line) => format!("{}{line}", kind.to_uppercase()),
                    None => format!("{kind}{text}"),
                }
            });
        shown.collect::<Vec<_>>().join(" ")
    }

    fn last(lines: u64) -> LogOptions {
        LogOptions { tail: Some(lines), ..LogOptions::default() }
    }

    #[test]
    fn pieces_of_a_line_stay_together_around_lines_of_the_other_stream() {
        for (records, lines, expected) in [
            ("Oa ob Ec od Oe", 1, "ob od Oe"),
            ("Oa ob Ec od Oe", 2, "ob Ec od Oe"),
            ("Oa ob Ec od Oe", 3, "Oa ob Ec od Oe"),
            ("Oa ob Ec od Oe", 0, ""),
            ("ob Ec Oe Ef", 1, "Ef"),
            ("ob Ec Oe Ef", 2, "ob Oe Ef"),
            ("ob ec od ee Of Eg", 1, "ec ee Eg"),
            ("ob ec od ee Of Eg", 2, "ob ec od ee Of Eg"),
            // A line that is not finished counts from its last piece.
            ("Oa ob Ec", 1, "Ec"),
            ("Oa ob Ec", 2, "ob Ec"),
            ("Oa Ec ob", 1, "ob"),
            ("eA Oa Ob Oc", 2, "Ob Oc"),
            ("eA Oa Ob Oc", 4, "eA Oa Ob Oc"),
        ] {
            let directory = tempfile::tempdir().expect("a directory");
            write(&directory, "log", records);
            assert_eq!(tail(&directory, &last(lines)), expected, "the last {lines} of {records}");
        }
    }

    #[test]
    fn a_line_is_followed_back_into_older_files() {
        let directory = tempfile::tempdir().expect("a directory");
        write(&directory, "log.2", "Oa eb Oc");
        write(&directory, "log.1", "od Oe of");
        write(&directory, "log", "Og Eh Oi");
        for (lines, expected) in [
            (1, "Oi"),
            (2, "eb Eh Oi"),
            (3, "eb of Og Eh Oi"),
            (4, "eb od Oe of Og Eh Oi"),
            (5, "eb Oc od Oe of Og Eh Oi"),
            (6, "Oa eb Oc od Oe of Og Eh Oi"),
            (99, "Oa eb Oc od Oe of Og Eh Oi"),
        ] {
            assert_eq!(tail(&directory, &last(lines)), expected, "the last {lines}");
        }
    }

    #[test]
    fn only_lines_that_are_asked_for_are_counted() {
        let directory = tempfile::tempdir().expect("a directory");
        write(&directory, "log.1", "Oa Ob Ec");
        write(&directory, "log", "Ed Ee Of");
        let of = |stdout, stderr, lines| LogOptions { stdout, stderr, ..last(lines) };
        assert_eq!(tail(&directory, &of(true, false, 2)), "Ob Of");
        assert_eq!(tail(&directory, &of(false, true, 2)), "Ed Ee");
        assert_eq!(tail(&directory, &of(true, true, 2)), "Ee Of");
    }

    /// Against the plain definition, on every log of six records in two files.
    #[test]
    fn every_short_log_is_cut_as_the_definition_says() {
        let kinds = ["o", "O", "e", "E"];
        for number in 0..4_usize.pow(6) {
            let record = |index: usize| format!("{}{index}", kinds[number / 4_usize.pow(index as u32) % 4]);
            let records: Vec<String> = (0..6).map(record).collect();
            let directory = tempfile::tempdir().expect("a directory");
            write(&directory, "log.1", &records[..3].join(" "));
            write(&directory, "log", &records[3..].join(" "));
            for lines in [1, 2] {
                let expected = by_definition(&records, lines).join(" ");
                assert_eq!(
                    tail(&directory, &last(lines as u64)),
                    expected,
                    "the last {lines} of {records:?}"
                );
            }
        }
    }

    /// Gives every record the number of its line, orders lines by their last records, and keeps the last ones.
    fn by_definition(records: &[String], lines: usize) -> Vec<String> {
        let mut line_of: Vec<(char, usize)> = Vec::new();
        let mut numbers = std::collections::HashMap::from([('o', 0), ('e', 0)]);
        for record in records {
            let kind = record.chars().next().expect("a kind");
            let number = numbers.get_mut(&kind.to_ascii_lowercase()).expect("a stream");
            line_of.push((kind.to_ascii_lowercase(), *number));
            *number += usize::from(kind.is_uppercase());
        }
        let mut by_end: Vec<(char, usize)> = Vec::new();
        for line in line_of.iter().rev() {
            if !by_end.contains(line) {
                by_end.push(*line);
            }
        }
        let kept = &by_end[..lines.min(by_end.len())];
        let shown = records.iter().zip(&line_of).filter(|(_, line)| kept.contains(line));
        shown.map(|(record, _)| record.clone()).collect()
    }
}
