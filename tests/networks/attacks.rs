//! What a container with bad intentions tries, each beside a control that shows that it could succeed.

use knarr_tests::Scratch;

use crate::bed::{Bed, HOST, IMAGE};
use crate::require_networks;

fn some(name: &str) -> Option<String> {
    Some(name.to_owned())
}

#[test]
fn the_host_s_loopback_is_out_of_reach() {
    require_networks!();
    let scratch = Scratch::new();
    let bed = Bed::start(&scratch);
    let server = r#"
import socket
s = socket.create_server(("127.0.0.1", 7777))
while True:
    c, _ = s.accept(); c.send(b"secret\n"); c.close()
"#;
    let server = bed.host_process(&["python3", "-c", server]);
    bed.until_listening("127.0.0.1 7777");
    assert_eq!(bed.host_asks("tcp", &["127.0.0.1 7777"]), [some("secret")], "the control");
    // With all rights in its own namespace it sends to 127.0.0.1 by its gateway.
    let args = ["run", "-d", "--name", "bad", "--privileged", IMAGE, "sleep", "1000"];
    bed.knarr().say(args);
    let route = "echo 1 >/proc/sys/net/ipv4/conf/eth0/route_localnet; ip addr del 127.0.0.1/8 dev lo; \
                 ip route add 127.0.0.1 via 172.17.0.1 dev eth0 src 172.17.0.2";
    bed.knarr().call(["exec", "bad", "sh", "-c", route]);
    assert_eq!(bed.container_asks("bad", &["127.0.0.1 7777"]), [None]);
    // A neighbour does the same.
    bed.on_peer(&["sysctl", "-w", "net.ipv4.conf.up0.route_localnet=1"]);
    bed.on_peer(&["ip", "addr", "del", "127.0.0.1/8", "dev", "lo"]);
    bed.on_peer(&["ip", "route", "add", "127.0.0.1", "via", HOST, "dev", "up0", "src", "10.77.0.2"]);
    assert_eq!(bed.peer_asks("tcp", &["127.0.0.1 7777"]), [None]);
    drop(server);
}

#[test]
fn a_source_that_is_not_its_own_gets_nowhere() {
    require_networks!();
    let scratch = Scratch::new();
    let bed = Bed::start(&scratch);
    let knarr = bed.knarr();
    bed.serve("web", &["-p", "8080:80"]);
    knarr.say(["run", "-d", "--name", "bad", "--cap-add", "NET_ADMIN", IMAGE, "sleep", "1000"]);
    let target = format!("{HOST} 8080");
    assert_eq!(bed.container_asks("bad", &[&target]), [some("web")], "the control");
    bed.on_peer(&["ip", "route", "add", "10.99.0.0/24", "via", HOST]);
    knarr.say([
        "exec",
        "bad",
        "sh",
        "-c",
        "ip addr add 10.99.0.5/32 dev eth0; ip route change default via 172.17.0.1 src 10.99.0.5",
    ]);
    // The host would have a way back.
    bed.on_host(&["ip", "route", "add", "10.99.0.0/24", "dev", "docker0"]).success();
    assert_eq!(bed.container_asks("bad", &[&target]), [None]);
    knarr.call(["exec", "bad", "ping", "-c", "1", "-W", "1", "10.77.0.2"]).exits_with(1);
}

#[test]
fn the_host_forwards_for_nobody_but_its_containers() {
    require_networks!();
    let scratch = Scratch::new();
    let bed = Bed::start(&scratch);
    let forwarding = bed.on_host(&["cat", "/proc/sys/net/ipv4/ip_forward"]).success().stdout;
    bed.on_host(&["sysctl", "-w", "net.ipv4.ip_forward=0"]).success();
    bed.serve("web", &["-p", "8080:80"]);
    assert_eq!(
        bed.peer_asks("tcp", &[&format!("{HOST} 8080")]),
        [some("web")],
        "forwarding was {forwarding}"
    );
    // The neighbour sends to itself by the host.
    bed.on_peer(&["ip", "addr", "add", "10.88.0.2/32", "dev", "lo"]).success();
    bed.on_host(&["ip", "route", "add", "10.88.0.2", "via", "10.77.0.2"]).success();
    bed.on_peer(&["ip", "route", "add", "10.88.0.3", "via", HOST]).success();
    bed.on_host(&["ip", "route", "add", "10.88.0.3", "via", "10.77.0.2"]).success();
    let through = bed.on_peer(&["ping", "-c", "1", "-W", "1", "10.88.0.3"]);
    assert!(!through.status.success(), "the host has become a router: {through}");
    assert_eq!(bed.on_host(&["cat", "/proc/sys/net/ipv4/ip_forward"]).success().stdout.trim(), "0");
}

#[test]
fn a_flood_of_questions_and_nonsense_keeps_no_other_from_names() {
    require_networks!();
    let scratch = Scratch::new();
    let bed = Bed::start(&scratch);
    let knarr = bed.knarr();
    knarr.say(["network", "create", "app"]);
    bed.serve("web", &["--network", "app"]);
    let flags = ["run", "-d", "--name", "bad", "--network", "app", "--dns", "10.77.0.9", IMAGE, "sh", "-c"];
    // Names that nobody answers, bytes that are no question, and connections that say nothing.
    let flood = "for i in $(seq 40); do nc 127.0.0.11 53 & done; \
                 while :; do for i in $(seq 100); do nslookup x$i.example 127.0.0.11 >/dev/null 2>&1 & \
                 head -c 700 /dev/urandom | nc -u -w 1 127.0.0.11 53 >/dev/null 2>&1 & done; wait; done";
    knarr.say([&flags[..], &[flood]].concat());
    bed.serve("good", &["--network", "app"]);
    for _ in 0..5 {
        assert_eq!(bed.container_asks("good", &["web 80"]), [some("web")]);
    }
}
