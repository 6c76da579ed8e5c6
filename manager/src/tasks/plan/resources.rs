//! A task's limits. Zero is none, unless a field says otherwise.

use serde::{Deserialize, Serialize};

/// Limits of a container's cgroup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Resources {
    #[serde(flatten)]
    pub(crate) memory: Memory,
    #[serde(flatten)]
    pub(crate) cpu: Cpu,
    pub(crate) block_io: BlockIo,
    /// -1 is none, too.
    pub(crate) pids_limit: i64,
}

/// Limits of memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Memory {
    pub(crate) memory_bytes: i64,
    /// Memory and swap together; -1 is unlimited swap, 0 twice the memory.
    pub(crate) memory_swap_bytes: i64,
    pub(crate) memory_reservation_bytes: i64,
    /// 0 to 100; `None` is the parent's.
    pub(crate) memory_swappiness: Option<u32>,
    pub(crate) oom_kill_disable: bool,
}

/// Limits of processor time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Cpu {
    /// Billionths of a CPU.
    pub(crate) nano_cpus: i64,
    pub(crate) cpu_shares: u64,
    pub(crate) cpu_period_us: u64,
    /// -1 is none, too.
    pub(crate) cpu_quota_us: i64,
    pub(crate) cpu_rt_period_us: u64,
    pub(crate) cpu_rt_runtime_us: i64,
    pub(crate) cpuset_cpus: String,
    pub(crate) cpuset_mems: String,
}

/// Limits of reading and writing block devices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct BlockIo {
    /// 10 to 1000.
    pub(crate) weight: u16,
    pub(crate) weight_devices: Vec<DeviceWeight>,
    pub(crate) read_bps: Vec<DeviceLimit>,
    pub(crate) write_bps: Vec<DeviceLimit>,
    pub(crate) read_iops: Vec<DeviceLimit>,
    pub(crate) write_iops: Vec<DeviceLimit>,
}

/// A block device's weight.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeviceWeight {
    /// On the host.
    pub(crate) path: String,
    pub(crate) weight: u16,
}

/// A block device's limit: bytes, or reads and writes, a second.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeviceLimit {
    /// On the host.
    pub(crate) path: String,
    pub(crate) rate: u64,
}

/// A resource limit of the container's processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ulimit {
    pub(crate) name: String,
    pub(crate) soft: u64,
    pub(crate) hard: u64,
}
