//! What this machine's kernel lacks of what containers are limited and confined by, each with the consequence: for
//! `knarr info`, as docker warns there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use landlock::{Access as _, AccessFs, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _};

/// Controllers by which limits are set, and the flags that are refused without each.
const CONTROLLERS: [(&str, &str); 4] = [
    ("memory", "--memory, --memory-reservation and --memory-swap"),
    ("cpu", "--cpus and --cpu-shares"),
    ("cpuset", "--cpuset-cpus and --cpuset-mems"),
    ("pids", "--pids-limit"),
];

/// What is found below the root of a machine's files.
pub(super) fn lacks(root: &Path) -> Vec<String> {
    let hierarchies = Hierarchies::below(root);
    let mut lacks: Vec<String> = CONTROLLERS
        .iter()
        .filter(|(controller, _)| !hierarchies.has(controller))
        .map(|(controller, flags)| {
            format!("No {controller} limits: containers with {flags} do not start, for the kernel or the mounted cgroups lack the controller {controller}")
        })
        .collect();
    if hierarchies.has("memory") && hierarchies.counts_swap() == Some(false) {
        lacks.push("No swap limits: --memory bounds memory alone, and containers with --memory-swap do not start, for the kernel does not count swap (swapaccount=1 has it do so)".to_owned());
    }
    if hierarchies.has("cpu") && hierarchies.has_quota() == Some(false) {
        lacks.push("No CPU quotas: containers with --cpus do not start, for the kernel was built without CONFIG_CFS_BANDWIDTH".to_owned());
    }
    if !has_seccomp(root) {
        lacks.push("No seccomp: only containers with --privileged start, and images cannot be unpacked, for the kernel cannot filter system calls".to_owned());
    }
    if !has_mandatory_control(root) {
        lacks.push("No AppArmor or SELinux: capabilities, seccomp and masked paths alone hold root in a container, for the kernel has neither or they are off".to_owned());
    }
    lacks
}

/// Whether the kernel counts swap; `None` when nothing tells.
pub(super) fn counts_swap(root: &Path) -> Option<bool> {
    Hierarchies::below(root).counts_swap()
}

/// The lack of landlock, which only a system call tells.
pub(super) fn landlock() -> Option<String> {
    let strict = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    let made = strict.handle_access(AccessFs::from_all(landlock::ABI::V1)).and_then(Ruleset::create);
    let lack = "No landlock: what unpacks images is held by its own root, few capabilities and seccomp alone, for the kernel lacks it or it is off";
    made.is_err().then(|| lack.to_owned())
}

/// Whether system calls can be filtered.
pub(super) fn has_seccomp(root: &Path) -> bool {
    root.join("proc/sys/kernel/seccomp/actions_avail").exists()
}

fn has_mandatory_control(root: &Path) -> bool {
    let apparmor = fs::read(root.join("sys/module/apparmor/parameters/enabled"));
    apparmor.is_ok_and(|text| text.first() == Some(&b'Y')) || root.join("sys/fs/selinux/enforce").exists()
}

/// The mounted cgroup hierarchies.
struct Hierarchies {
    /// Where each of v1's is, with its controllers.
    v1: Vec<(PathBuf, BTreeSet<String>)>,
    /// Where v2's is, with its controllers.
    v2: Option<(PathBuf, BTreeSet<String>)>,
}

impl Hierarchies {
    fn below(root: &Path) -> Self {
        let table = fs::read_to_string(root.join("proc/self/mountinfo")).unwrap_or_default();
        let (mut v1, mut v2) = (Vec::new(), None);
        for line in table.lines() {
            let Some((mount, kind)) = line.split_once(" - ") else { continue };
            let point = mount.split(' ').nth(4).unwrap_or_default();
            let point = root.join(point.trim_start_matches('/'));
            let mut kind = kind.split(' ');
            match (kind.next(), kind.nth(1)) {
                (Some("cgroup"), Some(options)) => {
                    v1.push((point, options.split(',').map(str::to_owned).collect()));
                }
                (Some("cgroup2"), _) => {
                    let controllers =
                        fs::read_to_string(point.join("cgroup.controllers")).unwrap_or_default();
                    v2 = Some((point, controllers.split_whitespace().map(str::to_owned).collect()));
                }
                _ => {}
            }
        }
        Self { v1, v2 }
    }

    fn has(&self, controller: &str) -> bool {
        self.of_v1(controller).is_some()
            || self.v2.as_ref().is_some_and(|(_, controllers)| controllers.contains(controller))
    }

