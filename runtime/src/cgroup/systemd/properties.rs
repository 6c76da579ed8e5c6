//! Limits as properties of a unit: what systemd must know so that it does not undo what is in the cgroup's files. What
//! it has no property for is in the files alone. Pure.

use crate::cgroup::devices::DeviceList;
use crate::cgroup::limits::v2;
use crate::cgroup::{CgroupError, Fields, Version};
use crate::process::number_list;
use crate::spec::{Cpu, Resources};

use super::message::{Property, Value};

/// The kernel's default period.
const DEFAULT_PERIOD_US: u64 = 100_000;

fn set<T: Default + PartialEq + Copy>(value: Option<T>) -> Option<T> {
    value.filter(|value| *value != T::default())
}

/// "infinity" is the largest number, as which v1's -1 comes out too.
fn limit(value: i64) -> Value {
    Value::Uint64(u64::try_from(value).unwrap_or(u64::MAX))
}

/// The properties for limits that have one, but for the number of tasks.
pub(super) fn of(
    resources: &Resources,
    version: Version,
    fields: Fields<'_>,
) -> Result<Vec<Property>, CgroupError> {
    let is_v2 = version == Version::V2;
    let mut properties: Vec<(&str, Value)> = Vec::new();
    if let Some(memory) = &resources.memory {
        let name = if is_v2 { "MemoryMax" } else { "MemoryLimit" };
        properties.extend(set(memory.limit).map(|value| (name, limit(value))));
        if is_v2 {
            properties.extend(set(memory.reservation).map(|value| ("MemoryLow", limit(value))));
            let swap = v2::swap(memory, fields)?;
            properties.extend(swap.map(|value| ("MemorySwapMax", number_or_max(&value))));
        }
    }
    if let Some(cpu) = &resources.cpu {
        properties.extend(of_cpu(cpu, is_v2));
        for (name, field, list) in
            [("AllowedCPUs", "cpu.cpus", &cpu.cpus), ("AllowedMemoryNodes", "cpu.mems", &cpu.mems)]
        {
            if !list.is_empty() {
                properties.push((name, Value::Bytes(bits(list, field, fields)?)));
            }
        }
    }
    if let Some(weight) = resources.block_io.as_ref().and_then(|io| set(io.weight)) {
        properties.push(match is_v2 {
            true => ("IOWeight", Value::Uint64(v2::io_weight(weight))),
            false => ("BlockIOWeight", Value::Uint64(weight.into())),
        });
    }
    if is_v2 {
        properties.extend(of_unified(resources, fields)?);
    }
    Ok(properties.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// The property for the number of tasks.
pub(super) fn tasks_max(resources: &Resources) -> Option<Property> {
    let unified = resources.unified.get("pids.max").map(|value| number_or_max(value.trim()));
    let spec = resources.pids.and_then(|pids| pids.limit).map(limit);
    let value = match unified.or(spec)? {
        // systemd takes no 0.
        Value::Uint64(0) => Value::Uint64(1),
        other => other,
    };
    Some(("TasksMax".to_owned(), value))
}

fn of_cpu(cpu: &Cpu, is_v2: bool) -> Vec<(&'static str, Value)> {
    let mut properties = Vec::new();
    match (cpu.idle, set(cpu.shares)) {
        // A weight of nothing is how systemd (since 252) says idle.
        (Some(1), _) if is_v2 => properties.push(("CPUWeight", Value::Uint64(0))),
        (_, Some(shares)) if is_v2 => {
            properties.push(("CPUWeight", Value::Uint64(v2::weight_of_shares(shares))));
        }
        (_, Some(shares)) => properties.push(("CPUShares", Value::Uint64(shares))),
        (_, None) => {}
    }
    properties.extend(quota(set(cpu.quota), set(cpu.period)));
    properties
}

/// systemd counts microseconds of a second, not of a period.
fn quota(quota: Option<i64>, period: Option<u64>) -> Vec<(&'static str, Value)> {
    if quota.is_none() && period.is_none() {
        return Vec::new();
    }
    let mut properties = Vec::new();
    properties.extend(period.map(|period| ("CPUQuotaPeriodUSec", Value::Uint64(period))));
    let period = period.unwrap_or(DEFAULT_PERIOD_US);
    let per_second = match quota {
        Some(quota @ 1..) => quota.unsigned_abs().saturating_mul(1_000_000) / period.max(1),
        _ => u64::MAX,
    };
    properties.push(("CPUQuotaPerSecUSec", Value::Uint64(per_second)));
    properties
}

fn of_unified(resources: &Resources, fields: Fields<'_>) -> Result<Vec<(&'static str, Value)>, CgroupError> {
    let mut properties = Vec::new();
    for (file, value) in &resources.unified {
        let value = value.trim();
        let name = match file.as_str() {
            "cpu.weight" => "CPUWeight",
            "memory.high" => "MemoryHigh",
            "memory.low" => "MemoryLow",
            "memory.min" => "MemoryMin",
            "memory.max" => "MemoryMax",
            "memory.swap.max" => "MemorySwapMax",
            "cpuset.cpus" | "cpuset.mems" => {
                let name = if file == "cpuset.cpus" { "AllowedCPUs" } else { "AllowedMemoryNodes" };
                properties.push((name, Value::Bytes(bits(value, "unified", fields)?)));
                continue;
            }
            "cpu.max" => {
                let mut words = value.split_whitespace();
                let asked = words.next().and_then(|word| word.parse().ok());
                properties.extend(quota(
                    Some(asked.unwrap_or(-1)),
                    words.next().and_then(|word| word.parse().ok()),
                ));
                continue;
            }
            _ => continue,
        };
        properties.push((name, number_or_max(value)));
    }
    Ok(properties)
}

/// What is no number is left to the file's own judgement, which comes before.
fn number_or_max(text: &str) -> Value {
    Value::Uint64(text.parse().unwrap_or(u64::MAX))
}

/// `0-2,5` as bits, the lowest first.
fn bits(list: &str, field: &str, fields: Fields<'_>) -> Result<Vec<u8>, CgroupError> {
    let mask = number_list::parse(list)
        .map_err(|error| CgroupError::BadLimit { what: fields.name(field), problem: error.to_string() })?;
    let mut bytes: Vec<u8> = mask.into_iter().flat_map(libc::c_ulong::to_le_bytes).collect();
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    bytes.truncate(used);
    Ok(bytes)
}

/// v1: systemd writes the devices cgroup of its units again when it is reloaded, and so must know the rules. On v2 it
/// asks only its own program, and ours stays beside.
pub(super) fn of_devices(list: &DeviceList) -> Vec<Property> {
    if list.allows_all {
        return vec![("DevicePolicy".to_owned(), Value::Text("auto".to_owned()))];
    }
    let allowed = list.exceptions.iter().filter_map(|(device, access)| {
        let (directory, class) = device.kind.names();
        let node = match (device.major, device.minor) {
            (Some(major), Some(minor)) => format!("/dev/{directory}/{major}:{minor}"),
            (None, None) => format!("{class}-*"),
            // Only pseudo-terminals have a whole major number among what everybody has.
            (Some(136), None) => format!("{class}-pts"),
            // It has no name for others; the file has them.
            _ => return None,
        };
        Some((node, access_letters(*access)))
    });
    vec![
        ("DevicePolicy".to_owned(), Value::Text("strict".to_owned())),
        ("DeviceAllow".to_owned(), Value::Pairs(allowed.collect())),
    ]
}

fn access_letters(access: u8) -> String {
    use crate::cgroup::devices::{MAKE, READ, WRITE};
    let letters = [(READ, 'r'), (WRITE, 'w'), (MAKE, 'm')];
    letters.into_iter().filter(|(bit, _)| access & bit != 0).map(|(_, letter)| letter).collect()
}
