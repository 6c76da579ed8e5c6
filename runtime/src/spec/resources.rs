//! `linux.resources`: cgroup limits. Also what `update --resources` reads.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::null::null_is_default;

/// The `resources` object.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Resources {
    /// Device access list, in order.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) devices: Vec<DeviceRule>,
    /// Memory.
    pub(crate) memory: Option<Memory>,
    /// CPU time and placement.
    pub(crate) cpu: Option<Cpu>,
    /// Number of tasks.
    pub(crate) pids: Option<Pids>,
    /// Block I/O.
    #[serde(rename = "blockIO")]
    pub(crate) block_io: Option<BlockIo>,
    /// Huge pages.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) hugepage_limits: Vec<HugepageLimit>,
    /// Network classes (v1).
    pub(crate) network: Option<Network>,
    /// RDMA by device.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) rdma: BTreeMap<String, Rdma>,
    /// cgroup v2 files and their values, as they are.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) unified: BTreeMap<String, String>,
}

/// One rule of the device list.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct DeviceRule {
    /// Allow or deny.
    pub(crate) allow: bool,
    /// `a` (both), `c` or `b`; empty is `a`.
    #[serde(default, rename = "type", deserialize_with = "null_is_default")]
    pub(crate) kind: String,
    /// Major number; absent or -1 is any.
    #[serde(default)]
    pub(crate) major: Option<i64>,
    /// Minor number; absent or -1 is any.
    #[serde(default)]
    pub(crate) minor: Option<i64>,
    /// Of `r`, `w`, `m`; empty is all.
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) access: String,
}

/// Bytes; -1 is no limit.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Memory {
    /// Hard limit, bytes.
    pub(crate) limit: Option<i64>,
    /// Soft limit, bytes.
    pub(crate) reservation: Option<i64>,
    /// Memory and swap together, bytes.
    pub(crate) swap: Option<i64>,
    /// Deprecated; ignored as runc does.
    pub(crate) kernel: Option<i64>,
    /// Deprecated; bytes of kernel TCP memory (v1).
    #[serde(rename = "kernelTCP")]
    pub(crate) kernel_tcp: Option<i64>,
    /// 0 to 100 (v1).
    pub(crate) swappiness: Option<u64>,
    /// No OOM killer (v1).
    #[serde(rename = "disableOOMKiller")]
    pub(crate) disable_oom_killer: Option<bool>,
    /// Hierarchical accounting (v1).
    pub(crate) use_hierarchy: Option<bool>,
    /// Refuse an update below the present usage.
    pub(crate) check_before_update: Option<bool>,
}

/// Times in microseconds.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Cpu {
    /// Relative weight, v1 scale (2 to 262144).
    pub(crate) shares: Option<u64>,
    /// Microseconds per period; below zero is no limit.
    pub(crate) quota: Option<i64>,
    /// Microseconds that may be saved up.
    pub(crate) burst: Option<u64>,
    /// Microseconds.
    pub(crate) period: Option<u64>,
    /// Microseconds (v1).
    pub(crate) realtime_runtime: Option<i64>,
    /// Microseconds (v1).
    pub(crate) realtime_period: Option<u64>,
    /// CPU list.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) cpus: String,
    /// Memory node list.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) mems: String,
    /// 1 is SCHED_IDLE.
    pub(crate) idle: Option<i64>,
}

/// Number of tasks.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Pids {
    /// Absent leaves it; below 0 is no limit, and 0 as good as 1.
    pub(crate) limit: Option<i64>,
}

/// Block I/O.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct BlockIo {
    /// 10 to 1000.
    pub(crate) weight: Option<u16>,
    /// 10 to 1000 (v1).
    pub(crate) leaf_weight: Option<u16>,
    /// Weights by device.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) weight_device: Vec<WeightDevice>,
    /// Bytes per second read.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) throttle_read_bps_device: Vec<ThrottleDevice>,
    /// Bytes per second written.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) throttle_write_bps_device: Vec<ThrottleDevice>,
    /// Reads per second.
    #[serde(rename = "throttleReadIOPSDevice", deserialize_with = "null_is_default")]
    pub(crate) throttle_read_iops_device: Vec<ThrottleDevice>,
    /// Writes per second.
    #[serde(rename = "throttleWriteIOPSDevice", deserialize_with = "null_is_default")]
    pub(crate) throttle_write_iops_device: Vec<ThrottleDevice>,
}

/// A device's weight.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WeightDevice {
    /// Major number.
    pub(crate) major: i64,
    /// Minor number.
    pub(crate) minor: i64,
    /// 10 to 1000.
    #[serde(default)]
    pub(crate) weight: Option<u16>,
    /// 10 to 1000 (v1).
    #[serde(default)]
    pub(crate) leaf_weight: Option<u16>,
}

/// A device's bound.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct ThrottleDevice {
    /// Major number.
    pub(crate) major: i64,
    /// Minor number.
    pub(crate) minor: i64,
    /// Per second.
    pub(crate) rate: u64,
}

/// A huge page size's bound.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HugepageLimit {
    /// `2MB`, `1GB` …
    pub(crate) page_size: String,
    /// Bytes.
    pub(crate) limit: u64,
}

/// Network classes (v1).
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Network {
    /// net_cls.classid.
    #[serde(rename = "classID")]
    pub(crate) class_id: Option<u32>,
    /// net_prio.ifpriomap.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) priorities: Vec<InterfacePriority>,
}

/// An interface's priority.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct InterfacePriority {
    /// Interface.
    pub(crate) name: String,
    /// Priority.
    pub(crate) priority: u32,
}

/// An RDMA device's bounds.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Rdma {
    /// hca_handle.
    pub(crate) hca_handles: Option<u32>,
    /// hca_object.
    pub(crate) hca_objects: Option<u32>,
}
