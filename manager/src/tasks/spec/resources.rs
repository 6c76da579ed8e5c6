//! Limits, from what people say to what cgroups take. What is refused is refused in docker's words.

use oci_spec::runtime::{
    LinuxCpu, LinuxMemory, LinuxPids, LinuxResources, PosixRlimit, PosixRlimitBuilder, PosixRlimitType,
};

use super::block_io;
use super::error::SpecError;
use crate::tasks::plan::{Cpu, Memory, Resources, Ulimit};

/// The kernel's period for CPU time, in microseconds: docker's 100 ms.
const CPU_PERIOD_US: u64 = 100_000;
/// Docker's least memory: below it not even the runtime's own init fits.
const MIN_MEMORY_BYTES: i64 = 6 * 1024 * 1024;

/// The cgroup's limits, without the rules of devices.
pub(crate) fn cgroup_limits(wanted: &Resources, counts_swap: bool) -> Result<LinuxResources, SpecError> {
    let mut resources = LinuxResources::default();
    resources.set_memory(memory(&wanted.memory, counts_swap)?);
    resources.set_cpu(cpu(&wanted.cpu)?);
    resources.set_block_io(block_io::block_io(&wanted.block_io)?);
    if wanted.pids_limit != 0 {
        let mut pids = LinuxPids::default();
        pids.set_limit(wanted.pids_limit.max(-1));
        resources.set_pids(Some(pids));
    }
    Ok(resources)
}

fn memory(wanted: &Memory, counts_swap: bool) -> Result<Option<LinuxMemory>, SpecError> {
    let (limit, swap, reservation) =
        (wanted.memory_bytes, wanted.memory_swap_bytes, wanted.memory_reservation_bytes);
    let refuse = |problem| Err(SpecError::limit("memory", problem));
    if limit == 0 && swap > 0 {
        return refuse("You should always set the Memory limit when using Memoryswap limit");
    }
    if limit != 0 && limit < MIN_MEMORY_BYTES {
        return refuse("Minimum memory limit allowed is 6MB");
    }
    if swap < -1 || (swap > 0 && swap < limit) {
        return refuse("Minimum memoryswap limit should be larger than memory limit");
    }
    if reservation != 0 && reservation < MIN_MEMORY_BYTES {
        return refuse("Minimum memory reservation allowed is 6MB");
    }
    if limit != 0 && reservation > limit {
        return refuse("Minimum memory limit can not be less than memory reservation limit");
    }
    let mut memory = LinuxMemory::default();
    if limit != 0 {
        memory.set_limit(Some(limit));
        // Docker's default, which is left out where the kernel has no such limit.
        memory.set_swap(if swap == 0 { counts_swap.then(|| limit.saturating_mul(2)) } else { Some(swap) });
    }
    if reservation != 0 {
        memory.set_reservation(Some(reservation));
    }
    if let Some(swappiness) = wanted.memory_swappiness {
        if swappiness > 100 {
            let problem = format!("{swappiness}, valid memory swappiness range is 0-100");
            return Err(SpecError::limit("memory-swappiness", problem));
        }
        memory.set_swappiness(Some(swappiness.into()));
    }
    if wanted.oom_kill_disable {
        memory.set_disable_oom_killer(Some(true));
    }
    Ok((memory != LinuxMemory::default()).then_some(memory))
}

fn cpu(wanted: &Cpu) -> Result<Option<LinuxCpu>, SpecError> {
    let mut cpu = LinuxCpu::default();
    if wanted.nano_cpus < 0 || (wanted.nano_cpus > 0 && wanted.nano_cpus < 10_000_000) {
        return Err(SpecError::limit("cpus", "range of CPUs is from 0.01"));
    }
    if wanted.nano_cpus > 0 {
        let period = i64::try_from(CPU_PERIOD_US).unwrap_or(i64::MAX);
        let quota = i128::from(wanted.nano_cpus) * i128::from(period) / 1_000_000_000;
        cpu.set_period(Some(CPU_PERIOD_US));
        cpu.set_quota(Some(i64::try_from(quota).unwrap_or(i64::MAX)));
    }
    let has_own_quota = wanted.cpu_period_us != 0 || wanted.cpu_quota_us != 0;
    if wanted.nano_cpus > 0 && has_own_quota {
        let other = if wanted.cpu_period_us != 0 { "Period" } else { "Quota" };
        let problem = format!("Conflicting options: Nano CPUs and CPU {other} cannot both be set");
        return Err(SpecError::limit("cpus", problem));
    }
    if wanted.cpu_period_us != 0 && !(1_000..=1_000_000).contains(&wanted.cpu_period_us) {
        let problem = "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)";
        return Err(SpecError::limit("cpu-period", problem));
    }
    if wanted.cpu_quota_us > 0 && wanted.cpu_quota_us < 1_000 {
        return Err(SpecError::limit("cpu-quota", "CPU cfs quota can not be less than 1ms (i.e. 1000)"));
    }
    if wanted.cpu_period_us != 0 {
        cpu.set_period(Some(wanted.cpu_period_us));
    }
    if wanted.cpu_quota_us != 0 {
        cpu.set_quota(Some(wanted.cpu_quota_us));
    }
    if wanted.cpu_rt_period_us != 0 {
        cpu.set_realtime_period(Some(wanted.cpu_rt_period_us));
    }
    if wanted.cpu_rt_runtime_us != 0 {
        cpu.set_realtime_runtime(Some(wanted.cpu_rt_runtime_us));
    }
    if wanted.cpu_shares > 0 {
        cpu.set_shares(Some(wanted.cpu_shares));
    }
    for (text, limit, what) in [
        (&wanted.cpuset_cpus, "cpuset-cpus", "cpuset cpus"),
        (&wanted.cpuset_mems, "cpuset-mems", "cpuset mems"),
    ] {
        if !text.is_empty() && !text.split(',').all(is_range) {
            let problem = format!("Invalid value {text} for {what}: write a list such as 0-3,7");
            return Err(SpecError::limit(limit, problem));
        }
    }
    if !wanted.cpuset_cpus.is_empty() {
        cpu.set_cpus(Some(wanted.cpuset_cpus.clone()));
    }
    if !wanted.cpuset_mems.is_empty() {
        cpu.set_mems(Some(wanted.cpuset_mems.clone()));
    }
    Ok((cpu != LinuxCpu::default()).then_some(cpu))
}

