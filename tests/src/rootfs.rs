//! A small root filesystem from the machine's static busybox: real programs, no download.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use crate::programs;

/// The directories that every root filesystem has.
pub const DIRECTORIES: [&str; 12] =
    ["bin", "dev", "etc", "home", "proc", "root", "run", "sbin", "sys", "tmp", "usr", "var"];

/// /etc/passwd of every test root filesystem.
pub const PASSWD: &str =
    "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1::/:/bin/false\nuser:x:1000:1000::/home:/bin/sh\n";
/// /etc/group, likewise.
pub const GROUP: &str = "root:x:0:\ndaemon:x:1:\naudio:x:29:user\nuser:x:1000:\n";

/// The names that busybox can be called by, asked of it once.
///
/// # Panics
/// When busybox can't be run.
#[must_use]
pub fn applets() -> &'static [String] {
    static APPLETS: OnceLock<Vec<String>> = OnceLock::new();
    APPLETS.get_or_init(|| {
        let listed = Command::new(programs::tool("busybox")).arg("--list").output().expect("busybox runs");
        let text = String::from_utf8(listed.stdout).expect("applet names are ASCII");
        text.lines().filter(|name| *name != "busybox").map(str::to_owned).collect()
    })
}

/// The busybox program itself, read once.
///
/// # Panics
/// When it can't be read.
#[must_use]
pub fn busybox() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| fs::read(programs::tool("busybox")).expect("busybox can be read"))
}

/// Makes the root filesystem in `path`, which need not exist.
///
/// # Panics
/// When a file can't be made.
pub fn make(path: &Path) {
    for directory in DIRECTORIES {
        fs::create_dir_all(path.join(directory)).expect("a directory");
    }
    let program = path.join("bin/busybox");
    fs::write(&program, busybox()).expect("busybox is written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&program, mode).expect("busybox is made executable");
    for applet in applets() {
        symlink("busybox", path.join("bin").join(applet)).expect("a link to busybox");
    }
    fs::write(path.join("etc/passwd"), PASSWD).expect("passwd");
    fs::write(path.join("etc/group"), GROUP).expect("group");
}
