//! Clients that go in the middle: nothing of them stays in knarrd.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use knarr_tests::{Scratch, eventually, require};

use crate::engine::{Engine, IMAGE};

/// How often each sort of request is cut.
const ROUNDS: usize = 250;

#[test]
fn cut_connections_leave_no_descriptor_behind() {
    require!(root, tool("docker"), tool("busybox"));
    let scratch = Scratch::new();
    let engine = Engine::with_image(&scratch);
    engine.docker(["run", "--detach", "--name", "it", IMAGE, "sleep", "600"]).success();
    engine.docker(["create", "--name", "later", IMAGE]).success();
    let requests = [
        "POST /containers/it/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
        "POST /containers/later/attach?stream=1&stdout=1 HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
        "GET /containers/it/logs?follow=1&stdout=1 HTTP/1.1\r\nHost: d\r\n\r\n",
        "GET /events HTTP/1.1\r\nHost: d\r\n\r\n",
        "POST /containers/it/wait HTTP/1.1\r\nHost: d\r\n\r\n",
    ];
    cut(&engine, &requests, 5);
    let before = settled(&engine);
    cut(&engine, &requests, ROUNDS);
    let files = format!("/proc/{}/fd", engine.daemon.pid().as_raw_nonzero());
    let count = || fs::read_dir(&files).expect("its own descriptors").count();
    eventually(Duration::from_secs(30), || (count() <= before).then_some(()));
    assert_eq!(engine.ask("GET", "/_ping").status, 200);
}

/// Opens so many of each, waits for the beginning of the answer, and leaves.
fn cut(engine: &Engine<'_>, requests: &[&str], rounds: usize) {
    for round in 0..rounds {
        for request in requests {
            let mut stream: UnixStream = engine.connect();
            stream.write_all(request.as_bytes()).expect("sent");
            let mut beginning = [0; 12];
            stream.read_exact(&mut beginning).expect("an answer");
            // Every other one says first that it has nothing more to say.
            if round % 2 == 0 {
                stream.shutdown(std::net::Shutdown::Write).expect("half closed");
            }
        }
    }
}

/// The number of descriptors when it has stopped falling.
fn settled(engine: &Engine<'_>) -> usize {
    let files = format!("/proc/{}/fd", engine.daemon.pid().as_raw_nonzero());
    let count = || fs::read_dir(&files).expect("its own descriptors").count();
    // The connection that asks is one of them.
    let mut last = usize::MAX;
    eventually(Duration::from_secs(30), || {
        engine.ask("GET", "/_ping");
        let now = count();
        let is_settled = now >= last;
        last = now;
        is_settled.then_some(now)
    })
}
