//! A sweep: the same work with a fault at one point after the other, and a look at the world after each. By default some
//! points from all over are met; `KNARR_FULL=1` meets all of them. What is swept is the caller's: `runtime_bed` for the runtime,
//! `shim_bed` for the shim, `manager_bed` for knarrd.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use knarr_tests::Scratch;
use knarr_tests::process::{self, Outcome};
use knarr_tests::strace::{self, Fault, Point, Watch};

/// As many points of a sweep are met without `KNARR_FULL`, from all over: a fault of knarrd takes a second, and there are
/// forty sweeps for a few minutes of CI.
const SAMPLE: usize = 12;
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// What each call may fail with, by the kernel's manual or because its file system said so. One list for all programs.
#[rustfmt::skip]
const ERRORS: [(&str, &[&str]); 6] = [
    ("ENOSPC", &[
        "mkdirat", "mkdir", "mknodat", "renameat", "renameat2", "rename", "open", "openat", "openat2", "write", "pwrite64",
        "fsync", "fdatasync", "syncfs", "ftruncate", "fallocate", "bind", "symlinkat", "symlink", "linkat", "setxattr",
        "fsetxattr", "clone3", "unshare",
    ]),
    ("EIO", &[
        "fsync", "fdatasync", "syncfs", "write", "pwrite64", "ftruncate", "openat", "mkdir", "rename", "renameat", "rmdir",
        "unlink", "unlinkat", "umount2", "fchmod", "fchown", "utimensat",
    ]),
    ("EMFILE", &[
        "open", "openat", "openat2", "socket", "socketpair", "accept4", "pipe2", "pidfd_open", "memfd_create", "eventfd2",
        "epoll_create1", "fcntl", "fsopen", "fsmount", "open_tree", "dup2", "clone3",
    ]),
    ("ENOMEM", &[
        "clone", "vfork", "fork", "clone3", "fsopen", "fsconfig", "fsmount", "move_mount", "mount", "mount_setattr",
        "open_tree", "socketpair", "setns", "unshare", "connect", "sendto", "sendmsg", "recvmsg", "pivot_root", "umount2",
        "setgroups", "mkdir", "mkdirat", "openat", "openat2", "read", "write", "unlinkat", "flock", "seccomp", "poll", "statx",
        "newfstatat", "getdents64",
    ]),
    ("EINTR", &[
        "read", "write", "openat", "openat2", "recvmsg", "sendto", "flock", "poll", "waitid", "clone3",
    ]),
    ("EPERM", &[
        "mount_setattr", "setns", "fchown", "keyctl", "setresuid", "setresgid", "capset", "sethostname",
    ]),
];

/// One fault at one point.
#[derive(Clone, Debug)]
pub(crate) struct Injection {
    pub(crate) point: Point,
    pub(crate) fault: Fault,
}

impl fmt::Display for Injection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fault {
            Fault::Kill => write!(f, "kill at {}", self.point),
            Fault::Error(name) => write!(f, "{name} at {}", self.point),
        }
    }
}

impl Injection {
    /// Runs the command with the fault in it. How it ended, and whether an error was injected.
    pub(crate) fn strike(&self, watch: Watch, command: &Command, scratch: &Scratch) -> (Outcome, bool) {
        let log = scratch.join("injected");
        let outcome = process::run(&mut self.point.inject(self.fault, watch, command, &log));
        (outcome, strace::was_injected(&log))
    }
}

/// What a fault did that it must not do.
#[derive(Debug)]
pub(crate) enum Harm {
    /// Something that had been acknowledged is gone, or an end was made up.
    Lost(String),
    /// Something is left on the host that nothing owns and nothing removes.
    Orphan(String),
    /// It was refused, but not in a sentence that a person understands; or what was asked cannot be done any more.
    Unclear(String),
}

impl Harm {
    /// All that one fault did, told as the first of it; `None` when it did nothing.
    pub(crate) fn of_all(harms: Vec<Self>) -> Option<Self> {
        let text = harms.iter().map(Self::to_string).collect::<Vec<_>>().join("; ");
        harms.into_iter().next().map(|first| match first {
            Self::Lost(_) => Self::Lost(text),
            Self::Orphan(_) => Self::Orphan(text),
            Self::Unclear(_) => Self::Unclear(text),
        })
    }
}

impl fmt::Display for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Lost(what) | Self::Orphan(what) | Self::Unclear(what)) = self;
        f.write_str(what)
    }
}

/// What a sweep found.
#[derive(Debug, Default)]
pub(crate) struct Sweep {
    met: usize,
    missed: usize,
    lost: Vec<String>,
    orphans: Vec<String>,
    unclear: Vec<String>,
}

