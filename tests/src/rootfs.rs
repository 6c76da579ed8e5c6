//! Root filesystems: a small one from the machine's static busybox (real programs, no download), and a whole Debian by
//! debootstrap, made once and kept in target/.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::fs::FlockOperation;

use crate::scratch::Scratch;
use crate::{process, programs};

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
        let listed = process::run(Command::new(programs::tool("busybox")).arg("--list")).success();
        listed.stdout.lines().filter(|name| *name != "busybox").map(str::to_owned).collect()
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

/// A tar of a minimal Debian 12, from the mirror that apt uses; made by the first test that asks, and kept.
///
/// # Panics
/// When debootstrap fails.
#[must_use]
pub fn debian_tar() -> PathBuf {
    let cache = programs::workspace().join("target/test-cache");
    fs::create_dir_all(&cache).expect("target/ can be written");
    let tar = cache.join("debian.tar");
    // Tests are processes of their own: the second waits for the first.
    let lock = fs::File::create(cache.join("lock")).expect("target/ can be written");
    rustix::fs::flock(&lock, FlockOperation::LockExclusive).expect("a lock");
    if tar.exists() {
        return tar;
    }
    let scratch = Scratch::new();
    let tree = scratch.directory("debian");
    let mut debootstrap = scratch.command(programs::tool("debootstrap"));
    debootstrap.args(["--variant=minbase", "bookworm"]).arg(&tree).arg(mirror(&scratch));
    process::run_within(Duration::from_secs(600), &mut debootstrap).success();
    for unused in ["var/cache/apt/archives", "var/lib/apt/lists"] {
        fs::remove_dir_all(tree.join(unused)).expect("what debootstrap downloaded");
    }
    let unfinished = cache.join("debian.tar.new");
    let mut pack = scratch.command(programs::tool("tar"));
    pack.args(["--numeric-owner", "--xattrs", "--sort=name", "-C"])
        .arg(&tree)
        .arg("-cf")
        .arg(&unfinished)
        .arg(".");
    process::run(&mut pack).success();
    fs::rename(&unfinished, &tar).expect("the tar gets its name");
    tar
}

/// Where apt has its packages from.
fn mirror(scratch: &Scratch) -> String {
    let mut apt = scratch.command(programs::tool("apt-get"));
    apt.args(["indextargets", "--format", "$(REPO_URI) $(CODENAME)", "Created-By: Packages"]);
    let listed = process::run(&mut apt).success().stdout;
    let main = listed.lines().find_map(|line| line.strip_suffix(" bookworm"));
    main.expect("apt has a source for bookworm").to_owned()
}
