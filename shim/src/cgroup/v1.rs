//! Metrics of a cgroup v1, in containerd's message. A controller that is not there leaves its part out.

use std::fs;
use std::path::{Path, PathBuf};

use containerd_shim_protos::cgroups::metrics::{
    BlkIOEntry, BlkIOStat, CPUStat, CPUUsage, MemoryEntry, MemoryOomControl, MemoryStat, Metrics, PidsStat,
    Throttle,
};
use containerd_shim_protos::protobuf::MessageField;

use super::{Cgroup, CgroupError, exists, number, pairs, value_of};

/// The kernel counts cpuacct.stat in ticks of 1/100 second (USER_HZ on every Linux architecture we run on).
const NANOSECONDS_PER_TICK: u64 = 10_000_000;

/// Reads every controller that the container has.
pub(super) fn metrics(directories: &[(String, PathBuf)]) -> Result<Metrics, CgroupError> {
    let mut metrics = Metrics::default();
    let of = |name| Cgroup::controller(directories, name);
    if let Some(pids) = of("pids") {
        exists(&pids)?;
        let (current, limit) = (number(&pids, "pids.current"), number(&pids, "pids.max"));
        // containerd says 0 for no limit.
        let limit = if limit == u64::MAX { 0 } else { limit };
        metrics.pids = MessageField::some(PidsStat { current, limit, ..PidsStat::default() });
    }
    if let Some(memory) = of("memory") {
        exists(&memory)?;
        metrics.memory = MessageField::some(memory_stat(&memory));
        let oom = pairs(&memory, "memory.oom_control");
        metrics.memory_oom_control = MessageField::some(MemoryOomControl {
            oom_kill_disable: value_of(&oom, "oom_kill_disable"),
            under_oom: value_of(&oom, "under_oom"),
            oom_kill: value_of(&oom, "oom_kill"),
            ..MemoryOomControl::default()
        });
    }
    metrics.cpu = cpu_stat(of("cpuacct").as_deref(), of("cpu").as_deref()).into();
    if let Some(blkio) = of("blkio") {
        metrics.blkio = MessageField::some(blkio_stat(&blkio));
    }
    Ok(metrics)
}

fn cpu_stat(cpuacct: Option<&Path>, cpu: Option<&Path>) -> Option<CPUStat> {
    let mut stat = CPUStat::default();
    if let Some(cpuacct) = cpuacct {
        let ticks = pairs(cpuacct, "cpuacct.stat");
        let per_cpu = fs::read_to_string(cpuacct.join("cpuacct.usage_percpu")).unwrap_or_default();
        stat.usage = MessageField::some(CPUUsage {
            total: number(cpuacct, "cpuacct.usage"),
            kernel: value_of(&ticks, "system") * NANOSECONDS_PER_TICK,
            user: value_of(&ticks, "user") * NANOSECONDS_PER_TICK,
            per_cpu: per_cpu.split_whitespace().filter_map(|text| text.parse().ok()).collect(),
            ..CPUUsage::default()
        });
    }
    if let Some(cpu) = cpu {
        let throttling = pairs(cpu, "cpu.stat");
        stat.throttling = MessageField::some(Throttle {
            periods: value_of(&throttling, "nr_periods"),
            throttled_periods: value_of(&throttling, "nr_throttled"),
            throttled_time: value_of(&throttling, "throttled_time"),
            ..Throttle::default()
        });
    }
    (cpuacct.is_some() || cpu.is_some()).then_some(stat)
}

fn memory_stat(memory: &Path) -> MemoryStat {
    let pairs = pairs(memory, "memory.stat");
    let of = |key| value_of(&pairs, key);
    MemoryStat {
        cache: of("cache"),
        rss: of("rss"),
        rss_huge: of("rss_huge"),
        mapped_file: of("mapped_file"),
        dirty: of("dirty"),
        writeback: of("writeback"),
        pg_pg_in: of("pgpgin"),
        pg_pg_out: of("pgpgout"),
        pg_fault: of("pgfault"),
        pg_maj_fault: of("pgmajfault"),
        inactive_anon: of("inactive_anon"),
        active_anon: of("active_anon"),
        inactive_file: of("inactive_file"),
        active_file: of("active_file"),
        unevictable: of("unevictable"),
        hierarchical_memory_limit: of("hierarchical_memory_limit"),
        hierarchical_swap_limit: of("hierarchical_memsw_limit"),
        total_cache: of("total_cache"),
        total_rss: of("total_rss"),
        total_rss_huge: of("total_rss_huge"),
        total_mapped_file: of("total_mapped_file"),
        total_dirty: of("total_dirty"),
        total_writeback: of("total_writeback"),
        total_pg_pg_in: of("total_pgpgin"),
        total_pg_pg_out: of("total_pgpgout"),
        total_pg_fault: of("total_pgfault"),
        total_pg_maj_fault: of("total_pgmajfault"),
        total_inactive_anon: of("total_inactive_anon"),
        total_active_anon: of("total_active_anon"),
        total_inactive_file: of("total_inactive_file"),
        total_active_file: of("total_active_file"),
        total_unevictable: of("total_unevictable"),
        usage: entry(memory, "memory"),
        swap: entry(memory, "memory.memsw"),
        kernel: entry(memory, "memory.kmem"),
        kernel_tcp: entry(memory, "memory.kmem.tcp"),
        ..MemoryStat::default()
    }
}

fn entry(memory: &Path, prefix: &str) -> MessageField<MemoryEntry> {
    let of = |what: &str| number(memory, &format!("{prefix}.{what}"));
    MessageField::some(MemoryEntry {
        limit: of("limit_in_bytes"),
        usage: of("usage_in_bytes"),
        max: of("max_usage_in_bytes"),
        failcnt: of("failcnt"),
        ..MemoryEntry::default()
    })
}

fn blkio_stat(blkio: &Path) -> BlkIOStat {
    BlkIOStat {
        io_service_bytes_recursive: io_entries(blkio, "blkio.throttle.io_service_bytes_recursive"),
        io_serviced_recursive: io_entries(blkio, "blkio.throttle.io_serviced_recursive"),
        ..BlkIOStat::default()
    }
}

/// Lines of `major:minor operation count`; the total at the end has no device.
fn io_entries(blkio: &Path, file: &str) -> Vec<BlkIOEntry> {
    let text = fs::read_to_string(blkio.join(file)).unwrap_or_default();
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let (major, minor) = fields.next()?.split_once(':')?;
            let (op, value) = (fields.next()?, fields.next()?);
            Some(BlkIOEntry {
                op: op.to_owned(),
                major: major.parse().ok()?,
                minor: minor.parse().ok()?,
                value: value.parse().ok()?,
                ..BlkIOEntry::default()
            })
        })
        .collect()
}
