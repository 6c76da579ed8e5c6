//! What cannot be: one clear sentence that names it, and nothing is left behind.

use knarr_tests::Scratch;

use crate::bed::{Bed, IMAGE};
use crate::require_networks;

/// Wrong networks, each with a word that the refusal has to have.
const NETWORKS: &[(&[&str], &str)] = &[
    (&["-bad"], ""),
    (&["a b"], "a b"),
    (&["a/b"], "a/b"),
    (&["host"], "host"),
    (&["none"], "none"),
    (&["bridge"], "bridge"),
    (&["default"], "default"),
    (&["taken"], "already exists"),
    (&["nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"], "63"),
    (&["--driver", "overlay", "x"], "overlay"),
    (&["--driver", "macvlan", "x"], "macvlan"),
    (&["--subnet", "10.0.0.0", "x"], "10.0.0.0"),
    (&["--subnet", "10.0.0.0/33", "x"], "10.0.0.0/33"),
    (&["--subnet", "10.0.0.5/8", "x"], "10.0.0.0/8"),
    (&["--subnet", "banana", "x"], "banana"),
    (&["--subnet", "10.9.0.0/31", "x"], "10.9.0.0/31"),
    (&["--subnet", "127.0.0.0/8", "x"], "127.0.0.0/8"),
    (&["--subnet", "224.0.0.0/8", "x"], "224.0.0.0/8"),
    (&["--subnet", "0.0.0.0/0", "x"], "0.0.0.0/0"),
    (&["--subnet", "10.77.0.0/16", "x"], "the host"),
    (&["--subnet", "10.0.0.0/8", "x"], "10.77.0.0/24"),
    (&["--subnet", "172.28.0.0/20", "x"], "taken"),
    (&["--subnet", "172.28.0.0/14", "x"], "overlaps"),
    (&["--subnet", "10.1.0.0/16", "--subnet", "10.2.0.0/16", "x"], "one subnet of IPv4"),
    (&["--subnet", "10.1.0.0/16", "--gateway", "10.2.0.1", "x"], "10.2.0.1"),
    (&["--subnet", "10.1.0.0/16", "--gateway", "10.1.0.0", "x"], "10.1.0.0"),
    (&["--subnet", "10.1.0.0/16", "--gateway", "10.1.255.255", "x"], "10.1.255.255"),
    (&["--subnet", "10.1.0.0/16", "--gateway", "x", "x"], "gateway"),
    (&["--subnet", "10.1.0.0/16", "--gateway", "fd00::1", "x"], "--gateway"),
    (&["--gateway", "10.1.0.1", "x"], "--subnet"),
    (&["--ip-range", "10.1.0.0/24", "x"], "--subnet"),
    (&["--subnet", "10.1.0.0/16", "--ip-range", "10.2.0.0/24", "x"], "10.2.0.0/24"),
    (&["--subnet", "10.1.0.0/16", "--aux-address", "a=10.1.0.1", "x"], "10.1.0.1"),
    (&["--subnet", "10.1.0.0/16", "--aux-address", "a=10.2.0.1", "x"], "10.2.0.1"),
    (&["--subnet", "10.1.0.0/16", "--aux-address", "a", "x"], "a"),
    (&["-o", "nope=1", "x"], "nope=1"),
    (&["-o", "com.docker.network.driver.mtu=7", "x"], "mtu=7"),
    (&["-o", "com.docker.network.bridge.enable_icc=maybe", "x"], "maybe"),
    (&["-o", "com.docker.network.bridge.name=much-too-long-a-name", "x"], "much-too-long-a-name"),
    (&["-o", "com.docker.network.bridge.name=up0", "x"], "up0"),
    (&["-o", "com.docker.network.bridge.gateway_mode_ipv4=open", "x"], "open"),
    (&["-o", "com.docker.network.bridge.host_binding_ipv4=x", "x"], "host_binding_ipv4"),
];

