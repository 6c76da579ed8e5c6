//! A host with a neighbour, each a network namespace, and a knarrd on that host.

use std::path::PathBuf;
use std::time::Duration;

use knarr_tests::process::{self, Outcome};
use knarr_tests::{Background, Daemon, Image, Knarr, Scratch, eventually, programs};
use serde_json::Value;

/// What every container here is made from.
pub(crate) const IMAGE: &str = "busybox:1";
/// The host's addresses, as the neighbour sees them, and the neighbour's.
pub(crate) const HOST: &str = "10.77.0.1";
pub(crate) const HOST6: &str = "fd77::1";
pub(crate) const PEER: &str = "10.77.0.2";
/// How long something may take to be there.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// Asks each `address port`, and tells what came, or nothing. By UDP a word is sent first.
const CLIENT: &str = r#"
import json, socket, sys
answers = []
for target in sys.argv[2:]:
    host, port = target.split()
    kind = socket.SOCK_DGRAM if sys.argv[1] == "udp" else socket.SOCK_STREAM
    found = socket.getaddrinfo(host, int(port), type=kind)[0]
    try:
        with socket.socket(found[0], kind) as client:
            client.settimeout(1)
            client.connect(found[4])
            if kind == socket.SOCK_DGRAM:
                client.send(b"ask")
            answers.append(client.recv(200).decode().strip())
    except OSError:
        answers.append(None)
print(json.dumps(answers))
"#;

/// Answers each packet by UDP with a word.
const UDP_SERVER: &str = r#"
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", int(sys.argv[1])))
while True:
    _, client = s.recvfrom(2000)
    s.sendto(sys.argv[2].encode(), client)
"#;

/// Two namespaces, which go with it.
#[derive(Debug)]
struct Places {
    host: String,
    peer: String,
}

impl Places {
    fn new(scratch: &Scratch) -> Self {
        let name = scratch.path().file_name().and_then(|name| name.to_str()).expect("our own name");
        let short = name.trim_start_matches("knarr-test-");
        let places = Self { host: format!("kh-{short}"), peer: format!("kp-{short}") };
        ip(scratch, &["netns", "add", &places.host]);
        ip(scratch, &["netns", "add", &places.peer]);
        places
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        for name in [&self.host, &self.peer] {
            drop(std::process::Command::new("ip").args(["netns", "delete", name]).status());
        }
    }
}

#[track_caller]
fn ip(scratch: &Scratch, args: &[&str]) -> String {
    process::run(scratch.command(programs::tool("ip")).args(args)).success().stdout
}

/// A host with a knarrd, and a neighbour that has a route through it.
pub(crate) struct Bed<'a> {
    pub(crate) daemon: Daemon<'a>,
    scratch: &'a Scratch,
    places: Places,
}

impl<'a> Bed<'a> {
    /// With [`IMAGE`].
    #[track_caller]
    pub(crate) fn start(scratch: &'a Scratch) -> Self {
        let places = Places::new(scratch);
        let (host, peer) = (places.host.as_str(), places.peer.as_str());
        ip(
            scratch,
            &["-n", host, "link", "add", "up0", "type", "veth", "peer", "name", "up0", "netns", peer],
        );
        for (place, v4, v6) in [(host, "10.77.0.1/24", "fd77::1/64"), (peer, "10.77.0.2/24", "fd77::2/64")] {
            ip(scratch, &["-n", place, "link", "set", "lo", "up"]);
            ip(scratch, &["-n", place, "addr", "add", v4, "dev", "up0"]);
            ip(scratch, &["-n", place, "addr", "add", v6, "dev", "up0", "nodad"]);
            ip(scratch, &["-n", place, "link", "set", "up0", "up"]);
        }
        ip(scratch, &["-n", host, "route", "add", "default", "via", PEER]);
        // What a neighbour has who wants to get in.
        ip(scratch, &["-n", peer, "route", "add", "172.16.0.0/12", "via", HOST]);
        ip(scratch, &["-n", peer, "route", "add", "192.168.0.0/16", "via", HOST]);
        ip(scratch, &["-n", peer, "route", "add", "fd00::/8", "via", HOST6]);
        let net = format!("--net=/run/netns/{host}");
        let daemon = Daemon::start_under(scratch, &["nsenter", &net, "env", "KNARR_BRIDGE=docker0"]);
        daemon.knarr().load(&Image::busybox(), IMAGE);
        Self { daemon, scratch, places }
    }

