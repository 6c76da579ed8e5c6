//! What the machines boot: made once by image.sh, and kept in target/ for as long as the recipe is the same.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Stdio;

use knarr_tests::{Scratch, process, programs};

use crate::machine::LONGEST;

/// image.sh's exit code for a release whose packages are no longer to be had.
const NO_SUCH_RELEASE: i32 = 77;

/// All that an image is made from.
const RECIPE: [&str; 7] =
    ["image.sh", "init", "start", "test.service", "test.target", "dbus.service", "dbus.socket"];

/// Whose Linux is booted.
#[derive(Clone, Copy)]
pub(crate) enum Kernel {
    OfTheHostsRelease,
    /// Debian 11's, 5.10: the oldest that knarr is for. No mount_setattr, no cgroup.kill.
    OfBullseye,
}

impl Kernel {
    /// The name of its cache, and image.sh's word for it.
    fn names(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::OfTheHostsRelease => ("vm", None),
            Self::OfBullseye => ("vm-bullseye", Some("bullseye")),
        }
    }
}

/// The directory with image.sh's four files; `None` when the mirror has no such release any more.
pub(crate) fn directory(scratch: &Scratch, kernel: Kernel) -> Option<PathBuf> {
    let recipe = programs::workspace().join("tests/vm");
    let (name, release) = kernel.names();
    let cache = programs::workspace().join("target/test-cache").join(name);
    fs::create_dir_all(&cache).expect("target/ can be written");
    // Tests may be processes of their own: the second waits for the first.
    let lock = File::create(cache.join("lock")).expect("target/ can be written");
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).expect("a lock");
    let text: String = RECIPE.map(|file| fs::read_to_string(recipe.join(file)).expect("a recipe")).concat();
    let made_from = cache.join("made-from");
    if fs::read_to_string(&made_from).unwrap_or_default() != text {
        let mut command = scratch.command(recipe.join("image.sh"));
        let made = process::run_within(LONGEST, command.arg(&cache).args(release).stdin(Stdio::null()));
        if made.code() == NO_SUCH_RELEASE {
            return None;
        }
        made.success();
        fs::write(&made_from, text).expect("target/ can be written");
    }
    Some(cache)
}
