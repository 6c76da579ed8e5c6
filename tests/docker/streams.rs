//! Streams, byte by byte: what a client is told before it may send, how output is framed, and when an answer begins.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use knarr_tests::process::DEADLINE;
use knarr_tests::{Scratch, require};
use serde_json::json;

use crate::engine::{Engine, IMAGE};

/// Reads until the head of an answer is over.
#[track_caller]
fn head(stream: &mut UnixStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a head");
        head.push(byte[0]);
    }
    String::from_utf8(head).expect("text").to_ascii_lowercase()
}

#[track_caller]
fn create(engine: &Engine<'_>, name: &str, more: &serde_json::Value) {
    let mut body = json!({"Image": IMAGE});
    for (key, value) in more.as_object().expect("an object") {
        body[key] = value.clone();
    }
    let created = engine.post(&format!("/containers/create?name={name}"), &body.to_string());
    assert_eq!(created.status, 201, "{created:?}");
}

#[track_caller]
fn open(engine: &Engine<'_>, request: &str) -> UnixStream {
    let mut stream = engine.connect();
    stream.write_all(request.as_bytes()).expect("sent");
    stream
}

fn upgrade(path: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n"
    )
}

#[test]
fn attach_wait_start_misses_nothing() {
    require!(root, tool("docker"), tool("busybox"));
    let scratch = Scratch::new();
    let engine = Engine::with_image(&scratch);
    create(&engine, "it", &json!({"Cmd": ["sh", "-c", "echo out; echo err >&2; exit 5"]}));
    let mut attached = open(&engine, &upgrade("/v1.44/containers/it/attach?stream=1&stdout=1&stderr=1"));
    let first = head(&mut attached);
    assert!(first.starts_with("http/1.1 101 upgraded\r\n"), "{first}");
    for header in
        ["content-type: application/vnd.docker.multiplexed-stream", "connection: upgrade", "upgrade: tcp"]
    {
        assert!(first.contains(header), "{header}: {first}");
    }
    let mut waiting = open(
        &engine,
        "POST /containers/it/wait?condition=next-exit HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n",
    );
    let headers = head(&mut waiting);
    assert!(
        headers.starts_with("http/1.1 200 ok") && headers.contains("transfer-encoding: chunked"),
        "{headers}"
    );
    assert_eq!(engine.ask("POST", "/containers/it/start").status, 204);
    let (mut output, mut exit) = (Vec::new(), String::new());
    attached.read_to_end(&mut output).expect("the end");
    let frames = [&b"\x01\0\0\0\0\0\0\x04out\n"[..], b"\x02\0\0\0\0\0\0\x04err\n"];
    assert_eq!(output.len(), 24, "{output:?}");
    assert!(frames.iter().all(|frame| output.windows(12).any(|window| window == *frame)), "{output:?}");
    waiting.read_to_string(&mut exit).expect("the end");
    assert!(exit.contains("{\"StatusCode\":5,\"Error\":null}\n"), "{exit}");
    assert_eq!(engine.ask("POST", "/containers/it/wait").json()["StatusCode"], 5);
}

#[test]
fn what_was_recorded_is_all_that_an_attach_without_a_stream_gets() {
    require!(root, tool("docker"), tool("busybox"));
    let scratch = Scratch::new();
    let engine = Engine::with_image(&scratch);
    engine.docker(["run", "--name", "it", IMAGE, "sh", "-c", "echo out; echo err >&2"]).success();
    let path = "/containers/it/attach?logs=1&stdout=1&stderr=0";
    let mut attached = open(&engine, &upgrade(path));
    assert!(head(&mut attached).starts_with("http/1.1 101"));
    let mut output = Vec::new();
    attached.read_to_end(&mut output).expect("the end");
    assert_eq!(output, b"\x01\0\0\0\0\0\0\x04out\n");
    let plain = engine.ask("POST", path);
    assert!(plain.status == 200 && plain.body.ends_with("out\n"), "{plain:?}");
}

