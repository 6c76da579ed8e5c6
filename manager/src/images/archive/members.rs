//! A tar as it comes: names, links and data, one member at a time. The extended headers that carry long names are
//! bounded here, which is why the tar crate parses only single headers: it would read as much as a header claims.

use std::io::{self, Read};

use tar::{EntryType, Header};

use super::error::ArchiveError;
use super::input::read_error;

const BLOCK_BYTES: usize = 512;
/// GNU long names and PAX records; Linux paths end at 4 KiB, annotations of buildkit at some more.
const MAX_EXTENDED_BYTES: u64 = 64 << 10;
/// 500 images of 127 layers; each costs a map entry.
const MAX_MEMBERS: u64 = 65_536;
/// The longest that any archive has is `blobs/sha512/` and its digits; names are kept in memory.
const MAX_NAME_BYTES: usize = 512;
/// Everything in one archive, unpacked: a bomb that is packed small ends here, if the disk has not ended before.
const MAX_ARCHIVE_BYTES: u64 = 256 << 30;
/// tar(1) fills up to its record size.
const MAX_TRAILING_BYTES: u64 = 1 << 20;
/// Of a wrong name, in a message.
const MAX_QUOTED_CHARS: usize = 120;

/// What a member is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Data of this many bytes follows, to be read from [`Members`].
    File(u64),
    /// Another member's name, by a symbolic or hard link.
    Link(String),
    /// A directory or something stranger: nothing to keep.
    Other,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// Its parts joined by slashes, without `.` and `..`.
    pub(super) name: String,
    pub(super) kind: Kind,
}

/// The members of a tar. Reading from it reads the data of the one that [`Members::next`] gave last.
pub(super) struct Members<R> {
    input: R,
    /// Of the current member.
    left_bytes: u64,
    padding_bytes: u64,
    seen: u64,
    /// What later members may have together.
    budget_bytes: u64,
}

/// What extended headers say about the next member.
#[derive(Default)]
struct Extended {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size_bytes: Option<u64>,
}

