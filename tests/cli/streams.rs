//! attach and start -a without a terminal.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use knarr_tests::process::{self, DEADLINE};
use knarr_tests::{Daemon, Scratch, require};

use crate::busybox::{self, NAME};

#[test]
fn attach_joins_the_running_process() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    knarr.say([
        "run",
        "-d",
        "-i",
        "--name",
        "echo",
        NAME,
        "sh",
        "-c",
        "while read x; do echo got $x; done; exit 4",
    ]);
    let attach = || {
        let mut command = knarr.command(["attach", "echo"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("knarr can be started")
    };
    let mut first = attach();
    let mut second = attach();
    let mut readers =
        [&mut first, &mut second].map(|child| BufReader::new(child.stdout.take().expect("a pipe")));
    // The second one is there when it has read something of its own.
    writeln!(second.stdin.as_mut().expect("a pipe"), "there").expect("it listens");
    let mut line = String::new();
    readers[1].read_line(&mut line).expect("it answers");
    assert_eq!(line, "got there\n");
    writeln!(first.stdin.as_mut().expect("a pipe"), "both").expect("it listens");
    for reader in &mut readers {
        let mut seen = String::new();
        while !seen.contains("got both\n") {
            assert_ne!(reader.read_line(&mut seen).expect("it answers"), 0, "it ended: {seen:?}");
        }
    }
    // Input's end is passed on, and with it comes the end of both.
    knarr.say(["kill", "echo"]);
    for mut child in [first, second] {
        let status = process::wait(&mut child, DEADLINE).expect("it ends");
        assert_eq!(status.code(), Some(137));
    }
}

#[test]
fn attach_to_what_does_not_run_is_refused() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    knarr.say(["create", "--name", "made", NAME, "true"]);
    let outcome = knarr.call(["attach", "made"]).exits_with(1);
    assert!(outcome.stderr.contains("not running"), "{outcome}");
}

#[test]
fn start_attached_gives_input_and_output() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    knarr.say(["create", "-i", "--name", "sort", NAME, "sh", "-c", "sort; exit 3"]);
    for _ in 0..2 {
        let mut start = knarr.command(["start", "-ai", "sort"]);
        let outcome = process::run_with_input(&mut start, b"b\na\n").exits_with(3);
        assert_eq!(outcome.stdout, "a\nb\n");
    }
}
