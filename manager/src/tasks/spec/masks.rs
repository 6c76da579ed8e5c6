//! What of /proc and /sys no container sees or changes: docker's lists, the processors of this machine included.

use std::path::Path;
use std::sync::LazyLock;

/// What would tell about, or lead to, the host: as in docker 29.
const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    // Timing of keys and of other containers' work.
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    // The energy used tells about the instructions executed (CVE-2020-8694).
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Where processors count how often they were too hot: the load of others can be read from it.
const CPUS: &str = "/sys/devices/system/cpu";

/// The host's processors do not change their kind while it runs; one that is plugged in later is of the same.
static THROTTLES: LazyLock<Vec<String>> = LazyLock::new(|| throttles(Path::new(CPUS)));

pub(super) fn masked_paths() -> Vec<String> {
    MASKED.iter().map(|path| (*path).to_owned()).chain(THROTTLES.iter().cloned()).collect()
}

pub(super) fn readonly_paths() -> Vec<String> {
    READ_ONLY.iter().map(|path| (*path).to_owned()).collect()
}

/// The `thermal_throttle` directory of each possible processor that has one.
fn throttles(cpus: &Path) -> Vec<String> {
    let possible = std::fs::read_to_string(cpus.join("possible")).unwrap_or_default();
    let numbers = ranges(possible.trim()).into_iter().flatten();
    let paths = numbers.map(|number| cpus.join(format!("cpu{number}/thermal_throttle")));
    paths.filter(|path| path.exists()).map(|path| path.display().to_string()).collect()
}

/// The kernel's list of numbers, as `0-3,8`; it has at most NR_CPUS, which is 8192.
fn ranges(text: &str) -> Vec<std::ops::RangeInclusive<u32>> {
    const MAX_CPU: u32 = 8191;
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse().ok()?..=last.parse::<u32>().ok()?.min(MAX_CPU))
    };
    text.split(',').filter_map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_processor_that_can_be_too_hot_is_masked() {
        let cpus = tempfile::tempdir().expect("a directory");
        for number in [0, 1, 9] {
            std::fs::create_dir_all(cpus.path().join(format!("cpu{number}/thermal_throttle"))).expect("made");
        }
        std::fs::create_dir(cpus.path().join("cpu2")).expect("made");
        let found = |possible: &str| {
            std::fs::write(cpus.path().join("possible"), possible).expect("written");
            let found = throttles(cpus.path()).into_iter();
            let number = |path: String| {
                let path = path.trim_end_matches("/thermal_throttle").to_owned();
                path.rsplit("cpu").next().expect("a number").to_owned()
            };
            found.map(number).collect::<Vec<_>>()
        };
        assert_eq!(found("0-2,9\n"), ["0", "1", "9"]);
        assert_eq!(found("0\n"), ["0"]);
        assert_eq!(found("rubbish"), [""; 0]);
        assert_eq!(found("0-4294967295"), ["0", "1", "9"]);
        assert!(throttles(Path::new("/nowhere")).is_empty());
    }
}
