//! What containers are called, and what they find by names.

use knarr_tests::{Scratch, eventually};

use crate::bed::{Bed, IMAGE, LIMIT};
use crate::require_networks;

/// What a name is in a container: its addresses.
#[track_caller]
fn look_up(bed: &Bed<'_>, container: &str, name: &str) -> Vec<String> {
    let outcome = bed.knarr().call(["exec", container, "nslookup", name]);
    let behind = outcome.stdout.split_once("\n\n").map_or("", |(_, rest)| rest).to_owned();
    let mut found: Vec<String> =
        behind.lines().filter_map(|line| line.strip_prefix("Address: ")).map(str::to_owned).collect();
    found.sort();
    found.dedup();
    found
}

#[test]
fn containers_find_each_other_by_names_aliases_and_short_ids() {
    require_networks!();
    let scratch = Scratch::new();
    let bed = Bed::start(&scratch);
    let knarr = bed.knarr();
    knarr.say(["network", "create", "app"]);
    knarr.say(["network", "create", "other"]);
    let id = bed.serve("db-1", &["--network", "app", "--network-alias", "db", "--hostname", "base"]);
    bed.serve("db-2", &["--network", "app", "--network-alias", "db"]);
    bed.serve("web", &["--network", "app"]);
    bed.serve("far", &["--network", "other"]);
    let (one, two) = (bed.address("db-1", "app"), bed.address("db-2", "app"));
    for name in ["db-1", "DB-1", "db-1.app", "base", &id[..12]] {
        assert_eq!(look_up(&bed, "web", name), std::slice::from_ref(&one), "{name}");
    }
    let mut both = vec![one.clone(), two];
    both.sort();
    assert_eq!(look_up(&bed, "web", "db"), both);
    assert_eq!(look_up(&bed, "far", "db-1"), Vec::<String>::new(), "another network's name");
    let pointer = knarr.say(["exec", "web", "nslookup", &one]);
    assert!(pointer.contains("name = db-1.app"), "{pointer}");
    // Names change with what they name.
    knarr.say(["rename", "db-1", "first"]);
    assert_eq!(look_up(&bed, "web", "first"), std::slice::from_ref(&one));
    assert_eq!(look_up(&bed, "web", "db-1"), Vec::<String>::new());
    knarr.say(["network", "connect", "--alias", "near", "app", "far"]);
    assert_eq!(look_up(&bed, "web", "near"), [bed.address("far", "app")]);
    assert_eq!(look_up(&bed, "far", "first"), [one]);
    knarr.say(["rm", "-f", "first"]);
    assert_eq!(look_up(&bed, "web", "first"), Vec::<String>::new());
}

#[test]
fn hosts_and_resolver_are_as_asked_for() {
    require_networks!();
    let scratch = Scratch::new();
    let bed = Bed::start(&scratch);
    let knarr = bed.knarr();
    knarr.say(["network", "create", "--subnet", "172.31.0.0/24", "app"]);
    let flags = [
        "run",
        "--rm",
        "--network",
        "app",
        "--ip",
        "172.31.0.9",
        "--hostname",
        "me",
        "--add-host",
        "x:1.2.3.4",
        "--add-host",
        "gate:host-gateway",
        "--dns",
        "9.9.9.9",
        "--dns-search",
        "example.org",
        "--dns-option",
        "ndots:3",
        "--mac-address",
        "02:00:00:00:00:09",
        IMAGE,
        "sh",
        "-c",
        "cat /etc/hosts /etc/resolv.conf; hostname; cat /sys/class/net/eth0/address",
    ];
    let said = knarr.say(flags);
    for line in [
        "1.2.3.4\tx",
        "172.31.0.1\tgate",
        "172.31.0.9\tme",
        "nameserver 127.0.0.11",
        "search example.org",
        "options ndots:3",
        "me",
        "02:00:00:00:00:09",
    ] {
        assert!(said.lines().any(|own| own == line), "{line}: {said}");
    }
    let linked = bed.serve("base", &[]);
    let said = knarr.say(["run", "--rm", "--link", "base:store", IMAGE, "cat", "/etc/hosts"]);
    let line = format!("{}\tstore base {}", bed.address("base", "bridge"), &linked[..12]);
    assert!(said.contains(&line), "{line}: {said}");
}

#[test]
fn other_names_are_asked_of_the_servers_that_are_there() {
    require_networks!();
    let scratch = Scratch::new();
    let bed = Bed::start(&scratch);
    let knarr = bed.knarr();
    knarr.say(["network", "create", "app"]);
    knarr.say(["network", "create", "--internal", "inner"]);
    // A server at the neighbour's that answers everything with one address.
    let server = r#"
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("10.77.0.2", 53))
while True:
    q, c = s.recvfrom(4096)
    e = q.index(0, 12) + 5
    s.sendto(q[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + q[12:e] + b"\xc0\x0c\0\1\0\1\0\0\0\x05\0\4\7\7\7\7", c)
"#;
    let peer = bed.peer_process(&["python3", "-c", server]);
    knarr.say([
        "run",
        "-d",
        "--name",
        "asks",
        "--network",
        "app",
        "--dns",
        "10.77.0.9",
        "--dns",
        "10.77.0.2",
        IMAGE,
        "sleep",
        "1000",
    ]);
    knarr.say([
        "run",
        "-d",
        "--name",
        "alone",
        "--network",
        "inner",
        "--dns",
        "10.77.0.2",
        IMAGE,
        "sleep",
        "1000",
    ]);
    // The first server is silent, and keeps nobody from the second.
    eventually(LIMIT, || (look_up(&bed, "asks", "far.example") == ["7.7.7.7"]).then_some(()));
    assert_eq!(
        look_up(&bed, "alone", "far.example"),
        Vec::<String>::new(),
        "an internal network asks nobody"
    );
    drop(peer);
}
