//! What a task uses, out of the metrics that shims tell: containerd's messages for cgroups v1 and v2.

use containerd_shim_protos::cgroups::metrics::Metrics as V1;
use containerd_shim_protos::cgroups_v2::metrics::Metrics as V2;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::protobuf::{self, Message};

/// What a task has used, and may use. A controller that is not there reads as zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) cpu_ns: u64,
    pub(crate) cpu_user_ns: u64,
    pub(crate) cpu_system_ns: u64,
    pub(crate) periods: u64,
    pub(crate) throttled_periods: u64,
    pub(crate) throttled_ns: u64,
    pub(crate) memory_bytes: u64,
    /// Of these, cache that can be given back at once.
    pub(crate) memory_inactive_file_bytes: u64,
    /// `u64::MAX`, or near it, without a limit.
    pub(crate) memory_limit_bytes: u64,
    pub(crate) pids: u64,
    /// 0 without a limit.
    pub(crate) pids_limit: u64,
    pub(crate) read_bytes: u64,
    pub(crate) written_bytes: u64,
    pub(crate) oom_kills: u64,
}

/// Reads the metrics.
///
/// # Errors
/// They are of another kind, or damaged.
pub(super) fn read(metrics: &Any) -> protobuf::Result<Usage> {
    match metrics.type_url.contains("v2") {
        true => V2::parse_from_bytes(&metrics.value).map(|metrics| of_v2(&metrics)),
        false => V1::parse_from_bytes(&metrics.value).map(|metrics| of_v1(&metrics)),
    }
}

fn of_v1(metrics: &V1) -> Usage {
    let (cpu, throttling) = (&metrics.cpu.usage, &metrics.cpu.throttling);
    let memory = &metrics.memory;
    let moved = |operation: &str| -> u64 {
        let entries = metrics.blkio.io_service_bytes_recursive.iter();
        entries.filter(|entry| entry.op.eq_ignore_ascii_case(operation)).map(|entry| entry.value).sum()
    };
    Usage {
        cpu_ns: cpu.total,
        cpu_user_ns: cpu.user,
        cpu_system_ns: cpu.kernel,
        periods: throttling.periods,
        throttled_periods: throttling.throttled_periods,
        throttled_ns: throttling.throttled_time,
        memory_bytes: memory.usage.usage,
        memory_inactive_file_bytes: memory.total_inactive_file,
        memory_limit_bytes: memory.usage.limit,
        pids: metrics.pids.current,
        pids_limit: metrics.pids.limit,
        read_bytes: moved("read"),
        written_bytes: moved("write"),
        oom_kills: metrics.memory_oom_control.oom_kill,
    }
}

fn of_v2(metrics: &V2) -> Usage {
    const NS_PER_US: u64 = 1000;
    let (cpu, memory) = (&metrics.cpu, &metrics.memory);
    Usage {
        cpu_ns: cpu.usage_usec.saturating_mul(NS_PER_US),
        cpu_user_ns: cpu.user_usec.saturating_mul(NS_PER_US),
        cpu_system_ns: cpu.system_usec.saturating_mul(NS_PER_US),
        periods: cpu.nr_periods,
        throttled_periods: cpu.nr_throttled,
        throttled_ns: cpu.throttled_usec.saturating_mul(NS_PER_US),
        memory_bytes: memory.usage,
        memory_inactive_file_bytes: memory.inactive_file,
        memory_limit_bytes: memory.usage_limit,
        pids: metrics.pids.current,
        pids_limit: metrics.pids.limit,
        read_bytes: metrics.io.usage.iter().map(|entry| entry.rbytes).sum(),
        written_bytes: metrics.io.usage.iter().map(|entry| entry.wbytes).sum(),
        oom_kills: metrics.memory_events.oom_kill,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_cgroups_are_read() {
        let mut v1 = V1::default();
        v1.cpu.mut_or_insert_default().usage.mut_or_insert_default().total = 7;
        let any = |type_url: &str, value: Vec<u8>| Any { type_url: type_url.into(), value, ..Any::default() };
        let bytes = v1.write_to_bytes().expect("bytes");
        assert_eq!(read(&any("io.containerd.cgroups.v1.Metrics", bytes)).expect("read").cpu_ns, 7);
        let mut v2 = V2::default();
        v2.cpu.mut_or_insert_default().usage_usec = 7;
        let bytes = v2.write_to_bytes().expect("bytes");
        assert_eq!(read(&any("io.containerd.cgroups.v2.Metrics", bytes)).expect("read").cpu_ns, 7000);
        assert!(read(&any("v2", vec![255])).is_err());
    }
}
