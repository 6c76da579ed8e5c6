//! Tar as layers have it: ustar, with PAX records only where ustar cannot say it. The same entry has the same bytes,
//! whoever writes it and when.

use std::io::{self, Write};

pub(super) const BLOCK_BYTES: usize = 512;

const NAME_BYTES: usize = 100;
const PREFIX_BYTES: usize = 155;
/// Seven octal digits: modes, owners, device numbers.
const MAX_OCTAL_7: u64 = 0o7_777_777;
/// Eleven octal digits: sizes, times.
const MAX_OCTAL_11: u64 = 0o77_777_777_777;

/// The letter in an entry's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File = b'0' as isize,
    HardLink = b'1' as isize,
    Symlink = b'2' as isize,
    Character = b'3' as isize,
    Block = b'4' as isize,
    Directory = b'5' as isize,
    Fifo = b'6' as isize,
}

/// An extended attribute's name and value.
pub(super) type Attribute = (Vec<u8>, Vec<u8>);

/// An entry, before its data.
#[derive(Debug)]
pub(super) struct Header<'a> {
    /// Without a slash before it; a directory's has one behind it.
    pub(super) path: &'a [u8],
    pub(super) kind: Kind,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) size_bytes: u64,
    /// Seconds since 1970.
    pub(super) modified: i64,
    /// Of the two kinds of link.
    pub(super) link: &'a [u8],
    /// Major and minor.
    pub(super) device: (u32, u32),
    pub(super) xattrs: &'a [Attribute],
}

/// Writes `header`, after the PAX records that it needs.
pub(super) fn write_header(out: &mut impl Write, header: &Header<'_>) -> io::Result<()> {
    let split = split(header.path);
    let records = records(header, split.is_some());
    if !records.is_empty() {
        let name = b"PaxHeaders.0/";
        let mut block = [0; BLOCK_BYTES];
        block[..name.len()].copy_from_slice(name);
        let short =
            header.path.rsplit(|byte| *byte == b'/').find(|part| !part.is_empty()).unwrap_or_default();
        let short = &short[..short.len().min(NAME_BYTES - name.len())];
        block[name.len()..name.len() + short.len()].copy_from_slice(short);
        fill(&mut block, (0o644, 0, 0), (records.len() as u64, 0), b'x');
        finish(&mut block);
        out.write_all(&block)?;
        out.write_all(&records)?;
        pad(out, records.len() as u64)?;
    }
    let mut block = [0; BLOCK_BYTES];
    let (prefix, name) = split.unwrap_or((b"", &header.path[..header.path.len().min(NAME_BYTES)]));
    block[..name.len()].copy_from_slice(name);
    block[345..345 + prefix.len()].copy_from_slice(prefix);
    let link = &header.link[..header.link.len().min(NAME_BYTES)];
    block[157..157 + link.len()].copy_from_slice(link);
    let fits = |value: u64, largest: u64| if value > largest { 0 } else { value };
    let owner = |id: u32| fits(u64::from(id), MAX_OCTAL_7);
    let modified = fits(u64::try_from(header.modified).unwrap_or(0), MAX_OCTAL_11);
    let size = fits(header.size_bytes, MAX_OCTAL_11);
    fill(
        &mut block,
        (header.mode, owner(header.uid), owner(header.gid)),
        (size, modified),
        header.kind as u8,
    );
    if matches!(header.kind, Kind::Character | Kind::Block) {
        octal(&mut block[329..337], u64::from(header.device.0));
        octal(&mut block[337..345], u64::from(header.device.1));
    }
    finish(&mut block);
    out.write_all(&block)
}

/// Fills up the last block of so many bytes.
pub(super) fn pad(out: &mut impl Write, bytes: u64) -> io::Result<()> {
    let left = (bytes % BLOCK_BYTES as u64) as usize;
    if left == 0 { Ok(()) } else { out.write_all(&[0; BLOCK_BYTES][left..]) }
}

