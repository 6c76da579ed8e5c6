//! The entries of a layer's tar: ustar, GNU and PAX headers, read block by block with a bound on everything.
//! The tar library reads the fields of one block; what blocks mean together is decided here (Go's archive/tar is the
//! model, since every builder and engine reads layers with it).

use std::ffi::CString;

use rustix::fs::Timespec;
use tar::{EntryType, Header};

use super::error::{LayerError, shown};
use super::extensions::{Extensions, Segment};
use super::message::Limits;
use super::path::EntryPath;
use super::stream::Stream;

pub(super) const BLOCK_BYTES: u64 = 512;
/// A path of PATH_MAX, written as a GNU long name.
const MAX_LONG_NAME_BYTES: u64 = 8 << 10;
/// Extended attributes are at most 64 KiB each; a handful of them fits.
const MAX_PAX_BYTES: u64 = 1 << 20;
/// Pieces of a sparse file.
pub(super) const MAX_SEGMENTS: usize = 1 << 16;

/// What an entry is.
#[derive(Debug)]
pub(super) enum Kind {
    /// Its data follows; with segments, they say where in the file it goes.
    File {
        size_bytes: u64,
        segments: Option<Vec<Segment>>,
    },
    Directory,
    Symlink(Vec<u8>),
    HardLink(EntryPath),
    Character(u32, u32),
    Block(u32, u32),
    Fifo,
}

/// One entry.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) path: EntryPath,
    pub(super) kind: Kind,
    /// Permissions with setuid, setgid and sticky.
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) modified: Timespec,
    pub(super) xattrs: Vec<(CString, Vec<u8>)>,
}

/// A tar being read.
pub(super) struct Archive {
    stream: Stream,
    limits: Limits,
    entries: u64,
    /// Data of the current entry that was not read, then its padding.
    data_bytes: u64,
    padding_bytes: u64,
}

impl Archive {
    pub(super) fn new(stream: Stream, limits: Limits) -> Self {
        Self { stream, limits, entries: 0, data_bytes: 0, padding_bytes: 0 }
    }

