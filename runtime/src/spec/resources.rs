//! `linux.resources`: cgroup limits. Also what `update --resources` reads.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::null_is_default;

/// The `resources` object.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Resources {
    /// Device access list, in order.
    #[serde(deserialize_with = "null_is_default")]
    pub devices: Vec<DeviceRule>,
    /// Memory.
    pub memory: Option<Memory>,
    /// CPU time and placement.
    pub cpu: Option<Cpu>,
    /// Number of tasks.
    pub pids: Option<Pids>,
    /// Block I/O.
    #[serde(rename = "blockIO")]
    pub block_io: Option<BlockIo>,
    /// Huge pages.
    #[serde(deserialize_with = "null_is_default")]
    pub hugepage_limits: Vec<HugepageLimit>,
    /// Network classes (v1).
    pub network: Option<Network>,
    /// RDMA by device.
    #[serde(deserialize_with = "null_is_default")]
    pub rdma: BTreeMap<String, Rdma>,
    /// cgroup v2 files and their values, as they are.
    #[serde(deserialize_with = "null_is_default")]
    pub unified: BTreeMap<String, String>,
}

/// One rule of the device list.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct DeviceRule {
    /// Allow or deny.
    pub allow: bool,
    /// `a` (both), `c` or `b`; empty is `a`.
    #[serde(default, rename = "type", deserialize_with = "null_is_default")]
    pub kind: String,
    /// Major number; absent or -1 is any.
    #[serde(default)]
    pub major: Option<i64>,
    /// Minor number; absent or -1 is any.
    #[serde(default)]
    pub minor: Option<i64>,
    /// Of `r`, `w`, `m`; empty is all.
    #[serde(default, deserialize_with = "null_is_default")]
    pub access: String,
}

/// Bytes; -1 is no limit.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Memory {
    /// Hard limit, bytes.
    pub limit: Option<i64>,
    /// Soft limit, bytes.
    pub reservation: Option<i64>,
    /// Memory and swap together, bytes.
    pub swap: Option<i64>,
    /// Deprecated; ignored as runc does.
    pub kernel: Option<i64>,
    /// Deprecated; bytes of kernel TCP memory (v1).
    #[serde(rename = "kernelTCP")]
    pub kernel_tcp: Option<i64>,
    /// 0 to 100 (v1).
    pub swappiness: Option<u64>,
    /// No OOM killer (v1).
    #[serde(rename = "disableOOMKiller")]
    pub disable_oom_killer: Option<bool>,
    /// Hierarchical accounting (v1).
    pub use_hierarchy: Option<bool>,
    /// Refuse an update below the present usage.
    pub check_before_update: Option<bool>,
}

/// Times in microseconds.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Cpu {
    /// Relative weight, v1 scale (2 to 262144).
    pub shares: Option<u64>,
    /// Microseconds per period; below zero is no limit.
    pub quota: Option<i64>,
    /// Microseconds that may be saved up.
    pub burst: Option<u64>,
    /// Microseconds.
    pub period: Option<u64>,
    /// Microseconds (v1).
    pub realtime_runtime: Option<i64>,
    /// Microseconds (v1).
    pub realtime_period: Option<u64>,
    /// CPU list.
    #[serde(deserialize_with = "null_is_default")]
    pub cpus: String,
    /// Memory node list.
    #[serde(deserialize_with = "null_is_default")]
    pub mems: String,
    /// 1 is SCHED_IDLE.
    pub idle: Option<i64>,
}

/// Number of tasks.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Pids {
    /// Absent leaves it; below 0 is no limit, and 0 as good as 1.
    pub limit: Option<i64>,
}

/// Block I/O.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BlockIo {
    /// 10 to 1000.
    pub weight: Option<u16>,
    /// 10 to 1000 (v1).
    pub leaf_weight: Option<u16>,
    /// Weights by device.
    #[serde(deserialize_with = "null_is_default")]
    pub weight_device: Vec<WeightDevice>,
    /// Bytes per second read.
    #[serde(deserialize_with = "null_is_default")]
    pub throttle_read_bps_device: Vec<ThrottleDevice>,
    /// Bytes per second written.
    #[serde(deserialize_with = "null_is_default")]
    pub throttle_write_bps_device: Vec<ThrottleDevice>,
    /// Reads per second.
    #[serde(rename = "throttleReadIOPSDevice", deserialize_with = "null_is_default")]
    pub throttle_read_iops_device: Vec<ThrottleDevice>,
    /// Writes per second.
    #[serde(rename = "throttleWriteIOPSDevice", deserialize_with = "null_is_default")]
    pub throttle_write_iops_device: Vec<ThrottleDevice>,
}

/// A device's weight.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WeightDevice {
    /// Major number.
    pub major: i64,
    /// Minor number.
    pub minor: i64,
    /// 10 to 1000.
    #[serde(default)]
    pub weight: Option<u16>,
    /// 10 to 1000 (v1).
    #[serde(default)]
    pub leaf_weight: Option<u16>,
}

/// A device's bound.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ThrottleDevice {
    /// Major number.
    pub major: i64,
    /// Minor number.
    pub minor: i64,
    /// Per second.
    pub rate: u64,
}

/// A huge page size's bound.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HugepageLimit {
    /// `2MB`, `1GB` …
    pub page_size: String,
    /// Bytes.
    pub limit: u64,
}

/// Network classes (v1).
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Network {
    /// net_cls.classid.
    #[serde(rename = "classID")]
    pub class_id: Option<u32>,
    /// net_prio.ifpriomap.
    #[serde(deserialize_with = "null_is_default")]
    pub priorities: Vec<InterfacePriority>,
}

/// An interface's priority.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct InterfacePriority {
    /// Interface.
    pub name: String,
    /// Priority.
    pub priority: u32,
}

/// An RDMA device's bounds.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rdma {
    /// hca_handle.
    pub hca_handles: Option<u32>,
    /// hca_object.
    pub hca_objects: Option<u32>,
}
