//! System call numbers by name, from the tables beside this file (`syscalls.x86`, `syscalls.arm`: one name a line,
//! sorted, one column an ABI, `-` where the ABI lacks the call). Parsed and hashed while compiling, so that at run time
//! there is neither work nor a pointer to relocate, and a name is found at the first or second look. A new system call
//! is a new line.

use std::cmp::Ordering;

/// ABIs of the widest family (x86-64, x32, i386).
pub(super) const COLUMNS: usize = 3;

const ABSENT: u32 = u32::MAX;

/// Of the hash table: at least twice the number of names, and a power of two.
const SLOTS: usize = 1024;

/// A slot that no name has.
const EMPTY: u16 = u16::MAX;

/// The names of a family of ABIs.
pub(super) struct Table {
    text: &'static str,
    rows: &'static [Row],
    /// The row of each name: in the slot that its hash says, or the next that is free.
    slots: [u16; SLOTS],
}

#[derive(Clone, Copy)]
struct Row {
    start: u16,
    length: u16,
    numbers: [u32; COLUMNS],
}

/// A name that the table has.
#[derive(Clone, Copy)]
pub(super) struct TableEntry(&'static Row);

/// By the names' order.
impl Ord for TableEntry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.start.cmp(&other.0.start)
    }
}

impl PartialOrd for TableEntry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for TableEntry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for TableEntry {}

impl TableEntry {
    /// Its number in one of the family's ABIs, without the bit that marks x32.
    pub(super) fn number(self, column: usize) -> Option<u32> {
        let number = self.0.numbers[column];
        (number != ABSENT).then_some(number)
    }
}

impl Table {
    const fn new(text: &'static str, rows: &'static [Row]) -> Self {
        assert!(rows.len() <= SLOTS / 2);
        let mut slots = [EMPTY; SLOTS];
        let mut row = 0;
        while row < rows.len() {
            let mut slot = hash(text.as_bytes(), rows[row].start as usize, rows[row].length as usize);
            while slots[slot] != EMPTY {
                slot = (slot + 1) % SLOTS;
            }
            slots[slot] = row as u16;
            row += 1;
        }
        Self { text, rows, slots }
    }

    /// Looks a name up; names that no ABI of the family has are `None`.
    pub(super) fn find(&self, name: &str) -> Option<TableEntry> {
        let mut slot = hash(name.as_bytes(), 0, name.len());
        while self.slots[slot] != EMPTY {
            let row = &self.rows[usize::from(self.slots[slot])];
            if self.name(row) == name.as_bytes() {
                return Some(TableEntry(row));
            }
            slot = (slot + 1) % SLOTS;
        }
        None
    }

    fn name(&self, row: &Row) -> &'static [u8] {
        let start = usize::from(row.start);
        &self.text.as_bytes()[start..start + usize::from(row.length)]
    }

    #[cfg(test)]
    /// All names, for tests that go over every system call.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.rows.iter().map(|row| str::from_utf8(self.name(row)).expect("the tables are ASCII"))
    }
}

#[cfg(any(test, target_arch = "x86_64"))]
const X86_TEXT: &str = include_str!("syscalls.x86");
#[cfg(any(test, target_arch = "x86_64"))]
static X86_ROWS: [Row; line_count(X86_TEXT) - 1] = parse(X86_TEXT);
#[cfg(any(test, target_arch = "x86_64"))]
/// x86-64, x32 and i386, in this order.
pub(super) static X86: Table = Table::new(X86_TEXT, &X86_ROWS);

#[cfg(any(test, target_arch = "aarch64"))]
const ARM_TEXT: &str = include_str!("syscalls.arm");
#[cfg(any(test, target_arch = "aarch64"))]
static ARM_ROWS: [Row; line_count(ARM_TEXT) - 1] = parse(ARM_TEXT);
#[cfg(any(test, target_arch = "aarch64"))]
/// AArch64 and 32-bit Arm (EABI), in this order.
pub(super) static ARM: Table = Table::new(ARM_TEXT, &ARM_ROWS);

