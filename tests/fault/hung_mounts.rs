//! Directories of the host that never answer, as on a network file system whose server is gone: who asks for one waits,
//! and nobody else does.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use knarr_tests::process;
use knarr_tests::{Daemon, Image, Scratch, eventually, require};
use rustix::mount::{MountFlags, UnmountFlags};

const NAME: &str = "test/busybox:1";
/// As many as hang at once: more than knarrd has threads for its clients.
const HUNG: usize = 3;
/// A call that waits for a hung mount takes for ever, any other less than a second.
const LIMIT: Duration = Duration::from_secs(20);

/// A FUSE mount whose server reads no request: every look at it waits until this goes.
struct HungMount {
    place: PathBuf,
    server: Option<File>,
}

impl HungMount {
    fn new(place: PathBuf) -> Self {
        let server = File::options().read(true).write(true).open("/dev/fuse").expect("/dev/fuse");
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", server.as_raw_fd());
        let options = CString::new(options).expect("no NUL");
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        rustix::mount::mount("hung", &place, "fuse", flags, options.as_c_str()).expect("a FUSE mount");
        Self { place, server: Some(server) }
    }

    /// The server is gone: whoever waits is told so.
    fn answer(&mut self) {
        self.server = None;
    }
}

impl Drop for HungMount {
    fn drop(&mut self) {
        self.answer();
        rustix::mount::unmount(&self.place, UnmountFlags::DETACH).expect("our own mount");
    }
}

/// Whether a thread of this process is looking at a FUSE mount.
fn waiting_threads(pid: u32) -> usize {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("knarrd runs");
    let stacks = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("stack")).ok());
    stacks.filter(|stack| stack.contains("fuse")).count()
}

fn pid(daemon: &Daemon<'_>) -> u32 {
    u32::try_from(daemon.pid().as_raw_nonzero().get()).expect("a pid")
}

fn outcome(child: &mut Child) -> (Option<i32>, String) {
    let status = process::wait(child, LIMIT).expect("it ends when the mount answers");
    let mut words = String::new();
    let stderr = child.stderr.as_mut().expect("a pipe");
    std::io::Read::read_to_string(stderr, &mut words).expect("text");
    (status.code(), words)
}

#[test]
fn creates_on_hung_mounts_disturb_nobody_else() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    knarr.load(&Image::busybox(), NAME);
    knarr.say(["run", "-d", "--name", "other", NAME, "sh", "-c", "echo logged; sleep 1000"]);
    let mut mounts: Vec<HungMount> =
        (0..HUNG).map(|number| HungMount::new(scratch.directory(format!("hung-{number}")))).collect();
    let sources = mounts.iter().map(|mount| mount.place.join("inside"));
    let flag = |number: usize, source: &Path| match number % 3 {
        0 => ["-v".to_owned(), format!("{}:/m", source.display())],
        1 => ["--mount".to_owned(), format!("type=bind,source={},target=/m", source.display())],
        _ => ["-v".to_owned(), format!("{}:/m:ro", source.display())],
    };
    let mut hung: Vec<Child> = sources
        .enumerate()
        .map(|(number, source)| {
            let mut create = knarr.command(["create"]);
            create.args(flag(number, &source)).args([NAME, "true"]);
            create.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("knarr")
        })
        .collect();
    eventually(LIMIT, || (waiting_threads(pid(&daemon)) >= HUNG).then_some(()));

    for args in [
        &["ps", "-a"][..],
        &["version"],
        &["info"],
        &["images"],
        &["logs", "other"],
        &["exec", "other", "true"],
        &["run", "--rm", NAME, "true"],
        &["create", "--name", "beside", "-v", "/usr:/m:ro", NAME, "true"],
        &["start", "-a", "beside"],
        &["rm", "beside"],
        &["stop", "-t", "0", "other"],
    ] {
        process::run_within(LIMIT, &mut knarr.command(args)).success();
    }
    for child in &mut hung {
        assert!(child.try_wait().expect("our own child").is_none(), "it waits still");
    }
    mounts.iter_mut().for_each(HungMount::answer);
    for child in &mut hung {
        let (code, words) = outcome(child);
        assert_eq!(code, Some(1), "{words}");
        assert!(words.contains("hung-"), "the place is named: {words}");
    }
    assert_eq!(knarr.say(["ps", "-aq"]).lines().count(), 1, "only the other one is left");
}

#[test]
fn a_knarrd_with_hung_creates_is_told_to_stop_and_stops() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let mut daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    knarr.load(&Image::busybox(), NAME);
    let mount = HungMount::new(scratch.directory("hung"));
    let bind = format!("{}:/m", mount.place.join("inside").display());
    let mut create = knarr.command(["create", "-v", &bind, NAME, "true"]);
    let mut child = create.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("knarr");
    eventually(LIMIT, || (waiting_threads(pid(&daemon)) >= 1).then_some(()));
    daemon.stop();
    let (code, words) = outcome(&mut child);
    assert_eq!(code, Some(1), "{words}");
    daemon.start_again();
    assert_eq!(daemon.knarr().say(["ps", "-aq"]), "", "nothing of it is left");
}
