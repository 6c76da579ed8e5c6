//! What stands before an entry's header and counts more than it: PAX records, GNU long names, maps of sparse files.

use std::ffi::CString;

use rustix::fs::Timespec;

use super::archive::{BLOCK_BYTES, MAX_SEGMENTS, malformed};
use super::error::LayerError;

/// One piece of a sparse file; the pieces' data follow each other in the tar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) offset_bytes: u64,
    pub(super) length_bytes: u64,
}

/// A sparse file as GNU tar writes it into PAX records.
pub(super) struct Sparse {
    pub(super) size_bytes: u64,
    /// `None`: it is in front of the data (version 1.0).
    map: Option<Vec<u64>>,
}

#[derive(Default)]
pub(super) struct Extensions {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size_bytes: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    modified: Option<Timespec>,
    xattrs: Vec<(CString, Vec<u8>)>,
    sparse_name: Option<Vec<u8>>,
    sparse_size: Option<u64>,
    sparse_map: Vec<u64>,
    is_sparse_1: bool,
}

impl Extensions {
    pub(super) fn set_path(&mut self, path: Vec<u8>) {
        self.path = Some(path);
    }

    pub(super) fn set_link(&mut self, link: Vec<u8>) {
        self.link = Some(link);
    }

    pub(super) fn take_path(&mut self) -> Option<Vec<u8>> {
        self.path.take()
    }

    pub(super) fn take_link(&mut self) -> Option<Vec<u8>> {
        self.link.take()
    }

    pub(super) fn take_sparse_name(&mut self) -> Option<Vec<u8>> {
        self.sparse_name.take()
    }

    /// Counts more than the header's, whatever that says (CVE-2025-62518, CVE-2026-33055).
    pub(super) fn size_bytes(&self) -> Option<u64> {
        self.size_bytes
    }

    pub(super) fn uid(&self) -> Option<u64> {
        self.uid
    }

    pub(super) fn gid(&self) -> Option<u64> {
        self.gid
    }

    pub(super) fn modified(&self) -> Option<Timespec> {
        self.modified
    }

    pub(super) fn into_xattrs(self) -> Vec<(CString, Vec<u8>)> {
        self.xattrs
    }

    pub(super) fn take_sparse(&mut self) -> Option<Sparse> {
        let size_bytes = self.sparse_size.take()?;
        let map = if self.is_sparse_1 { None } else { Some(std::mem::take(&mut self.sparse_map)) };
        Some(Sparse { size_bytes, map })
    }

    /// Reads `<length> <key>=<value>\n` records. The length counts, for values may have line ends in them.
    pub(super) fn read_pax(&mut self, records: &[u8], at_bytes: u64) -> Result<(), LayerError> {
        let wrong = || malformed(at_bytes, "its PAX records are malformed");
        let mut rest = records;
        while !rest.is_empty() {
            let space = rest.iter().position(|byte| *byte == b' ').ok_or_else(wrong)?;
            let length: usize = parsed(&rest[..space]).ok_or_else(wrong)?;
            let record = rest.get(space + 1..length).ok_or_else(wrong)?;
            let record = record.strip_suffix(b"\n").ok_or_else(wrong)?;
            let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(wrong)?;
            self.record(&record[..equals], &record[equals + 1..]).ok_or_else(wrong)?;
            rest = &rest[length..];
        }
        Ok(())
    }

    /// An empty value takes an earlier one back. `None` is a value that cannot be.
    fn record(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        let number = || if value.is_empty() { Some(None) } else { parsed(value).map(Some) };
        let text = || Some(value.to_vec()).filter(|value| !value.is_empty());
        match key {
            b"path" => self.path = text(),
            b"linkpath" => self.link = text(),
            b"size" => self.size_bytes = number()?,
            b"uid" => self.uid = number()?,
            b"gid" => self.gid = number()?,
            b"mtime" => self.modified = if value.is_empty() { None } else { Some(time(value)?) },
            b"GNU.sparse.major" => self.is_sparse_1 = value == b"1",
            b"GNU.sparse.name" => self.sparse_name = text(),
            b"GNU.sparse.realsize" | b"GNU.sparse.size" => self.sparse_size = number()?,
            b"GNU.sparse.map" => {
                self.sparse_map = value.split(|byte| *byte == b',').map(parsed).collect::<Option<_>>()?;
            }
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => self.sparse_map.push(parsed(value)?),
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.").filter(|name| is_taken(name)) {
                    self.xattrs.push((CString::new(name).ok()?, value.to_vec()));
                }
            }
        }
        Some(())
    }
}

/// Attributes that an image may set. `trusted.*` and `user.overlay.*` are orders to overlayfs, and labels of a security
/// module are the host's to give.
fn is_taken(name: &[u8]) -> bool {
    match name {
        b"security.capability" | b"system.posix_acl_access" | b"system.posix_acl_default" => true,
        name => name.starts_with(b"user.") && !name.starts_with(b"user.overlay."),
    }
}

