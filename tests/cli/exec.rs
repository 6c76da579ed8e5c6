//! `knarr exec`

use knarr_tests::process;
use knarr_tests::{Daemon, Scratch, eventually, require};

use crate::busybox::{self, NAME};

#[test]
fn exec_runs_beside_the_first_process() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    knarr.say(["run", "-d", "--name", "web", "-e", "ONE=1", NAME, "sleep", "600"]);
    let outcome = knarr.call(["exec", "web", "sh", "-c", "echo out; echo err >&2; exit 7"]).exits_with(7);
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("out\n", "err\n"));
    assert_eq!(knarr.say(["exec", "-e", "TWO=2", "web", "sh", "-c", "echo $ONE$TWO"]), "12");
    assert_eq!(knarr.say(["exec", "-w", "/tmp", "web", "pwd"]), "/tmp");
    assert_eq!(knarr.say(["exec", "-u", "1000", "web", "id", "-u"]), "1000");
    assert_eq!(
        knarr.say(["exec", "web", "ls", "-d", "--color=never", "/bin"]),
        "/bin",
        "flags are the command's"
    );
    let mut cat = knarr.command(["exec", "-i", "web", "sort"]);
    assert_eq!(process::run_with_input(&mut cat, b"c\nb\na\n").success().stdout, "a\nb\nc\n");
    knarr.call(["exec", "web", "nothing"]).exits_with(127);
    knarr.call(["exec", "web", "/etc/passwd"]).exits_with(126);
    knarr.call(["exec", "web", "sh", "-c", "kill -KILL $$"]).exits_with(137);
}

#[test]
fn exec_in_the_background_says_nothing_and_goes_on() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    knarr.say(["run", "-d", "--name", "web", NAME, "sleep", "600"]);
    assert_eq!(knarr.say(["exec", "-d", "web", "sh", "-c", "echo here; touch /done; sleep 600"]), "");
    eventually(process::DEADLINE, || {
        knarr.call(["exec", "web", "test", "-e", "/done"]).status.success().then_some(())
    });
    knarr.call(["exec", "-d", "web", "nothing"]).exits_with(127);
}

#[test]
fn exec_in_what_does_not_run_is_refused() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    knarr.say(["create", "--name", "made", NAME, "true"]);
    let outcome = knarr.call(["exec", "made", "true"]).exits_with(1);
    assert!(outcome.stderr.contains("not running"), "{outcome}");
}
