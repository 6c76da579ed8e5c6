//! Where a process's streams go, whole and in bounds.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use containerd_shim_protos::api;
use containerd_shim_protos::types::task::Status;
use knarr_proto::frame::{FrameKind, Header};
use knarr_proto::log::{Record, Tag};
use knarr_proto::stdio::{KnarrStdio, LogTarget};
use knarr_tests::eventually::eventually;
use knarr_tests::shim::{Stdio, limit_of};
use knarr_tests::{Attached, Bundle, Scratch, Shim, process, programs, require};
use serde_json::json;

/// Our URI for a socket, and a log if wanted.
fn uri(socket: &Path, log: Option<(&Path, u64, u32)>) -> String {
    let text = |path: &Path| path.display().to_string();
    let log = log.map(|(path, max_size_bytes, max_files)| LogTarget {
        path: text(path),
        max_size_bytes,
        max_files,
    });
    KnarrStdio { attach: text(socket), log }.to_uri()
}

/// What `seq 1 LAST` writes.
fn numbers(last: u32) -> String {
    (1..=last).map(|number| format!("{number}\n")).collect()
}

/// The content of a log file's records.
fn content(path: &Path) -> String {
    let text = fs::read(path).expect("the log is there");
    let mut content = Vec::new();
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let record = Record::parse(line).expect("a record");
        content.extend_from_slice(record.content);
        if record.tag == Tag::Full {
            content.push(b'\n');
        }
    }
    String::from_utf8(content).expect("text")
}

#[test]
fn files_have_each_stream_whole() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let bundle = Bundle::busybox(&scratch, "web").script("seq 1 100000; echo odd >&2; printf tail");
    let shim = Shim::start(&scratch, &bundle);
    shim.run(Stdio::files(scratch.path()));
    assert_eq!(shim.wait(""), 0);
    let read = |name: &str| fs::read_to_string(scratch.join(name)).expect("the file is there");
    assert!(read("out") == numbers(100_000) + "tail", "all there when the exit is told");
    assert_eq!(read("err"), "odd\n");
}

#[test]
fn fifos_carry_input_and_output_and_close_io_ends_the_input() {
    require!(root, tool("busybox"), tool("mkfifo"));
    let scratch = Scratch::new();
    let [stdin, stdout] = ["in", "out"].map(|name| {
        let path = scratch.join(name);
        process::run(scratch.command(programs::tool("mkfifo")).arg(&path)).success();
        path
    });
    let bundle = Bundle::busybox(&scratch, "web").script("wc -c; echo done");
    let shim = Shim::start(&scratch, &bundle);
    let [stdin_text, stdout_text] = [&stdin, &stdout].map(|path| path.display().to_string());
    let stdio = Stdio { stdin: stdin_text, stdout: format!("fifo://{stdout_text}"), ..Stdio::default() };
    shim.create_by(stdio, None).expect("created");
    let mut reader = fs::File::open(&stdout).expect("the shim has it open");
    shim.begin("").expect("started");
    let bytes = vec![b'x'; 300_000];
    // A client that comes, writes and leaves does not end the input; CloseIO does, behind what was written.
    for _ in 0..2 {
        let mut writer = OpenOptions::new().write(true).open(&stdin).expect("the shim has it open");
        writer.write_all(&bytes).expect("the shim reads");
    }
    shim.close_stdin("").expect("closed");
    let mut output = vec![0; "600000\ndone\n".len()];
    reader.read_exact(&mut output).expect("the output");
    assert_eq!(String::from_utf8(output).expect("text"), "600000\ndone\n");
    assert_eq!(shim.wait(""), 0);
}

