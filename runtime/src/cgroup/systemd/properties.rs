//! Limits as properties of a unit: what systemd must know so that it does not undo what is in the cgroup's files. What
//! it has no property for is in the files alone. Pure.

use super::message::{Property, Value};
use crate::cgroup::devices::{DeviceList, access_letters};
use crate::cgroup::error::CgroupError;
use crate::cgroup::layout::Version;
use crate::cgroup::limits::settings::Fields;
use crate::cgroup::limits::v1::set;
use crate::cgroup::limits::v2::{self, DEFAULT_PERIOD_US};
use crate::process::number_list;
use crate::spec::resources::{Cpu, Resources};

/// One percent of a CPU, in a second.
const PERCENT_US: u64 = 10_000;

/// A weight of nothing is how systemd says idle, since this version.
const IDLE: Value = Value::Uint64(0);
const IDLE_SINCE: u32 = 252;

/// Leaves out what an older systemd would refuse, as runc does; the cgroup's files have it in any case. The version is
/// asked for only where it matters.
pub(super) fn leave_out_unknown<E>(
    properties: &mut Vec<Property>,
    version: impl FnOnce() -> Result<u32, E>,
) -> Result<(), E> {
    let is_idle = |(name, value): &Property| name == "CPUWeight" && *value == IDLE;
    if properties.iter().any(is_idle) && version()? < IDLE_SINCE {
        properties.retain(|property| !is_idle(property));
    }
    Ok(())
}

/// "infinity" is the largest number, as which v1's -1 comes out too.
fn limit(value: i64) -> Value {
    Value::Uint64(u64::try_from(value).unwrap_or(u64::MAX))
}

/// The properties for limits that have one, but for the number of tasks. The limits were made to [`fit`].
pub(super) fn unit_properties(
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
        (Some(1), None) if is_v2 => properties.push(("CPUWeight", IDLE)),
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
    let per_second = match quota {
        Some(quota @ 1..) => per_second(quota.unsigned_abs(), period),
        _ => u64::MAX,
    };
    properties.push(("CPUQuotaPerSecUSec", Value::Uint64(per_second)));
    properties
}

/// systemd knows whole percents of a CPU only; a container gets rather more than it asked for than less.
fn per_second(quota: u64, period: Option<u64>) -> u64 {
    let exact = quota.saturating_mul(1_000_000) / period.unwrap_or(DEFAULT_PERIOD_US).max(1);
    exact.checked_next_multiple_of(PERCENT_US).unwrap_or(exact)
}

/// Turns `resources` into what systemd can hold as well, so that it and the files say the same. Returns what of them is
/// left out.
pub(in crate::cgroup) fn fit(resources: &mut Resources, version: Version) -> Option<&'static str> {
    if let Some(cpu) = &mut resources.cpu
        && let Some(quota) = cpu.quota.and_then(|quota| u64::try_from(quota).ok()).filter(|quota| *quota > 0)
    {
        let period = set(cpu.period);
        let scaled = u128::from(per_second(quota, period)) * u128::from(period.unwrap_or(DEFAULT_PERIOD_US));
        cpu.quota = i64::try_from(scaled / 1_000_000).ok().or(cpu.quota);
    }
    let unified = &mut resources.unified;
    let cpu = resources.cpu.get_or_insert_default();
    let is_idle = cpu.idle == Some(1) || unified.get("cpu.idle").is_some_and(|idle| idle.trim() == "1");
    if version == Version::V1 || !is_idle {
        return None;
    }
    let (shares, weight) = (set(cpu.shares.take()), unified.remove("cpu.weight"));
    (shares.is_some() || weight.is_some())
        .then_some("unable to apply both a CPU weight and cpu.idle to systemd, ignoring the weight")
}

