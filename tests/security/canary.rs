//! What of the host an attack must not change: a directory with a file, and kernel settings that a container could
//! reach through /proc. Looked at before and after.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use knarr_tests::Scratch;

/// Settings that whoever reaches the host's /proc would change.
const SETTINGS: [&str; 3] =
    ["/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", "/proc/sys/kernel/modprobe"];
const CONTENT: &str = "of the host\n";

/// A directory of the host's, and what is in it.
pub(crate) struct Canary {
    directory: PathBuf,
    settings: Vec<Option<Vec<u8>>>,
    state: Vec<String>,
}

impl Canary {
    pub(crate) fn new(scratch: &Scratch) -> Self {
        let directory = scratch.directory("canary");
        fs::write(directory.join("secret"), CONTENT).expect("a file of ours");
        let state = state(&directory);
        Self { directory, settings: settings(), state }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.directory
    }

    /// The file in it.
    pub(crate) fn secret(&self) -> PathBuf {
        self.directory.join("secret")
    }

    /// Whether all is as it was.
    pub(crate) fn is_untouched(&self) -> bool {
        self.state == state(&self.directory) && self.settings == settings()
    }

    #[track_caller]
    pub(crate) fn assert_untouched(&self, after: &str) {
        assert_eq!(self.state, state(&self.directory), "the host's files after {after}");
        assert_eq!(self.settings, settings(), "the host's kernel settings after {after}");
    }

    /// Takes back what a control did to it.
    pub(crate) fn restore(&self) {
        fs::remove_dir_all(&self.directory).expect("ours");
        fs::create_dir(&self.directory).expect("ours");
        fs::write(self.secret(), CONTENT).expect("ours");
    }
}

fn settings() -> Vec<Option<Vec<u8>>> {
    SETTINGS.iter().map(|path| fs::read(path).ok()).collect()
}

/// Names, modes, owners and contents.
fn state(directory: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for entry in fs::read_dir(directory).expect("the canary is there").flatten() {
        let status = entry.path().symlink_metadata().expect("it was just listed");
        let content = if status.is_file() { fs::read(entry.path()).unwrap_or_default() } else { Vec::new() };
        let name = entry.file_name();
        lines.push(format!("{name:?} {:o} {} {content:?}", status.mode(), status.uid()));
    }
    let own = directory.metadata().expect("it is there");
    lines.push(format!(". {:o} {}", own.mode(), own.uid()));
    lines.sort();
    lines
}
