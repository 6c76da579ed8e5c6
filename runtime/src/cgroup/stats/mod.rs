//! What a container uses, read from its cgroups into the shape that `runc events` prints. A controller that the
//! container has not is left at zero; what a kernel does not tell is left out.

mod read;
mod v1;
mod v2;

use std::collections::BTreeMap;

use serde::Serialize;

use super::{CgroupError, Fence, Version};
use crate::resctrl;
use read::Files;

/// Everything, in runc's order and with its names.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Stats {
    cpu: Cpu,
    cpuset: Cpuset,
    memory: Memory,
    pids: Pids,
    blkio: Blkio,
    hugetlb: BTreeMap<String, Hugetlb>,
    /// Not a cgroup's, but runc's place for it.
    pub(crate) intel_rdt: resctrl::Stats,
    /// runc names only interfaces that it made itself, which it no longer does.
    network_interfaces: Option<()>,
}

#[derive(Debug, Default, Serialize)]
struct Cpu {
    #[serde(skip_serializing_if = "is_unset")]
    usage: CpuUsage,
    #[serde(skip_serializing_if = "is_unset")]
    throttling: Throttling,
    #[serde(skip_serializing_if = "Option::is_none")]
    psi: Option<Psi>,
}

/// Nanoseconds.
#[derive(Debug, Default, PartialEq, Serialize)]
struct CpuUsage {
    #[serde(skip_serializing_if = "is_unset")]
    total: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    percpu: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    percpu_kernel: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    percpu_user: Vec<u64>,
    kernel: u64,
    user: u64,
}

#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Throttling {
    #[serde(skip_serializing_if = "is_unset")]
    periods: u64,
    #[serde(skip_serializing_if = "is_unset")]
    throttled_periods: u64,
    /// Nanoseconds.
    #[serde(skip_serializing_if = "is_unset")]
    throttled_time: u64,
}

/// Pressure stall information: who waited for how long.
#[derive(Debug, Default, Serialize)]
struct Psi {
    some: Pressure,
    full: Pressure,
}

#[derive(Debug, Default, Serialize)]
struct Pressure {
    avg10: f64,
    avg60: f64,
    avg300: f64,
    /// Microseconds.
    total: u64,
}

#[derive(Debug, Default, Serialize)]
struct Cpuset {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cpus: Vec<u16>,
    cpu_exclusive: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mems: Vec<u16>,
    mem_hardwall: u64,
    mem_exclusive: u64,
    memory_migrate: u64,
    memory_spread_page: u64,
    memory_spread_slab: u64,
    memory_pressure: u64,
    sched_load_balance: u64,
    sched_relax_domain_level: i64,
}

#[derive(Debug, Default, Serialize)]
struct Memory {
    #[serde(skip_serializing_if = "is_unset")]
    cache: u64,
    #[serde(skip_serializing_if = "is_unset")]
    usage: Amount,
    /// Memory and swap together, on v2 too.
    #[serde(skip_serializing_if = "is_unset")]
    swap: Amount,
    #[serde(skip_serializing_if = "is_unset")]
    kernel: Amount,
    #[serde(rename = "kernelTCP", skip_serializing_if = "is_unset")]
    kernel_tcp: Amount,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    raw: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    psi: Option<Psi>,
}

/// Bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
struct Amount {
    limit: u64,
    #[serde(skip_serializing_if = "is_unset")]
    usage: u64,
    #[serde(skip_serializing_if = "is_unset")]
    max: u64,
    failcnt: u64,
}

#[derive(Debug, Default, Serialize)]
struct Pids {
    #[serde(skip_serializing_if = "is_unset")]
    current: u64,
    #[serde(skip_serializing_if = "is_unset")]
    limit: u64,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Blkio {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    io_service_bytes_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    io_serviced_recursive: Vec<BlkioEntry>,
    #[serde(rename = "ioQueueRecursive", skip_serializing_if = "Vec::is_empty")]
    io_queued_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    io_service_time_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    io_wait_time_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    io_merged_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    io_time_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sectors_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    psi: Option<Psi>,
}

#[derive(Debug, Default, PartialEq, Serialize)]
struct BlkioEntry {
    #[serde(skip_serializing_if = "is_unset")]
    major: u64,
    #[serde(skip_serializing_if = "is_unset")]
    minor: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    op: String,
    #[serde(skip_serializing_if = "is_unset")]
    value: u64,
}

#[derive(Debug, Default, Serialize)]
struct Hugetlb {
    #[serde(skip_serializing_if = "is_unset")]
    usage: u64,
    #[serde(skip_serializing_if = "is_unset")]
    max: u64,
    failcnt: u64,
}

/// Go's `omitempty`.
fn is_unset<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Fence {
    /// Reads what the container uses.
    ///
    /// # Errors
    /// [`CgroupError::Read`] and [`CgroupError::Nonsense`].
    pub(crate) fn stats(&self) -> Result<Stats, CgroupError> {
        let mut stats = Stats::default();
        let is_unified = self.paths().is_unified();
        for cgroup in self.cgroups() {
            let files = Files(cgroup);
            match cgroup.path.version {
                Version::V1 => v1::read(&mut stats, &files)?,
                Version::V2 => {
                    stats.cpu.psi = files.pressure("cpu.pressure")?;
                    stats.memory.psi = files.pressure("memory.pressure")?;
                    stats.blkio.psi = files.pressure("io.pressure")?;
                    if is_unified {
                        v2::read(&mut stats, &files)?;
                    }
                }
            }
        }
        Ok(stats)
    }
}

#[cfg(test)]
mod tests;
