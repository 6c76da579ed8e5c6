//! The knarr command line, driven as a person would, against one daemon.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::image::Image;
use crate::process::{self, Outcome};
use crate::programs;
use crate::scratch::Scratch;

/// `knarr --host unix://…`.
#[derive(Debug)]
pub struct Knarr<'a> {
    scratch: &'a Scratch,
    socket: PathBuf,
}

impl<'a> Knarr<'a> {
    /// Speaks to the daemon on this socket.
    #[must_use]
    pub fn new(scratch: &'a Scratch, socket: &Path) -> Self {
        Self { scratch, socket: socket.to_owned() }
    }

    /// `knarr ARGS`, not run yet.
    #[must_use]
    pub fn command<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.scratch.command(programs::ours("knarr"));
        command.env("KNARR_HOST", format!("unix://{}", self.socket.display())).args(args);
        command
    }

    /// Brings an image to knarrd as an archive, under this name.
    ///
    /// # Panics
    /// When the scratch directory cannot be written.
    #[track_caller]
    pub fn load(&self, image: &Image, name: &str) {
        let archive = self.scratch.join(format!("{}.tar", name.replace(['/', ':'], "-")));
        image.write_docker_archive(&archive, &[name]);
        self.say(["load", "-q", "-i", archive.to_str().expect("our own path")]);
        std::fs::remove_file(archive).expect("our own file");
    }

    /// Runs it to the end, without input.
    #[track_caller]
    pub fn call<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Outcome {
        process::run(&mut self.command(args))
    }

    /// As [`Self::call`], which must succeed; its stdout without the last newline.
    #[track_caller]
    pub fn say<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> String {
        self.call(args).success().stdout.trim_end_matches('\n').to_owned()
    }

    /// As [`Self::say`], parsed as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[track_caller]
    pub fn json<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Value {
        let text = self.say(args);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("no JSON ({error}): {text}"))
    }
}
