//! What containers use, as docker shows it: shares between two looks, amounts at the last one.

use knarr_proto::v1::ContainerStatsReply;
use serde_json::json;

use super::Columns;
use super::reference::short_id;
use super::template::Subject;
use super::units::{binary_size, decimal_size};

/// The columns of `knarr stats`.
pub(crate) const COLUMNS: Columns = Columns {
    titles: &[
        ("Container", "CONTAINER"),
        ("ID", "CONTAINER ID"),
        ("Name", "NAME"),
        ("CPUPerc", "CPU %"),
        ("MemUsage", "MEM USAGE / LIMIT"),
        ("MemPerc", "MEM %"),
        ("NetIO", "NET I/O"),
        ("BlockIO", "BLOCK I/O"),
        ("PIDs", "PIDS"),
    ],
    default: "{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}",
};

/// The last two looks at a container.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples {
    before: Option<ContainerStatsReply>,
    last: Option<ContainerStatsReply>,
    has_ended: bool,
}

impl Samples {
    /// One more look; none when the container does not run, or no more.
    pub(crate) fn add(&mut self, sample: Option<ContainerStatsReply>) {
        match sample {
            Some(sample) => self.before = self.last.replace(sample),
            None => *self = Self { has_ended: true, ..Self::default() },
        }
    }

    /// Whether there are two looks, or none will come.
    pub(crate) fn is_settled(&self) -> bool {
        self.has_ended || self.before.is_some()
    }

    /// The container's share of processor time, in hundredths of one processor.
    fn cpu_percent(&self) -> f64 {
        let (Some(before), Some(last)) = (&self.before, &self.last) else { return 0.0 };
        let own = last.cpu_ns.saturating_sub(before.cpu_ns);
        let all = last.machine_cpu_ns.saturating_sub(before.machine_cpu_ns);
        match all {
            0 => 0.0,
            all => share(own, all) * f64::from(last.machine_cpus),
        }
    }
}

/// Per cent.
#[expect(clippy::cast_precision_loss, reason = "two digits of it are shown")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 * 100.0 }
}

/// The row of a container. Docker does not count cache that can be given back at once.
pub(crate) fn row(id: &str, name: &str, samples: &Samples, truncate: bool) -> Subject {
    let id = if truncate { short_id(id) } else { id };
    let fields = match &samples.last {
        None => json!({
            "Container": id, "ID": id, "Name": name, "CPUPerc": "--", "MemUsage": "-- / --", "MemPerc": "--",
            "NetIO": "--", "BlockIO": "--", "PIDs": "--",
        }),
        Some(last) => {
            let used = last.memory_bytes.saturating_sub(last.memory_inactive_file_bytes);
            let limit = last.memory_limit_bytes;
            json!({
                "Container": id,
                "ID": id,
                "Name": name,
                "CPUPerc": format!("{:.2}%", samples.cpu_percent()),
                "MemUsage": format!("{} / {}", binary_size(used), binary_size(limit)),
                "MemPerc": format!("{:.2}%", share(used, limit)),
                "NetIO": "0B / 0B",
                "BlockIO": format!("{} / {}", decimal_size(last.read_bytes), decimal_size(last.written_bytes)),
                "PIDs": last.pids.to_string(),
            })
        }
    };
    Subject::from(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_what_happened_between_two_looks() {
        let mut samples = Samples::default();
        let look = |cpu_ns, machine_cpu_ns| ContainerStatsReply {
            cpu_ns,
            machine_cpu_ns,
            machine_cpus: 2,
            memory_bytes: 3 << 20,
            memory_inactive_file_bytes: 1 << 20,
            memory_limit_bytes: 8 << 20,
            pids: 4,
            ..ContainerStatsReply::default()
        };
        samples.add(Some(look(100, 1000)));
        assert!(!samples.is_settled());
        samples.add(Some(look(600, 2000)));
        assert!(samples.is_settled());
        let format = super::super::Format::parse("", COLUMNS.default).expect("a template");
        let text =
            format.render(COLUMNS, &[row(&"4f1c".repeat(16), "web", &samples, true)]).expect("a table");
        let words: Vec<&str> = text.lines().nth(1).expect("a row").split_whitespace().collect();
        assert_eq!(
            words,
            [
                "4f1c4f1c4f1c",
                "web",
                "100.00%",
                "2MiB",
                "/",
                "8MiB",
                "25.00%",
                "0B",
                "/",
                "0B",
                "0B",
                "/",
                "0B",
                "4"
            ]
        );
        samples.add(None);
        let text = format.render(COLUMNS, &[row("id", "web", &samples, true)]).expect("a table");
        assert!(text.contains("-- / --"), "{text}");
    }
}