    /// Reads on to the next entry; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, LayerError> {
        let mut extensions = Extensions::default();
        loop {
            self.skip_data()?;
            let at_bytes = self.stream.position_bytes();
            let Some(header) = self.header()? else { return Ok(None) };
            let size_bytes =
                number(at_bytes, "its size is no number", &header.as_old().size, header.entry_size())?;
            match header.entry_type() {
                EntryType::XHeader => {
                    let records = self.small(size_bytes, MAX_PAX_BYTES, "bytes in a PAX header")?;
                    extensions.read_pax(&records, at_bytes)?;
                }
                // Comments of git archive; nobody applies them.
                EntryType::XGlobalHeader => {
                    self.small(size_bytes, MAX_PAX_BYTES, "bytes in a PAX header")?;
                }
                EntryType::GNULongName => {
                    let name = self.small(size_bytes, MAX_LONG_NAME_BYTES, "bytes in a path")?;
                    extensions.set_path(until_nul(&name));
                }
                EntryType::GNULongLink => {
                    let name = self.small(size_bytes, MAX_LONG_NAME_BYTES, "bytes in a path")?;
                    extensions.set_link(until_nul(&name));
                }
                _ => return self.entry(&header, extensions, at_bytes, size_bytes).map(Some),
            }
        }
    }

    /// Hands out the current entry's data, piece by piece.
    pub(super) fn data(
        &mut self,
        piece: impl FnMut(&[u8]) -> Result<(), LayerError>,
    ) -> Result<(), LayerError> {
        self.stream.take(std::mem::take(&mut self.data_bytes), piece)
    }

    /// Everything after the last entry, too, belongs to the layer's digest.
    pub(super) fn finish(mut self) -> Result<Stream, LayerError> {
        self.stream.drain()?;
        Ok(self.stream)
    }

    fn skip_data(&mut self) -> Result<(), LayerError> {
        let rest = std::mem::take(&mut self.data_bytes);
        self.stream.take(rest, |_| Ok(()))?;
        // docker's own archives may end without it, which Go's reader takes for the end.
        let mut padding = [0; BLOCK_BYTES as usize];
        let count = std::mem::take(&mut self.padding_bytes) as usize;
        self.stream.read(&mut padding[..count]).map(drop)
    }

    fn expect_data(&mut self, size_bytes: u64) {
        self.data_bytes = size_bytes;
        self.padding_bytes = size_bytes.next_multiple_of(BLOCK_BYTES) - size_bytes;
    }

    /// The next header; `None` at two blocks of zeros, or where the stream simply ends.
    fn header(&mut self) -> Result<Option<Header>, LayerError> {
        for _ in 0..2 {
            let at_bytes = self.stream.position_bytes();
            let mut block = [0; BLOCK_BYTES as usize];
            match self.stream.read(&mut block)? {
                0 => return Ok(None),
                count if count < block.len() => {
                    return Err(LayerError::Truncated { at_bytes: self.stream.position_bytes() });
                }
                _ if block == [0; BLOCK_BYTES as usize] => {}
                _ => return checked(&block, at_bytes).map(Some),
            }
        }
        Ok(None)
    }

    /// The data of a header's header.
    fn small(&mut self, size_bytes: u64, limit: u64, what: &'static str) -> Result<Vec<u8>, LayerError> {
        if size_bytes > limit {
            return Err(LayerError::TooMany { what: what.into(), limit });
        }
        self.expect_data(size_bytes);
        let mut bytes = Vec::new();
        self.data(|piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(bytes)
    }

    fn entry(
        &mut self,
        header: &Header,
        mut extensions: Extensions,
        at_bytes: u64,
        header_size: u64,
    ) -> Result<Entry, LayerError> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(LayerError::TooMany { what: "entries".into(), limit: self.limits.entries });
        }
        let raw_path = extensions.take_path().unwrap_or_else(|| header.path_bytes().into_owned());
        let path = EntryPath::parse(&raw_path)?;
        let size_bytes = extensions.size_bytes().unwrap_or(header_size);
        if size_bytes > self.limits.layer_bytes {
            return Err(LayerError::TooMany {
                what: "bytes in a file".into(),
                limit: self.limits.layer_bytes,
            });
        }
        let kind = header.entry_type();
        let has_data = kind.is_file() || kind.is_contiguous() || kind.is_gnu_sparse();
        self.expect_data(if has_data { size_bytes } else { 0 });
        let link = |extensions: &mut Extensions| {
            extensions.take_link().or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned))
        };
        let kind = match kind {
            // A V7 tar has no type for directories.
            EntryType::Regular if raw_path.ends_with(b"/") => Kind::Directory,
            EntryType::Regular | EntryType::Continuous => self.file(size_bytes, &mut extensions, at_bytes)?,
            EntryType::GNUSparse => self.gnu_sparse(header, at_bytes)?,
            EntryType::Directory => Kind::Directory,
            EntryType::Symlink => Kind::Symlink(link_target(&raw_path, link(&mut extensions))?),
            EntryType::Link => {
                Kind::HardLink(EntryPath::parse(&link_target(&raw_path, link(&mut extensions))?)?)
            }
            EntryType::Char => {
                device(header, at_bytes).map(|(major, minor)| Kind::Character(major, minor))?
            }
            EntryType::Block => device(header, at_bytes).map(|(major, minor)| Kind::Block(major, minor))?,
            EntryType::Fifo => Kind::Fifo,
            other => {
                return Err(LayerError::Kind { path: shown(&raw_path), kind: char::from(other.as_byte()) });
            }
        };
        let path = extensions.take_sparse_name().map_or(Ok(path), |name| EntryPath::parse(&name))?;
        let modified = match extensions.modified() {
            Some(time) => time,
            None => seconds(at_bytes, header)?,
        };
        Ok(Entry {
            path,
            kind,
            mode: number(at_bytes, "its mode is no number", &header.as_old().mode, header.mode())? & 0o7777,
            uid: id(at_bytes, extensions.uid(), &header.as_old().uid, header.uid())?,
            gid: id(at_bytes, extensions.gid(), &header.as_old().gid, header.gid())?,
            modified,
            xattrs: extensions.into_xattrs(),
        })
    }

    fn file(
        &mut self,
        size_bytes: u64,
        extensions: &mut Extensions,
        at_bytes: u64,
    ) -> Result<Kind, LayerError> {
        let Some(sparse) = extensions.take_sparse() else {
            return Ok(Kind::File { size_bytes, segments: None });
        };
        let before = self.data_bytes;
        let start_bytes = self.stream.position_bytes();
        let stream = &mut self.stream;
        let segments = sparse.segments(at_bytes, &mut |block| match stream.read(block)? {
            count if count == block.len() => Ok(()),
            _ => Err(LayerError::Truncated { at_bytes: stream.position_bytes() }),
        })?;
        let map_bytes = self.stream.position_bytes() - start_bytes;
        self.data_bytes =
            before.checked_sub(map_bytes).ok_or_else(|| malformed(at_bytes, "its sparse map is wrong"))?;
        self.sparse(segments, sparse.size_bytes, at_bytes)
    }

    fn gnu_sparse(&mut self, header: &Header, at_bytes: u64) -> Result<Kind, LayerError> {
        let wrong = || malformed(at_bytes, "its sparse map is wrong");
        let gnu = header.as_gnu().ok_or_else(wrong)?;
        let mut segments = Vec::new();
        let mut push = |entries: &[tar::GnuSparseHeader]| -> Result<(), LayerError> {
            for entry in entries.iter().filter(|entry| !entry.is_empty()) {
                let offset_bytes =
                    number(at_bytes, "its sparse map is wrong", &entry.offset, entry.offset())?;
                let length_bytes =
                    number(at_bytes, "its sparse map is wrong", &entry.numbytes, entry.length())?;
                segments.push(Segment { offset_bytes, length_bytes });
            }
            if segments.len() > MAX_SEGMENTS {
                return Err(LayerError::TooMany {
                    what: "pieces of a file".into(),
                    limit: MAX_SEGMENTS as u64,
                });
            }
            Ok(())
        };
        push(&gnu.sparse)?;
        let mut is_extended = gnu.is_extended();
        while is_extended {
            let mut more = tar::GnuExtSparseHeader::new();
            if self.stream.read(more.as_mut_bytes())? < BLOCK_BYTES as usize {
                return Err(LayerError::Truncated { at_bytes: self.stream.position_bytes() });
            }
            push(more.sparse())?;
            is_extended = more.is_extended();
        }
        let size_bytes = number(at_bytes, "its sparse size is no number", &gnu.realsize, gnu.real_size())?;
        self.sparse(segments, size_bytes, at_bytes)
    }

    /// Segments in order, within the file, and as long together as the data: or it is an attack (CVE-2025-58183).
    fn sparse(&self, segments: Vec<Segment>, size_bytes: u64, at_bytes: u64) -> Result<Kind, LayerError> {
        let wrong = || malformed(at_bytes, "its sparse map is wrong");
        let (mut end, mut length) = (0_u64, 0_u64);
        for segment in &segments {
            if segment.offset_bytes < end {
                return Err(wrong());
            }
            end = segment.offset_bytes.checked_add(segment.length_bytes).ok_or_else(wrong)?;
            length += segment.length_bytes;
        }
        if end > size_bytes || length != self.data_bytes || size_bytes > self.limits.layer_bytes {
            return Err(wrong());
        }
        Ok(Kind::File { size_bytes, segments: Some(segments) })
    }
}

