//! What stays when knarrd, its keeper or somebody's firewall goes, and that nothing is left in the end.

use knarr_tests::{Scratch, eventually, process};
use rustix::process::{Pid, Signal};

use crate::bed::{Bed, HOST, IMAGE, LIMIT};
use crate::require_networks;

fn some(name: &str) -> Option<String> {
    Some(name.to_owned())
}

/// The keeper's pid, once there is one that is not `other`.
#[track_caller]
fn keeper(bed: &Bed<'_>, other: Option<Pid>) -> Pid {
    let directory = bed.daemon.state().join("keeper");
    let mark = format!("keeper\0{}\0", directory.display());
    eventually(LIMIT, || {
        let entries = std::fs::read_dir("/proc").ok()?.flatten();
        let mut pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let is_it = |pid: &i32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).ends_with(&mark) && Pid::from_raw(*pid) != other
        };
        pids.find(is_it).and_then(Pid::from_raw)
    })
}

#[track_caller]
fn assert_all_works(bed: &Bed<'_>, when: &str) {
    let asked = bed.peer_asks("tcp", &[&format!("{HOST} 8080")]);
    assert_eq!(asked, [some("web")], "published, {when}");
    assert_eq!(bed.host_asks("tcp", &["::1 8080"]), [some("web")], "by loopback, {when}");
}

#[test]
fn containers_keep_their_network_when_knarrd_is_killed() {
    require_networks!();
    let scratch = Scratch::new();
    let mut bed = Bed::start(&scratch);
    let knarr = bed.knarr();
    knarr.say(["network", "create", "app"]);
    bed.serve("web", &["--network", "app", "-p", "8080:80"]);
    // It asks for a name again and again, and notes what it gets.
    let ask =
        "while :; do nslookup web >/tmp/last 2>&1 && echo ok >>/tmp/ok || echo no >>/tmp/no; sleep 0.1; done";
    knarr.say(["run", "-d", "--name", "asks", "--network", "app", IMAGE, "sh", "-c", ask]);
    let address = bed.address("web", "app");
    bed.daemon.kill();
    assert_all_works(&bed, "without knarrd");
    bed.daemon.start_again();
    assert_all_works(&bed, "with the next knarrd");
    assert_eq!(bed.address("web", "app"), address);
    assert_eq!(bed.container_asks("asks", &["web 80"]), [some("web")]);
    let failed = knarr.call(["exec", "asks", "cat", "/tmp/no"]);
    assert!(!failed.stdout.contains("no"), "a name was not answered while knarrd was dead: {failed}");
    knarr.say(["rm", "-f", "web"]);
    assert_eq!(bed.peer_asks("tcp", &[&format!("{HOST} 8080")]), [None]);
}

#[test]
fn a_killed_keeper_is_replaced_and_knows_everything() {
    require_networks!();
    let scratch = Scratch::new();
    let mut bed = Bed::start(&scratch);
    let knarr = bed.knarr();
    knarr.say(["network", "create", "app"]);
    bed.serve("web", &["--network", "app", "-p", "8080:80"]);
    bed.serve("other", &["--network", "app"]);
    let first = keeper(&bed, None);
    process::signal(first, Signal::KILL);
    let second = keeper(&bed, Some(first));
    let works = || bed.container_asks("other", &["web 80"]) == [some("web")];
    eventually(LIMIT, || works().then_some(()));
    assert_all_works(&bed, "with the next keeper");
    // Both at once.
    bed.daemon.kill();
    process::signal(second, Signal::KILL);
    assert!(process::wait_for_pid(second, LIMIT));
    bed.daemon.start_again();
    assert_all_works(&bed, "with both new");
    assert_eq!(bed.container_asks("other", &["web 80"]), [some("web")]);
}

#[test]
fn somebody_s_flush_of_all_rules_changes_nothing() {
    require_networks!();
    knarr_tests::require!(tool("nft"));
    let scratch = Scratch::new();
    let bed = Bed::start(&scratch);
    bed.serve("web", &["-p", "8080:80"]);
    let direct = format!("{} 80", bed.address("web", "bridge"));
    let rules = bed.on_host(&["nft", "list", "ruleset"]).success().stdout;
    assert!(rules.contains("chain to_container"), "{rules}");
    bed.on_host(&["nft", "flush", "ruleset"]);
    let published = format!("{HOST} 8080");
    if rules.contains("flags owner") {
        assert_eq!(bed.peer_asks("tcp", &[&published, &direct]), [some("web"), None]);
    }
    // Where the kernel has no owners, the next start makes the rules again.
    bed.knarr().say(["run", "--rm", IMAGE, "true"]);
    assert_eq!(bed.peer_asks("tcp", &[&published, &direct]), [some("web"), None]);
}

#[test]
fn nothing_is_left_of_containers_that_are_gone() {
    require_networks!();
    let scratch = Scratch::new();
    let mut bed = Bed::start(&scratch);
    let knarr = bed.knarr();
    knarr.say(["network", "create", "app"]);
    let rules = |bed: &Bed<'_>| {
        let text = bed.on_host(&["nft", "list", "ruleset"]).success().stdout;
        // The first line has the program that opened the socket; elements come in any order.
        let rest = text.split_once('\n').map_or("", |(_, rest)| rest);
        let mut words: Vec<String> = rest.split([' ', '\n', '\t', ',']).map(str::to_owned).collect();
        words.retain(|word| !word.is_empty());
        words.sort();
        words
    };
    let before = rules(&bed);
    for round in 0..6 {
        let name = format!("c{round}");
        bed.serve(&name, &["--network", "app", "-p", "8080:80", "-p", "80/udp"]);
        if round % 2 == 0 {
            bed.daemon.kill();
            bed.daemon.start_again();
        }
        knarr.say(["rm", "-f", &name]);
    }
    assert_eq!(rules(&bed), before);
    let left = || {
        let links = bed.on_host(&["ip", "-o", "link"]).success().stdout;
        let pins = std::fs::read_dir(bed.daemon.state().join("netns")).map_or(0, Iterator::count);
        (links.matches("veth").count(), pins)
    };
    // The kernel takes interfaces away behind a namespace's end.
    eventually(LIMIT, || (left().1 == 0 && left().0 <= 1).then_some(()));
}
