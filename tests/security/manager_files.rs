//! A container that exchanges its own /etc/passwd and /etc/group for something that acts when it is opened. knarrd
//! looks users up in them as root of the host, at exec and at start: it must open none of it, wait for none of it, and
//! follow none of it out.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use knarr_tests::process::{self, Outcome};
use knarr_tests::{Daemon, Image, Knarr, Scratch, require};
use rustix::fs::inotify;

const NAME: &str = "test/busybox:1";
/// An exec takes some milliseconds; one that waits for the container never ends.
const LIMIT: Duration = Duration::from_secs(20);

/// Shell commands that put something else in a file's place, with a word of the refusal.
const TRAPS: [(&str, &str); 8] = [
    ("mknod F c 1 3", "character device"),
    ("mknod F c 10 229", "character device"),
    ("mknod F b 7 0", "block device"),
    ("mkfifo F", "FIFO"),
    ("mkdir F", "directory"),
    ("mknod /dev-of-mine c 1 3; ln -s /dev-of-mine F", "character device"),
    ("mkfifo /pipe; ln -s ../../../pipe F", "FIFO"),
    ("truncate -s 1099511627776 F", "bytes"),
];

/// Says whether a file was opened: looking at it by O_PATH is not opening.
struct Openings(OwnedFd);

impl Openings {
    fn watch(path: &Path) -> Self {
        let events = inotify::init(inotify::CreateFlags::NONBLOCK).expect("inotify");
        inotify::add_watch(&events, path, inotify::WatchFlags::OPEN).expect("the file can be watched");
        Self(events)
    }

    fn any(&self) -> bool {
        let mut buffer = [MaybeUninit::uninit(); 1024];
        inotify::Reader::new(&self.0, &mut buffer).next().is_ok()
    }
}

fn within(knarr: &Knarr<'_>, args: &[&str]) -> Outcome {
    process::run_within(LIMIT, &mut knarr.command(args))
}

#[test]
fn exec_opens_nothing_that_a_container_has_put_in_place_of_its_users() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    knarr.load(&Image::busybox(), NAME);
    let id = knarr.say(["run", "-d", "--name", "liar", NAME, "sleep", "1000"]);
    let rootfs = daemon.root().join("containers").join(&id).join("rootfs");
    // The control: a plain file is opened, and that is seen.
    let passwd = Openings::watch(&rootfs.join("etc/passwd"));
    knarr.say(["exec", "-u", "root", "liar", "true"]);
    assert!(passwd.any(), "an exec that looks a user up is not seen");
    for file in ["/etc/passwd", "/etc/group"] {
        knarr.say(["exec", "liar", "cp", file, "/kept"]);
        for (trap, word) in TRAPS {
            // The shell that sets the trap ends, another exec springs it.
            let set = format!("rm -f {file}; {}", trap.replace('F', file));
            knarr.say(["exec", "liar", "sh", "-c", &set]);
            let is_link = trap.contains("ln -s");
            let openings = (!is_link).then(|| Openings::watch(&rootfs.join(file.trim_start_matches('/'))));
            for user in ["root", "5", "root:root", "5:wheel", "0:wheel"] {
                let args = ["exec", "-u", user, "liar", "true"];
                let outcome = within(&knarr, &args).exits_with(1);
                assert!(outcome.stderr.contains(word), "{trap} as {user:?}: {outcome}");
                assert!(outcome.stderr.contains(file), "{trap} as {user:?}: {outcome}");
            }
            assert!(!openings.is_some_and(|openings| openings.any()), "{trap}: it was opened");
            // Numbers need no file: the container cannot lock its keepers out.
            for (user, uid) in [("", "Uid:\t0\t"), ("0", "Uid:\t0\t"), ("5:6", "Uid:\t5\t")] {
                // id(1) would open the trap by itself.
                let args = ["exec", "-u", user, "liar", "grep", "^Uid:", "/proc/self/status"];
                let outcome = within(&knarr, &args).exits_with(0);
                assert!(outcome.stdout.starts_with(uid), "{trap} as {user:?}: {outcome}");
            }
            restore(&rootfs, file);
            knarr.say(["exec", "-u", "root", "liar", "true"]);
        }
    }
}

/// Puts the file back from outside; below the rootfs of a test's own container.
fn restore(rootfs: &Path, file: &str) {
    let place = rootfs.join(file.trim_start_matches('/'));
    let removed = std::fs::remove_file(&place).or_else(|_| std::fs::remove_dir(&place));
    removed.expect("the trap can be removed");
    for left in ["pipe", "dev-of-mine"] {
        drop(std::fs::remove_file(rootfs.join(left)));
    }
    std::fs::copy(rootfs.join("kept"), place).expect("the file can be put back");
}

#[test]
fn start_opens_nothing_that_an_earlier_run_has_left() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    knarr.load(&Image::busybox(), NAME);
    for (number, (trap, word)) in TRAPS.into_iter().enumerate() {
        let name = format!("liar-{number}");
        let set = format!("rm -f /etc/passwd; {}", trap.replace('F', "/etc/passwd"));
        knarr.say(["run", "-u", "root", "--name", &name, NAME, "sh", "-c", &set]);
        let outcome = within(&knarr, &["start", &name]).exits_with(1);
        assert!(outcome.stderr.contains(word), "{trap}: {outcome}");
        knarr.say(["rm", &name]);
    }
}

/// A link that leads out leads to what the container has there: nothing, or its own file.
#[test]
fn links_are_followed_inside_only() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    knarr.load(&Image::busybox(), NAME);
    let outside = scratch.join("passwd");
    std::fs::write(&outside, "ghost:x:77:77::/:\n").expect("our own file");
    knarr.say(["run", "-d", "--name", "liar", NAME, "sleep", "1000"]);
    let host = outside.to_str().expect("our own path").to_owned();
    let climbing = format!("../../../../../../../../..{host}");
    for target in [host.as_str(), &climbing, "/proc/1/root/etc/passwd", "/proc/self/root/etc/passwd"] {
        knarr.say(["exec", "liar", "ln", "-sf", target, "/etc/passwd"]);
        let outcome = within(&knarr, &["exec", "-u", "ghost", "liar", "true"]).exits_with(1);
        assert!(outcome.stderr.contains("unable to find user ghost"), "{target}: {outcome}");
        // Numbers need no file.
        knarr.say(["exec", "-u", "0", "liar", "true"]);
    }
    let own = "mkdir -p /x; echo ghost:x:78:78::/: > /x/users; ln -sf ../../x/users /etc/passwd";
    knarr.say(["exec", "liar", "sh", "-c", own]);
    assert_eq!(knarr.say(["exec", "-u", "ghost", "liar", "id", "-u"]), "78", "inside it is followed");
}
