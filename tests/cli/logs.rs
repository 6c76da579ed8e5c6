//! `knarr logs`

use std::time::Duration;

use knarr_tests::process::DEADLINE;
use knarr_tests::{Background, Daemon, Scratch, eventually, require};

use crate::busybox::{self, NAME};

#[test]
fn the_log_is_what_was_said() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    knarr.call(["run", "--name", "both", NAME, "sh", "-c", "echo out; echo err >&2"]).success();
    let both = knarr.call(["logs", "both"]).success();
    assert_eq!((both.stdout.as_str(), both.stderr.as_str()), ("out\n", "err\n"));
    let script = "echo one; echo two; printf unfinished";
    knarr.call(["run", "--name", "said", NAME, "sh", "-c", script]).success();
    let log = knarr.call(["logs", "said"]).success();
    assert_eq!(log.stdout, "one\ntwo\nunfinished");
    assert_eq!(knarr.call(["logs", "--tail", "1", "said"]).success().stdout, "unfinished");
    assert_eq!(knarr.call(["logs", "-n", "0", "said"]).success().stdout, "");
    assert_eq!(knarr.call(["logs", "-n", "all", "said"]).success().stdout, log.stdout);
    assert_eq!(knarr.call(["logs", "--since", "1h", "said"]).success().stdout, log.stdout);
    assert_eq!(knarr.call(["logs", "--until", "1h", "said"]).success().stdout, "");
    let timed = knarr.call(["logs", "-t", "said"]).success().stdout;
    let line = timed.lines().next().expect("a line");
    let (time, text) = line.split_once(' ').expect("a time");
    assert!(
        text == "one" && time.len() == "2026-11-23T23:59:06.120000000Z".len() && time.ends_with('Z'),
        "{line}"
    );
    let since = knarr.call(["logs", "--since", time, "said"]).success().stdout;
    assert_eq!(since, log.stdout, "since is inclusive");
    let bad = knarr.call(["logs", "--since", "yesterday", "said"]).exits_with(125);
    assert!(bad.stderr.contains("yesterday"), "{bad}");
}

#[test]
fn following_goes_on_across_rotated_files_and_ends_with_the_container() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start_with(
        &scratch,
        &["--container-log-max-size", "65536", "--container-log-max-files", "5"],
    );
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    let go = scratch.directory("go");
    let bind = format!("{}:/go", go.display());
    // About 220 KiB in four files, of which the first three come while it is followed.
    let script = "echo first; while [ ! -e /go/go ]; do sleep 0.05; done; seq 1 6000; exit 3";
    knarr.say(["run", "-d", "--name", "counts", "-v", &bind, NAME, "sh", "-c", script]);
    let mut command = knarr.command(["logs", "-f", "counts"]);
    let log = scratch.join("followed");
    let mut following = Background::start(&mut command, &log);
    let shown = || std::fs::read_to_string(&log).unwrap_or_default();
    eventually(DEADLINE, || shown().contains("first\n").then_some(()));
    std::fs::write(go.join("go"), "").expect("our own directory");
    assert_eq!(knarr.say(["wait", "counts"]), "3");
    eventually(DEADLINE, || (!following.is_running()).then_some(()));
    let expected: String =
        std::iter::once("first\n".to_owned()).chain((1..=6000).map(|number| format!("{number}\n"))).collect();
    assert!(shown() == expected, "{} bytes were shown of {}", shown().len(), expected.len());
}

#[test]
fn ten_who_follow_all_see_the_same() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    let script = "n=0; while [ $n -lt 200 ]; do n=$((n + 1)); echo $n; sleep 0.005; done";
    knarr.say(["run", "-d", "--name", "counts", NAME, "sh", "-c", script]);
    let mut all: Vec<_> = (0..10)
        .map(|number| {
            let mut command = knarr.command(["logs", "-f", "counts"]);
            Background::start(&mut command, &scratch.join(format!("followed-{number}")))
        })
        .collect();
    let expected: String = (1..=200).map(|number| format!("{number}\n")).collect();
    for (number, following) in all.iter_mut().enumerate() {
        eventually(Duration::from_secs(60), || (!following.is_running()).then_some(()));
        let shown = std::fs::read_to_string(scratch.join(format!("followed-{number}"))).expect("it was made");
        assert_eq!(shown, expected, "follower {number}");
    }
}
