//! Published ports: every form, who has one, and that nobody else gets it.

use knarr_tests::Scratch;

use crate::bed::{Bed, HOST, IMAGE, text};
use crate::require_networks;

#[test]
fn ports_are_shown_and_chosen_as_docker_does() {
    require_networks!();
    let scratch = Scratch::new();
    let bed = Bed::start(&scratch);
    let knarr = bed.knarr();
    bed.serve("web", &["-p", "8000-8001:80-81", "-p", "127.0.0.1:53:53/udp", "-p", "90", "--expose", "7000"]);
    let shown = knarr.say(["ps", "--format", "{{.Ports}}"]);
    for part in
        ["0.0.0.0:8000-8001->80-81/tcp", "[::]:8000-8001->80-81/tcp", "127.0.0.1:53->53/udp", "->90/tcp"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert_eq!(knarr.say(["port", "web", "53/udp"]), "127.0.0.1:53");
    assert_eq!(knarr.say(["port", "web", "80"]), "0.0.0.0:8000\n[::]:8000");
    knarr.call(["port", "web", "1"]).exits_with(1);
    let inspected = &knarr.json(["inspect", "web"])[0];
    let ports = &inspected["NetworkSettings"]["Ports"];
    let any: u32 = text(&ports["90/tcp"][0]["HostPort"]).parse().expect("a number");
    assert!(any >= 1024, "{any}");
    assert_eq!(ports["90/tcp"][0]["HostPort"], ports["90/tcp"][1]["HostPort"], "one port on all addresses");
    assert!(ports["7000/tcp"].is_null() && ports.get("7000/tcp").is_some(), "{ports}");
    assert_eq!(inspected["HostConfig"]["PortBindings"]["80/tcp"][0]["HostPort"], "8000");
    assert!(inspected["Config"]["ExposedPorts"]["7000/tcp"].is_object());
    let all = knarr.say(["run", "-d", "-P", "--expose", "81/udp", "--name", "all", IMAGE, "sleep", "1000"]);
    assert!(knarr.say(["port", &all]).contains("81/udp -> 0.0.0.0:"));
}

#[test]
fn a_port_has_one_holder_until_that_ends() {
    require_networks!();
    let scratch = Scratch::new();
    let bed = Bed::start(&scratch);
    let knarr = bed.knarr();
    bed.serve("first", &["-p", "8080:80"]);
    for flag in ["8080:80", "127.0.0.1:8080:80", "8080-8080:81"] {
        let refused = knarr.call(["run", "-d", "-p", flag, IMAGE, "sleep", "1000"]).exits_with(125);
        assert!(refused.stderr.contains("port is already allocated"), "{refused}");
    }
    // The protocol is another one, and a range has room.
    knarr.say(["run", "-d", "-p", "8080:80/udp", IMAGE, "sleep", "1000"]);
    let id = knarr.say(["run", "-d", "-p", "8080-8085:80", IMAGE, "sleep", "1000"]);
    assert_eq!(knarr.say(["port", &id, "80"]), "0.0.0.0:8081\n[::]:8081");
    // No other program gets it.
    let taken = bed.on_host(&["python3", "-c", "import socket; socket.create_server(('', 8080))"]);
    assert!(taken.stderr.contains("Address already in use"), "{taken}");
    knarr.say(["stop", "-t", "0", "first"]);
    bed.on_host(&["python3", "-c", "import socket; socket.create_server(('', 8080))"]).success();
    let server = "import socket, time; s = socket.create_server(('', 8080)); print('up', flush=True); time.sleep(1000)";
    let other = bed.host_process(&["python3", "-c", server]);
    bed.until_listening(&format!("{HOST} 8080"));
    let refused = knarr.call(["start", "first"]).exits_with(1);
    assert!(refused.stderr.contains("8080") && refused.stderr.contains("already in use"), "{refused}");
    drop(other);
    knarr.say(["start", "first"]);
}

#[test]
fn many_that_want_one_port_get_it_once() {
    require_networks!();
    let scratch = Scratch::new();
    let bed = Bed::start(&scratch);
    let knarr = bed.knarr();
    let started: Vec<bool> = std::thread::scope(|scope| {
        let run = || knarr.call(["run", "-d", "-p", "8080:80", IMAGE, "sleep", "1000"]).status.success();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(run)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    assert_eq!(started.iter().filter(|is_started| **is_started).count(), 1, "{started:?}");
    let ids: Vec<String> = std::thread::scope(|scope| {
        let run = || knarr.say(["run", "-d", "-p", "80", "--network", "bridge", IMAGE, "sleep", "1000"]);
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(run)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    let mut addresses: Vec<String> = ids.iter().map(|id| bed.address(id, "bridge")).collect();
    let mut ports: Vec<String> = ids.iter().map(|id| knarr.say(["port", id, "80"])).collect();
    for list in [&mut addresses, &mut ports] {
        list.sort();
        list.dedup();
        assert_eq!(list.len(), 8, "{list:?}");
    }
}
