//! Clients of knarrd's socket that hold what they do not use: silent, half-spoken, drip-feeding, never-reading. None of
//! them keeps another client out.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use knarr_proto::v1;
use knarr_tests::eventually::holds_within;
use knarr_tests::{Daemon, Grpc, Scratch, require};

/// knarrd may have so many open files here, which makes some dozens of places.
const FILES: &str = "256";
/// More than all places.
const ATTACKERS: usize = 512;
/// A client that has something to ask is answered within this time, on two loaded cores.
const ANSWERED: Duration = Duration::from_secs(20);

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

/// One frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let [.., a, b, c] = payload.len().to_be_bytes();
    [&[a, b, c, kind, flags, 0, 0, 0, stream], payload].concat()
}

/// A literal header field without compression (RFC 7541, section 6.2.2).
fn field(name: &str, value: &str) -> Vec<u8> {
    let length = |text: &str| u8::try_from(text.len()).expect("a short text");
    [&[0, length(name)], name.as_bytes(), &[length(value)], value.as_bytes()].concat()
}

/// The headers of a call.
fn headers(path: &str) -> Vec<u8> {
    [
        field(":method", "POST"),
        field(":scheme", "http"),
        field(":path", path),
        field(":authority", "localhost"),
        field("content-type", "application/grpc"),
        field("te", "trailers"),
    ]
    .concat()
}

/// A call whose request is not sent to its end.
fn half_a_call(stream: u8, path: &str) -> Vec<u8> {
    [frame(1, 4, stream, &headers(path)), frame(0, 0, stream, &[0, 0, 0, 1, 0, b'x'])].concat()
}

/// A call without content in its request.
fn call(stream: u8, path: &str) -> Vec<u8> {
    [frame(1, 4, stream, &headers(path)), frame(0, 1, stream, &[0; 5])].concat()
}

/// What a connection begins with.
fn greeting() -> Vec<u8> {
    [PREFACE, SETTINGS].concat()
}

/// So many connections, each of which has sent this. One that knarrd closes is not opened again.
fn attackers(socket: &Path, count: usize, words: &[u8]) -> Vec<UnixStream> {
    let connect = |_| {
        let mut stream = UnixStream::connect(socket).expect("the kernel queues it");
        stream.set_nonblocking(true).expect("a socket");
        // What knarrd does not take does not concern us.
        drop(stream.write(words));
        stream
    };
    (0..count).map(connect).collect()
}

/// A client that is as any other: connects, asks, and is answered.
#[track_caller]
fn assert_served(daemon: &Daemon<'_>, during: &str) {
    let begun = Instant::now();
    let grpc = Grpc::connect(&daemon.socket());
    grpc.wait(grpc.system().ping(v1::PingRequest {})).expect(during);
    grpc.list_containers(v1::ListContainersRequest::default()).expect(during);
    assert!(begun.elapsed() < ANSWERED, "{during}: {:?}", begun.elapsed());
}

fn limited<'a>(scratch: &'a Scratch, files: &str) -> Daemon<'a> {
    Daemon::start_under(scratch, &["prlimit", &format!("--nofile={files}:{files}")])
}