/// The slot of the name at a place in a text (FNV-1a).
const fn hash(text: &[u8], start: usize, length: usize) -> usize {
    let mut hash = 0x811c_9dc5_u32;
    let mut at = start;
    while at < start + length {
        hash = (hash ^ text[at] as u32).wrapping_mul(0x0100_0193);
        at += 1;
    }
    // The upper bits are the better mixed.
    (hash >> 16 ^ hash) as usize % SLOTS
}

const fn line_count(text: &str) -> usize {
    let text = text.as_bytes();
    let (mut at, mut lines) = (0, 0);
    while at < text.len() {
        if text[at] == b'\n' {
            lines += 1;
        }
        at += 1;
    }
    lines
}

/// The rows after the heading line. Anything that does not fit the format fails the build.
const fn parse<const ROWS: usize>(text: &str) -> [Row; ROWS] {
    let bytes = text.as_bytes();
    let mut rows = [Row { start: 0, length: 0, numbers: [ABSENT; COLUMNS] }; ROWS];
    let mut at = end_of_line(bytes, 0) + 1;
    let mut row = 0;
    while row < ROWS {
        let start = at;
        while bytes[at] != b' ' {
            at += 1;
        }
        rows[row].start = start as u16;
        rows[row].length = (at - start) as u16;
        let end = end_of_line(bytes, at);
        let mut column = 0;
        while at < end {
            at += 1;
            (rows[row].numbers[column], at) = parse_number(bytes, at);
            column += 1;
        }
        at = end + 1;
        row += 1;
    }
    assert!(at == bytes.len() && bytes.len() <= u16::MAX as usize);
    rows
}

const fn end_of_line(bytes: &[u8], mut at: usize) -> usize {
    while bytes[at] != b'\n' {
        at += 1;
    }
    at
}

const fn parse_number(bytes: &[u8], mut at: usize) -> (u32, usize) {
    if bytes[at] == b'-' {
        return (ABSENT, at + 1);
    }
    let mut number = 0;
    while bytes[at] != b' ' && bytes[at] != b'\n' {
        assert!(bytes[at].is_ascii_digit());
        number = number * 10 + (bytes[at] - b'0') as u32;
        at += 1;
    }
    (number, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(table: &Table, name: &str) -> [Option<u32>; COLUMNS] {
        let found = table.find(name).unwrap();
        [found.number(0), found.number(1), found.number(2)]
    }

    #[test]
    fn names_are_sorted_so_that_each_is_found() {
        for table in [&X86, &ARM] {
            let names: Vec<_> = table.names().collect();
            assert!(names.is_sorted_by(|a, b| a < b));
            assert!(names.iter().all(|name| table.find(name).is_some()));
            assert!(table.find("").is_none() && table.find("zzz").is_none());
        }
    }

    #[test]
    fn numbers_are_those_of_the_abi() {
        assert_eq!(numbers(&X86, "clone3"), [Some(435), Some(435), Some(435)]);
        assert_eq!(numbers(&X86, "execve"), [Some(59), Some(520), Some(11)]);
        assert_eq!(numbers(&X86, "socketcall"), [None, None, Some(102)]);
        assert_eq!(numbers(&ARM, "newfstatat"), [Some(79), None, None]);
        assert_eq!(numbers(&ARM, "set_tls"), [None, Some(0xf_0005), None]);
    }

    #[test]
    fn the_native_numbers_are_those_of_libc() {
        let table = if cfg!(target_arch = "x86_64") { &X86 } else { &ARM };
        for (name, number) in [
            ("read", libc::SYS_read),
            ("openat2", libc::SYS_openat2),
            ("io_uring_setup", libc::SYS_io_uring_setup),
            ("landlock_add_rule", libc::SYS_landlock_add_rule),
            ("mount_setattr", libc::SYS_mount_setattr),
            ("seccomp", libc::SYS_seccomp),
            ("bpf", libc::SYS_bpf),
        ] {
            assert_eq!(numbers(table, name)[0].map(libc::c_long::from), Some(number), "{name}");
        }
    }

    #[test]
    fn no_abi_has_a_number_twice() {
        for table in [&X86, &ARM] {
            for column in 0..COLUMNS {
                let mut numbers: Vec<_> =
                    table.names().filter_map(|name| numbers(table, name)[column]).collect();
                let all = numbers.len();
                numbers.sort_unstable();
                numbers.dedup();
                assert_eq!(numbers.len(), all);
            }
        }
    }
}
