//! The v1 files of each controller, and what both versions write alike. Pure.

use std::collections::BTreeMap;

use super::settings::{Fields, Setting};
use crate::cgroup::error::CgroupError;
use crate::spec::resources::{BlockIo, Cpu, HugepageLimit, Memory, Network, Pids, Rdma, ThrottleDevice};

/// The kernel clamps to these without a word.
const SHARES: std::ops::RangeInclusive<u64> = 2..=262_144;

/// A value that is set: runc takes zero for "not set".
pub(in crate::cgroup) fn set<T: Default + PartialEq + Copy>(value: Option<T>) -> Option<T> {
    value.filter(|value| *value != T::default())
}

pub(super) fn check_memory(memory: &Memory, fields: Fields<'_>) -> Result<(), CgroupError> {
    for (field, value) in
        [("limit", memory.limit), ("reservation", memory.reservation), ("swap", memory.swap)]
    {
        if value.is_some_and(|value| value < -1) {
            return Err(
                fields.bad(&format!("memory.{field}"), "it must be -1 (no limit) or a number of bytes")
            );
        }
    }
    if let (Some(limit @ 1..), Some(swap @ 1..)) = (memory.limit, memory.swap)
        && swap < limit
    {
        return Err(fields.bad(
            "memory.swap",
            "memory+swap limit should be >= memory limit: it counts memory and swap together",
        ));
    }
    match memory.swappiness {
        // Go's encoders write -1 for "not set" as the largest number.
        Some(value) if value > 100 && value != u64::MAX => Err(fields.bad(
            "memory.swappiness",
            format!("invalid memory swappiness value: {value} (valid range is 0-100)"),
        )),
        _ => Ok(()),
    }
}

pub(super) fn memory(memory: &Memory, fields: Fields<'_>) -> Vec<Vec<Setting>> {
    let name = |field: &str| fields.name(&format!("memory.{field}"));
    let mut sizes = Vec::new();
    if let Some(limit) = set(memory.limit) {
        sizes.push(Setting::new(name("limit"), "memory.limit_in_bytes", limit));
    }
    match (set(memory.limit), set(memory.swap)) {
        (_, Some(swap)) => sizes.push(Setting::new(name("swap"), "memory.memsw.limit_in_bytes", swap)),
        // No limit on memory is meant to be none on swap.
        (Some(-1), None) => {
            sizes.push(Setting::new(name("limit"), "memory.memsw.limit_in_bytes", -1).if_there());
        }
        _ => {}
    }
    let mut knots = vec![sizes];
    if let Some(reservation) = set(memory.reservation) {
        knots.push(vec![Setting::new(name("reservation"), "memory.soft_limit_in_bytes", reservation)]);
    }
    if memory.use_hierarchy == Some(true) {
        knots.push(vec![Setting::new(name("useHierarchy"), "memory.use_hierarchy", 1).if_there()]);
    }
    if memory.disable_oom_killer == Some(true) {
        knots.push(vec![Setting::new(name("disableOOMKiller"), "memory.oom_control", 1)]);
    }
    if let Some(swappiness @ ..=100) = memory.swappiness {
        knots.push(vec![Setting::new(name("swappiness"), "memory.swappiness", swappiness)]);
    }
    knots
}

/// The CPU shares, judged.
pub(super) fn shares(cpu: &Cpu, fields: Fields<'_>) -> Result<Option<u64>, CgroupError> {
    match set(cpu.shares) {
        Some(shares) if shares < *SHARES.start() => {
            Err(fields.bad("cpu.shares", format!("the minimum allowed cpu-shares is {}", SHARES.start())))
        }
        Some(shares) if shares > *SHARES.end() => {
            Err(fields.bad("cpu.shares", format!("the maximum allowed cpu-shares is {}", SHARES.end())))
        }
        shares => Ok(shares),
    }
}

