//! Who reaches whom: the whole matrix, of the default network, two others, an internal one and a routed one.

use knarr_tests::Scratch;

use crate::bed::{Bed, HOST, HOST6};
use crate::require_networks;

fn some(name: &str) -> Option<String> {
    Some(name.to_owned())
}

#[test]
fn published_ports_lead_to_their_containers_and_nothing_else_leads_in() {
    require_networks!();
    let scratch = Scratch::new();
    let bed = Bed::start(&scratch);
    bed.serve("web", &["-p", "8080:80", "-p", "8080:80/udp", "-p", "127.0.0.1:8081:80"]);
    let udp = bed.serve_udp("web");
    let own = format!("{} 80", bed.address("web", "bridge"));
    let (all, all6) = (format!("{HOST} 8080"), format!("{HOST6} 8080"));
    let near = format!("{HOST} 8081");
    assert_eq!(
        bed.peer_asks("tcp", &[&all, &all6, &near, &own]),
        [some("web"), some("web"), None, None],
        "the neighbour gets to what is published for it, not to loopback's port nor to the container itself"
    );
    assert_eq!(bed.peer_asks("udp", &[&all, &own]), [some("web"), None]);
    let loopback = ["127.0.0.1 8080", "127.0.0.1 8081", "::1 8080", &all, &all6, &own];
    assert_eq!(bed.host_asks("tcp", &loopback), vec![some("web"); 6]);
    // Itself, by the host's address and by its gateway's.
    assert_eq!(bed.container_asks("web", &[&all, "172.17.0.1 8080"]), [some("web"), some("web")]);
    drop(udp);
    bed.knarr().say(["rm", "-f", "web"]);
    assert_eq!(bed.peer_asks("tcp", &[&all]), [None], "with the container its ports go");
}

#[test]
fn networks_are_apart_and_meet_by_published_ports_alone() {
    require_networks!();
    let scratch = Scratch::new();
    let bed = Bed::start(&scratch);
    let knarr = bed.knarr();
    knarr.say(["network", "create", "one"]);
    knarr.say(["network", "create", "two"]);
    bed.serve("aa", &["--network", "one"]);
    bed.serve("bb", &["--network", "one", "-p", "8080:80"]);
    bed.serve("cc", &["--network", "two"]);
    let at = |name: &str, network: &str| format!("{} 80", bed.address(name, network));
    let (aa, bb, cc) = (at("aa", "one"), at("bb", "one"), at("cc", "two"));
    let published = format!("{HOST} 8080");
    assert_eq!(bed.container_asks("aa", &[&bb, &published, &cc]), [some("bb"), some("bb"), None]);
    assert_eq!(bed.container_asks("cc", &[&aa, &bb, &published]), [None, None, some("bb")]);
    assert_eq!(bed.host_asks("tcp", &[&aa, &bb, &cc]), [some("aa"), some("bb"), some("cc")]);
    assert_eq!(bed.peer_asks("tcp", &[&aa, &bb, &cc]), [None, None, None]);
    let ping = |container: &str| knarr.call(["exec", container, "ping", "-c", "1", "-W", "2", "10.77.0.2"]);
    ping("aa").success();
    // In both networks it reaches both.
    knarr.say(["network", "connect", "two", "aa"]);
    assert_eq!(bed.container_asks("aa", &[&bb, &cc]), [some("bb"), some("cc")]);
    knarr.say(["network", "disconnect", "one", "aa"]);
    assert_eq!(bed.container_asks("aa", &[&bb, &cc]), [None, some("cc")]);
}

