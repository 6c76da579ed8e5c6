//! The formats of cgroup files: a number, keyed numbers, a list, block I/O tables, pressure.

use std::collections::BTreeMap;

use rustix::io::Errno;

use super::usage::{BlkioEntry, Pressure, Psi};
use crate::cgroup::directory::Cgroup;
use crate::cgroup::error::CgroupError;

/// The files of one cgroup.
pub(super) struct Files<'a>(pub(super) Cgroup<'a>);

impl Files<'_> {
    /// A file's text; `None` when the kernel has no such file, or does not fill it.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, CgroupError> {
        match self.0.read(name) {
            Ok(text) => Ok(Some(text)),
            Err(CgroupError::Read { source: Errno::NOENT | Errno::OPNOTSUPP | Errno::NODEV, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A number, `max` for the largest.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, CgroupError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        number(text.trim()).map(Some).ok_or_else(|| self.nonsense(name, text))
    }

    /// Lines of `key number`.
    pub(super) fn keyed(&self, name: &str) -> Result<BTreeMap<String, u64>, CgroupError> {
        let text = self.text(name)?.unwrap_or_default();
        Ok(keyed(&text))
    }

    /// `0-2,5`.
    pub(super) fn list(&self, name: &str) -> Result<Vec<u16>, CgroupError> {
        let Some(text) = self.text(name)? else { return Ok(Vec::new()) };
        list(text.trim()).ok_or_else(|| self.nonsense(name, text))
    }

    /// Lines of `major:minor [operation] number`; `None` when there is no such file.
    pub(super) fn blkio(&self, name: &str) -> Result<Option<Vec<BlkioEntry>>, CgroupError> {
        Ok(self.text(name)?.map(|text| text.lines().filter_map(blkio_entry).collect()))
    }

    /// Pressure stall information.
    pub(super) fn pressure(&self, name: &str) -> Result<Option<Psi>, CgroupError> {
        Ok(self.text(name)?.map(|text| pressure(&text)))
    }

    fn nonsense(&self, name: &str, content: String) -> CgroupError {
        CgroupError::Nonsense { path: self.0.file(name), content }
    }
}

fn number(text: &str) -> Option<u64> {
    match text {
        "max" => Some(u64::MAX),
        // Some kernels tell -1 for "no limit".
        _ if text.starts_with('-') => text.parse::<i64>().ok().map(|_| 0),
        _ => text.parse().ok(),
    }
}

pub(super) fn keyed(text: &str) -> BTreeMap<String, u64> {
    let pair = |line: &str| {
        let (key, value) = line.split_once(' ')?;
        Some((key.to_owned(), value.trim().parse().ok()?))
    };
    text.lines().filter_map(pair).collect()
}

pub(super) fn list(text: &str) -> Option<Vec<u16>> {
    let mut numbers = Vec::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
        numbers.extend(first..=last);
    }
    Some(numbers)
}

pub(super) fn blkio_entry(line: &str) -> Option<BlkioEntry> {
    let fields: Vec<&str> = line.split([' ', ':']).collect();
    let (op, value) = match fields.as_slice() {
        [_, _, value] => ("", value),
        [_, _, op, value] => (*op, value),
        // The line with the total.
        _ => return None,
    };
    Some(BlkioEntry {
        major: fields[0].parse().ok()?,
        minor: fields[1].parse().ok()?,
        op: op.to_owned(),
        value: value.parse().ok()?,
    })
}

pub(super) fn pressure(text: &str) -> Psi {
    let mut psi = Psi::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let pressure = match words.next() {
            Some("some") => &mut psi.some,
            Some("full") => &mut psi.full,
            _ => continue,
        };
        *pressure = words.filter_map(|word| word.split_once('=')).fold(Pressure::default(), with);
    }
    psi
}

fn with(pressure: Pressure, (key, value): (&str, &str)) -> Pressure {
    let average = || value.parse().unwrap_or(0.0);
    match key {
        "avg10" => Pressure { avg10: average(), ..pressure },
        "avg60" => Pressure { avg60: average(), ..pressure },
        "avg300" => Pressure { avg300: average(), ..pressure },
        "total" => Pressure { total: value.parse().unwrap_or(0), ..pressure },
        _ => pressure,
    }
}