    fn of_v1(&self, controller: &str) -> Option<&Path> {
        let found = self.v1.iter().find(|(_, controllers)| controllers.contains(controller));
        found.map(|(point, _)| point.as_path())
    }

    /// Whether swap is counted; `None` when nothing tells.
    fn counts_swap(&self) -> Option<bool> {
        self.file("memory", "memory.memsw.limit_in_bytes", "memory.swap.max")
    }

    /// Whether a CPU quota can be set; `None` when nothing tells.
    fn has_quota(&self) -> Option<bool> {
        self.file("cpu", "cpu.cfs_quota_us", "cpu.max")
    }

    /// Whether a controller has this file: in v1's root, or in a cgroup just below v2's root, which has none itself.
    fn file(&self, controller: &str, v1_name: &str, v2_name: &str) -> Option<bool> {
        if let Some(point) = self.of_v1(controller) {
            return Some(point.join(v1_name).exists());
        }
        let (point, _) = self.v2.as_ref()?;
        let below = fs::read_dir(point).ok()?.flatten().map(|entry| entry.path());
        // Only where the controller is handed down there are files of it at all.
        let file_of_all = format!("{controller}.stat");
        let with_controller = |path: &PathBuf| match controller {
            "cpu" => path.join("cpu.weight").exists(),
            _ => path.join(&file_of_all).exists(),
        };
        let mut cgroups = below.filter(with_controller).peekable();
        cgroups.peek()?;
        Some(cgroups.any(|path| path.join(v2_name).exists()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2: &str = "30 1 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
    const V1: &str = "30 1 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
        31 1 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
        32 1 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

    /// The first words of what is lacking on a machine with these files.
    fn lacking(files: &[(&str, &str)]) -> Vec<String> {
        let root = tempfile::tempdir().expect("a directory");
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("below the root")).expect("made");
            fs::write(path, text).expect("written");
        }
        let words = |text: String| text.split(':').next().unwrap_or_default().to_owned();
        lacks(root.path()).into_iter().map(words).collect()
    }

    #[test]
    fn a_machine_with_everything_lacks_nothing() {
        let files = [
            ("proc/self/mountinfo", V2),
            ("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n"),
            ("sys/fs/cgroup/system.slice/memory.stat", ""),
            ("sys/fs/cgroup/system.slice/memory.swap.max", ""),
            ("sys/fs/cgroup/system.slice/cpu.weight", ""),
            ("sys/fs/cgroup/system.slice/cpu.max", ""),
            ("proc/sys/kernel/seccomp/actions_avail", ""),
            ("sys/module/apparmor/parameters/enabled", "Y\n"),
        ];
        assert_eq!(lacking(&files), Vec::<String>::new());
        // Without any cgroup below the root nothing tells whether swap is counted.
        let unknown: Vec<_> =
            files.iter().filter(|(path, _)| !path.contains("system.slice")).copied().collect();
        assert_eq!(lacking(&unknown), Vec::<String>::new());
        let selinux: Vec<_> = files
            .into_iter()
            .map(|file| if file.0.contains("apparmor") { ("sys/fs/selinux/enforce", "1") } else { file })
            .collect();
        assert_eq!(lacking(&selinux), Vec::<String>::new());
    }

    #[test]
    fn each_lack_is_told() {
        let nothing = lacking(&[]);
        let expected =
            ["memory limits", "cpu limits", "cpuset limits", "pids limits", "seccomp", "AppArmor or SELinux"];
        assert_eq!(nothing, expected.map(|what| format!("No {what}")));

        let files = [
            ("proc/self/mountinfo", V2),
            ("sys/fs/cgroup/cgroup.controllers", "cpuset cpu memory pids\n"),
            ("sys/fs/cgroup/system.slice/memory.stat", ""),
            ("sys/fs/cgroup/system.slice/cpu.weight", ""),
            ("proc/sys/kernel/seccomp/actions_avail", ""),
            ("sys/module/apparmor/parameters/enabled", "N\n"),
        ];
        assert_eq!(lacking(&files), ["No swap limits", "No CPU quotas", "No AppArmor or SELinux"]);

        let files = [
            ("proc/self/mountinfo", V1),
            ("sys/fs/cgroup/unified/cgroup.controllers", "pids\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", ""),
            ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", ""),
            ("proc/sys/kernel/seccomp/actions_avail", ""),
            ("sys/fs/selinux/enforce", "0"),
        ];
        assert_eq!(lacking(&files), ["No cpuset limits", "No swap limits"]);
    }
}