#[test]
fn an_internal_network_leads_neither_in_nor_out() {
    require_networks!();
    let scratch = Scratch::new();
    let bed = Bed::start(&scratch);
    let knarr = bed.knarr();
    knarr.say(["network", "create", "--internal", "inner"]);
    knarr.say(["network", "create", "outer"]);
    bed.serve("web", &["--network", "outer", "-p", "8080:80"]);
    bed.serve("aa", &["--network", "inner", "-p", "9090:80"]);
    bed.serve("bb", &["--network", "inner"]);
    let (aa, bb) =
        (format!("{} 80", bed.address("aa", "inner")), format!("{} 80", bed.address("bb", "inner")));
    let outside = format!("{HOST} 8080");
    assert_eq!(bed.container_asks("aa", &[&bb, &outside]), [some("bb"), None]);
    knarr.call(["exec", "aa", "ping", "-c", "1", "-W", "1", "10.77.0.2"]).exits_with(1);
    assert_eq!(bed.peer_asks("tcp", &[&aa, &format!("{HOST} 9090")]), [None, None]);
    assert_eq!(bed.container_asks("web", &[&aa]), [None]);
    assert_eq!(bed.host_asks("tcp", &[&aa]), [some("aa")]);
}

#[test]
fn a_routed_network_shows_what_is_published_by_the_container_s_own_address() {
    require_networks!();
    let scratch = Scratch::new();
    let bed = Bed::start(&scratch);
    let mode = "com.docker.network.bridge.gateway_mode_ipv4=routed";
    bed.knarr().say(["network", "create", "-o", mode, "--subnet", "172.30.0.0/24", "open"]);
    bed.serve("aa", &["--network", "open", "--ip", "172.30.0.9", "-p", "80"]);
    bed.serve("bb", &["--network", "open"]);
    let hidden = format!("{} 80", bed.address("bb", "open"));
    assert_eq!(bed.peer_asks("tcp", &["172.30.0.9 80", &hidden]), [some("aa"), None]);
}

#[test]
fn without_icc_containers_of_one_network_do_not_meet() {
    require_networks!();
    let scratch = Scratch::new();
    let bed = Bed::start(&scratch);
    let knarr = bed.knarr();
    // Where the host filters what is bridged, it also bridges what was redirected: then they do not meet at all.
    bed.on_host(&["sysctl", "-w", "net.bridge.bridge-nf-call-iptables=0"]);
    knarr.say(["network", "create", "-o", "com.docker.network.bridge.enable_icc=false", "apart"]);
    bed.serve("aa", &["--network", "apart", "-p", "8080:80"]);
    bed.serve("bb", &["--network", "apart"]);
    let aa = format!("{} 80", bed.address("aa", "apart"));
    assert_eq!(bed.container_asks("bb", &[&aa, &format!("{HOST} 8080")]), [None, some("aa")]);
    knarr.call(["exec", "bb", "ping", "-c", "1", "-W", "2", "10.77.0.2"]).success();
}

#[test]
fn ipv6_goes_the_same_ways() {
    require_networks!();
    let scratch = Scratch::new();
    let bed = Bed::start(&scratch);
    let knarr = bed.knarr();
    knarr.say(["network", "create", "--ipv6", "six"]);
    bed.serve("aa", &["--network", "six", "-p", "8080:80"]);
    bed.serve("bb", &["--network", "six"]);
    let inspected = knarr.json(["inspect", "aa"]);
    let own = crate::bed::text(&inspected[0]["NetworkSettings"]["Networks"]["six"]["GlobalIPv6Address"]);
    assert!(own.starts_with("fd"), "{own}");
    let direct = format!("{own} 80");
    assert_eq!(bed.peer_asks("tcp", &[&format!("{HOST6} 8080"), &direct]), [some("aa"), None]);
    assert_eq!(bed.host_asks("tcp", &[&format!("{HOST6} 8080"), "::1 8080", &direct]), vec![some("aa"); 3]);
    assert_eq!(bed.container_asks("bb", &[&direct, &format!("{HOST6} 8080")]), [some("aa"), some("aa")]);
    knarr.call(["exec", "aa", "ping", "-6", "-c", "1", "-W", "2", "fd77::2"]).success();
}