/// Wrong ways into networks.
const CONTAINERS: &[(&[&str], &str)] = &[
    (&["--network", "nowhere"], "network nowhere not found"),
    (&["--network", "taken", "--network", "host"], "host"),
    (&["--network", "taken", "--network", "taken"], "twice"),
    (&["--network", "name=taken,x=y"], "x=y"),
    (&["--network", "name="], "name="),
    (&["--network", "none", "--ip", "10.0.0.2"], "--ip"),
    (&["--network", "host", "--network-alias", "x"], "--network-alias"),
    (&["--network", "taken", "--ip", "banana"], "banana"),
    (&["--network", "taken", "--ip", "10.0.0.2"], "172.28.0.0/16"),
    (&["--network", "taken", "--ip", "172.28.0.1"], "gateway"),
    (&["--network", "taken", "--ip", "172.28.0.0"], "172.28.0.0"),
    (&["--network", "taken", "--ip", "172.28.255.255"], "172.28.255.255"),
    (&["--network", "taken", "--ip", "172.28.0.9"], "172.28.0.9"),
    (&["--network", "taken", "--ip6", "fd00::5"], "--ipv6"),
    (&["--ip", "172.17.0.9"], "--subnet"),
    (&["--mac-address", "banana"], "banana"),
    (&["--mac-address", "01:00:00:00:00:01"], "01:00:00:00:00:01"),
    (&["--mac-address", "00:00:00:00:00:00"], "00:00:00:00:00:00"),
    (&["--network-alias", "a b"], "a b"),
    (&["--network-alias", "a\nb"], "alias"),
    (&["--link", "a b"], "a b"),
    (&["--add-host", "a"], "a"),
    (&["--add-host", "a:banana"], "a:banana"),
    (&["--add-host", "a\n6.6.6.6 bank:1.2.3.4"], "add-host"),
    (&["--dns", "banana"], "banana"),
    (&["--dns", "1.1.1.1\nnameserver 6.6.6.6"], "dns"),
    (&["--dns-search", "a b"], "a b"),
    (&["--dns-search", "a\nnameserver 6.6.6.6"], "dns-search"),
    (&["--dns-option", "a b"], "a b"),
    (&["-p", ""], "port"),
    (&["-p", "0"], "0"),
    (&["-p", "65536"], "65536"),
    (&["-p", "80:65536"], "65536"),
    (&["-p", "x:80"], "x"),
    (&["-p", "80/icmp"], "icmp"),
    (&["-p", "8000-8002:80-81"], "8000-8002:80-81"),
    (&["-p", "81-80"], "81-80"),
    (&["-p", "localhost:80:80"], "localhost"),
    (&["-p", "1.2.3.4.5:80:80"], "1.2.3.4.5"),
    (&["-p", "9.9.9.9:80:80"], "9.9.9.9"),
    (&["-p", "7777:80"], "already allocated"),
    (&["-p", "127.0.0.1:7777:80"], "already allocated"),
    (&["--expose", "0"], "0"),
    (&["--expose", "80/x"], "80/x"),
];

#[test]
fn what_cannot_be_is_refused_with_one_sentence_and_leaves_nothing() {
    require_networks!();
    let scratch = Scratch::new();
    let bed = Bed::start(&scratch);
    let knarr = bed.knarr();
    knarr.say(["network", "create", "--subnet", "172.28.0.0/16", "taken"]);
    knarr.say([
        "run",
        "-d",
        "--name",
        "it",
        "--network",
        "taken",
        "--ip",
        "172.28.0.9",
        "-p",
        "7777:80",
        IMAGE,
        "sleep",
        "1000",
    ]);
    knarr.say(["run", "--rm", IMAGE, "true"]);
    let belongings = || {
        let links =
            bed.on_host(&["ip", "-o", "link", "show", "type", "bridge"]).success().stdout.lines().count();
        (knarr.say(["network", "ls"]), knarr.say(["ps", "-a", "--format", "{{.Names}}"]), links)
    };
    let before = belongings();
    let mut wrong = Vec::new();
    let mut check = |args: Vec<&str>, codes: &[i32], word: &str| {
        let outcome = knarr.call(&args);
        let lines =
            outcome.stderr.lines().filter(|line| !line.is_empty() && !line.contains("--help")).count();
        if !codes.contains(&outcome.code())
            || lines != 1
            || !outcome.stderr.contains(word)
            || outcome.stderr.contains("os error")
        {
            wrong.push(format!("{args:?}: wanted {codes:?} and {word:?}: {outcome}"));
        }
    };
    for (args, word) in NETWORKS {
        check([&["network", "create"][..], args].concat(), &[1, 125], word);
    }
    for (args, word) in CONTAINERS {
        check([&["run", "-d", "--rm"][..], args, &[IMAGE, "sleep", "1000"]].concat(), &[125], word);
    }
    for (args, word) in [
        (&["network", "rm", "nowhere"][..], "network nowhere not found"),
        (&["network", "rm", "bridge"], "pre-defined"),
        (&["network", "rm", "taken"], "active endpoints"),
        (&["network", "inspect", "nowhere"], "nowhere"),
        (&["network", "connect", "nowhere", "it"], "nowhere"),
        (&["network", "connect", "taken", "it"], "already exists"),
        (&["network", "connect", "taken", "nobody"], "nobody"),
        (&["network", "connect", "host", "it"], "host"),
        (&["network", "disconnect", "bridge", "it"], "not connected"),
        (&["network", "ls", "--filter", "x=y"], "x=y"),
        (&["port", "nobody"], "nobody"),
    ] {
        check(args.to_vec(), &[1], word);
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(belongings(), before);
    assert!(NETWORKS.len() + CONTAINERS.len() >= 60);
}