pub(super) fn cpu(cpu: &Cpu, shares: Option<u64>, fields: Fields<'_>) -> Vec<Vec<Setting>> {
    let name = |field: &str| fields.name(&format!("cpu.{field}"));
    let mut knots = Vec::new();
    if let Some(shares) = shares {
        knots.push(vec![Setting::new(name("shares"), "cpu.shares", shares)]);
    }
    let mut bandwidth = Vec::new();
    if let Some(period) = set(cpu.period) {
        bandwidth.push(Setting::new(name("period"), "cpu.cfs_period_us", period));
    }
    if let Some(burst) = cpu.burst {
        bandwidth.push(Setting::new(name("burst"), "cpu.cfs_burst_us", burst).if_there());
    }
    if let Some(quota) = set(cpu.quota) {
        bandwidth.push(Setting::new(name("quota"), "cpu.cfs_quota_us", quota));
    }
    knots.push(bandwidth);
    if let Some(idle) = cpu.idle {
        knots.push(vec![Setting::new(name("idle"), "cpu.idle", idle)]);
    }
    let mut realtime = Vec::new();
    if let Some(period) = set(cpu.realtime_period) {
        realtime.push(Setting::new(name("realtimePeriod"), "cpu.rt_period_us", period));
    }
    if let Some(runtime) = set(cpu.realtime_runtime) {
        realtime.push(Setting::new(name("realtimeRuntime"), "cpu.rt_runtime_us", runtime));
    }
    knots.push(realtime);
    knots
}

/// The same in both versions.
pub(super) fn cpuset(cpu: &Cpu, fields: Fields<'_>) -> Result<Vec<Vec<Setting>>, CgroupError> {
    let lists = [("cpus", &cpu.cpus), ("mems", &cpu.mems)];
    let planned = lists.into_iter().filter(|(_, list)| !list.is_empty()).map(|(field, list)| {
        let name = format!("cpu.{field}");
        if !is_list(list) {
            return Err(fields.bad(&name, format!("{list:?} is no list of numbers such as 0-3,7")));
        }
        Ok(vec![Setting::new(fields.name(&name), format!("cpuset.{field}"), list)])
    });
    planned.collect()
}

/// Whether the kernel could take it for a list: it also knows strides (`0-31:2/4`), `N` for the last and `all`.
fn is_list(list: &str) -> bool {
    let is_part =
        |letter: char| letter.is_ascii_digit() || letter.is_ascii_whitespace() || ",-:/N".contains(letter);
    list.trim() == "all" || list.chars().all(is_part)
}

/// The same in both versions.
pub(super) fn pids(pids: Pids, fields: Fields<'_>) -> Vec<Vec<Setting>> {
    let value = match pids.limit {
        None => return Vec::new(),
        Some(limit @ 1..) => limit.to_string(),
        // systemd takes no 0 for TasksMax; a limit of one is as good, since the first process is in already.
        Some(0) => "1".to_owned(),
        Some(_) => "max".to_owned(),
    };
    vec![vec![Setting::new(fields.name("pids.limit"), "pids.max", value)]]
}

pub(super) fn blkio(io: &BlockIo, fields: Fields<'_>) -> Result<Vec<Vec<Setting>>, CgroupError> {
    let name = |field: &str| fields.name(&format!("blockIO.{field}"));
    let mut settings = Vec::new();
    if let Some(weight) = set(io.weight) {
        settings.push(Setting::new(name("weight"), "blkio.weight", weight).or("blkio.bfq.weight", weight));
    }
    if let Some(weight) = set(io.leaf_weight) {
        settings.push(Setting::new(name("leafWeight"), "blkio.leaf_weight", weight));
    }
    for (index, device) in io.weight_device.iter().enumerate() {
        let field = format!("blockIO.weightDevice[{index}]");
        let number = number(device.major, device.minor, &field, fields)?;
        if let Some(weight) = set(device.weight) {
            let value = format!("{number} {weight}");
            let setting = Setting::new(fields.name(&field), "blkio.weight_device", &value);
            settings.push(setting.or("blkio.bfq.weight_device", &value));
        }
        if let Some(weight) = set(device.leaf_weight) {
            let value = format!("{number} {weight}");
            settings.push(Setting::new(fields.name(&field), "blkio.leaf_weight_device", value));
        }
    }
    for (list, field, file, _) in throttles(io) {
        for (index, device) in list.iter().enumerate() {
            let field = format!("blockIO.{field}[{index}]");
            let number = number(device.major, device.minor, &field, fields)?;
            let value = format!("{number} {}", device.rate);
            settings.push(Setting::new(fields.name(&field), format!("blkio.throttle.{file}"), value));
        }
    }
    Ok(settings.into_iter().map(|setting| vec![setting]).collect())
}

