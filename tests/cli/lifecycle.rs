//! create, start, stop, restart, wait, rm: each with several containers, and on after an error.

use knarr_tests::process;
use knarr_tests::{Daemon, Scratch, require};

use crate::busybox::{self, NAME};

#[test]
fn a_container_goes_its_way() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    let id =
        knarr.say(["create", "--name", "one", NAME, "sh", "-c", "echo $((n += 1)) >>/count; cat /count"]);
    let status = |name: &str| knarr.say(["inspect", "--format", "{{.State.Status}}", name]);
    assert_eq!(status("one"), "created");
    assert_eq!(knarr.say(["start", &id[..12]]), id[..12]);
    assert_eq!(knarr.say(["wait", "one"]), "0");
    assert_eq!(status("one"), "exited");
    assert_eq!(knarr.say(["start", "-a", "one"]), "1\n1", "its files are kept between its runs");
    assert_eq!(knarr.say(["rm", "one"]), "one");
    knarr.call(["inspect", "one"]).exits_with(1);
    knarr.say(["run", "-d", "--name", "two", NAME, "sleep", "600"]);
    let pid = knarr.say(["inspect", "--format", "{{.State.Pid}}", "two"]);
    assert_eq!(knarr.say(["restart", "-t", "0", "two"]), "two");
    assert_ne!(knarr.say(["inspect", "--format", "{{.State.Pid}}", "two"]), pid);
    let refused = knarr.call(["rm", "two"]).exits_with(1);
    assert!(refused.stderr.contains("running"), "{refused}");
    assert_eq!(knarr.say(["rm", "-f", "two"]), "two");
    assert_eq!(knarr.say(["rm", "-f", "two"]), "", "what is gone need not be forced");
}

#[test]
fn an_error_does_not_keep_the_others_waiting() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    for name in ["aa", "bb", "cc"] {
        knarr.say(["create", "--name", name, NAME, "sleep", "600"]);
    }
    let names = ["aa", "nobody", "bb", "cc"];
    for verb in
        [&["start"][..], &["kill"][..], &["start"][..], &["stop", "-t", "0"][..], &["wait"][..], &["rm"][..]]
    {
        let outcome = knarr.call([verb, &names].concat()).exits_with(1);
        let expected = if verb[0] == "wait" { "137\n137\n137\n" } else { "aa\nbb\ncc\n" };
        assert_eq!(outcome.stdout, expected, "{outcome}");
        assert_eq!(outcome.stderr, "knarr: no such container: nobody\n");
        if verb[0] == "kill" {
            knarr.say(["wait", "aa", "bb", "cc"]);
        }
    }
}

#[test]
fn several_are_stopped_at_the_same_time() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    let names = ["aa", "bb", "cc", "dd"];
    for name in names {
        // pid 1 without a handler does not hear SIGTERM.
        knarr.say(["run", "-d", "--name", name, NAME, "sleep", "600"]);
    }
    let outcome = knarr.call([&["stop", "-t", "5"], &names[..]].concat()).success();
    assert_eq!(outcome.stdout, "aa\nbb\ncc\ndd\n");
    // One after the other they would take 20 seconds.
    assert!(outcome.elapsed < std::time::Duration::from_secs(15), "{outcome}");
}

#[test]
fn prune_removes_what_has_ended() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    let ended = knarr.say(["create", NAME, "true"]);
    knarr.say(["run", "-d", "--name", "runs", NAME, "sleep", "600"]);
    let mut no = knarr.command(["container", "prune"]);
    process::run_with_input(&mut no, b"n\n").exits_with(0);
    assert_eq!(knarr.say(["ps", "-aq"]).lines().count(), 2);
    assert_eq!(knarr.say(["container", "prune", "-f"]), format!("Deleted Containers:\n{ended}"));
    assert_eq!(knarr.say(["ps", "-a", "--format", "{{.Names}}"]), "runs");
}
