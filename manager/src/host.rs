//! Facts about the machine, mostly for people: its kernel, its cgroups, its memory. They are read from files of the kernel
//! and of the host: on blocking threads.
#![allow(clippy::disallowed_methods, reason = "called on blocking threads")]

mod lacks;

use std::path::Path;
use std::sync::LazyLock;

/// The machine, at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) hostname: String,
    pub(crate) operating_system: String,
    /// "1", "hybrid" or "2".
    pub(crate) cgroup_version: &'static str,
    pub(crate) cpus: usize,
    pub(crate) memory_bytes: u64,
    /// Whether system calls can be filtered.
    pub(crate) has_seccomp: bool,
    /// What it lacks of what containers are limited and confined by, with the consequence.
    pub(crate) lacks: Vec<String>,
}

impl Host {
    /// Looks at the machine.
    pub(crate) fn read() -> Self {
        let memory = rustix::system::sysinfo();
        Self {
            hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            operating_system: operating_system(
                &std::fs::read_to_string("/etc/os-release").unwrap_or_default(),
            ),
            cgroup_version: cgroup_version(Path::new("/sys/fs/cgroup")),
            cpus: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory_bytes: memory.totalram.saturating_mul(memory.mem_unit.into()),
            has_seccomp: lacks::has_seccomp(Path::new("/")),
            lacks: lacks::lacks(Path::new("/")).into_iter().chain(lacks::landlock()).collect(),
        }
    }
}

/// Whether the kernel counts swap, so that it can be limited; where nothing tells, it does, as kernels do since 5.8.
pub(crate) fn counts_swap() -> bool {
    lacks::counts_swap(Path::new("/")).unwrap_or(true)
}

/// The kernel tells programs of processor time in hundredths of a second (USER_HZ), whatever its own clock.
const NANOSECONDS_PER_TICK: u64 = 10_000_000;

/// What the machine has done and has, for shares of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// Processor time of all processors since the machine started, busy or idle.
    pub(crate) cpu_ns: u64,
    pub(crate) cpus: u32,
    pub(crate) memory_bytes: u64,
}

impl Load {
    /// Looks at the machine.
    pub(crate) fn read() -> Self {
        let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        let (ticks, cpus) = cpu_ticks(&text);
        let memory = rustix::system::sysinfo();
        Self {
            cpu_ns: ticks.saturating_mul(NANOSECONDS_PER_TICK),
            cpus,
            memory_bytes: memory.totalram.saturating_mul(memory.mem_unit.into()),
        }
    }
}

/// The ticks of all processors together, and how many there are: lines of `cpu`, `cpu0` and so on. The first seven numbers
/// are docker's; guests' time, at the end, is in them already.
fn cpu_ticks(stat: &str) -> (u64, u32) {
    let all = stat.lines().find_map(|line| line.strip_prefix("cpu "));
    let ticks =
        all.map(|line| line.split_whitespace().take(7).filter_map(|word| word.parse::<u64>().ok()).sum());
    let is_one = |line: &&str| {
        line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|letter: char| letter.is_ascii_digit()))
    };
    let cpus = stat.lines().filter(is_one).count();
    (ticks.unwrap_or(0), u32::try_from(cpus).unwrap_or(u32::MAX))
}

/// The kernel's release.
pub(crate) fn kernel_version() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

fn cgroup_version(mount_point: &Path) -> &'static str {
    let unified = mount_point.join("cgroup.controllers").exists();
    let hybrid = mount_point.join("unified/cgroup.controllers").exists();
    match (unified, hybrid) {
        (true, _) => "2",
        (false, true) => "hybrid",
        (false, false) => "1",
    }
}

/// Whether this machine has cgroup v2 alone; that does not change while it runs.
pub(crate) fn has_unified_cgroups() -> bool {
    static IS_UNIFIED: LazyLock<bool> = LazyLock::new(|| cgroup_version(Path::new("/sys/fs/cgroup")) == "2");
    *IS_UNIFIED
}

/// PRETTY_NAME of an os-release file.
fn operating_system(release: &str) -> String {
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.unwrap_or("Linux").trim_matches('"').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operating_system_has_its_name_from_os_release() {
        for (release, name) in [
            ("ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n", "Debian GNU/Linux 12 (bookworm)"),
            ("PRETTY_NAME=Alpine\n", "Alpine"),
            ("", "Linux"),
        ] {
            assert_eq!(operating_system(release), name);
        }
    }

    #[test]
    fn processors_and_their_time_are_counted() {
        let stat = "cpu  1 2 3 4 5 6 7 8 9\ncpu0 1 1\ncpu1 1 1\nintr 5\n";
        assert_eq!(cpu_ticks(stat), (28, 2));
        assert_eq!(cpu_ticks(""), (0, 0));
    }

    #[test]
    fn the_cgroup_version_is_told_by_what_is_mounted() {
        let directory = tempfile::tempdir().expect("a directory");
        assert_eq!(cgroup_version(directory.path()), "1");
        std::fs::create_dir(directory.path().join("unified")).expect("made");
        std::fs::write(directory.path().join("unified/cgroup.controllers"), "").expect("written");
        assert_eq!(cgroup_version(directory.path()), "hybrid");
        std::fs::write(directory.path().join("cgroup.controllers"), "").expect("written");
        assert_eq!(cgroup_version(directory.path()), "2");
    }
}
