//! Limits, from the API's messages to the noun's words and back. Pure.

use knarr_proto::v1;

use super::translate::InvalidRequest;
use crate::tasks::plan::{BlockIo, Cpu, DeviceLimit, DeviceWeight, Memory, Resources};

/// The limits that a client asks for.
///
/// # Errors
/// A weight that is none.
pub(in crate::api) fn resources(wanted: v1::Resources) -> Result<Resources, InvalidRequest> {
    Ok(Resources {
        memory: Memory {
            memory_bytes: wanted.memory_bytes,
            memory_swap_bytes: wanted.memory_swap_bytes,
            memory_reservation_bytes: wanted.memory_reservation_bytes,
            memory_swappiness: wanted.memory_swappiness,
            oom_kill_disable: wanted.oom_kill_disable,
        },
        cpu: Cpu {
            nano_cpus: wanted.nano_cpus,
            cpu_shares: wanted.cpu_shares,
            cpu_period_us: wanted.cpu_period_us,
            cpu_quota_us: wanted.cpu_quota_us,
            cpu_rt_period_us: wanted.cpu_rt_period_us,
            cpu_rt_runtime_us: wanted.cpu_rt_runtime_us,
            cpuset_cpus: wanted.cpuset_cpus,
            cpuset_mems: wanted.cpuset_mems,
        },
        block_io: wanted.block_io.map(block_io).transpose()?.unwrap_or_default(),
        pids_limit: wanted.pids_limit,
    })
}

fn block_io(wanted: v1::BlockIo) -> Result<BlockIo, InvalidRequest> {
    let limits = |rates: Vec<v1::DeviceRate>| -> Vec<DeviceLimit> {
        rates.into_iter().map(|v1::DeviceRate { path, rate }| DeviceLimit { path, rate }).collect()
    };
    let weights = wanted
        .weight_devices
        .into_iter()
        .map(|v1::DeviceRate { path, rate }| Ok(DeviceWeight { path, weight: weight(rate)? }));
    Ok(BlockIo {
        weight: weight(wanted.weight.into())?,
        weight_devices: weights.collect::<Result<_, InvalidRequest>>()?,
        read_bps: limits(wanted.read_bps),
        write_bps: limits(wanted.write_bps),
        read_iops: limits(wanted.read_iops),
        write_iops: limits(wanted.write_iops),
    })
}

fn weight(number: u64) -> Result<u16, InvalidRequest> {
    u16::try_from(number).map_err(|_| InvalidRequest::Weight(number))
}

/// The same limits as they are told.
pub(super) fn resources_back(resources: Resources) -> v1::Resources {
    let Resources { memory, cpu, block_io, pids_limit } = resources;
    v1::Resources {
        memory_bytes: memory.memory_bytes,
        memory_swap_bytes: memory.memory_swap_bytes,
        memory_reservation_bytes: memory.memory_reservation_bytes,
        memory_swappiness: memory.memory_swappiness,
        oom_kill_disable: memory.oom_kill_disable,
        nano_cpus: cpu.nano_cpus,
        cpu_shares: cpu.cpu_shares,
        cpu_period_us: cpu.cpu_period_us,
        cpu_quota_us: cpu.cpu_quota_us,
        cpu_rt_period_us: cpu.cpu_rt_period_us,
        cpu_rt_runtime_us: cpu.cpu_rt_runtime_us,
        cpuset_cpus: cpu.cpuset_cpus,
        cpuset_mems: cpu.cpuset_mems,
        pids_limit,
        block_io: (block_io != BlockIo::default()).then(|| block_io_back(block_io)),
    }
}

fn block_io_back(block_io: BlockIo) -> v1::BlockIo {
    let rates = |limits: Vec<DeviceLimit>| -> Vec<v1::DeviceRate> {
        limits.into_iter().map(|DeviceLimit { path, rate }| v1::DeviceRate { path, rate }).collect()
    };
    let weight = |DeviceWeight { path, weight }| v1::DeviceRate { path, rate: u64::from(weight) };
    v1::BlockIo {
        weight: block_io.weight.into(),
        weight_devices: block_io.weight_devices.into_iter().map(weight).collect(),
        read_bps: rates(block_io.read_bps),
        write_bps: rates(block_io.write_bps),
        read_iops: rates(block_io.read_iops),
        write_iops: rates(block_io.write_iops),
    }
}
