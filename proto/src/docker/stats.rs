//! What a container uses, as docker's `GET /containers/{id}/stats` tells it: the last look, beside the one before.

use serde_json::{Value, json};

use super::time::rfc3339;
use crate::v1::ContainerStatsReply;

/// One object. Without a look, as for a container that does not run, everything in it is zero.
#[must_use]
pub fn stats(
    id: &str,
    name: &str,
    last: Option<&ContainerStatsReply>,
    before: Option<&ContainerStatsReply>,
) -> Value {
    let none = ContainerStatsReply::default();
    let (now, earlier) = (last.unwrap_or(&none), before.unwrap_or(&none));
    json!({
        "id": id,
        "name": format!("/{name}"),
        "read": rfc3339(now.read_at.as_ref()),
        "preread": rfc3339(earlier.read_at.as_ref()),
        "pids_stats": pids(now),
        "blkio_stats": block_io(now),
        "num_procs": 0,
        "storage_stats": {},
        "cpu_stats": cpu(now),
        "precpu_stats": cpu(earlier),
        "memory_stats": memory(now),
    })
}

fn pids(look: &ContainerStatsReply) -> Value {
    match (look.pids, look.pids_limit) {
        (0, _) => json!({}),
        // Docker has a number there; no limit is the largest.
        (current, 0) => json!({"current": current, "limit": u64::MAX}),
        (current, limit) => json!({"current": current, "limit": limit}),
    }
}

fn block_io(look: &ContainerStatsReply) -> Value {
    let entry = |op: &str, value: u64| json!({"major": 0, "minor": 0, "op": op, "value": value});
    json!({
        "io_service_bytes_recursive": [entry("read", look.read_bytes), entry("write", look.written_bytes)],
        "io_serviced_recursive": null,
        "io_queue_recursive": null,
        "io_service_time_recursive": null,
        "io_wait_time_recursive": null,
        "io_merged_recursive": null,
        "io_time_recursive": null,
        "sectors_recursive": null,
    })
}

fn cpu(look: &ContainerStatsReply) -> Value {
    json!({
        "cpu_usage": {
            "total_usage": look.cpu_ns,
            "usage_in_kernelmode": look.cpu_system_ns,
            "usage_in_usermode": look.cpu_user_ns,
        },
        "system_cpu_usage": look.machine_cpu_ns,
        "online_cpus": look.machine_cpus,
        "throttling_data": {
            "periods": look.periods,
            "throttled_periods": look.throttled_periods,
            "throttled_time": look.throttled_ns,
        },
    })
}

fn memory(look: &ContainerStatsReply) -> Value {
    match look.memory_bytes {
        0 => json!({}),
        usage => json!({
            "usage": usage,
            "stats": {"inactive_file": look.memory_inactive_file_bytes},
            "limit": look.memory_limit_bytes,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_dockers_cli_divides_is_where_it_looks() {
        let look = |cpu_ns| ContainerStatsReply {
            cpu_ns,
            machine_cpu_ns: 9,
            machine_cpus: 2,
            memory_bytes: 7,
            memory_limit_bytes: 8,
            pids: 1,
            ..ContainerStatsReply::default()
        };
        let object = stats("id", "web", Some(&look(5)), Some(&look(3)));
        for (pointer, value) in [
            ("/name", json!("/web")),
            ("/cpu_stats/cpu_usage/total_usage", json!(5)),
            ("/precpu_stats/cpu_usage/total_usage", json!(3)),
            ("/cpu_stats/online_cpus", json!(2)),
            ("/memory_stats/limit", json!(8)),
            ("/pids_stats/limit", json!(u64::MAX)),
        ] {
            assert_eq!(object.pointer(pointer), Some(&value), "{pointer}");
        }
        let stopped = stats("id", "web", None, None);
        assert_eq!(
            (&stopped["memory_stats"], &stopped["read"]),
            (&json!({}), &json!("0001-01-01T00:00:00Z"))
        );
    }
}