/// A number, or two of which the second is not the smaller one.
fn is_range(text: &str) -> bool {
    let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => text.parse::<u16>().ok(),
        false => None,
    };
    match text.split_once('-') {
        Some((first, last)) => number(first).zip(number(last)).is_some_and(|(first, last)| first <= last),
        None => number(text).is_some(),
    }
}

/// Resource limits of the processes.
pub(super) fn rlimits(ulimits: &[Ulimit]) -> Result<Option<Vec<PosixRlimit>>, SpecError> {
    let mut rlimits = Vec::new();
    for ulimit in ulimits {
        let name = format!("RLIMIT_{}", ulimit.name.to_ascii_uppercase());
        let typ: PosixRlimitType = serde_json::from_value(serde_json::Value::String(name))
            .map_err(|source| SpecError::Ulimit { name: ulimit.name.clone(), source })?;
        if ulimit.soft > ulimit.hard {
            let (name, soft, hard) = (&ulimit.name, ulimit.soft, ulimit.hard);
            let problem = format!(
                "{name}: ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"
            );
            return Err(SpecError::limit("ulimit", problem));
        }
        let rlimit = PosixRlimitBuilder::default().typ(typ).soft(ulimit.soft).hard(ulimit.hard).build();
        let rlimit = rlimit.expect("all of its fields are set");
        rlimits.push(rlimit);
    }
    Ok((!rlimits.is_empty()).then_some(rlimits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_become_what_cgroups_take() {
        let limit = Memory { memory_bytes: 64 << 20, ..Memory::default() };
        let memory = memory(&limit, true).expect("ok").expect("a limit");
        assert_eq!((memory.limit(), memory.swap()), (Some(64 << 20), Some(128 << 20)));
        let cpu = cpu(&Cpu { nano_cpus: 1_500_000_000, ..Cpu::default() }).expect("ok").expect("a limit");
        assert_eq!((cpu.quota(), cpu.period()), (Some(150_000), Some(100_000)));
        assert!(super::cpu(&Cpu::default()).expect("ok").is_none());
        let exact = Cpu { cpu_period_us: 50_000, cpu_quota_us: -1, ..Cpu::default() };
        let exact = super::cpu(&exact).expect("ok").expect("a limit");
        assert_eq!((exact.quota(), exact.period()), (Some(-1), Some(50_000)));
    }

    #[test]
    fn limits_that_make_no_sense_are_refused() {
        for refused in [
            Memory { memory_bytes: 1, ..Memory::default() },
            Memory { memory_bytes: -1, ..Memory::default() },
            Memory { memory_swap_bytes: 1 << 30, ..Memory::default() },
            Memory { memory_bytes: 1 << 30, memory_swap_bytes: 1 << 20, ..Memory::default() },
            Memory { memory_bytes: 1 << 30, memory_reservation_bytes: 1 << 31, ..Memory::default() },
            Memory { memory_reservation_bytes: 1 << 20, ..Memory::default() },
            Memory { memory_swappiness: Some(101), ..Memory::default() },
        ] {
            assert!(memory(&refused, true).is_err(), "{refused:?}");
        }
        for refused in [
            Cpu { nano_cpus: -1, ..Cpu::default() },
            Cpu { nano_cpus: 1, ..Cpu::default() },
            Cpu { nano_cpus: 1 << 30, cpu_quota_us: 5000, ..Cpu::default() },
            Cpu { cpu_period_us: 999, ..Cpu::default() },
            Cpu { cpu_quota_us: 999, ..Cpu::default() },
            Cpu { cpuset_cpus: "a".into(), ..Cpu::default() },
            Cpu { cpuset_cpus: "1-10,11--".into(), ..Cpu::default() },
            Cpu { cpuset_cpus: "3-1".into(), ..Cpu::default() },
            Cpu { cpuset_mems: "0,".into(), ..Cpu::default() },
            Cpu { cpuset_mems: "99999".into(), ..Cpu::default() },
        ] {
            assert!(cpu(&refused).is_err(), "{refused:?}");
        }
        let ulimit = |name: &str, soft| rlimits(&[Ulimit { name: name.into(), soft, hard: 10 }]);
        assert!(ulimit("nofile", 10).is_ok());
        assert!(ulimit("nofile", 11).is_err());
        assert!(ulimit("nope", 1).is_err());
    }
}
