//! Debian's podman, which has no server: private storage and state, cgroups by the file system, no network.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::image::Image;
use crate::leftovers::remove_cgroup_tree;
use crate::process::{self, Outcome};
use crate::programs;
use crate::scratch::Scratch;

/// Where podman keeps things, and the runtime that it runs containers with.
#[derive(Debug)]
pub struct Podman<'a> {
    scratch: &'a Scratch,
    runtime: PathBuf,
    storage: &'static str,
}

impl<'a> Podman<'a> {
    /// `storage` is podman's storage driver.
    #[must_use]
    pub fn new(scratch: &'a Scratch, runtime: &Path, storage: &'static str) -> Self {
        Self { scratch, runtime: runtime.to_owned(), storage }
    }

    /// `podman ARGS`, not run yet.
    #[must_use]
    pub fn command<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.scratch.command(programs::tool("podman"));
        command.arg("--root").arg(self.scratch.join("podman-root"));
        command.arg("--runroot").arg(self.scratch.join("podman-run"));
        command.arg("--tmpdir").arg(self.scratch.directory("podman-tmp"));
        command.arg("--runtime").arg(&self.runtime);
        // Events go to a file of ours, not to the machine's journal.
        command.args(["--storage-driver", self.storage, "--cgroup-manager", "cgroupfs"]);
        command.args(["--events-backend", "file"]).args(args);
        command
    }

    /// Runs `podman ARGS` to the end.
    #[track_caller]
    pub fn call<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Outcome {
        process::run(&mut self.command(args))
    }

    /// Flags of `run` and `create` that keep a container within the test.
    #[must_use]
    pub fn flags(&self) -> Vec<String> {
        // podman's own default limits are above what root may set where it lacks CAP_SYS_RESOURCE.
        let limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4000:4000"];
        let apart = ["--network", "none", "--log-driver", "k8s-file", "--cgroup-parent"];
        let mut flags: Vec<String> = limits.into_iter().chain(apart).map(str::to_owned).collect();
        flags.push(self.scratch.cgroup_prefix());
        flags
    }

    /// Brings an image here under `reference`, by way of an archive.
    #[track_caller]
    pub fn load(&self, image: &Image, reference: &str) {
        let archive = self.scratch.join("podman-image.tar");
        image.write_docker_archive(&archive, &[reference]);
        self.call(["load".as_ref(), "--input".as_ref(), archive.as_os_str()]).success();
    }
}

impl Drop for Podman<'_> {
    fn drop(&mut self) {
        drop(self.call(["rm", "--all", "--force", "--time", "0"]));
        drop(self.call(["rmi", "--all", "--force"]));
        // conmon's cgroup stays, and podman makes it below every name in /sys/fs/cgroup, a hierarchy or not.
        let name = self.scratch.cgroup_prefix();
        for hierarchy in fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            let path = hierarchy.path().join(name.trim_start_matches('/'));
            remove_cgroup_tree(&path);
            // What is no cgroup but an ordinary directory.
            fs::remove_dir_all(&path).ok();
        }
    }
}
