//! A private containerd of Debian's, to run our shim under and to race against.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::eventually::holds_within;
use crate::image::Image;
use crate::process::{self, Background, Outcome};
use crate::programs;
use crate::scratch::Scratch;

/// A running containerd; its containers are removed and it is stopped when it goes out of scope.
#[derive(Debug)]
pub struct Containerd<'a> {
    scratch: &'a Scratch,
    socket: PathBuf,
    server: Background,
}

impl<'a> Containerd<'a> {
    /// Starts it and waits until it answers.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    #[track_caller]
    pub fn start(scratch: &'a Scratch) -> Self {
        let socket = scratch.join("containerd.sock");
        let config = scratch.join("containerd.toml");
        let text = format!(
            "version = 2\nroot = \"{root}\"\nstate = \"{state}\"\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\n  address = \"{socket}\"\n\
             [plugins.\"io.containerd.internal.v1.opt\"]\n  path = \"{root}/opt\"\n",
            root = scratch.directory("cd-root").display(),
            state = scratch.directory("cd-state").display(),
            socket = socket.display(),
        );
        fs::write(&config, text).expect("containerd's configuration");
        let server = launch(scratch);
        let containerd = Self { scratch, socket, server };
        containerd.await_ready();
        containerd
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Starts it again on the same directories.
    #[track_caller]
    pub fn start_again(&mut self) {
        self.server = launch(self.scratch);
        self.await_ready();
    }

    #[track_caller]
    fn await_ready(&self) {
        let ready = holds_within(Duration::from_secs(30), || self.ctr(["version"]).status.success());
        assert!(ready, "containerd does not answer:\n{}", self.log());
    }

    /// `ctr ARGS`, not run yet.
    #[must_use]
    pub fn command<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.scratch.command(programs::tool("ctr"));
        command.arg("--address").arg(&self.socket).args(args);
        command
    }

    /// Runs `ctr ARGS` to the end.
    #[track_caller]
    pub fn ctr<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Outcome {
        process::run(&mut self.command(args))
    }

    /// Brings an image here under `reference`, by way of an archive.
    #[track_caller]
    pub fn import(&self, image: &Image, reference: &str) {
        let archive = self.scratch.join("image.tar");
        image.write_docker_archive(&archive, &[reference]);
        self.ctr([Path::new("images"), Path::new("import"), &archive]).success();
    }

    /// `ctr`'s word for where a container's task is; `None` when it has none.
    #[must_use]
    #[track_caller]
    pub fn task_status(&self, id: &str) -> Option<String> {
        let listed = self.ctr(["tasks", "list"]).success().stdout;
        let mut rows = listed.lines().map(|line| line.split_whitespace());
        rows.find_map(|mut fields| {
            (fields.next() == Some(id)).then(|| fields.nth(1)).flatten().map(str::to_owned)
        })
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.scratch.join("containerd.log")).unwrap_or_default()
    }
}

fn launch(scratch: &Scratch) -> Background {
    let mut command = scratch.command(programs::tool("containerd"));
    let command = command.arg("--config").arg(scratch.join("containerd.toml"));
    Background::start(command, &scratch.join("containerd.log"))
}

impl Drop for Containerd<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- containerd's log\n{}---", self.log());
            return;
        }
        let listed = self.ctr(["tasks", "list", "--quiet"]).stdout;
        for id in listed.lines() {
            drop(self.ctr(["tasks", "delete", "--force", id]));
        }
        let listed = self.ctr(["containers", "list", "--quiet"]).stdout;
        for id in listed.lines() {
            drop(self.ctr(["containers", "delete", id]));
        }
    }
}