impl<R: Read> Members<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, left_bytes: 0, padding_bytes: 0, seen: 0, budget_bytes: MAX_ARCHIVE_BYTES }
    }

    /// The next member; what was not read of the last one is passed over.
    pub(super) fn next(&mut self) -> Result<Option<Member>, ArchiveError> {
        let mut extended = Extended::default();
        loop {
            let Some(header) = self.header().map_err(read_error)? else { return Ok(None) };
            self.seen += 1;
            if self.seen > MAX_MEMBERS {
                return Err(ArchiveError::TooMany { what: "members", limit: MAX_MEMBERS });
            }
            self.spend(self.left_bytes)?;
            match header.entry_type() {
                EntryType::GNULongName => extended.name = Some(self.text()?),
                EntryType::GNULongLink => extended.link = Some(self.text()?),
                EntryType::XHeader => self.records(&mut extended)?,
                // Defaults for all that follows: times and comments, nothing that is used here.
                EntryType::XGlobalHeader => drop(self.extended()?),
                _ => return self.member(&header, extended).map(Some),
            }
        }
    }

    /// Everything after the end of the tar, so that the sender's last bytes are taken and a checksum that ends the
    /// compression is looked at.
    pub(super) fn finish(mut self) -> Result<(), ArchiveError> {
        let trailing =
            io::copy(&mut Read::by_ref(&mut self.input).take(MAX_TRAILING_BYTES + 1), &mut io::sink());
        match trailing.map_err(read_error)? {
            0..=MAX_TRAILING_BYTES => Ok(()),
            _ => Err(ArchiveError::TooMany { what: "bytes after its end", limit: MAX_TRAILING_BYTES }),
        }
    }

    fn member(&mut self, header: &Header, extended: Extended) -> Result<Member, ArchiveError> {
        if let Some(size) = extended.size_bytes {
            self.spend(size)?;
            self.expect(size);
        }
        let name = normal("", &extended.name.unwrap_or_else(|| header.path_bytes().into_owned()))?;
        let target = extended.link.or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned));
        let kind = match header.entry_type() {
            EntryType::Regular | EntryType::Continuous => Kind::File(self.left_bytes),
            EntryType::Symlink => {
                let directory = name.rsplit_once('/').map_or("", |(directory, _)| directory);
                Kind::Link(normal(directory, &target.unwrap_or_default())?)
            }
            // A hard link's target is a member's name, from the top.
            EntryType::Link => Kind::Link(normal("", &target.unwrap_or_default())?),
            _ => Kind::Other,
        };
        Ok(Member { name, kind })
    }

    fn header(&mut self) -> io::Result<Option<Header>> {
        let rest = self.left_bytes + self.padding_bytes;
        let skipped = io::copy(&mut Read::by_ref(&mut self.input).take(rest), &mut io::sink())?;
        if skipped < rest {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.expect(0);
        let mut block = [0; BLOCK_BYTES];
        // Some programs write no closing zero blocks: an end between two members is an end.
        if !self.fill(&mut block)? {
            return Ok(None);
        }
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let header = Header::from_byte_slice(&block).clone();
        // POSIX: the sum of all bytes, the checksum itself taken as spaces.
        let sum: u32 = block
            .iter()
            .enumerate()
            .map(|(at, byte)| match at {
                148..156 => u32::from(b' '),
                _ => u32::from(*byte),
            })
            .sum();
        if header.cksum()? != sum {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a header's checksum is wrong"));
        }
        let size = match header.entry_type() {
            EntryType::Link | EntryType::Symlink | EntryType::Directory => 0,
            _ => header.entry_size()?,
        };
        self.expect(size);
        Ok(Some(header))
    }

    /// Fills the block; returns false if the input ends before it.
    fn fill(&mut self, block: &mut [u8]) -> io::Result<bool> {
        loop {
            return match self.input.read(&mut block[..1]) {
                Ok(0) => Ok(false),
                Ok(_) => self.input.read_exact(&mut block[1..]).map(|()| true),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
        }
    }

    fn spend(&mut self, size_bytes: u64) -> Result<(), ArchiveError> {
        let too_many = ArchiveError::TooMany { what: "bytes", limit: MAX_ARCHIVE_BYTES };
        self.budget_bytes = self.budget_bytes.checked_sub(size_bytes).ok_or(too_many)?;
        Ok(())
    }

    fn expect(&mut self, size_bytes: u64) {
        self.left_bytes = size_bytes;
        self.padding_bytes = size_bytes.wrapping_neg() % BLOCK_BYTES as u64;
    }

    fn extended(&mut self) -> Result<Vec<u8>, ArchiveError> {
        if self.left_bytes > MAX_EXTENDED_BYTES {
            return Err(ArchiveError::TooMany { what: "bytes in a name", limit: MAX_EXTENDED_BYTES });
        }
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes).map_err(read_error)?;
        Ok(bytes)
    }

    /// A GNU long name ends with a zero.
    fn text(&mut self) -> Result<Vec<u8>, ArchiveError> {
        let mut bytes = self.extended()?;
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        bytes.truncate(end);
        Ok(bytes)
    }

    /// PAX: `length keyword=value\n`, the length counting itself.
    fn records(&mut self, extended: &mut Extended) -> Result<(), ArchiveError> {
        let bytes = self.extended()?;
        let wrong =
            || ArchiveError::Read(io::Error::new(io::ErrorKind::InvalidData, "a PAX record is wrong"));
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let space = rest.iter().position(|byte| *byte == b' ').ok_or_else(wrong)?;
            let length = number(&rest[..space]).and_then(|length| usize::try_from(length).ok());
            let length =
                length.filter(|length| *length <= rest.len() && *length > space + 1).ok_or_else(wrong)?;
            let record = rest[space + 1..length].strip_suffix(b"\n").ok_or_else(wrong)?;
            let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(wrong)?;
            let (keyword, value) = (&record[..equals], &record[equals + 1..]);
            match keyword {
                b"path" => extended.name = Some(value.to_vec()),
                b"linkpath" => extended.link = Some(value.to_vec()),
                b"size" => extended.size_bytes = Some(number(value).ok_or_else(wrong)?),
                _ => {}
            }
            rest = &rest[length..];
        }
        Ok(())
    }
}

impl<R: Read> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left_bytes == 0 {
            return Ok(0);
        }
        let wanted = usize::try_from(self.left_bytes).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.input.read(&mut buffer[..wanted])?;
        if count == 0 && wanted > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left_bytes -= count as u64;
        Ok(count)
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits)
        .ok()
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?
        .parse()
        .ok()
}