#[test]
fn clients_and_log_both_get_fast_output_whole() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let (socket, log) = (scratch.join("a.sock"), scratch.join("log"));
    let bundle = Bundle::busybox(&scratch, "web").script("seq 1 50000; echo odd >&2");
    let shim = Shim::start(&scratch, &bundle);
    shim.create_by(Stdio::all(&uri(&socket, Some((&log, 100 << 20, 2)))), None).expect("created");
    let clients = [Attached::connect(&socket), Attached::connect(&socket)];
    shim.begin("").expect("started");
    for client in clients.map(|client| std::thread::spawn(|| client.finish())) {
        let client = client.join().expect("it reads to the end");
        assert!(client.text() == numbers(50_000), "from the first byte to the last");
        assert_eq!((client.stderr.as_slice(), client.dropped), (&b"odd\n"[..], 0));
    }
    assert_eq!(shim.wait(""), 0);
    let logged = content(&log);
    assert_eq!(logged.len(), numbers(50_000).len() + "odd\n".len());
    assert_eq!(logged.replacen("odd\n", "", 1), numbers(50_000));
}

#[test]
fn a_client_types_and_closes_the_input() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let socket = scratch.join("a.sock");
    let bundle = Bundle::busybox(&scratch, "web").script("tr a-z A-Z; echo end");
    let shim = Shim::start(&scratch, &bundle);
    shim.create_by(Stdio::all(&uri(&socket, None)), None).expect("created");
    let mut client = Attached::connect(&socket);
    shim.begin("").expect("started");
    client.send(b"hello\n");
    client.expect("HELLO\n", process::DEADLINE);
    client.send(b"world\n");
    client.send(b"");
    let client = client.finish();
    assert_eq!(client.text(), "HELLO\nWORLD\nend\n");
    assert_eq!(shim.wait(""), 0);
}

#[test]
fn a_log_stays_within_its_bound_and_keeps_the_newest() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let (socket, log) = (scratch.join("a.sock"), scratch.join("log"));
    let bundle = Bundle::busybox(&scratch, "web").script("seq 1 100000");
    let shim = Shim::start(&scratch, &bundle);
    let bound = 256 * 1024;
    shim.run(Stdio::all(&uri(&socket, Some((&log, bound, 3)))));
    assert_eq!(shim.wait(""), 0);
    assert!(content(&log).ends_with("99999\n100000\n"), "the newest are there");
    let rotated = |number: u32| scratch.join(format!("log.{number}"));
    assert!(rotated(1).exists() && rotated(2).exists() && !rotated(3).exists());
    for path in [log, rotated(1), rotated(2)] {
        // A file is left when it is full, so it may be over by what one read makes of records.
        let size = fs::metadata(&path).expect("there").len();
        assert!(size < bound + 1024 * 1024, "{}: {size} bytes", path.display());
    }
}

#[test]
fn a_client_that_does_not_read_does_not_block_the_container_for_ever() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let (socket, log) = (scratch.join("a.sock"), scratch.join("log"));
    let bundle = Bundle::busybox(&scratch, "web").script("seq 1 600000");
    let shim = Shim::start(&scratch, &bundle);
    shim.create_by(Stdio::all(&uri(&socket, Some((&log, 100 << 20, 2)))), None).expect("created");
    let sleepy = Attached::connect(&socket);
    let begun = Instant::now();
    shim.begin("").expect("started");
    assert_eq!(shim.wait(""), 0);
    assert!(begun.elapsed() < Duration::from_secs(45), "{:?}", begun.elapsed());
    assert!(content(&log) == numbers(600_000), "the log misses nothing");
    let late = sleepy.finish();
    let all = u64::try_from(numbers(600_000).len()).expect("small");
    let got = u64::try_from(late.stdout.len()).expect("small");
    assert!(late.dropped > 0);
    assert_eq!(got + late.dropped, all, "what it missed is counted to the byte");
}

#[test]
fn a_client_that_does_not_read_does_not_hold_up_the_exit_nor_the_log() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let (socket, log) = (scratch.join("a.sock"), scratch.join("log"));
    let bundle = Bundle::busybox(&scratch, "web").script("seq 1 600000");
    let shim = Shim::start(&scratch, &bundle);
    shim.create_by(Stdio::all(&uri(&socket, Some((&log, 100 << 20, 2)))), None).expect("created");
    let sleepy = Attached::connect(&socket);
    shim.begin("").expect("started");
    // It stalls when the client's queue, its socket and the pipe are full.
    let (mut recorded, mut looks_alike) = (0, 0);
    eventually(process::DEADLINE, || {
        let size = fs::metadata(&log).map_or(0, |metadata| metadata.len());
        looks_alike = if size > 0 && size == recorded { looks_alike + 1 } else { 0 };
        recorded = size;
        (looks_alike > 40).then_some(())
    });
    shim.kill("", 9).expect("killed");
    assert_eq!(shim.wait(""), 137);
    let recorded = content(&log);
    let late = sleepy.finish();
    assert_eq!(late.dropped, 0);
    assert!(late.text() == recorded, "what was in the pipe is in the log when the exit is told");
}

