//! What a test of a build is made of: a knarrd with a base image, and contexts on the disk.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use knarr_tests::process::Outcome;
use knarr_tests::{Daemon, Image, Knarr, Layer, Scratch};
use serde_json::Value;

/// What the base image is called.
pub(crate) const BASE: &str = "base:1";

/// Busybox with a user and a group of its own, and some links to fall over.
pub(crate) fn base() -> Image {
    let passwd = b"root:x:0:0:root:/root:/bin/sh\nada:x:1000:1001:Ada:/users/ada:/bin/sh\n";
    let files = Layer::new()
        .directory("etc", 0o755)
        .file("etc/passwd", 0o644, passwd)
        .file("etc/group", 0o644, b"root:x:0:\nstaff:x:1001:\nextra:x:2002:ada\n")
        .directory("users", 0o755)
        .directory("users/ada", 0o700)
        .directory("tmp", 0o1777)
        .directory("opt", 0o755)
        .directory("opt/real", 0o755)
        .file("opt/real/old", 0o644, b"old\n")
        .symlink("opt/link", "real")
        .symlink("opt/absolute", "/opt/real");
    Image::busybox().layer(files)
}

/// A file of a context: its path, and its text; a path that ends in a slash is a directory, one with ` -> ` a link, and one
/// that begins with `!` may be executed.
pub(crate) type Files<'a> = &'a [(&'a str, &'a str)];

/// Writes a context.
pub(crate) fn write(directory: &Path, files: Files<'_>) {
    for (path, text) in files {
        if let Some((name, target)) = path.split_once(" -> ") {
            std::os::unix::fs::symlink(target, made(directory, name)).expect("a link");
        } else if path.ends_with('/') {
            fs::create_dir_all(directory.join(path)).expect("a directory");
        } else {
            let (path, mode) = path.strip_prefix('!').map_or((*path, 0o644), |path| (path, 0o755));
            let whole = made(directory, path);
            fs::write(&whole, text).expect("a file");
            fs::set_permissions(&whole, fs::Permissions::from_mode(mode)).expect("its mode");
        }
    }
}

fn made(directory: &Path, path: &str) -> PathBuf {
    let whole = directory.join(path);
    fs::create_dir_all(whole.parent().expect("a parent")).expect("a directory");
    whole
}

/// A knarrd with the base image.
pub(crate) struct Bed<'a> {
    pub(crate) scratch: &'a Scratch,
    pub(crate) daemon: Daemon<'a>,
}

impl<'a> Bed<'a> {
    pub(crate) fn new(scratch: &'a Scratch) -> Self {
        let daemon = Daemon::start(scratch);
        let bed = Self { scratch, daemon };
        bed.knarr().load(&base(), BASE);
        bed
    }

    pub(crate) fn knarr(&self) -> Knarr<'a> {
        self.daemon.knarr()
    }

    /// A directory with these files.
    pub(crate) fn context(&self, name: &str, files: Files<'_>) -> PathBuf {
        let directory = self.scratch.join(format!("context-{name}"));
        fs::create_dir_all(&directory).expect("a directory");
        write(&directory, files);
        directory
    }

    /// `knarr build ARGS CONTEXT`.
    #[track_caller]
    pub(crate) fn build(&self, context: &Path, args: &[&str]) -> Outcome {
        let context = context.to_str().expect("our own path");
        self.knarr().call(["build"].iter().chain(args).chain([&context]))
    }

    /// Builds one Dockerfile with these files as `name`.
    #[track_caller]
    pub(crate) fn image(&self, name: &str, files: Files<'_>, args: &[&str]) -> Outcome {
        let context = self.context(name, files);
        self.build(&context, &[&["-t", name], args].concat())
    }

    /// What `script` says in an image.
    #[track_caller]
    pub(crate) fn run(&self, image: &str, script: &str) -> String {
        self.knarr().say(["run", "--rm", "--network", "none", "--entrypoint", "sh", image, "-c", script])
    }

    /// The `Config` of an image.
    #[track_caller]
    pub(crate) fn config(&self, image: &str) -> Value {
        self.knarr().json(["image", "inspect", image])[0]["Config"].clone()
    }
}
