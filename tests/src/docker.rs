//! A private dockerd of Debian's: its own data, state, socket and cgroups, no bridge and no firewall rules. Containers
//! run under runc, or under knarr-runtime with `--runtime knarr`.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::eventually::holds_within;
use crate::image::Image;
use crate::process::{self, Background, Outcome};
use crate::programs;
use crate::scratch::Scratch;

/// A running dockerd; its containers are removed and it is stopped when it goes out of scope.
#[derive(Debug)]
pub struct Docker<'a> {
    scratch: &'a Scratch,
    socket: String,
    server: Background,
}

impl<'a> Docker<'a> {
    /// Starts it and waits until it answers.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    #[track_caller]
    pub fn start(scratch: &'a Scratch) -> Self {
        let socket = format!("unix://{}", scratch.join("docker.sock").display());
        let server = launch(scratch, &socket);
        let docker = Self { scratch, socket, server };
        docker.await_ready();
        docker
    }

    /// `kill -9`; its containers end with it unless it has been told to keep them.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Its pid.
    #[must_use]
    pub fn pid(&self) -> rustix::process::Pid {
        self.server.pid()
    }

    /// Starts it again on the same directories.
    #[track_caller]
    pub fn start_again(&mut self) {
        self.server = launch(self.scratch, &self.socket);
        self.await_ready();
    }

    /// `docker ARGS`, not run yet.
    #[must_use]
    pub fn command<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.scratch.command(programs::tool("docker"));
        command.env("DOCKER_CONFIG", self.scratch.path()).args(["--host", &self.socket]).args(args);
        command
    }

    /// Runs `docker ARGS` to the end.
    #[track_caller]
    pub fn call<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Outcome {
        process::run(&mut self.command(args))
    }

    /// Brings an image here under `reference`, by way of an archive.
    #[track_caller]
    pub fn load(&self, image: &Image, reference: &str) {
        let archive = self.scratch.join("docker-image.tar");
        image.write_docker_archive(&archive, &[reference]);
        self.call(["load".as_ref(), "--input".as_ref(), archive.as_os_str()]).success();
    }

    #[track_caller]
    fn await_ready(&self) {
        let ready = holds_within(Duration::from_secs(60), || self.call(["version"]).status.success());
        assert!(ready, "dockerd does not answer:\n{}", self.log());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.scratch.join("dockerd.log")).unwrap_or_default()
    }
}

fn launch(scratch: &Scratch, socket: &str) -> Background {
    let mut command = scratch.command(programs::tool("dockerd"));
    for (flag, value) in [
        ("--data-root", scratch.join("docker-data")),
        ("--exec-root", scratch.join("docker-exec")),
        ("--pidfile", scratch.join("docker.pid")),
        ("--config-file", no_configuration(scratch)),
    ] {
        command.arg(flag).arg(value);
    }
    command.args(["--host", socket, "--bridge", "none", "--iptables=false", "--ip6tables=false"]);
    command.args(["--cgroup-parent", &scratch.cgroup_prefix(), "--exec-opt", "native.cgroupdriver=cgroupfs"]);
    command.arg("--add-runtime").arg(format!("knarr={}", programs::ours("knarr-runtime").display()));
    Background::start(&mut command, &scratch.join("dockerd.log"))
}

/// The machine's own daemon may have settings that contradict our flags.
fn no_configuration(scratch: &Scratch) -> PathBuf {
    let path = scratch.join("daemon.json");
    std::fs::write(&path, "{}").expect("a file");
    path
}

impl Drop for Docker<'_> {
    fn drop(&mut self) {
        let listed = self.call(["ps", "--all", "--quiet"]).stdout;
        for id in listed.split_whitespace() {
            drop(self.call(["rm", "--force", id]));
        }
        if std::thread::panicking() {
            eprintln!("--- dockerd's log\n{}---", self.log());
        }
    }
}