/// How long a shim may take for an answer that is in its memory; far more than a loaded machine needs.
const ANSWER_LIMIT: u64 = 5;

/// That the shim answers, and ends its container, while the streams of its processes never pause.
#[track_caller]
fn assert_answers(shim: &Shim<'_>, what: &str) {
    for _ in 0..20 {
        let request = api::StateRequest { id: "web".to_owned(), ..Default::default() };
        let state = shim.task.state(limit_of(ANSWER_LIMIT), &request);
        let state = state.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(state.status.enum_value_or_default(), Status::RUNNING, "{what}");
    }
    shim.kill("", 9).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(shim.wait(""), 137, "{what}");
    shim.delete("").unwrap_or_else(|error| panic!("{what}: {error}"));
    shim.shut_down().unwrap_or_else(|error| panic!("{what}: {error}"));
}

/// A pipe that is never empty is never waited for: every other request has to get its turn all the same.
#[test]
fn a_shim_answers_while_its_container_writes_without_a_pause() {
    require!(root, tool("busybox"));
    for (what, has_client, has_log) in [
        ("a client that left", true, false),
        ("a log", false, true),
        ("a log and a client that left", true, true),
    ] {
        let scratch = Scratch::new();
        let (socket, log) = (scratch.join("a.sock"), scratch.join("log"));
        let bundle = Bundle::busybox(&scratch, "web").args(["yes"]);
        let shim = Shim::start(&scratch, &bundle);
        let log = has_log.then_some((log.as_path(), 1 << 20, 2));
        shim.create_by(Stdio::all(&uri(&socket, log)), None).expect("created");
        let client = has_client.then(|| Attached::connect(&socket));
        shim.begin("").expect("started");
        if let Some(mut client) = client {
            client.expect("y\n", process::DEADLINE);
        }
        assert_answers(&shim, what);
    }
}

#[test]
fn a_shim_answers_while_files_fifos_and_terminals_are_flooded() {
    require!(root, tool("busybox"), tool("mkfifo"));
    for what in ["a file", "a fifo", "a terminal", "several execs"] {
        let scratch = Scratch::new();
        let flood = Bundle::busybox(&scratch, "web").args(["yes"]);
        let flood = if what == "several execs" { flood.args(["sleep", "600"]) } else { flood };
        let bundle = flood.edit(|config| config["process"]["terminal"] = json!(what == "a terminal"));
        let shim = Shim::start(&scratch, &bundle);
        let fifo = scratch.join("fifo");
        process::run(scratch.command(programs::tool("mkfifo")).arg(&fifo)).success();
        let null = || Stdio { stdout: "file:///dev/null".to_owned(), ..Stdio::default() };
        let stdio = match what {
            "a file" | "several execs" => null(),
            "a fifo" => Stdio { stdout: fifo.display().to_string(), ..Stdio::default() },
            _ => Stdio::terminal(&uri(&scratch.join("a.sock"), Some((&scratch.join("log"), 1 << 20, 2)))),
        };
        let mut reader = (what == "a fifo").then(|| {
            let mut command = scratch.command(programs::tool("busybox"));
            command.arg("cat").arg(&fifo).stdout(std::process::Stdio::null());
            command.spawn().expect("it can be started")
        });
        shim.run(stdio);
        if what == "several execs" {
            for exec_id in ["one", "two", "three"] {
                shim.exec_args(exec_id, &["yes"], null()).expect("added");
                shim.begin(exec_id).expect("started");
            }
        }
        assert_answers(&shim, what);
        if let Some(reader) = &mut reader {
            reader.kill().and_then(|()| reader.wait()).expect("our own child");
        }
    }
}

