//! What a container uses, as `events` prints it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::resctrl;

/// Everything, in runc's order and with its names.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Stats {
    pub(crate) cpu: Cpu,
    pub(crate) cpuset: Cpuset,
    pub(crate) memory: Memory,
    pub(crate) pids: Pids,
    pub(crate) blkio: Blkio,
    pub(crate) hugetlb: BTreeMap<String, Hugetlb>,
    /// Not a cgroup's, but runc's place for it.
    pub(crate) intel_rdt: resctrl::stats::Stats,
    /// runc names only interfaces that it made itself, which it no longer does.
    pub(crate) network_interfaces: Option<()>,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Cpu {
    #[serde(skip_serializing_if = "is_unset")]
    pub(crate) usage: CpuUsage,
    #[serde(skip_serializing_if = "is_unset")]
    pub(crate) throttling: Throttling,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) psi: Option<Psi>,
}

/// Nanoseconds.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(crate) struct CpuUsage {
    #[serde(skip_serializing_if = "is_unset")]
    pub(crate) total: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) percpu: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) percpu_kernel: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) percpu_user: Vec<u64>,
    pub(crate) kernel: u64,
    pub(crate) user: u64,
}

#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Throttling {
    #[serde(skip_serializing_if = "is_unset")]
    pub(crate) periods: u64,
    #[serde(skip_serializing_if = "is_unset")]
    pub(crate) throttled_periods: u64,
    /// Nanoseconds.
    #[serde(skip_serializing_if = "is_unset")]
    pub(crate) throttled_time: u64,
}

/// Pressure stall information: how long tasks waited.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Psi {
    pub(crate) some: Pressure,
    pub(crate) full: Pressure,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Pressure {
    pub(crate) avg10: f64,
    pub(crate) avg60: f64,
    pub(crate) avg300: f64,
    /// Microseconds.
    pub(crate) total: u64,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Cpuset {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) cpus: Vec<u16>,
    pub(crate) cpu_exclusive: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) mems: Vec<u16>,
    pub(crate) mem_hardwall: u64,
    pub(crate) mem_exclusive: u64,
    pub(crate) memory_migrate: u64,
    pub(crate) memory_spread_page: u64,
    pub(crate) memory_spread_slab: u64,
    pub(crate) memory_pressure: u64,
    pub(crate) sched_load_balance: u64,
    pub(crate) sched_relax_domain_level: i64,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Memory {
    #[serde(skip_serializing_if = "is_unset")]
    pub(crate) cache: u64,
    #[serde(skip_serializing_if = "is_unset")]
    pub(crate) usage: Amount,
    /// Memory and swap together, on v2 too.
    #[serde(skip_serializing_if = "is_unset")]
    pub(crate) swap: Amount,
    #[serde(skip_serializing_if = "is_unset")]
    pub(crate) kernel: Amount,
    #[serde(rename = "kernelTCP", skip_serializing_if = "is_unset")]
    pub(crate) kernel_tcp: Amount,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) raw: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) psi: Option<Psi>,
}

/// Bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Amount {
    pub(crate) limit: u64,
    #[serde(skip_serializing_if = "is_unset")]
    pub(crate) usage: u64,
    #[serde(skip_serializing_if = "is_unset")]
    pub(crate) max: u64,
    pub(crate) failcnt: u64,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Pids {
    #[serde(skip_serializing_if = "is_unset")]
    pub(crate) current: u64,
    #[serde(skip_serializing_if = "is_unset")]
    pub(crate) limit: u64,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Blkio {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) io_service_bytes_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) io_serviced_recursive: Vec<BlkioEntry>,
    #[serde(rename = "ioQueueRecursive", skip_serializing_if = "Vec::is_empty")]
    pub(crate) io_queued_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) io_service_time_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) io_wait_time_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) io_merged_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) io_time_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) sectors_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) psi: Option<Psi>,
}

#[derive(Debug, Default, PartialEq, Serialize)]
pub(crate) struct BlkioEntry {
    #[serde(skip_serializing_if = "is_unset")]
    pub(crate) major: u64,
    #[serde(skip_serializing_if = "is_unset")]
    pub(crate) minor: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) op: String,
    #[serde(skip_serializing_if = "is_unset")]
    pub(crate) value: u64,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Hugetlb {
    #[serde(skip_serializing_if = "is_unset")]
    pub(crate) usage: u64,
    #[serde(skip_serializing_if = "is_unset")]
    pub(crate) max: u64,
    pub(crate) failcnt: u64,
}

/// Go's `omitempty`.
fn is_unset<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
