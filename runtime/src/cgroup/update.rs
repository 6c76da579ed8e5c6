//! What an update makes of a container's resources. Pure; as runc does it: what is not mentioned stays, but for values
//! of which a container has at most one meaning at a time (burst, idle, pids, unified files, CPU lists), which are
//! written when they are mentioned and otherwise left as the kernel has them.

use crate::spec::resources::{Memory, Resources, ThrottleDevice, WeightDevice};

/// Merges `wanted` into `current`. Devices cannot be updated.
pub(crate) fn merge(current: &mut Resources, wanted: Resources) {
    memory(current, &wanted.memory.unwrap_or_default());
    cpu(current, wanted.cpu.unwrap_or_default());
    let pids = wanted.pids.unwrap_or_default();
    current.pids = Some(pids);
    block_io(current, wanted.block_io.unwrap_or_default());
    current.unified = wanted.unified;
}

fn memory(current: &mut Resources, wanted: &Memory) {
    let memory = current.memory.get_or_insert_default();
    let lifts_limit = wanted.limit == Some(-1) && wanted.swap.is_none();
    replace(&mut memory.limit, wanted.limit);
    replace(&mut memory.reservation, wanted.reservation);
    // The old limit on memory and swap together means nothing without one on memory.
    replace(&mut memory.swap, if lifts_limit { Some(0) } else { wanted.swap });
    memory.check_before_update = wanted.check_before_update;
    // Warned about once, when it was asked for.
    memory.kernel = wanted.kernel;
    memory.kernel_tcp = wanted.kernel_tcp;
}

fn cpu(current: &mut Resources, wanted: crate::spec::resources::Cpu) {
    let cpu = current.cpu.get_or_insert_default();
    let (period, quota) = (wanted.period.unwrap_or(0), wanted.quota.unwrap_or(0));
    match (period, quota) {
        // A new period keeps the old quota, a new quota the old period.
        (1.., 0) => cpu.period = Some(period),
        (0, quota) if quota != 0 => cpu.quota = Some(quota),
        _ => (cpu.period, cpu.quota) = (Some(period), Some(quota)),
    }
    cpu.burst = wanted.burst;
    // cpu.weight cannot be written while cpu.idle is 1.
    let shares = if wanted.idle.is_some() { wanted.shares.or(Some(0)) } else { wanted.shares };
    replace(&mut cpu.shares, shares);
    replace(&mut cpu.realtime_period, wanted.realtime_period);
    replace(&mut cpu.realtime_runtime, wanted.realtime_runtime);
    cpu.cpus = wanted.cpus;
    cpu.mems = wanted.mems;
    cpu.idle = wanted.idle;
}

fn block_io(current: &mut Resources, wanted: crate::spec::resources::BlockIo) {
    let io = current.block_io.get_or_insert_default();
    replace(&mut io.weight, wanted.weight);
    replace(&mut io.leaf_weight, wanted.leaf_weight);
    for device in wanted.weight_device {
        upsert(&mut io.weight_device, device, |device: &WeightDevice| (device.major, device.minor));
    }
    for (list, devices) in [
        (&mut io.throttle_read_bps_device, wanted.throttle_read_bps_device),
        (&mut io.throttle_write_bps_device, wanted.throttle_write_bps_device),
        (&mut io.throttle_read_iops_device, wanted.throttle_read_iops_device),
        (&mut io.throttle_write_iops_device, wanted.throttle_write_iops_device),
    ] {
        for device in devices {
            upsert(list, device, |device: &ThrottleDevice| (device.major, device.minor));
        }
    }
}

fn replace<T>(current: &mut Option<T>, wanted: Option<T>) {
    if wanted.is_some() {
        *current = wanted;
    }
}

/// Replaces the last entry about the same device: of two, the last counts.
fn upsert<T>(list: &mut Vec<T>, wanted: T, key: impl Fn(&T) -> (i64, i64)) {
    match list.iter_mut().rev().find(|present| key(present) == key(&wanted)) {
        Some(present) => *present = wanted,
        None => list.push(wanted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(current: &str, wanted: &str) -> serde_json::Value {
        let mut current: Resources = serde_json::from_str(current).expect(current);
        merge(&mut current, serde_json::from_str(wanted).expect(wanted));
        serde_json::to_value(current).expect("plain data")
    }

    #[test]
    fn what_is_not_mentioned_stays() {
        let current = r#"{"memory":{"limit":5,"reservation":3,"swappiness":7},"cpu":{"shares":9},"blockIO":{"weight":30}}"#;
        let found = merged(current, r#"{"memory":{"limit":8}}"#);
        assert_eq!(found["memory"]["limit"], 8);
        assert_eq!(found["memory"]["reservation"], 3);
        assert_eq!(found["memory"]["swappiness"], 7);
        assert_eq!(found["cpu"]["shares"], 9);
        assert_eq!(found["blockIO"]["weight"], 30);
    }

    #[test]
    fn period_and_quota_go_together() {
        let current = r#"{"cpu":{"period":1000,"quota":500}}"#;
        for (wanted, period, quota) in [
            (r#"{"cpu":{"period":2000}}"#, 2000, 500),
            (r#"{"cpu":{"quota":700}}"#, 1000, 700),
            (r#"{"cpu":{"quota":-1}}"#, 1000, -1),
            (r#"{"cpu":{"period":2000,"quota":700}}"#, 2000, 700),
            (r#"{"memory":{"limit":1}}"#, 0, 0),
        ] {
            let found = merged(current, wanted);
            assert_eq!(
                (&found["cpu"]["period"], &found["cpu"]["quota"]),
                (&period.into(), &quota.into()),
                "{wanted}"
            );
        }
    }

    #[test]
    fn without_a_limit_on_memory_the_old_one_on_swap_is_forgotten() {
        assert_eq!(
            merged(r#"{"memory":{"limit":5,"swap":9}}"#, r#"{"memory":{"limit":-1}}"#)["memory"]["swap"],
            0
        );
    }

    #[test]
    fn a_device_is_updated_or_added() {
        let current = r#"{"blockIO":{"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1},{"major":8,"minor":0,"rate":2}]}}"#;
        let wanted = r#"{"blockIO":{"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":3},{"major":8,"minor":1,"rate":4}]}}"#;
        let found = merged(current, wanted);
        let rates: Vec<_> = found["blockIO"]["throttleReadBpsDevice"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|one| one["rate"].clone())
            .collect();
        assert_eq!(rates, [1, 3, 4]);
    }
}
