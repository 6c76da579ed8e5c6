//! Metrics of a cgroup v2, in containerd's message. A controller that is not there reads as zeros.

use std::fs;
use std::path::Path;

use containerd_shim_protos::cgroups_v2::metrics::{
    CPUStat, IOEntry, IOStat, MemoryEvents, MemoryStat, Metrics, PidsStat,
};
use containerd_shim_protos::protobuf::MessageField;

use super::{CgroupError, exists, number, pairs, value_of};

/// Reads the cgroup at `directory`.
pub(super) fn metrics(directory: &Path) -> Result<Metrics, CgroupError> {
    exists(directory)?;
    let cpu = pairs(directory, "cpu.stat");
    let events = pairs(directory, "memory.events");
    let limit = number(directory, "pids.max");
    Ok(Metrics {
        pids: MessageField::some(PidsStat {
            current: number(directory, "pids.current"),
            // containerd says 0 for no limit.
            limit: if limit == u64::MAX { 0 } else { limit },
            ..PidsStat::default()
        }),
        cpu: MessageField::some(CPUStat {
            usage_usec: value_of(&cpu, "usage_usec"),
            user_usec: value_of(&cpu, "user_usec"),
            system_usec: value_of(&cpu, "system_usec"),
            nr_periods: value_of(&cpu, "nr_periods"),
            nr_throttled: value_of(&cpu, "nr_throttled"),
            throttled_usec: value_of(&cpu, "throttled_usec"),
            nr_bursts: value_of(&cpu, "nr_bursts"),
            burst_usec: value_of(&cpu, "burst_usec"),
            ..CPUStat::default()
        }),
        memory: MessageField::some(memory_stat(directory)),
        memory_events: MessageField::some(MemoryEvents {
            low: value_of(&events, "low"),
            high: value_of(&events, "high"),
            max: value_of(&events, "max"),
            oom: value_of(&events, "oom"),
            oom_kill: value_of(&events, "oom_kill"),
            oom_group_kill: value_of(&events, "oom_group_kill"),
            ..MemoryEvents::default()
        }),
        io: MessageField::some(IOStat { usage: io_entries(directory), ..IOStat::default() }),
        ..Metrics::default()
    })
}

fn memory_stat(directory: &Path) -> MemoryStat {
    let pairs = pairs(directory, "memory.stat");
    let of = |key| value_of(&pairs, key);
    MemoryStat {
        anon: of("anon"),
        file: of("file"),
        kernel_stack: of("kernel_stack"),
        slab: of("slab"),
        sock: of("sock"),
        shmem: of("shmem"),
        file_mapped: of("file_mapped"),
        file_dirty: of("file_dirty"),
        file_writeback: of("file_writeback"),
        anon_thp: of("anon_thp"),
        inactive_anon: of("inactive_anon"),
        active_anon: of("active_anon"),
        inactive_file: of("inactive_file"),
        active_file: of("active_file"),
        unevictable: of("unevictable"),
        slab_reclaimable: of("slab_reclaimable"),
        slab_unreclaimable: of("slab_unreclaimable"),
        pgfault: of("pgfault"),
        pgmajfault: of("pgmajfault"),
        pgrefill: of("pgrefill"),
        pgscan: of("pgscan"),
        pgsteal: of("pgsteal"),
        pgactivate: of("pgactivate"),
        pgdeactivate: of("pgdeactivate"),
        pglazyfree: of("pglazyfree"),
        pglazyfreed: of("pglazyfreed"),
        thp_fault_alloc: of("thp_fault_alloc"),
        thp_collapse_alloc: of("thp_collapse_alloc"),
        usage: number(directory, "memory.current"),
        usage_limit: number(directory, "memory.max"),
        max_usage: number(directory, "memory.peak"),
        swap_usage: number(directory, "memory.swap.current"),
        swap_limit: number(directory, "memory.swap.max"),
        swap_max_usage: number(directory, "memory.swap.peak"),
        ..MemoryStat::default()
    }
}

/// Lines of `major:minor key=value …`.
fn io_entries(directory: &Path) -> Vec<IOEntry> {
    let text = fs::read_to_string(directory.join("io.stat")).unwrap_or_default();
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let (major, minor) = fields.next()?.split_once(':')?;
            let mut entry =
                IOEntry { major: major.parse().ok()?, minor: minor.parse().ok()?, ..IOEntry::default() };
            for (key, value) in fields.filter_map(|field| field.split_once('=')) {
                let value = value.parse().ok()?;
                match key {
                    "rbytes" => entry.rbytes = value,
                    "wbytes" => entry.wbytes = value,
                    "rios" => entry.rios = value,
                    "wios" => entry.wios = value,
                    _ => {}
                }
            }
            Some(entry)
        })
        .collect()
}
