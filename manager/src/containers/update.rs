//! Changing a container's limits: of its cgroup when it has a process, and on record for the runs to come.

use knarr_proto::keep::policy::RestartPolicy;

use super::container::Container;
use super::error::ContainerError;
use super::handle::Containers;
use super::keep;
use super::spec::Settings;
use crate::tasks::plan::{BlockIo, Cpu, Memory, Resources};
use crate::tasks::spec::limits_json;

/// Changes the limits that `change` names; those that are zero stay as they are. So does the restart policy without
/// another.
///
/// # Errors
/// A limit that makes no sense beside the others, or that the kernel refuses; nothing is changed then.
pub(crate) async fn update(
    containers: &Containers,
    text: &str,
    change: Resources,
    restart: Option<RestartPolicy>,
) -> Result<(), ContainerError> {
    let container = containers.registry.find(text)?;
    let this = containers.clone();
    let update = async move {
        let _turn = container.turn.lock().await;
        container.check_there("update")?;
        let settings = container.settings();
        let restart = restart.unwrap_or(settings.restart);
        if settings.auto_remove && restart != RestartPolicy::No {
            return Err(ContainerError::PolicyOfRemoved);
        }
        let merged = merge(settings.resources.clone(), change);
        let counts_swap = this.execution.tasks.counts_swap;
        apply(&container, merged.clone(), counts_swap).await?;
        let changed = Settings { resources: merged, restart, ..Settings::clone(&settings) };
        let recorded = this.records.change(&container, changed).await;
        if recorded.is_err() {
            // What is not on record is not to be; the error of the record is the one to tell.
            drop(apply(&container, settings.resources.clone(), counts_swap).await);
            return recorded;
        }
        if restart != settings.restart && container.life().phase.holds_shim() {
            keep::order_now(&this.execution.tasks, &container).await?;
        }
        this.records.publish(&container, "update", &[]);
        Ok(())
    };
    containers.work.finish(update).await
}

/// Checks the limits, and sets them where there is a process.
async fn apply(container: &Container, limits: Resources, counts_swap: bool) -> Result<(), ContainerError> {
    let json = tokio::task::spawn_blocking(move || limits_json(&limits, counts_swap)).await??;
    if container.life().phase.holds_process() {
        container.process_task()?.update(json).await?;
    }
    Ok(())
}

fn merge(old: Resources, new: Resources) -> Resources {
    fn pick<T: Default + PartialEq>(old: T, new: T) -> T {
        if new == T::default() { old } else { new }
    }
    let (old_memory, old_cpu, old_io) = (old.memory, old.cpu, old.block_io);
    Resources {
        memory: Memory {
            memory_bytes: pick(old_memory.memory_bytes, new.memory.memory_bytes),
            memory_swap_bytes: pick(old_memory.memory_swap_bytes, new.memory.memory_swap_bytes),
            memory_reservation_bytes: pick(
                old_memory.memory_reservation_bytes,
                new.memory.memory_reservation_bytes,
            ),
            memory_swappiness: pick(old_memory.memory_swappiness, new.memory.memory_swappiness),
            oom_kill_disable: pick(old_memory.oom_kill_disable, new.memory.oom_kill_disable),
        },
        cpu: Cpu {
            nano_cpus: pick(old_cpu.nano_cpus, new.cpu.nano_cpus),
            cpu_shares: pick(old_cpu.cpu_shares, new.cpu.cpu_shares),
            cpu_period_us: pick(old_cpu.cpu_period_us, new.cpu.cpu_period_us),
            cpu_quota_us: pick(old_cpu.cpu_quota_us, new.cpu.cpu_quota_us),
            cpu_rt_period_us: pick(old_cpu.cpu_rt_period_us, new.cpu.cpu_rt_period_us),
            cpu_rt_runtime_us: pick(old_cpu.cpu_rt_runtime_us, new.cpu.cpu_rt_runtime_us),
            cpuset_cpus: pick(old_cpu.cpuset_cpus, new.cpu.cpuset_cpus),
            cpuset_mems: pick(old_cpu.cpuset_mems, new.cpu.cpuset_mems),
        },
        block_io: BlockIo {
            weight: pick(old_io.weight, new.block_io.weight),
            weight_devices: pick(old_io.weight_devices, new.block_io.weight_devices),
            read_bps: pick(old_io.read_bps, new.block_io.read_bps),
            write_bps: pick(old_io.write_bps, new.block_io.write_bps),
            read_iops: pick(old_io.read_iops, new.block_io.read_iops),
            write_iops: pick(old_io.write_iops, new.block_io.write_iops),
        },
        pids_limit: pick(old.pids_limit, new.pids_limit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_stays() {
        let old = Resources {
            memory: Memory { memory_bytes: 7, ..Memory::default() },
            pids_limit: 5,
            ..Resources::default()
        };
        let change = Resources { pids_limit: -1, ..Resources::default() };
        let merged = merge(old, change);
        assert_eq!((merged.memory.memory_bytes, merged.pids_limit), (7, -1));
    }
}
