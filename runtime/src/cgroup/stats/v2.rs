//! Usage by v2's controllers, under v1's names.

use super::read::Files;
use super::usage::{Amount, BlkioEntry, Hugetlb, Stats};
use super::v1::page_sizes;
use crate::cgroup::error::CgroupError;

/// Reads what a cgroup tells.
pub(super) fn read(stats: &mut Stats, files: &Files<'_>) -> Result<(), CgroupError> {
    cpu(stats, files)?;
    memory(stats, files)?;
    pids(stats, files)?;
    let table = files.text("io.stat")?.unwrap_or_default();
    table.lines().for_each(|line| io(stats, line));
    for size in page_sizes() {
        let current = files.number(&format!("hugetlb.{size}.rsvd.current"))?;
        let current = match current {
            None => files.number(&format!("hugetlb.{size}.current"))?,
            some => some,
        };
        let Some(usage) = current else { continue };
        let events = files.keyed(&format!("hugetlb.{size}.events"))?;
        let failcnt = events.get("max").copied().unwrap_or(0);
        stats.hugetlb.insert(size, Hugetlb { usage, max: 0, failcnt });
    }
    Ok(())
}

fn cpu(stats: &mut Stats, files: &Files<'_>) -> Result<(), CgroupError> {
    let found = files.keyed("cpu.stat")?;
    let of = |key: &str| found.get(key).copied().unwrap_or(0);
    let nanoseconds = |key: &str| of(key).saturating_mul(1000);
    stats.cpu.usage.total = nanoseconds("usage_usec");
    stats.cpu.usage.user = nanoseconds("user_usec");
    stats.cpu.usage.kernel = nanoseconds("system_usec");
    stats.cpu.throttling.periods = of("nr_periods");
    stats.cpu.throttling.throttled_periods = of("nr_throttled");
    stats.cpu.throttling.throttled_time = nanoseconds("throttled_usec");
    Ok(())
}

fn memory(stats: &mut Stats, files: &Files<'_>) -> Result<(), CgroupError> {
    let amount = |name: &str| {
        let number = |what: &str| Ok(files.number(&format!("{name}.{what}"))?.unwrap_or(0));
        Ok::<_, CgroupError>(Amount {
            limit: number("max")?,
            usage: number("current")?,
            max: number("peak")?,
            failcnt: 0,
        })
    };
    let memory = &mut stats.memory;
    memory.raw = files.keyed("memory.stat")?;
    memory.cache = memory.raw.get("file").copied().unwrap_or(0);
    memory.usage = amount("memory")?;
    let swap = amount("memory.swap")?;
    // v1 counts both together; the highest of a sum is not the sum of the highest.
    memory.swap = Amount {
        limit: swap.limit.saturating_add(if swap.limit == u64::MAX { 0 } else { memory.usage.limit }),
        usage: swap.usage.saturating_add(memory.usage.usage),
        max: 0,
        failcnt: 0,
    };
    Ok(())
}

fn pids(stats: &mut Stats, files: &Files<'_>) -> Result<(), CgroupError> {
    match files.number("pids.current")? {
        Some(current) => {
            stats.pids.current = current;
            stats.pids.limit = files.number("pids.max")?.filter(|limit| *limit != u64::MAX).unwrap_or(0);
        }
        // Without the controller the processes are counted.
        None => {
            let listed = match files.text("cgroup.procs")? {
                None => files.text("cgroup.threads")?,
                some => some,
            };
            let count = listed.unwrap_or_default().lines().count();
            stats.pids.current = u64::try_from(count).unwrap_or(u64::MAX);
        }
    }
    Ok(())
}

/// `8:0 rbytes=1 wbytes=2 rios=3 wios=4 …`.
pub(super) fn io(stats: &mut Stats, line: &str) {
    let mut words = line.split_whitespace();
    let number = words.next().and_then(|number| number.split_once(':'));
    let Some((Ok(major), Ok(minor))) = number.map(|(major, minor)| (major.parse(), minor.parse())) else {
        return;
    };
    for (key, value) in words.filter_map(|word| word.split_once('=')) {
        let (table, op) = match key {
            "rbytes" => (&mut stats.blkio.io_service_bytes_recursive, "Read"),
            "wbytes" => (&mut stats.blkio.io_service_bytes_recursive, "Write"),
            "rios" => (&mut stats.blkio.io_serviced_recursive, "Read"),
            "wios" => (&mut stats.blkio.io_serviced_recursive, "Write"),
            _ => continue,
        };
        let Ok(value) = value.parse() else { continue };
        table.push(BlkioEntry { major, minor, op: op.to_owned(), value });
    }
}