#[test]
fn output_goes_on_after_the_client_s_last_word() {
    require!(root, tool("docker"), tool("busybox"));
    let scratch = Scratch::new();
    let engine = Engine::with_image(&scratch);
    let script = "cat; echo after";
    create(&engine, "it", &json!({"Cmd": ["sh", "-c", script], "OpenStdin": true, "StdinOnce": true}));
    let request = upgrade("/v1.41/containers/it/attach?stream=1&stdin=1&stdout=1");
    let mut attached = open(&engine, &request);
    let first = head(&mut attached);
    assert!(first.contains("content-type: application/vnd.docker.raw-stream"), "older than 1.42: {first}");
    assert_eq!(engine.ask("POST", "/containers/it/start").status, 204);
    attached.write_all(b"in\n").expect("sent");
    attached.shutdown(std::net::Shutdown::Write).expect("half closed");
    let mut output = Vec::new();
    attached.read_to_end(&mut output).expect("the end");
    let text: Vec<u8> =
        output.iter().copied().filter(|byte| *byte == b'\n' || byte.is_ascii_lowercase()).collect();
    assert_eq!(String::from_utf8(text).expect("text"), "in\nafter\n");
}

#[test]
fn an_exec_with_a_terminal_is_raw_and_known_afterwards() {
    require!(root, tool("docker"), tool("busybox"));
    let scratch = Scratch::new();
    let engine = Engine::with_image(&scratch);
    create(&engine, "it", &json!({"Cmd": ["sleep", "600"]}));
    let asked =
        json!({"Cmd": ["sh", "-c", "stty size; exit 9"], "Tty": true, "AttachStdout": true}).to_string();
    let early = engine.post("/containers/it/exec", &asked);
    assert_eq!(early.status, 409, "{early:?}");
    assert_eq!(engine.ask("POST", "/containers/it/start").status, 204);
    assert_eq!(engine.ask("POST", "/containers/it/start").status, 304);
    let exec = engine.post("/containers/it/exec", &asked).json()["Id"].as_str().expect("an id").to_owned();
    let body = json!({"Detach": false, "Tty": true, "ConsoleSize": [33, 77]}).to_string();
    let mut started = open(
        &engine,
        &format!(
            "POST /exec/{exec}/start HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    );
    let first = head(&mut started);
    assert!(first.starts_with("http/1.1 101") && first.contains("vnd.docker.raw-stream"), "{first}");
    let mut output = String::new();
    started.read_to_string(&mut output).expect("the end");
    assert_eq!(output, "33 77\r\n");
    let seen = engine.ask("GET", &format!("/exec/{exec}/json")).json();
    assert_eq!((&seen["ExitCode"], &seen["Running"]), (&json!(9), &json!(false)));
    let again = engine.post(&format!("/exec/{exec}/start"), "{}");
    assert_eq!(again.status, 409, "{again:?}");
    assert_eq!(engine.ask("GET", "/exec/nope/json").message(), "No such exec instance: nope");
}

/// Makes an exec in the container `it`; its id.
#[track_caller]
fn exec(engine: &Engine<'_>, body: &serde_json::Value) -> String {
    let made = engine.post("/containers/it/exec", &body.to_string());
    made.json()["Id"].as_str().expect("an id").to_owned()
}

#[track_caller]
fn start_exec(engine: &Engine<'_>, exec: &str, body: &str) -> UnixStream {
    let length = body.len();
    open(
        engine,
        &format!(
            "POST /exec/{exec}/start HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        ),
    )
}

#[test]
fn a_command_that_cannot_run_is_told_on_the_stream_that_was_opened_for_it() {
    require!(root, tool("docker"), tool("busybox"));
    let scratch = Scratch::new();
    let engine = Engine::with_image(&scratch);
    create(&engine, "it", &json!({"Cmd": ["sleep", "600"]}));
    assert_eq!(engine.ask("POST", "/containers/it/start").status, 204);
    for (command, code) in [("nope", 127), ("/etc", 126), ("/nope", 127)] {
        let exec = exec(&engine, &json!({"Cmd": [command], "AttachStdout": true}));
        let mut started = start_exec(&engine, &exec, "{}");
        let first = head(&mut started);
        assert!(first.starts_with("http/1.1 101"), "{command}: {first}");
        let mut output = Vec::new();
        started.read_to_end(&mut output).expect("the end");
        let (frame, sentence) = output.split_at(8);
        assert_eq!(frame[0], 1, "on stdout, as docker has it");
        let sentence = String::from_utf8_lossy(sentence);
        assert!(sentence.contains(command) && sentence.ends_with("\r\n"), "{sentence}");
        let seen = engine.ask("GET", &format!("/exec/{exec}/json")).json();
        assert_eq!(seen["ExitCode"], json!(code), "{command}");
    }
    let said = engine.docker(["exec", "it", "nope"]).exits_with(127);
    assert!(said.stdout.contains("nope"), "{said}");
}

#[test]
fn the_keys_that_a_client_names_leave_the_process_running() {
    require!(root, tool("docker"), tool("busybox"));
    let scratch = Scratch::new();
    let engine = Engine::with_image(&scratch);
    create(&engine, "it", &json!({"Cmd": ["cat"], "Tty": true, "OpenStdin": true}));
    assert_eq!(engine.ask("POST", "/containers/it/start").status, 204);
    for (asked, typed) in
        [("&detachKeys=ctrl-x", &b"\x18"[..]), ("&detachKeys=ctrl-a,b", b"\x01b"), ("", b"\x10\x11")]
    {
        let path = format!("/containers/it/attach?stream=1&stdin=1&stdout=1{asked}");
        let mut attached = open(&engine, &upgrade(&path));
        head(&mut attached);
        attached.write_all(typed).expect("sent");
        attached.read_to_end(&mut Vec::new()).expect("the end");
    }
    for (keys, typed) in [("ctrl-x", &b"\x18"[..]), ("", b"\x10\x11")] {
        let asked = json!({"Cmd": ["cat"], "Tty": true, "AttachStdin": true, "DetachKeys": keys});
        let exec = exec(&engine, &asked);
        let mut started = start_exec(&engine, &exec, r#"{"Tty": true}"#);
        head(&mut started);
        started.write_all(typed).expect("sent");
        started.read_to_end(&mut Vec::new()).expect("the end");
        let seen = engine.ask("GET", &format!("/exec/{exec}/json")).json();
        assert_eq!(seen["Running"], json!(true), "{seen}");
    }
    assert_eq!(engine.ask("GET", "/containers/it/json").json()["State"]["Running"], json!(true));
    let wrong = engine.ask("POST", "/containers/it/attach?stream=1&detachKeys=ctrl-1");
    assert!(wrong.status == 400 && wrong.message().contains("\"ctrl-1\""), "{wrong:?}");
    let events = engine.ask("GET", "/events?since=1&until=2000000000").body;
    for (action, times) in [("\"detach\"", 3), ("\"exec_detach\"", 2)] {
        assert_eq!(events.matches(&format!("\"Action\":{action}")).count(), times, "{events}");
    }
}

#[test]
fn a_container_that_was_killed_has_ended() {
    require!(root, tool("docker"), tool("busybox"));
    let scratch = Scratch::new();
    let engine = Engine::with_image(&scratch);
    create(&engine, "it", &json!({"Cmd": ["sleep", "600"]}));
    for path in ["/containers/it/kill", "/containers/it/kill?signal=9", "/containers/it/kill?signal=SIGKILL"]
    {
        assert_eq!(engine.ask("POST", "/containers/it/start").status, 204);
        assert_eq!(engine.ask("POST", path).status, 204, "{path}");
        let state = &engine.ask("GET", "/containers/it/json").json()["State"];
        assert_eq!((&state["Running"], &state["ExitCode"]), (&json!(false), &json!(137)), "{path}");
    }
}

#[test]
fn logs_and_events_begin_at_once() {
    require!(root, tool("docker"), tool("busybox"));
    let scratch = Scratch::new();
    let engine = Engine::with_image(&scratch);
    create(&engine, "it", &json!({"Cmd": ["sleep", "600"], "Tty": true}));
    for path in ["/containers/it/logs?follow=1&stdout=1", "/events", "/containers/it/wait?condition=removed"]
    {
        let method = if path.contains("wait") { "POST" } else { "GET" };
        let mut stream = open(&engine, &format!("{method} {path} HTTP/1.1\r\nHost: d\r\n\r\n"));
        assert!(head(&mut stream).starts_with("http/1.1 200 ok"), "{path}");
    }
    let neither = engine.ask("GET", "/containers/it/logs");
    assert!(neither.status == 400 && neither.message().contains("at least one of"), "{neither:?}");
}

#[test]
fn a_terminal_is_the_client_s() {
    require!(root, tool("docker"), tool("busybox"));
    let scratch = Scratch::new();
    let engine = Engine::with_image(&scratch);
    let command = engine.command([
        "run",
        "--rm",
        "--interactive",
        "--tty",
        IMAGE,
        "sh",
        "-c",
        "read line; echo got $line",
    ]);
    let mut terminal = knarr_tests::Pty::spawn(&command);
    terminal.type_keys("hello\r");
    terminal.expect("got hello", DEADLINE);
    let (status, said) = terminal.finish(DEADLINE);
    assert!(status.success(), "{said}");
}
