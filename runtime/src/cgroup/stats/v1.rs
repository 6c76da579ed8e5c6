//! Usage by v1's controllers.

use super::read::Files;
use super::usage::{Amount, BlkioEntry, CpuUsage, Hugetlb, Stats};
use crate::cgroup::error::CgroupError;

/// cpuacct.stat counts in ticks of USER_HZ, which is 100 on every architecture that we run on.
const NANOSECONDS_PER_TICK: u64 = 10_000_000;

/// Reads what the controllers of one hierarchy tell.
pub(super) fn read(stats: &mut Stats, files: &Files<'_>) -> Result<(), CgroupError> {
    for controller in &files.0.path.controllers {
        match controller.as_str() {
            "cpu" => throttling(stats, files)?,
            "cpuacct" => cpu_usage(stats, files)?,
            "cpuset" => cpuset(stats, files)?,
            "memory" => memory(stats, files)?,
            "pids" => {
                stats.pids.current = files.number("pids.current")?.unwrap_or(0);
                stats.pids.limit = files.number("pids.max")?.filter(|limit| *limit != u64::MAX).unwrap_or(0);
            }
            "blkio" => blkio(stats, files)?,
            "hugetlb" => hugetlb(stats, files)?,
            _ => {}
        }
    }
    Ok(())
}

fn throttling(stats: &mut Stats, files: &Files<'_>) -> Result<(), CgroupError> {
    let found = files.keyed("cpu.stat")?;
    let of = |key: &str| found.get(key).copied().unwrap_or(0);
    stats.cpu.throttling.periods = of("nr_periods");
    stats.cpu.throttling.throttled_periods = of("nr_throttled");
    stats.cpu.throttling.throttled_time = of("throttled_time");
    Ok(())
}

fn cpu_usage(stats: &mut Stats, files: &Files<'_>) -> Result<(), CgroupError> {
    let ticks = files.keyed("cpuacct.stat")?;
    let nanoseconds = |key: &str| ticks.get(key).copied().unwrap_or(0) * NANOSECONDS_PER_TICK;
    let percpu = files.text("cpuacct.usage_percpu")?.unwrap_or_default();
    let by_mode = files.text("cpuacct.usage_all")?.unwrap_or_default();
    // "cpu user system", then a line for each CPU.
    let column = |index: usize| {
        let lines = by_mode.lines().skip(1);
        lines.filter_map(|line| line.split_whitespace().nth(index)?.parse().ok()).collect()
    };
    stats.cpu.usage = CpuUsage {
        total: files.number("cpuacct.usage")?.unwrap_or(0),
        percpu: percpu.split_whitespace().filter_map(|word| word.parse().ok()).collect(),
        percpu_kernel: column(2),
        percpu_user: column(1),
        kernel: nanoseconds("system"),
        user: nanoseconds("user"),
    };
    Ok(())
}

fn cpuset(stats: &mut Stats, files: &Files<'_>) -> Result<(), CgroupError> {
    let flag = |name: &str| Ok::<_, CgroupError>(files.number(&format!("cpuset.{name}"))?.unwrap_or(0));
    let level = files.text("cpuset.sched_relax_domain_level")?.unwrap_or_default();
    stats.cpuset = crate::cgroup::stats::usage::Cpuset {
        cpus: files.list("cpuset.cpus")?,
        cpu_exclusive: flag("cpu_exclusive")?,
        mems: files.list("cpuset.mems")?,
        mem_hardwall: flag("mem_hardwall")?,
        mem_exclusive: flag("mem_exclusive")?,
        memory_migrate: flag("memory_migrate")?,
        memory_spread_page: flag("memory_spread_page")?,
        memory_spread_slab: flag("memory_spread_slab")?,
        memory_pressure: flag("memory_pressure")?,
        sched_load_balance: flag("sched_load_balance")?,
        sched_relax_domain_level: level.trim().parse().unwrap_or(0),
    };
    Ok(())
}

