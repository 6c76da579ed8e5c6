//! A test's own place on the host: a short directory below /tmp and a cgroup prefix. When it goes out of scope it
//! fails the test for whatever the test left behind, and removes it, also when the test has panicked.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::eventually::holds_within;
use crate::leftovers::Leftovers;
use crate::programs;

/// What a stopped container's shim may still need to be gone.
const SETTLE: Duration = Duration::from_secs(5);

/// The variable by which processes that a test started are recognised.
pub const MARK: &str = "KNARR_TEST_SCRATCH";

/// A directory and a cgroup prefix that belong to one test.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Scratch {
    /// Makes `/tmp/knarr-test-<pid>-<n>`: short, since socket paths may have 107 bytes.
    ///
    /// # Panics
    /// When /tmp can't be written.
    #[must_use]
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = PathBuf::from(format!("/tmp/knarr-test-{}-{number}", std::process::id()));
            match std::fs::create_dir(&path) {
                Ok(()) => return Self { path },
                // Left by an earlier process of our pid that was killed.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => panic!("no fresh directory {}: {error}", path.display()),
            }
        }
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path below the directory.
    #[must_use]
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    /// A directory below the directory, made if it is not there.
    ///
    /// # Panics
    /// When it can't be made.
    #[must_use]
    pub fn directory(&self, name: impl AsRef<Path>) -> PathBuf {
        let path = self.path.join(name);
        std::fs::create_dir_all(&path).expect("a directory in the scratch directory");
        path
    }

    /// The cgroup below which all of the test's cgroups are: `/knarr-test-<pid>-<n>`.
    #[must_use]
    pub fn cgroup_prefix(&self) -> String {
        format!("/{}", self.path.file_name().and_then(|name| name.to_str()).expect("our own name"))
    }

    /// A cgroup path for one container.
    #[must_use]
    pub fn cgroup(&self, name: &str) -> String {
        format!("{}/{name}", self.cgroup_prefix())
    }

    /// The processes in one container's cgroups, of all hierarchies, as their files name them.
    #[must_use]
    pub fn pids(&self, name: &str) -> BTreeSet<String> {
        let inner = self.cgroup(name);
        let lists = crate::leftovers::cgroup_roots().into_iter().map(|root| {
            let file = root.join(inner.trim_start_matches('/')).join("cgroup.procs");
            std::fs::read_to_string(file).unwrap_or_default()
        });
        lists.flat_map(|list| list.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
    }

    /// A command that is marked as this test's, so that what it leaves behind is found.
    #[must_use]
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.env(MARK, &self.path).current_dir("/");
        // No knarrd makes a bridge on the host itself: tests of networks have a host of their own, and say so by a flag.
        command.env("KNARR_BRIDGE", "none");
        // Our own programs come first, so that containerd finds our shim and the shim our runtime.
        let path = std::env::var_os("PATH").unwrap_or_default();
        let rest = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
        let joined = std::env::join_paths([programs::directory()].into_iter().chain(rest));
        command.env("PATH", joined.expect("PATH has no colons inside"));
        command
    }

    /// The same where cgroup2 is all that the program sees, mounted in its usual place: the machine's own v2 hierarchy,
    /// with what few controllers it has.
    #[must_use]
    pub fn on_v2(&self, program: impl AsRef<Path>) -> Command {
        self.with_mounts("mount -t cgroup2 none /sys/fs/cgroup", Path::new("/"), program)
    }

    /// The same in a mount namespace of the program's own, after the shell's `prepare`, for which `subject` is `$0`.
    #[must_use]
    pub fn with_mounts(&self, prepare: &str, subject: &Path, program: impl AsRef<Path>) -> Command {
        let mut command = self.command(programs::tool("unshare"));
        let script = format!("{prepare} && exec \"$@\"");
        command.args(["-m", "--propagation", "private", "sh", "-c", &script]).arg(subject);
        command.arg(program.as_ref());
        command
    }

    /// Fails unless every container's mounts and cgroups are gone. A manager may run.
    ///
    /// # Panics
    /// With a list of what is left.
    #[track_caller]
    pub fn assert_no_container_left(&self) {
        let clean = holds_within(SETTLE, || Leftovers::of(self).has_no_container());
        assert!(clean, "left on the host: {}", Leftovers::of(self));
    }

    /// Fails unless nothing of this test's is left on the host but files in its directory.
    ///
    /// # Panics
    /// With a list of what is left.
    #[track_caller]
    pub fn assert_nothing_left(&self) {
        let clean = holds_within(SETTLE, || Leftovers::of(self).is_empty());
        assert!(clean, "left on the host: {}", Leftovers::of(self));
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            Leftovers::of(self).remove();
        } else {
            holds_within(SETTLE, || Leftovers::of(self).is_empty());
        }
        let left = Leftovers::of(self);
        let listed = left.to_string();
        left.remove();
        remove_cgroup_prefix(self);
        let removed = std::fs::remove_dir_all(&self.path);
        if std::thread::panicking() {
            return;
        }
        assert!(left.is_empty(), "the test left on the host: {listed}");
        removed.unwrap_or_else(|error| panic!("cannot remove {}: {error}", self.path.display()));
    }
}

/// Removes the prefix itself, which runtimes make on the way to a container's cgroup and leave.
fn remove_cgroup_prefix(scratch: &Scratch) {
    for root in crate::leftovers::cgroup_roots() {
        let path = root.join(scratch.cgroup_prefix().trim_start_matches('/'));
        if path.exists() {
            crate::leftovers::remove_cgroup_tree(&path);
        }
    }
}