/// `path` as seen from `directory`, in the form of a key.
pub(super) fn normal(directory: &str, path: &[u8]) -> Result<String, ArchiveError> {
    let text = String::from_utf8_lossy(path);
    let wrong = || ArchiveError::Name(text.chars().take(MAX_QUOTED_CHARS).collect());
    if text.len() > MAX_NAME_BYTES || text.starts_with('/') || text.contains('\0') {
        return Err(wrong());
    }
    let mut parts: Vec<&str> = directory.split('/').filter(|part| !part.is_empty()).collect();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            // A link to a sibling goes up once and comes down again; nothing goes above the top.
            ".." if !directory.is_empty() => drop(parts.pop().ok_or_else(wrong)?),
            ".." => return Err(wrong()),
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(tar: &[u8]) -> Result<Vec<Member>, ArchiveError> {
        let mut members = Members::new(tar);
        let mut found = Vec::new();
        while let Some(member) = members.next()? {
            found.push(member);
        }
        Ok(found)
    }

    fn tar(append: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        append(&mut builder);
        builder.into_inner().expect("memory")
    }

    fn raw(name: &[u8], kind: EntryType, size: u64, link: &[u8]) -> Header {
        let mut header = Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link);
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_cksum();
        header
    }

    #[test]
    fn long_names_and_links_are_understood() {
        let long = format!("{}/layer.tar", "d".repeat(200));
        let bytes = tar(|tar| {
            let mut header = raw(b"", EntryType::Regular, 3, b"");
            tar.append_data(&mut header, &long, &b"abc"[..]).expect("a member");
            tar.append(&raw(b"./a//b", EntryType::Regular, 0, b""), &[][..]).expect("a member");
            tar.append(&raw(b"x/layer.tar", EntryType::Symlink, 0, b"../y/layer.tar"), &[][..])
                .expect("a link");
            tar.append(&raw(b"x/hard", EntryType::Link, 0, b"y/layer.tar"), &[][..]).expect("a link");
            tar.append_pax_extensions([("path", &b"from/pax"[..])]).expect("a record");
            tar.append(&raw(b"short", EntryType::Regular, 0, b""), &[][..]).expect("a member");
        });
        let found = members(&bytes).expect("a tar");
        let names: Vec<&str> = found.iter().map(|member| member.name.as_str()).collect();
        assert_eq!(names, [&long, "a/b", "x/layer.tar", "x/hard", "from/pax"]);
        assert_eq!(found[0].kind, Kind::File(3));
        assert_eq!(found[2].kind, Kind::Link("y/layer.tar".into()));
        assert_eq!(found[3].kind, Kind::Link("y/layer.tar".into()));
    }

    #[test]
    fn names_that_leave_the_archive_are_refused() {
        for (name, link) in [
            (&b"../x"[..], &b""[..]),
            (b"/etc/passwd", b""),
            (b"a/../../x", b""),
            (b"a/../x", b""),
            (b"a/link", b"../../x"),
            (b"a/link", b"/x"),
        ] {
            let kind = if link.is_empty() { EntryType::Regular } else { EntryType::Symlink };
            let bytes = tar(|tar| tar.append(&raw(name, kind, 0, link), &[][..]).expect("a member"));
            let refused = members(&bytes);
            assert!(matches!(refused, Err(ArchiveError::Name(_))), "{name:?} {link:?} {refused:?}");
        }
    }

    #[test]
    fn a_name_that_claims_to_be_huge_is_not_read() {
        for (kind, size) in
            [(EntryType::GNULongName, 1 << 20), (EntryType::XHeader, 1 << 20), (EntryType::Char, 1 << 50)]
        {
            let mut bytes = raw(b"././@LongLink", kind, size, b"").as_bytes().to_vec();
            bytes.extend([b'a'; 1024]);
            let refused = members(&bytes);
            assert!(matches!(refused, Err(ArchiveError::TooMany { .. })), "{kind:?}: {refused:?}");
        }
        let long = "n".repeat(MAX_NAME_BYTES + 1);
        let bytes = tar(|tar| {
            let mut header = raw(b"", EntryType::Regular, 0, b"");
            tar.append_data(&mut header, &long, &[][..]).expect("a member");
        });
        assert!(matches!(members(&bytes), Err(ArchiveError::Name(_))));
    }

    #[test]
    fn a_tar_need_not_have_closing_blocks() {
        let member = |tar: &mut tar::Builder<Vec<u8>>| {
            tar.append(&raw(b"a", EntryType::Regular, 600, b""), &[7; 600][..]).expect("a member");
        };
        let whole = tar(member);
        for end in [1536, 2048, 2560] {
            assert_eq!(members(&whole[..end]).expect("a tar").len(), 1, "{end}");
        }
        assert!(members(&[]).expect("nothing").is_empty());
    }

    #[test]
    fn what_is_cut_off_or_no_tar_is_refused() {
        let whole =
            tar(|tar| tar.append(&raw(b"a", EntryType::Regular, 600, b""), &[7; 600][..]).expect("a member"));
        assert_eq!(members(&whole).expect("whole").len(), 1);
        for end in [100, 511, 512, 700, 1024, 1111, 1535, 1537, 2047] {
            assert!(matches!(members(&whole[..end]), Err(ArchiveError::Read(_))), "{end}");
        }
        assert!(matches!(members(&[b'x'; 2048]), Err(ArchiveError::Read(_))));
    }
}