impl Sparse {
    /// The file's pieces; `block` reads the next block of the entry's data.
    pub(super) fn segments(
        &self,
        at_bytes: u64,
        block: &mut dyn FnMut(&mut [u8; BLOCK_BYTES as usize]) -> Result<(), LayerError>,
    ) -> Result<Vec<Segment>, LayerError> {
        let wrong = || malformed(at_bytes, "its sparse map is wrong");
        let numbers = match &self.map {
            Some(numbers) => numbers.clone(),
            None => map_in_data(block, &wrong)?,
        };
        let (pairs, odd) = numbers.as_chunks::<2>();
        if !odd.is_empty() || pairs.len() > MAX_SEGMENTS {
            return Err(wrong());
        }
        Ok(pairs
            .iter()
            .map(|[offset, length]| Segment { offset_bytes: *offset, length_bytes: *length })
            .collect())
    }
}

/// Version 1.0: decimal numbers, one a line, first how many pairs there are, padded to a block.
fn map_in_data(
    block: &mut dyn FnMut(&mut [u8; BLOCK_BYTES as usize]) -> Result<(), LayerError>,
    wrong: &dyn Fn() -> LayerError,
) -> Result<Vec<u64>, LayerError> {
    let mut numbers: Vec<u64> = Vec::new();
    let mut digits = Vec::new();
    let mut bytes = [0; BLOCK_BYTES as usize];
    loop {
        block(&mut bytes)?;
        for byte in bytes {
            if byte != b'\n' {
                digits.push(byte);
                // 20 digits are more than 64 bits.
                if digits.len() > 20 {
                    return Err(wrong());
                }
                continue;
            }
            numbers.push(parsed(&digits).ok_or_else(wrong)?);
            digits.clear();
            let pairs = usize::try_from(numbers[0]).ok().filter(|pairs| *pairs <= MAX_SEGMENTS);
            if numbers.len() == 1 + 2 * pairs.ok_or_else(wrong)? {
                numbers.remove(0);
                return Ok(numbers);
            }
        }
    }
}

fn parsed<T: std::str::FromStr>(digits: &[u8]) -> Option<T> {
    // FromStr would take a plus.
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| is_number)?.parse().ok()
}

/// Seconds with a fraction; before 1970 with a minus.
fn time(value: &[u8]) -> Option<Timespec> {
    let text = std::str::from_utf8(value).ok()?;
    let (text, is_negative) = text.strip_prefix('-').map_or((text, false), |text| (text, true));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = parsed(whole.as_bytes())?;
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanoseconds: i64 = parsed(digits.as_bytes())?;
    Some(match (is_negative, nanoseconds) {
        (false, nanoseconds) => Timespec { tv_sec: seconds, tv_nsec: nanoseconds },
        (true, 0) => Timespec { tv_sec: -seconds, tv_nsec: 0 },
        (true, nanoseconds) => Timespec { tv_sec: -seconds - 1, tv_nsec: 1_000_000_000 - nanoseconds },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pax(records: &[(&str, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (key, value) in records {
            let payload = key.len() + value.len() + 3;
            let digits =
                (1..).find(|digits| (payload + digits).to_string().len() == *digits).expect("a length");
            bytes.extend_from_slice(format!("{} {key}=", payload + digits).as_bytes());
            bytes.extend_from_slice(value);
            bytes.push(b'\n');
        }
        bytes
    }

    #[test]
    fn values_may_have_line_ends() {
        let mut extensions = Extensions::default();
        let records = pax(&[("path", b"a\nb"), ("SCHILY.xattr.user.x", b"\n\0\n"), ("size", b"7")]);
        extensions.read_pax(&records, 0).expect("well-formed");
        assert_eq!(extensions.size_bytes(), Some(7));
        assert_eq!(extensions.take_path().as_deref(), Some(&b"a\nb"[..]));
        assert_eq!(extensions.into_xattrs(), [(c"user.x".to_owned(), b"\n\0\n".to_vec())]);
    }

    #[test]
    fn attributes_that_are_orders_to_the_host_are_dropped() {
        let mut extensions = Extensions::default();
        for name in ["trusted.overlay.opaque", "trusted.x", "user.overlay.redirect", "security.selinux"] {
            let records = pax(&[(&format!("SCHILY.xattr.{name}"), b"y")]);
            extensions.read_pax(&records, 0).expect("well-formed");
        }
        assert!(extensions.into_xattrs().is_empty());
    }

    #[test]
    fn malformed_records_are_refused() {
        let endless = b"99999999999999999999999 path=a\n";
        for records in [&b"x path=a\n"[..], b"3 a", b"8 path=a\n", b"9 path-a\n", b"11 size=-1\n", endless] {
            assert!(Extensions::default().read_pax(records, 0).is_err(), "{records:?}");
        }
    }

    #[test]
    fn times_have_fractions_and_may_be_before_1970() {
        for (text, seconds, nanoseconds) in
            [("1.5", 1, 500_000_000), ("7", 7, 0), ("-1.25", -2, 750_000_000), ("-3", -3, 0)]
        {
            let time = time(text.as_bytes()).expect(text);
            assert_eq!((time.tv_sec, time.tv_nsec), (seconds, nanoseconds), "{text}");
        }
        assert!(time(b"1.x").is_none() && time(b"").is_none());
    }
}