    pub(crate) fn knarr(&self) -> Knarr<'a> {
        self.daemon.knarr()
    }

    /// A command on the host.
    #[track_caller]
    pub(crate) fn on_host(&self, args: &[&str]) -> Outcome {
        self.run(&self.places.host, args)
    }

    /// A command at the neighbour's.
    #[track_caller]
    pub(crate) fn on_peer(&self, args: &[&str]) -> Outcome {
        self.run(&self.places.peer, args)
    }

    #[track_caller]
    fn run(&self, place: &str, args: &[&str]) -> Outcome {
        let mut command = self.scratch.command(programs::tool("nsenter"));
        command.arg(format!("--net=/run/netns/{place}")).args(args);
        process::run(&mut command)
    }

    /// A program that goes on at the neighbour's until it is dropped.
    #[track_caller]
    pub(crate) fn peer_process(&self, args: &[&str]) -> Background {
        self.start_process(&self.places.peer, args)
    }

    /// The same on the host.
    #[track_caller]
    pub(crate) fn host_process(&self, args: &[&str]) -> Background {
        self.start_process(&self.places.host, args)
    }

    fn start_process(&self, place: &str, args: &[&str]) -> Background {
        let mut command = self.scratch.command(programs::tool("nsenter"));
        command.arg(format!("--net=/run/netns/{place}")).args(args);
        Background::start(&mut command, &self.scratch.join(format!("{place}.log")))
    }

    /// Waits until something listens at the host's `address port`.
    #[track_caller]
    pub(crate) fn until_listening(&self, target: &str) {
        let (host, port) = target.split_once(' ').expect("an address and a port");
        let connect = format!("import socket; socket.create_connection(({host:?}, {port}), 1)");
        eventually(LIMIT, || self.on_host(&["python3", "-c", &connect]).status.success().then_some(()));
    }

    /// Where knarrd runs again after a kill.
    pub(crate) fn socket(&self) -> PathBuf {
        self.daemon.state().join("docker.sock")
    }

    pub(crate) fn scratch(&self) -> &'a Scratch {
        self.scratch
    }

    /// What the host gets from each `address port`.
    #[track_caller]
    pub(crate) fn host_asks(&self, protocol: &str, targets: &[&str]) -> Vec<Option<String>> {
        answers(&self.on_host(&[&["python3", "-c", CLIENT, protocol][..], targets].concat()))
    }

    /// What the neighbour gets.
    #[track_caller]
    pub(crate) fn peer_asks(&self, protocol: &str, targets: &[&str]) -> Vec<Option<String>> {
        answers(&self.on_peer(&[&["python3", "-c", CLIENT, protocol][..], targets].concat()))
    }

    /// What a container gets from each `address port`, by TCP.
    #[track_caller]
    pub(crate) fn container_asks(&self, container: &str, targets: &[&str]) -> Vec<Option<String>> {
        let ask =
            |target: &&str| format!("r=$(timeout 2 nc -w 1 {target} </dev/null 2>/dev/null); echo \"[$r]\"");
        let script = targets.iter().map(ask).collect::<Vec<_>>().join("\n");
        let said = self.knarr().say(["exec", container, "sh", "-c", &script]);
        said.lines()
            .map(|line| line.trim_start_matches('[').trim_end_matches(']').to_owned())
            .map(|answer| (!answer.is_empty()).then_some(answer))
            .collect()
    }

    /// Runs a container that answers on port 80 by its name, and waits until it does.
    #[track_caller]
    pub(crate) fn serve(&self, name: &str, flags: &[&str]) -> String {
        let server = ["nc", "-ll", "-p", "80", "-e", "echo", name];
        let args = [&["run", "-d", "--name", name][..], flags, &[IMAGE], &server].concat();
        let id = self.knarr().say(args);
        let knarr = self.knarr();
        eventually(LIMIT, || {
            let asked = knarr.call(["exec", name, "sh", "-c", "timeout 1 nc -w 1 127.0.0.1 80 </dev/null"]);
            asked.stdout.contains(name).then_some(())
        });
        id
    }

    /// Answers by UDP, too, in the container's network. The image has no program for that.
    #[track_caller]
    pub(crate) fn serve_udp(&self, name: &str) -> Background {
        let pid = self.knarr().say(["inspect", "-f", "{{.State.Pid}}", name]);
        let mut command = self.scratch.command(programs::tool("nsenter"));
        command.arg(format!("--net=/proc/{pid}/ns/net")).args(["python3", "-c", UDP_SERVER, "80", name]);
        let server = Background::start(&mut command, &self.scratch.join("udp.log"));
        let listens = || {
            let sockets = self.knarr().say(["exec", name, "cat", "/proc/net/udp"]);
            sockets.contains(":0050 ").then_some(())
        };
        eventually(LIMIT, listens);
        server
    }

    /// The address of a container in a network.
    #[track_caller]
    pub(crate) fn address(&self, container: &str, network: &str) -> String {
        let inspected = self.knarr().json(["inspect", container]);
        text(&inspected[0]["NetworkSettings"]["Networks"][network]["IPAddress"])
    }
}

#[track_caller]
fn answers(outcome: &Outcome) -> Vec<Option<String>> {
    assert!(outcome.status.success(), "{outcome}");
    serde_json::from_str(outcome.stdout.trim()).unwrap_or_else(|error| panic!("{error}: {outcome}"))
}

/// A JSON text.
#[track_caller]
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

/// What the machine has to have.
#[macro_export]
macro_rules! require_networks {
    () => {
        knarr_tests::require!(root, tool("busybox"), tool("ip"), tool("nsenter"), tool("python3"))
    };
}
