//! `knarr network …`, as docker has it.

use knarr_tests::Scratch;

use crate::bed::{Bed, IMAGE};
use crate::require_networks;

#[test]
fn networks_are_made_listed_looked_at_and_removed() {
    require_networks!();
    let scratch = Scratch::new();
    let bed = Bed::start(&scratch);
    let knarr = bed.knarr();
    assert_eq!(
        knarr.say(["network", "ls", "--format", "{{.Name}} {{.Driver}}"]),
        "bridge bridge\nhost host\nnone null"
    );
    let id = knarr.say([
        "network",
        "create",
        "--subnet",
        "172.30.0.0/16",
        "--gateway",
        "172.30.9.1",
        "--ip-range",
        "172.30.8.0/24",
        "--aux-address",
        "router=172.30.8.0",
        "--label",
        "tier=back",
        "app",
    ]);
    let shown = &knarr.json(["network", "inspect", "app"])[0];
    assert_eq!(shown["Id"], id);
    assert_eq!(shown["IPAM"]["Config"][0]["Gateway"], "172.30.9.1");
    assert_eq!(shown["Labels"]["tier"], "back");
    assert_eq!(knarr.say(["network", "ls", "-q", "--filter", "label=tier=back"]), &id[..12]);
    knarr.say(["run", "-d", "--name", "it", "--network", "app", IMAGE, "sleep", "1000"]);
    assert_eq!(bed.address("it", "app"), "172.30.8.1", "the first of the range that nobody has");
    let refused = knarr.call(["network", "rm", "app"]).exits_with(1);
    assert!(refused.stderr.contains("has active endpoints (it)"), "{refused}");
    knarr.say(["network", "create", "spare"]);
    assert_eq!(knarr.say(["network", "prune", "--force"]), "Deleted Networks:\nspare");
    knarr.say(["network", "disconnect", "app", "it"]);
    assert_eq!(knarr.say(["exec", "it", "sh", "-c", "ip link | grep -c '^[0-9]'"]), "1", "loopback alone");
    assert_eq!(knarr.say(["network", "rm", &id[..8]]), "app");
    knarr.say(["network", "rm", "--force", "app"]);
    let links = bed.on_host(&["ip", "-o", "link"]).success().stdout;
    assert!(!links.contains("br-"), "{links}");
}

#[test]
fn addresses_stay_with_their_containers_and_come_back() {
    require_networks!();
    let scratch = Scratch::new();
    let bed = Bed::start(&scratch);
    let knarr = bed.knarr();
    for name in ["one", "two", "three"] {
        knarr.say(["run", "-d", "--name", name, IMAGE, "sleep", "1000"]);
    }
    let before = bed.address("two", "bridge");
    knarr.say(["stop", "-t", "0", "one", "two"]);
    assert_eq!(bed.address("two", "bridge"), "");
    knarr.say(["start", "two", "one"]);
    assert_eq!(bed.address("two", "bridge"), before, "the address that it had, while nobody else has it");
    knarr.say(["rm", "-f", "one", "two", "three"]);
    knarr.say(["run", "-d", "--name", "four", IMAGE, "sleep", "1000"]);
    assert_eq!(bed.address("four", "bridge"), "172.17.0.2", "the lowest one is free again");
}

#[test]
fn several_networks_are_several_interfaces_with_one_way_out() {
    require_networks!();
    let scratch = Scratch::new();
    let bed = Bed::start(&scratch);
    let knarr = bed.knarr();
    knarr.say(["network", "create", "aa"]);
    knarr.say(["network", "create", "bb"]);
    let networks = ["--network", "name=aa,alias=x", "--network", "name=bb,gw-priority=5"];
    let show = "ip -o -4 addr show; ip route";
    let said = knarr.say([&["run", "--rm"][..], &networks, &[IMAGE, "sh", "-c", show]].concat());
    assert!(said.contains("eth0") && said.contains("eth1"), "{said}");
    let way_out: Vec<&str> = said.lines().filter(|line| line.starts_with("default")).collect();
    let gateway = knarr.say(["network", "inspect", "bb", "-f", "{{(index .IPAM.Config 0).Gateway}}"]);
    assert_eq!(way_out.len(), 1, "{said}");
    assert!(way_out[0].contains(&gateway) && way_out[0].contains("eth0"), "{said}");
}
