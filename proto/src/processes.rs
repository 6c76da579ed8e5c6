//! The process record: which processes and cgroups belong to a container, kept in its bundle by the shim. With it any
//! program can ask the kernel whether they are alive, when a socket or the runtime's state is missing or silent.

use serde::{Deserialize, Serialize};

/// The file's name in the bundle directory. Written as temporary file, then renamed; not synced, since a reboot ends
/// every process.
pub const FILE_NAME: &str = "processes.json";

/// The layout that this build writes.
pub const VERSION: u32 = 1;

/// Where the kernel's boot id is read.
pub const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Everything that runs for one container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessRecord {
    /// [`VERSION`]; a reader ignores what it does not know.
    pub version: u32,
    /// The kernel's boot id: after a reboot the numbers belong to other processes.
    pub boot_id: String,
    /// The shim's server.
    pub shim: ProcessIdentity,
    /// The container's first process, once it has been created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<ProcessIdentity>,
    /// The cgroups that are the container's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cgroups: Vec<CgroupIdentity>,
}

/// A process, told apart from a later one with the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// Its pid on the host.
    pub pid: u32,
    /// Field 22 of /proc/PID/stat: clock ticks from boot to its start.
    pub start_time: u64,
}

/// A cgroup directory, told apart from a later one with the same path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupIdentity {
    /// The directory in the host's cgroup file system.
    pub path: String,
    /// Its inode number; the kernel gives a new one to each new cgroup.
    pub inode: u64,
}

/// What /proc/PID/stat tells of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessStat {
    /// Which process.
    pub identity: ProcessIdentity,
    /// The pid of its parent.
    pub parent: u32,
    /// The kernel's letter: `R`, `S`, `T`, `Z`, ….
    pub state: char,
    /// How it ended, as wait(2) encodes it; only a zombie has it, and only root sees it.
    pub wait_status: i32,
}

impl ProcessStat {
    /// Reads the text of /proc/PID/stat. `None` when it is cut short.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // The second field is the program's name in parentheses, and may itself hold any of ") ".
        let (pid, rest) = text.split_once(" (")?;
        let mut fields = rest.rsplit_once(") ")?.1.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        // The state is field 3, the parent 4, the start time 22, the exit code 52.
        let parent = fields.next()?.parse().ok()?;
        let start_time = fields.nth(17)?.parse().ok()?;
        let wait_status = fields.nth(29).and_then(|field| field.parse().ok()).unwrap_or(0);
        let identity = ProcessIdentity { pid: pid.trim().parse().ok()?, start_time };
        Some(Self { identity, parent, state, wait_status })
    }

    /// Whether the process can still run. A zombie has ended and only waits for its parent.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        !matches!(self.state, 'Z' | 'X' | 'x')
    }
}

impl ProcessIdentity {
    /// Whether `stat`, the text of /proc/PID/stat for this pid, shows this very process, alive.
    #[must_use]
    pub fn is_alive_in(&self, stat: &str) -> bool {
        ProcessStat::parse(stat).is_some_and(|stat| stat.identity == *self && stat.is_alive())
    }
}

impl ProcessRecord {
    /// Reads a record. `None` when it is damaged, of another version, or from before the boot `boot_id`.
    #[must_use]
    pub fn parse(text: &[u8], boot_id: &str) -> Option<Self> {
        let record: Self = serde_json::from_slice(text).ok()?;
        (record.version == VERSION && record.boot_id == boot_id).then_some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "4711 (a) b (c)) S 1 4711 4711 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 1 1 \
        18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 768\n";

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = ProcessStat::parse(STAT).expect("a whole line");
        assert_eq!(stat.identity, ProcessIdentity { pid: 4711, start_time: 987_654 });
        assert_eq!((stat.parent, stat.state, stat.wait_status), (1, 'S', 768));
        assert_eq!(ProcessStat::parse("4711 (x) S 1"), None);
        assert_eq!(ProcessStat::parse(""), None);
    }

    #[test]
    fn a_zombie_and_a_later_process_are_not_alive() {
        let own = ProcessIdentity { pid: 4711, start_time: 987_654 };
        assert!(own.is_alive_in(STAT));
        assert!(!own.is_alive_in(&STAT.replace(") S ", ") Z ")));
        assert!(!ProcessIdentity { start_time: 987_653, ..own }.is_alive_in(STAT));
    }

    #[test]
    fn a_record_of_another_boot_or_version_is_ignored() {
        let shim = ProcessIdentity { pid: 1, start_time: 2 };
        let cgroups = vec![CgroupIdentity { path: "/sys/fs/cgroup/x".to_owned(), inode: 3 }];
        let boot_id = "b".to_owned();
        let record = ProcessRecord { version: VERSION, boot_id, shim, init: Some(shim), cgroups };
        let text = serde_json::to_vec(&record).expect("plain data");
        assert_eq!(ProcessRecord::parse(&text, "b"), Some(record.clone()));
        assert_eq!(ProcessRecord::parse(&text, "c"), None);
        assert_eq!(ProcessRecord::parse(&text[..9], "b"), None);
        let newer = serde_json::to_vec(&ProcessRecord { version: 2, ..record }).expect("plain data");
        assert_eq!(ProcessRecord::parse(&newer, "b"), None);
    }
}