fn memory(stats: &mut Stats, files: &Files<'_>) -> Result<(), CgroupError> {
    let amount = |name: &str| {
        let number = |what: &str| Ok(files.number(&format!("{name}.{what}"))?.unwrap_or(0));
        Ok::<_, CgroupError>(Amount {
            limit: number("limit_in_bytes")?,
            usage: number("usage_in_bytes")?,
            max: number("max_usage_in_bytes")?,
            failcnt: number("failcnt")?,
        })
    };
    let memory = &mut stats.memory;
    memory.raw = files.keyed("memory.stat")?;
    memory.cache = memory.raw.get("cache").copied().unwrap_or(0);
    memory.usage = amount("memory")?;
    memory.swap = amount("memory.memsw")?;
    memory.kernel = amount("memory.kmem")?;
    memory.kernel_tcp = amount("memory.kmem.tcp")?;
    Ok(())
}

/// The scheduler that does the accounting tells most; the first that is there counts, as with runc.
fn blkio(stats: &mut Stats, files: &Files<'_>) -> Result<(), CgroupError> {
    let table = |name: &str| files.blkio(&format!("blkio.{name}"));
    for prefix in ["bfq.", ""] {
        let Some(sectors) = table(&format!("{prefix}sectors_recursive"))? else { continue };
        let other = |name: &str| {
            Ok::<Vec<BlkioEntry>, CgroupError>(table(&format!("{prefix}{name}"))?.unwrap_or_default())
        };
        stats.blkio.sectors_recursive = sectors;
        stats.blkio.io_service_time_recursive = other("io_service_time_recursive")?;
        stats.blkio.io_wait_time_recursive = other("io_wait_time_recursive")?;
        stats.blkio.io_merged_recursive = other("io_merged_recursive")?;
        stats.blkio.io_queued_recursive = other("io_queued_recursive")?;
        stats.blkio.io_time_recursive = other("time_recursive")?;
        stats.blkio.io_serviced_recursive = other("io_serviced_recursive")?;
        stats.blkio.io_service_bytes_recursive = other("io_service_bytes_recursive")?;
        return Ok(());
    }
    let counts = [
        ("bfq.io_serviced_recursive", "bfq.io_service_bytes_recursive"),
        ("throttle.io_serviced_recursive", "throttle.io_service_bytes_recursive"),
        ("throttle.io_serviced", "throttle.io_service_bytes"),
    ];
    for (serviced, bytes) in counts {
        // An empty table says that another scheduler is at work.
        let Some(found) = table(serviced)?.filter(|found| !found.is_empty()) else { continue };
        stats.blkio.io_serviced_recursive = found;
        stats.blkio.io_service_bytes_recursive = table(bytes)?.unwrap_or_default();
        break;
    }
    Ok(())
}

fn hugetlb(stats: &mut Stats, files: &Files<'_>) -> Result<(), CgroupError> {
    for size in page_sizes() {
        let has_reservations = files.number(&format!("hugetlb.{size}.rsvd.usage_in_bytes"))?.is_some();
        let kind = if has_reservations { ".rsvd" } else { "" };
        let number = |what: &str| Ok(files.number(&format!("hugetlb.{size}{kind}.{what}"))?.unwrap_or(0));
        let found = Hugetlb {
            usage: number("usage_in_bytes")?,
            max: number("max_usage_in_bytes")?,
            failcnt: number("failcnt")?,
        };
        stats.hugetlb.insert(size, found);
    }
    Ok(())
}

/// The machine's huge page sizes, as cgroup file names have them: `2MB`, `1GB`.
pub(super) fn page_sizes() -> Vec<String> {
    let entries = std::fs::read_dir("/sys/kernel/mm/hugepages").into_iter().flatten().flatten();
    let mut sizes: Vec<u64> = entries
        .filter_map(|entry| {
            let name = entry.file_name();
            name.to_str()?.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()
        })
        .collect();
    sizes.sort_unstable();
    sizes.into_iter().map(page_size).collect()
}

pub(super) fn page_size(kilobytes: u64) -> String {
    match kilobytes {
        1_048_576.. => format!("{}GB", kilobytes >> 20),
        1_024.. => format!("{}MB", kilobytes >> 10),
        _ => format!("{kilobytes}KB"),
    }
}