fn checked(block: &[u8; BLOCK_BYTES as usize], at_bytes: u64) -> Result<Header, LayerError> {
    let header = Header::from_byte_slice(block).clone();
    // The checksum counts its own eight bytes as spaces.
    let sum: u32 =
        block[..148].iter().chain(&block[156..]).map(|byte| u32::from(*byte)).sum::<u32>() + 8 * 32;
    match header.cksum() {
        Ok(stated) if stated == sum => Ok(header),
        _ => Err(malformed(at_bytes, "its checksum is wrong")),
    }
}

pub(super) fn malformed(at_bytes: u64, what: &'static str) -> LayerError {
    LayerError::Header { at_bytes, what: what.into() }
}

/// A field that was left blank is a zero, as other readers have it.
fn number<T: Default>(
    at_bytes: u64,
    what: &'static str,
    field: &[u8],
    read: std::io::Result<T>,
) -> Result<T, LayerError> {
    match read {
        Err(_) if field.iter().all(|byte| matches!(byte, 0 | b' ')) => Ok(T::default()),
        read => read.map_err(|_| malformed(at_bytes, what)),
    }
}

/// An owner or a group; the last of all numbers means nobody.
fn id(
    at_bytes: u64,
    stated: Option<u64>,
    field: &[u8],
    read: std::io::Result<u64>,
) -> Result<u32, LayerError> {
    let what = "its owner is no number";
    let id = stated.map_or_else(|| number(at_bytes, what, field, read), Ok)?;
    u32::try_from(id).ok().filter(|id| *id != u32::MAX).ok_or_else(|| malformed(at_bytes, what))
}

/// Times before 1970 are base-256 numbers that the library does not read; they are as old as can be.
fn seconds(at_bytes: u64, header: &Header) -> Result<Timespec, LayerError> {
    let is_negative = header.as_old().mtime[0] == 0xff;
    let seconds = if is_negative {
        0
    } else {
        number(at_bytes, "its time is no number", &header.as_old().mtime, header.mtime())?
    };
    Ok(Timespec { tv_sec: i64::try_from(seconds).unwrap_or(0), tv_nsec: 0 })
}

fn device(header: &Header, at_bytes: u64) -> Result<(u32, u32), LayerError> {
    let field = |range: std::ops::Range<usize>| &header.as_bytes()[range];
    let what = "its device number is no number";
    let major = number(at_bytes, what, field(329..337), header.device_major())?;
    let minor = number(at_bytes, what, field(337..345), header.device_minor())?;
    Ok((major.unwrap_or(0), minor.unwrap_or(0)))
}

fn link_target(path: &[u8], target: Option<Vec<u8>>) -> Result<Vec<u8>, LayerError> {
    match target {
        Some(target) if !target.is_empty() && !target.contains(&0) => Ok(target),
        _ => Err(LayerError::Link { path: shown(path), target: String::new() }),
    }
}

fn until_nul(bytes: &[u8]) -> Vec<u8> {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()
}