#[test]
fn silent_and_half_spoken_clients_keep_no_one_out() {
    require!(root, tool("prlimit"));
    let scratch = Scratch::new();
    let daemon = limited(&scratch, FILES);
    let ping = "/knarr.v1.System/Ping";
    for (what, words) in [
        ("silent", Vec::new()),
        ("in the middle of the preface", PREFACE[..10].to_vec()),
        ("greeted, then silent", greeting()),
        ("in the middle of a frame's head", [greeting(), vec![0, 0]].concat()),
        ("in the middle of the headers", [greeting(), half_a_call(1, ping)[..30].to_vec()].concat()),
        ("in the middle of a request", [greeting(), half_a_call(1, ping)].concat()),
        ("speaking HTTP/1.1", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("speaking nonsense", vec![0xff; 4096]),
    ] {
        let held = attackers(&daemon.socket(), ATTACKERS, &words);
        assert_served(&daemon, what);
        drop(held);
    }
    assert!(!daemon.log().contains("panicked"), "{}", daemon.log());
}

#[test]
fn a_drip_of_headers_keeps_no_one_out() {
    require!(root, tool("prlimit"));
    let scratch = Scratch::new();
    let daemon = limited(&scratch, FILES);
    let words = [greeting(), half_a_call(1, "/knarr.v1.Containers/Create")].concat();
    let mut held = attackers(&daemon.socket(), ATTACKERS, &words[..1]);
    for byte in &words[1..120] {
        for stream in &mut held {
            drop(stream.write(&[*byte]));
        }
    }
    assert_served(&daemon, "while others drip");
}

#[test]
fn streams_that_are_never_read_leave_places_for_calls_that_end() {
    require!(root, tool("prlimit"));
    let scratch = Scratch::new();
    let daemon = limited(&scratch, FILES);
    // Each asks for as many streams as one connection may have, and reads nothing.
    let streams = (0..100).flat_map(|number| call(number * 2 + 1, "/knarr.v1.Events/Subscribe"));
    let words: Vec<u8> = greeting().into_iter().chain(streams).collect();
    let held = attackers(&daemon.socket(), 40, &words);
    assert_served(&daemon, "while events stream");
    // One more stream is refused by name, not left waiting.
    let grpc = Grpc::connect(&daemon.socket());
    let refused = holds_within(ANSWERED, || {
        let subscribed = grpc.wait(grpc.events().subscribe(v1::SubscribeRequest::default()));
        subscribed.is_err_and(|status| status.code() == tonic::Code::ResourceExhausted)
    });
    assert!(refused, "there is a bound for streams");
    drop(held);
    let served = holds_within(ANSWERED, || {
        grpc.wait(grpc.events().subscribe(v1::SubscribeRequest::default())).is_ok()
    });
    assert!(served, "places come back");
}

#[test]
fn headers_without_end_cost_little_and_end_their_connection() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let before = resident_kib(&daemon);
    let mut held = attackers(&daemon.socket(), 64, &greeting());
    let first = frame(1, 0, 1, &field("x-filler", &"f".repeat(200)));
    let more = frame(9, 0, 1, &field("x-filler", &"f".repeat(200)).repeat(64));
    for stream in &mut held {
        stream.set_nonblocking(false).expect("a socket");
        stream.set_write_timeout(Some(Duration::from_millis(200))).expect("a socket");
        drop(stream.write_all(&first));
        for _ in 0..200 {
            if stream.write_all(&more).is_err() {
                break;
            }
        }
    }
    assert_served(&daemon, "while headers come without end");
    let grown = resident_kib(&daemon).saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} KiB for 64 clients that sent 170 MB of headers");
    let mut ended = 0;
    for stream in &mut held {
        stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a socket");
        let mut answer = [0; 4096];
        while matches!(stream.read(&mut answer), Ok(1..)) {}
        ended += usize::from(stream.write_all(&more).and_then(|()| stream.write_all(&more)).is_err());
    }
    assert_eq!(ended, held.len(), "each connection was ended");
}

#[test]
fn a_lack_of_descriptors_is_waited_for_and_said_once() {
    require!(root, tool("prlimit"));
    let scratch = Scratch::new();
    // Fewer than its smallest number of places needs.
    let daemon = limited(&scratch, "40");
    let before = cpu_ticks(&daemon);
    let held = attackers(&daemon.socket(), 100, &[]);
    let lacks = |daemon: &Daemon<'_>| daemon.log().matches("no client can be accepted").count();
    assert!(holds_within(ANSWERED, || lacks(&daemon) > 0), "{}", daemon.log());
    assert_served(&daemon, "while descriptors are short");
    drop(held);
    assert_served(&daemon, "afterwards");
    let said = lacks(&daemon);
    assert_eq!(said, 1, "{}", daemon.log());
    let spent = cpu_ticks(&daemon) - before;
    assert!(spent < 100, "{spent} ticks of 10 ms in some seconds: it does not spin");
}

#[test]
fn knarrd_raises_its_own_limit_and_not_its_containers() {
    require!(root, tool("prlimit"), tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start_under(&scratch, &["prlimit", "--nofile=1024:4096"]);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", daemon.pid().as_raw_nonzero()))
        .expect("knarrd runs");
    let own = limits.lines().find(|line| line.starts_with("Max open files")).expect("a limit");
    assert_eq!(own.split_whitespace().skip(3).take(2).collect::<Vec<_>>(), ["4096", "4096"], "{own}");
    let knarr = daemon.knarr();
    let archive = scratch.join("busybox.tar");
    knarr_tests::Image::busybox().write_docker_archive(&archive, &["test/busybox:1"]);
    knarr.say(["load", "-i", archive.to_str().expect("our own path")]);
    let script = "ulimit -Sn; ulimit -Hn";
    assert_eq!(knarr.say(["run", "--rm", "test/busybox:1", "sh", "-c", script]), "1024\n4096");
    let own = ["run", "--rm", "--ulimit", "nofile=100:200", "test/busybox:1", "sh", "-c", script];
    assert_eq!(knarr.say(own), "100\n200");
}

fn resident_kib(daemon: &Daemon<'_>) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid().as_raw_nonzero()));
    let status = status.expect("knarrd runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.split_whitespace().next().and_then(|kib| kib.parse().ok()).expect("a number")
}

/// What of the processor knarrd has used, in hundredths of a second.
fn cpu_ticks(daemon: &Daemon<'_>) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", daemon.pid().as_raw_nonzero()));
    let stat = stat.expect("knarrd runs");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    fields[11].parse::<u64>().expect("utime") + fields[12].parse::<u64>().expect("stime")
}