/// The four lists with their field, their v1 file and their v2 key.
pub(super) fn throttles(io: &BlockIo) -> [(&[ThrottleDevice], &'static str, &'static str, &'static str); 4] {
    [
        (&io.throttle_read_bps_device, "throttleReadBpsDevice", "read_bps_device", "rbps"),
        (&io.throttle_write_bps_device, "throttleWriteBpsDevice", "write_bps_device", "wbps"),
        (&io.throttle_read_iops_device, "throttleReadIOPSDevice", "read_iops_device", "riops"),
        (&io.throttle_write_iops_device, "throttleWriteIOPSDevice", "write_iops_device", "wiops"),
    ]
}

/// A device as cgroup files name it.
pub(super) fn number(major: i64, minor: i64, field: &str, fields: Fields<'_>) -> Result<String, CgroupError> {
    match (u32::try_from(major), u32::try_from(minor)) {
        (Ok(major), Ok(minor)) => Ok(format!("{major}:{minor}")),
        _ => Err(fields.bad(field, "device numbers are between 0 and 4294967295")),
    }
}

/// `suffix` is what a limit is called in the version's file names.
pub(super) fn hugetlb(
    pages: &[HugepageLimit],
    suffix: &str,
    fields: Fields<'_>,
) -> Result<Vec<Vec<Setting>>, CgroupError> {
    let mut knots = Vec::with_capacity(pages.len());
    for (index, page) in pages.iter().enumerate() {
        let field = format!("hugepageLimits[{index}]");
        let digits = page.page_size.trim_start_matches(|letter: char| letter.is_ascii_digit());
        if digits.len() == page.page_size.len() || !matches!(digits, "KB" | "MB" | "GB") {
            let problem = format!("{:?} is no page size such as 64KB, 2MB or 1GB", page.page_size);
            return Err(fields.bad(&format!("{field}.pageSize"), problem));
        }
        let file = |kind: &str| format!("hugetlb.{}{kind}.{suffix}", page.page_size);
        let limit = Setting::new(fields.name(&field), file(""), page.limit);
        let reserved = Setting::new(fields.name(&field), file(".rsvd"), page.limit).if_there();
        knots.extend([vec![limit], vec![reserved]]);
    }
    Ok(knots)
}

pub(super) fn net_cls(network: &Network, fields: Fields<'_>) -> Vec<Vec<Setting>> {
    let class = set(network.class_id);
    class
        .map(|id| vec![Setting::new(fields.name("network.classID"), "net_cls.classid", id)])
        .into_iter()
        .collect()
}

pub(super) fn net_prio(network: &Network, fields: Fields<'_>) -> Result<Vec<Vec<Setting>>, CgroupError> {
    let mut knots = Vec::with_capacity(network.priorities.len());
    for (index, one) in network.priorities.iter().enumerate() {
        let field = format!("network.priorities[{index}]");
        if !is_word(&one.name) {
            return Err(fields.bad(&format!("{field}.name"), "it is no interface name"));
        }
        let value = format!("{} {}", one.name, one.priority);
        knots.push(vec![Setting::new(fields.name(&field), "net_prio.ifpriomap", value)]);
    }
    Ok(knots)
}

/// The same in both versions.
pub(super) fn rdma(
    devices: &BTreeMap<String, Rdma>,
    fields: Fields<'_>,
) -> Result<Vec<Vec<Setting>>, CgroupError> {
    let mut knots = Vec::with_capacity(devices.len());
    for (name, bounds) in devices {
        let field = format!("rdma.{name}");
        if !is_word(name) {
            return Err(fields.bad(&field, "it is no device name"));
        }
        let mut value = name.clone();
        for (key, bound) in [("hca_handle", bounds.hca_handles), ("hca_object", bounds.hca_objects)] {
            if let Some(bound) = bound {
                value.push_str(&format!(" {key}={bound}"));
            }
        }
        knots.push(vec![Setting::new(fields.name(&field), "rdma.max", value)]);
    }
    Ok(knots)
}

/// A name that stays one word in a cgroup file.
fn is_word(name: &str) -> bool {
    !name.is_empty() && !name.contains(|letter: char| letter.is_whitespace() || letter.is_control())
}
