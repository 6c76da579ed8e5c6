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
    let pruned = knarr.say(["container", "prune", "-f"]);
    assert_eq!(pruned, format!("Deleted Containers:\n{ended}\n\nTotal reclaimed space: 0B"));
    assert_eq!(knarr.say(["ps", "-a", "--format", "{{.Names}}"]), "runs");
}

#[test]
fn prune_goes_by_labels_and_age_and_tells_what_it_gave_back() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    let write = |name: &str, label: &str, bytes: &str| {
        let script = format!("head -c {bytes} /dev/zero >/data");
        knarr.say(["run", "--name", name, "--label", label, NAME, "sh", "-c", &script]);
    };
    write("first", "tier=front", "1000");
    write("second", "tier=back", "2500000");
    write("third", "other", "30");
    let sizes = knarr.say(["ps", "-a", "--format", "{{.Names}} {{.Size}}"]);
    for (name, size) in [("first", "1kB"), ("second", "2.5MB"), ("third", "30B")] {
        let start = format!("{name} {size} (virtual ");
        assert!(sizes.lines().any(|line| line.starts_with(&start)), "{start}: {sizes}");
    }
    assert!(knarr.say(["ps", "-a", "-s"]).contains("SIZE"));
    let seen = &knarr.json(["inspect", "-s", "second"])[0];
    assert_eq!(seen["SizeRw"], 2_500_000);
    assert!(seen["SizeRootFs"].as_u64() > seen["SizeRw"].as_u64(), "{seen}");
    assert!(knarr.json(["inspect", "second"])[0].get("SizeRw").is_none());
    let prune = |filter: &str| knarr.say(["container", "prune", "-f", "--filter", filter]);
    assert_eq!(prune("until=24h"), "Total reclaimed space: 0B", "all are younger");
    assert_eq!(prune("label=tier=side"), "Total reclaimed space: 0B");
    let pruned = prune("label=tier=back");
    assert!(pruned.ends_with("Total reclaimed space: 2.5MB"), "{pruned}");
    let pruned = prune("label!=tier");
    assert!(pruned.ends_with("Total reclaimed space: 30B"), "{pruned}");
    for (filter, says) in
        [("until=soon", "such as 24h"), ("name=first", "label, label! and until"), ("until", "")]
    {
        let refused = knarr.call(["container", "prune", "-f", "--filter", filter]);
        assert!(refused.code() != 0 && refused.stderr.contains(says), "{refused}");
    }
    let left = knarr.say(["ps", "-aq", "--format", "{{.Names}}"]);
    assert!(prune("until=0s").ends_with("Total reclaimed space: 1kB"), "{left}");
    assert_eq!(knarr.say(["ps", "-aq"]), "");
}