#[test]
fn a_shim_answers_while_a_client_types_without_a_pause() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let socket = scratch.join("a.sock");
    let bundle = Bundle::busybox(&scratch, "web").script("cat >/dev/null");
    let shim = Shim::start(&scratch, &bundle);
    shim.create_by(Stdio::all(&uri(&socket, None)), None).expect("created");
    let mut client = UnixStream::connect(&socket).expect("the attach socket is there");
    shim.begin("").expect("started");
    let frame = [0; 64 * 1024];
    let header = Header { kind: FrameKind::Stdin, length: frame.len() }.encode();
    // It ends when the shim closes the connection.
    let typing =
        std::thread::spawn(move || while client.write_all(&[&header[..], &frame].concat()).is_ok() {});
    assert_answers(&shim, "input");
    typing.join().expect("it ends");
}

#[test]
fn an_exit_is_told_although_something_holds_the_output_open() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let bundle = Bundle::busybox(&scratch, "web").args(["sleep", "600"]);
    let shim = Shim::start(&scratch, &bundle);
    shim.run(Stdio::default());
    shim.exec("one", "sleep 500 & echo started", Stdio::files(scratch.path())).expect("added");
    let begun = Instant::now();
    shim.begin("one").expect("started");
    assert_eq!(shim.wait("one"), 0);
    assert_eq!(shim.delete("one").expect("deleted"), 0);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(fs::read_to_string(scratch.join("out")).expect("there"), "started\n");
}

#[test]
fn a_client_gets_all_of_an_exec_that_is_deleted_at_once() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let bundle = Bundle::busybox(&scratch, "web").args(["sleep", "600"]);
    let shim = Shim::start(&scratch, &bundle);
    shim.run(Stdio::default());
    for number in 0..30 {
        let (exec_id, socket) = (format!("exec-{number}"), scratch.join(format!("{number}.sock")));
        shim.exec_args(&exec_id, &["echo", "alive"], Stdio::all(&uri(&socket, None))).expect("added");
        let client = Attached::connect(&socket);
        shim.begin(&exec_id).expect("started");
        assert_eq!(shim.wait(&exec_id), 0);
        shim.delete(&exec_id).expect("deleted");
        assert_eq!(client.finish().text(), "alive\n", "{exec_id}");
    }
}

#[test]
fn a_fifo_is_opened_when_its_process_is_started() {
    require!(root, tool("busybox"), tool("mkfifo"));
    let scratch = Scratch::new();
    let bundle = Bundle::busybox(&scratch, "web").args(["sleep", "600"]);
    let shim = Shim::start(&scratch, &bundle);
    shim.run(Stdio::default());
    let stdin = scratch.join("in");
    process::run(scratch.command(programs::tool("mkfifo")).arg(&stdin)).success();
    let stdio = Stdio { stdin: stdin.display().to_string(), ..Stdio::files(scratch.path()) };
    shim.exec("one", "cat", stdio).expect("added");
    const NONBLOCK: i32 = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let open = || OpenOptions::new().write(true).custom_flags(NONBLOCK).open(&stdin);
    assert!(open().is_err(), "nothing reads an exec's input before it is started");
    shim.begin("one").expect("started");
    open().expect("now it is read").write_all(b"typed").expect("room");
    shim.close_stdin("one").expect("closed");
    assert_eq!(shim.wait("one"), 0);
    assert_eq!(fs::read_to_string(scratch.join("out")).expect("there"), "typed");
    let again = Stdio { stdin: stdin.display().to_string(), ..Stdio::files(scratch.path()) };
    shim.exec("closed", "cat; echo end", again).expect("added");
    shim.close_stdin("closed").expect("taken before there is an input");
    shim.begin("closed").expect("started");
    assert_eq!(shim.wait("closed"), 0, "its input has ended");
    let missing = Stdio { stdin: scratch.join("none").display().to_string(), ..Stdio::default() };
    shim.exec("two", "cat", missing).expect("added: its fifo is looked for at the start");
    assert!(shim.begin("two").is_err());
    assert_eq!(shim.delete("two").expect("one that never ran can be deleted"), 255);
}