/// Ends the tar.
pub(super) fn write_end(out: &mut impl Write) -> io::Result<()> {
    out.write_all(&[0; 2 * BLOCK_BYTES])
}

/// A path as ustar's prefix and name; `None` when it does not fit.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.len() <= NAME_BYTES {
        return Some((b"", path));
    }
    let last = path.len() - 1;
    let at = (0..last).rev().find(|at| path[*at] == b'/' && *at <= PREFIX_BYTES)?;
    let (prefix, name) = (&path[..at], &path[at + 1..]);
    (!prefix.is_empty() && name.len() <= NAME_BYTES).then_some((prefix, name))
}

/// What ustar cannot say, in the order of the keys.
fn records(header: &Header<'_>, path_fits: bool) -> Vec<u8> {
    let mut records: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let mut add = |key: &[u8], value: &[u8]| records.push((key.to_vec(), value.to_vec()));
    for (key, id) in [("gid", header.gid), ("uid", header.uid)] {
        if u64::from(id) > MAX_OCTAL_7 {
            add(key.as_bytes(), id.to_string().as_bytes());
        }
    }
    if header.link.len() > NAME_BYTES {
        add(b"linkpath", header.link);
    }
    if u64::try_from(header.modified).is_ok_and(|seconds| seconds <= MAX_OCTAL_11) {
    } else {
        add(b"mtime", header.modified.to_string().as_bytes());
    }
    if !path_fits {
        add(b"path", header.path);
    }
    if header.size_bytes > MAX_OCTAL_11 {
        add(b"size", header.size_bytes.to_string().as_bytes());
    }
    for (name, value) in header.xattrs {
        add(&[b"SCHILY.xattr.", name.as_slice()].concat(), value);
    }
    records.sort();
    records.iter().flat_map(|(key, value)| record(key, value)).collect()
}

/// `<length> <key>=<value>\n`, where the length counts itself, too.
fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + rest.to_string().len();
    if rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    [length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
}

fn fill(
    block: &mut [u8; BLOCK_BYTES],
    (mode, uid, gid): (u32, u64, u64),
    (size, time): (u64, u64),
    kind: u8,
) {
    octal(&mut block[100..108], u64::from(mode));
    octal(&mut block[108..116], uid);
    octal(&mut block[116..124], gid);
    octal(&mut block[124..136], size);
    octal(&mut block[136..148], time);
    block[156] = kind;
    block[257..265].copy_from_slice(b"ustar\x0000");
}

/// Octal digits and a NUL.
fn octal(field: &mut [u8], value: u64) {
    let digits = format!("{value:0width$o}", width = field.len() - 1);
    field[..digits.len()].copy_from_slice(digits.as_bytes());
}

fn finish(block: &mut [u8; BLOCK_BYTES]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_s_length_counts_itself() {
        for size in [1, 80, 85, 86, 87, 88, 89, 90, 91, 92, 93, 94, 980, 985, 990, 991, 992, 993, 9990] {
            let record = record(b"k", &vec![b'v'; size]);
            let digits = record.iter().position(|byte| *byte == b' ').expect("a space");
            let length: usize =
                std::str::from_utf8(&record[..digits]).expect("digits").parse().expect("a number");
            assert_eq!(length, record.len(), "{size}");
        }
    }

    #[test]
    fn a_path_is_split_only_where_both_parts_fit() {
        let long =
            |parts: &[usize]| parts.iter().map(|length| "x".repeat(*length)).collect::<Vec<_>>().join("/");
        let split_of = |path: &str| split(path.as_bytes()).map(|(prefix, name)| (prefix.len(), name.len()));
        assert_eq!(split_of(&long(&[100])), Some((0, 100)));
        assert_eq!(split_of(&long(&[101])), None);
        assert_eq!(split_of(&long(&[155, 100])), Some((155, 100)));
        assert_eq!(split_of(&long(&[156, 100])), None);
        assert_eq!(split_of(&(long(&[60, 60]) + "/")), Some((60, 61)));
        assert_eq!(split_of(&(long(&[101]) + "/")), None);
    }
}