fn of_unified(resources: &Resources, fields: Fields<'_>) -> Result<Vec<(&'static str, Value)>, CgroupError> {
    let mut properties = Vec::new();
    for (file, value) in &resources.unified {
        let value = value.trim();
        let name = match file.as_str() {
            "cpu.idle" if value == "1" => {
                properties.push(("CPUWeight", IDLE));
                continue;
            }
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
        let kind = device.kind.name();
        let node = match (device.major, device.minor) {
            (Some(major), Some(minor)) => format!("/dev/{kind}/{major}:{minor}"),
            (None, None) => format!("{kind}-*"),
            // Only pseudo-terminals have a whole major number among the devices that every container has.
            (Some(136), None) => format!("{kind}-pts"),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn resources(text: &str) -> Resources {
        serde_json::from_str(text).expect(text)
    }

    fn told(resources: &Resources) -> Vec<String> {
        let properties = unit_properties(resources, Version::V2, Fields("")).expect("valid");
        properties.iter().map(|(name, value)| format!("{name} {value:?}")).collect()
    }

    #[test]
    fn a_quota_is_rounded_up_to_what_systemd_can_hold() {
        for (quota, period, fitted, per_second) in [
            (500_000, 900_000, 504_000, 560_000),
            (25_000, 50_000, 25_000, 500_000),
            (1_001, 0, 2_000, 20_000),
        ] {
            let mut resources = resources(&format!(r#"{{"cpu":{{"quota":{quota},"period":{period}}}}}"#));
            assert_eq!(fit(&mut resources, Version::V2), None);
            assert_eq!(resources.cpu.as_ref().expect("given").quota, Some(fitted), "{quota}/{period}");
            let expected = format!("CPUQuotaPerSecUSec Uint64({per_second})");
            assert!(told(&resources).contains(&expected), "{:?}", told(&resources));
        }
        let mut lifted = resources(r#"{"cpu":{"quota":-1}}"#);
        assert_eq!(fit(&mut lifted, Version::V1), None);
        assert_eq!(lifted.cpu.expect("given").quota, Some(-1));
    }

    #[test]
    fn what_is_idle_has_no_weight() {
        for text in [
            r#"{"cpu":{"idle":1,"shares":200}}"#,
            r#"{"unified":{"cpu.idle":"1","cpu.weight":"8"}}"#,
            r#"{"cpu":{"shares":200},"unified":{"cpu.idle":"1"}}"#,
        ] {
            let mut resources = resources(text);
            assert!(fit(&mut resources, Version::V2).expect(text).starts_with("unable to apply both"));
            assert_eq!(told(&resources), ["CPUWeight Uint64(0)"], "{text}");
            assert_eq!(fit(&mut resources, Version::V2), None);
        }
        for text in [r#"{"cpu":{"idle":0,"shares":200}}"#, r#"{"cpu":{"idle":1}}"#] {
            assert_eq!(fit(&mut resources(text), Version::V2), None, "{text}");
        }
    }

    #[test]
    fn an_old_systemd_is_not_told_of_idle() {
        for text in
            [r#"{"cpu":{"idle":1,"quota":1000}}"#, r#"{"cpu":{"quota":1000},"unified":{"cpu.idle":"1"}}"#]
        {
            let all = unit_properties(&resources(text), Version::V2, Fields("")).expect(text);
            for (version, left) in [(251, all.len() - 1), (252, all.len())] {
                let mut properties = all.clone();
                leave_out_unknown(&mut properties, || Ok::<_, ()>(version)).expect("a version");
                assert_eq!(properties.len(), left, "{text} on {version}");
                assert_eq!(properties.iter().any(|(name, _)| name == "CPUWeight"), version == 252);
            }
        }
        let mut weighed =
            unit_properties(&resources(r#"{"cpu":{"shares":200}}"#), Version::V2, Fields("")).expect("valid");
        leave_out_unknown(&mut weighed, || Err("nobody needs to ask")).expect("nobody asks");
        assert_eq!(weighed.len(), 1);
    }
}
