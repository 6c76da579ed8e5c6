//! The v2 files of each controller, with v1's scales turned into v2's as runc does. Pure.

use std::collections::BTreeMap;

use super::settings::{Fields, Floor, Knot, Setting};
use super::v1::{number, set, throttles};
use crate::cgroup::error::CgroupError;
use crate::cgroup::layout::Version;
use crate::spec::resources::{BlockIo, Cpu, Memory};

/// The kernel's own default, documented in cgroup-v2.rst.
pub(in crate::cgroup) const DEFAULT_PERIOD_US: u64 = 100_000;

fn or_max(value: i64) -> String {
    if value == -1 { "max".to_owned() } else { value.to_string() }
}

pub(super) fn memory(memory: &Memory, fields: Fields<'_>) -> Result<Vec<Vec<Setting>>, CgroupError> {
    let name = |field: &str| fields.name(&format!("memory.{field}"));
    let mut settings = Vec::new();
    if let Some(swap) = swap(memory, fields)? {
        let setting = Setting::new(name("swap"), "memory.swap.max", &swap);
        // Without swap in the kernel there is none to forbid or allow.
        settings.push(if matches!(swap.as_str(), "0" | "max") { setting.if_there() } else { setting });
    }
    if let Some(limit) = set(memory.limit) {
        settings.push(Setting::new(name("limit"), "memory.max", or_max(limit)));
    }
    if let Some(reservation) = set(memory.reservation) {
        settings.push(Setting::new(name("reservation"), "memory.low", or_max(reservation)));
    }
    Ok(settings.into_iter().map(|setting| vec![setting]).collect())
}

/// v1 counts memory and swap together, v2 swap alone.
pub(in crate::cgroup) fn swap(memory: &Memory, fields: Fields<'_>) -> Result<Option<String>, CgroupError> {
    Ok(match (set(memory.limit), set(memory.swap)) {
        (Some(-1), None) | (_, Some(-1)) => Some("max".to_owned()),
        (_, None) => None,
        (Some(-1), Some(swap)) => Some(swap.to_string()),
        (None, Some(_)) => {
            return Err(fields.bad("memory.swap", "unable to set swap limit without memory limit"));
        }
        (Some(limit), Some(swap)) => Some((swap - limit).to_string()),
    })
}

/// What must be above the usage with `checkBeforeUpdate`.
pub(super) fn floors(memory: &Memory, fields: Fields<'_>) -> Vec<Floor> {
    if memory.check_before_update != Some(true) {
        return Vec::new();
    }
    let values = [("memory.swap", memory.swap), ("memory.limit", memory.limit)];
    let positive = |(field, value): (&str, Option<i64>)| {
        let bytes = value.and_then(|value| u64::try_from(value).ok()).filter(|bytes| *bytes > 0)?;
        Some(Floor { field: fields.name(field), bytes })
    };
    values.into_iter().filter_map(positive).collect()
}

pub(super) fn cpu(cpu: &Cpu, shares: Option<u64>, fields: Fields<'_>) -> Vec<Vec<Setting>> {
    let name = |field: &str| fields.name(&format!("cpu.{field}"));
    let mut knots = Vec::new();
    if let Some(idle) = cpu.idle {
        knots.push(vec![Setting::new(name("idle"), "cpu.idle", idle)]);
    }
    if let Some(shares) = shares {
        knots.push(vec![Setting::new(name("shares"), "cpu.weight", weight_of_shares(shares))]);
    }
    let mut bandwidth = Vec::new();
    if let Some(burst) = cpu.burst {
        bandwidth.push(Setting::new(name("burst"), "cpu.max.burst", burst));
    }
    if set(cpu.quota).is_some() || set(cpu.period).is_some() {
        let period = set(cpu.period).unwrap_or(DEFAULT_PERIOD_US);
        let value = match cpu.quota {
            Some(quota @ 1..) => format!("{quota} {period}"),
            _ => format!("max {period}"),
        };
        let field = if set(cpu.quota).is_some() { "quota" } else { "period" };
        bandwidth.push(Setting::new(name(field), "cpu.max", value));
    }
    knots.push(bandwidth);
    knots
}

/// Shares run from 2 over 1024 to 262144, weights from 1 over 100 to 10000: runc's and systemd's curve through all
/// three points, `10^((l² + 125·l)/612 − 7/34)` with `l = log₂ shares`.
pub(in crate::cgroup) fn weight_of_shares(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        262_144.. => 10_000,
        _ => {
            #[allow(clippy::cast_precision_loss, reason = "shares are below 2^18")]
            let log = (shares as f64).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 10000")]
            let weight = 10_f64.powf(exponent).ceil() as u64;
            weight
        }
    }
}

/// Weights for the BFQ scheduler are v1's; io.weight runs from 1 to 10000.
pub(in crate::cgroup) fn io_weight(weight: u16) -> u64 {
    1 + u64::from(weight).saturating_sub(10) * 9999 / 990
}

pub(super) fn io(io: &BlockIo, fields: Fields<'_>) -> Result<Vec<Vec<Setting>>, CgroupError> {
    let mut settings = Vec::new();
    if let Some(weight) = set(io.weight) {
        let field = fields.name("blockIO.weight");
        settings.push(Setting::new(field, "io.bfq.weight", weight).or("io.weight", io_weight(weight)));
    }
    for (index, device) in io.weight_device.iter().enumerate() {
        let field = format!("blockIO.weightDevice[{index}]");
        let number = number(device.major, device.minor, &field, fields)?;
        if let Some(weight) = set(device.weight) {
            let setting = Setting::new(fields.name(&field), "io.bfq.weight", format!("{number} {weight}"));
            settings.push(setting.or("io.weight", format!("{number} {}", io_weight(weight))));
        }
    }
    for (list, field, _, key) in throttles(io) {
        for (index, device) in list.iter().enumerate() {
            let field = format!("blockIO.{field}[{index}]");
            let number = number(device.major, device.minor, &field, fields)?;
            // 0 lifts the bound in v1; v2 says "max" for that, and refuses 0.
            let rate = set(Some(device.rate)).map_or_else(|| "max".to_owned(), |rate| rate.to_string());
            settings.push(Setting::new(fields.name(&field), "io.max", format!("{number} {key}={rate}")));
        }
    }
    Ok(settings.into_iter().map(|setting| vec![setting]).collect())
}

/// Files and values as they are, each line by itself.
pub(super) fn unified(
    files: &BTreeMap<String, String>,
    fields: Fields<'_>,
) -> Result<Vec<Knot>, CgroupError> {
    let mut knots = Vec::with_capacity(files.len());
    for (file, value) in files {
        let bad = |problem: &str| CgroupError::BadLimit {
            what: fields.name("unified"),
            problem: format!("unified resource {file:?} {problem}"),
        };
        if file.contains('/') {
            return Err(bad("must be a file name (no slashes)"));
        }
        if !file.split_once('.').is_some_and(|(controller, name)| !controller.is_empty() && !name.is_empty())
        {
            return Err(bad("must be in the form CONTROLLER.PARAMETER"));
        }
        let field = fields.name(&format!("unified[{file:?}]"));
        let settings = |line: &str| vec![Setting::new(field.clone(), file, line)];
        let lines: Vec<&str> = if value.is_empty() { vec![""] } else { value.lines().collect() };
        knots.extend(lines.into_iter().map(|line| Knot {
            controller: UNIFIED,
            version: Version::V2,
            settings: settings(line),
        }));
    }
    Ok(knots)
}

/// Stands where a file of `unified` names its controller itself.
pub(super) const UNIFIED: &str = "";
