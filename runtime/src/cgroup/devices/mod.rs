//! Which device nodes a container may make, read and write: the rules of the configuration in order, then the devices
//! that every container has, folded into what v1's device cgroup would make of them. v1 and the v2 program both come
//! from that one list, so that they mean the same.

pub(crate) mod attach;
pub(crate) mod program;

use std::collections::BTreeMap;

use super::error::CgroupError;
use super::limits::settings::Fields;
use crate::spec::resources::DeviceRule;

const READ: u8 = 1;
const WRITE: u8 = 2;
const MAKE: u8 = 4;
const ALL: u8 = READ | WRITE | MAKE;

/// The kernel looks through all of them for each that is added, and again whenever a node is opened (v1); a program for
/// more of them would be too long (v2).
const EXCEPTIONS_MAX: usize = 10_000;

/// Kinds of nodes that rules can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Block,
    Character,
}

impl Kind {
    /// What systemd calls it, and the directory below /dev that has its nodes by number.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Character => "char",
        }
    }
}

/// What an exception is about; `None` is any number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Device {
    pub(super) major: Option<u32>,
    pub(super) minor: Option<u32>,
    pub(super) kind: Kind,
}

/// What is allowed: all or nothing, but for the exceptions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DeviceList {
    pub(super) allows_all: bool,
    /// Accesses that are the other way round.
    pub(super) exceptions: BTreeMap<Device, u8>,
}

/// Allowed in every container, whatever the rules say: runc appends them, and images count on them. Making a node of
/// any number is among them; it cannot be opened.
const DEFAULTS: [(Kind, Option<u32>, Option<u32>, u8); 11] = [
    (Kind::Character, None, None, MAKE),
    (Kind::Block, None, None, MAKE),
    (Kind::Character, Some(1), Some(3), ALL),
    (Kind::Character, Some(1), Some(8), ALL),
    (Kind::Character, Some(1), Some(7), ALL),
    (Kind::Character, Some(5), Some(0), ALL),
    (Kind::Character, Some(1), Some(5), ALL),
    (Kind::Character, Some(1), Some(9), ALL),
    // The container's own terminals.
    (Kind::Character, Some(136), None, ALL),
    (Kind::Character, Some(5), Some(2), ALL),
    // /dev/net/tun: some orchestrators have no way to ask for it.
    (Kind::Character, Some(10), Some(200), ALL),
];

impl DeviceList {
    /// Folds the rules.
    ///
    /// # Errors
    /// [`CgroupError::BadLimit`] for a rule that is none, or that takes away a part of what a wider rule gave: v1 would
    /// ignore that without a word.
    pub(crate) fn plan(rules: &[DeviceRule], fields: Fields<'_>) -> Result<Self, CgroupError> {
        let mut list = Self::default();
        for (index, rule) in rules.iter().enumerate() {
            let field = format!("devices[{index}]");
            let bad = |problem: String| CgroupError::BadLimit { what: fields.name(&field), problem };
            list.apply(rule).map_err(bad)?;
        }
        if list.exceptions.len() > EXCEPTIONS_MAX {
            let problem =
                format!("the rules come to more than {EXCEPTIONS_MAX} devices of their own; use ranges");
            return Err(CgroupError::BadLimit { what: fields.name("devices"), problem });
        }
        for (kind, major, minor, access) in DEFAULTS {
            let device = Device { kind, major, minor };
            list.change(true, device, access).map_err(|problem| CgroupError::BadLimit {
                what: fields.name("devices"),
                problem: format!("the devices that every container has cannot be allowed: {problem}"),
            })?;
        }
        Ok(list)
    }

    fn apply(&mut self, rule: &DeviceRule) -> Result<(), String> {
        let access = access(&rule.access)?;
        let kind = match rule.kind.as_str() {
            // As the kernel's "a": numbers and accesses do not count, everything before is forgotten.
            "" | "a" => {
                *self = Self { allows_all: rule.allow, exceptions: BTreeMap::new() };
                return Ok(());
            }
            "b" => Kind::Block,
            "c" => Kind::Character,
            other => return Err(format!("invalid cgroup device type {other:?}")),
        };
        let device = Device { kind, major: number(rule.major)?, minor: number(rule.minor)? };
        self.change(rule.allow, device, access)
    }

    fn change(&mut self, allow: bool, device: Device, access: u8) -> Result<(), String> {
        if allow != self.allows_all {
            *self.exceptions.entry(device).or_default() |= access;
            return Ok(());
        }
        let wider = [
            Device { major: None, ..device },
            Device { minor: None, ..device },
            Device { major: None, minor: None, ..device },
        ];
        for wider in wider.into_iter().filter(|wider| *wider != device) {
            if self.exceptions.get(&wider).is_some_and(|present| present & access != 0) {
                return Err(format!(
                    "cannot punch a hole for {} into the wider rule {}",
                    line(device, access),
                    line(wider, self.exceptions[&wider])
                ));
            }
        }
        if let Some(present) = self.exceptions.get_mut(&device) {
            *present &= !access;
            if *present == 0 {
                self.exceptions.remove(&device);
            }
        }
        Ok(())
    }

    /// What is written to v1's `devices.allow` and `devices.deny`, in order.
    pub(super) fn v1_writes(&self) -> [(&'static str, Vec<String>); 2] {
        let (whole, others) = if self.allows_all {
            ("devices.allow", "devices.deny")
        } else {
            ("devices.deny", "devices.allow")
        };
        let exceptions = self.exceptions.iter().map(|(device, access)| line(*device, *access));
        [(whole, vec!["a".to_owned()]), (others, exceptions.collect())]
    }
}

fn access(text: &str) -> Result<u8, String> {
    let bits = text.chars().fold(0, |access, letter| match letter {
        'r' => access | READ,
        'w' => access | WRITE,
        'm' => access | MAKE,
        // There are no others; runc passes over them too.
        _ => access,
    });
    match bits {
        0 if text.is_empty() => Ok(ALL),
        0 => Err(format!("invalid device access {text:?}: it is made of r, w and m")),
        bits => Ok(bits),
    }
}

fn number(number: Option<i64>) -> Result<Option<u32>, String> {
    match number {
        None | Some(-1) => Ok(None),
        Some(number) => u32::try_from(number).map(Some).map_err(|_| format!("{number} is no device number")),
    }
}

/// `c 1:3 rwm`.
fn line(device: Device, access: u8) -> String {
    let kind = if device.kind == Kind::Block { 'b' } else { 'c' };
    let number = |number: Option<u32>| number.map_or_else(|| "*".to_owned(), |number| number.to_string());
    format!("{kind} {}:{} {}", number(device.major), number(device.minor), access_letters(access))
}

/// `rwm`.
pub(super) fn access_letters(access: u8) -> String {
    let letters = [(READ, 'r'), (WRITE, 'w'), (MAKE, 'm')];
    letters.into_iter().filter(|(bit, _)| access & bit != 0).map(|(_, letter)| letter).collect()
}

#[cfg(test)]
mod tests;