impl Sweep {
    /// Injects the faults one after the other; `trial` returns whether the fault struck, or what is wrong afterwards.
    pub(crate) fn over<F: fmt::Display>(
        faults: &[F],
        mut trial: impl FnMut(&F) -> Result<bool, Harm>,
    ) -> Self {
        let mut sweep = Self::default();
        for fault in faults {
            match trial(fault) {
                Ok(true) => sweep.met += 1,
                Ok(false) => sweep.missed += 1,
                Err(harm) => {
                    sweep.met += 1;
                    sweep.blame(&fault.to_string(), harm);
                }
            }
        }
        sweep
    }

    /// Counts harm that was seen outside of a trial.
    pub(crate) fn blame(&mut self, place: &str, harm: Harm) {
        let (list, what) = match harm {
            Harm::Lost(what) => (&mut self.lost, what),
            Harm::Orphan(what) => (&mut self.orphans, what),
            Harm::Unclear(what) => (&mut self.unclear, what),
        };
        list.push(format!("{place}: {what}"));
    }

    /// Tells the figures, on stderr and in the file that `KNARR_FAULT_LOG` names; panics unless all was right.
    #[track_caller]
    pub(crate) fn conclude(&self, what: &str) {
        let Self { met, missed, lost, orphans, unclear } = self;
        let line = format!(
            "faults: {met} injected, lost {}, orphans {}, unclear {}, not met {missed} ({what})\n",
            lost.len(),
            orphans.len(),
            unclear.len(),
        );
        eprint!("{line}");
        if let Some(path) = std::env::var_os("KNARR_FAULT_LOG") {
            let log = OpenOptions::new().append(true).create(true).open(&path);
            log.and_then(|mut log| log.write_all(line.as_bytes())).expect("KNARR_FAULT_LOG can be written");
        }
        let wrong: Vec<_> = [("lost", lost), ("orphan", orphans), ("unclear", unclear)]
            .into_iter()
            .flat_map(|(kind, list)| list.iter().map(move |text| format!("{kind}: {text}")))
            .collect();
        assert!(wrong.is_empty(), "{what}: {} wrong:\n{}", wrong.len(), wrong.join("\n"));
        // How often memory is asked for, say, and by which of knarrd's threads, differs from run to run.
        assert!(*met > 0 && met >= missed, "{what}: most points were not met");
    }
}

/// The calls of the program and its children together: of each call, as often as the one that makes most of it.
pub(crate) fn family_calls(command: &Command, log: &Path) -> BTreeMap<String, u32> {
    let [own, mut all] = strace::calls(command, Watch::Family, log);
    for (call, count) in own {
        let busiest = all.entry(call).or_default();
        *busiest = count.max(*busiest);
    }
    all
}

/// A kill at every one of these calls, or some of them.
pub(crate) fn kills(calls: &BTreeMap<String, u32>) -> Vec<Injection> {
    // The first execve is strace's own.
    let named = calls.iter().filter(|(call, _)| *call != "execve");
    let all = named.flat_map(|(call, count)| (1..=*count).map(|number| Point::new(call, number)));
    sample(all.map(|point| Injection { point, fault: Fault::Kill }).collect())
}

/// As [`kills`], but only at calls that change something; all of them are worth a look.
pub(crate) fn kills_at_changes(calls: &BTreeMap<String, u32>) -> Vec<Injection> {
    let named = calls.iter().filter(|(call, _)| Point::new(call, 1).is_mutating());
    kills(&named.map(|(call, count)| (call.clone(), *count)).collect())
}

/// Every error that these calls may fail with, at each of its points, or some of them.
pub(crate) fn errors(calls: &BTreeMap<String, u32>) -> Vec<Injection> {
    let all = ERRORS.iter().flat_map(|(error, names)| {
        names.iter().flat_map(move |name| {
            let count = calls.get(*name).copied().unwrap_or(0);
            (1..=count)
                .map(move |number| Injection { point: Point::new(name, number), fault: Fault::Error(error) })
        })
    });
    sample(all.collect())
}

/// All of them with `KNARR_FULL`, otherwise some from all over.
fn sample(all: Vec<Injection>) -> Vec<Injection> {
    // Odd, since programs make their calls in pairs: what is opened is closed.
    let step = if is_full() { 1 } else { all.len().div_ceil(SAMPLE) | 1 };
    all.into_iter().step_by(step).collect()
}

/// Whether every point is met.
pub(crate) fn is_full() -> bool {
    knarr_tests::require::full_sweeps().is_ok()
}
