//! Processes on a terminal: the container's own and an exec's.

use knarr_proto::stdio::KnarrStdio;
use knarr_tests::process::DEADLINE;
use knarr_tests::shim::Stdio;
use knarr_tests::{Attached, Bundle, Scratch, Shim, require};
use serde_json::json;

fn on(scratch: &Scratch, name: &str) -> (std::path::PathBuf, Stdio) {
    let socket = scratch.join(name);
    let uri = KnarrStdio { attach: socket.display().to_string(), log: None }.to_uri();
    (socket, Stdio::terminal(&uri))
}

#[test]
fn an_exec_on_a_terminal_is_typed_to_and_resized() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let bundle = Bundle::busybox(&scratch, "web").args(["sleep", "600"]);
    let shim = Shim::start(&scratch, &bundle);
    shim.run(Stdio::default());
    let (socket, stdio) = on(&scratch, "one.sock");
    shim.exec("one", "while read line; do eval \"$line\"; done", stdio).expect("added");
    let mut client = Attached::connect(&socket);
    shim.begin("one").expect("started");
    shim.resize("one", 132, 43).expect("resized");
    client.send(b"stty size\n");
    client.expect("43 132\r\n", DEADLINE);
    shim.resize("one", 80, 24).expect("resized");
    client.send(b"stty size\n");
    client.expect("24 80\r\n", DEADLINE);
    client.send(b"exit 6\n");
    assert_eq!(shim.wait("one"), 6);
    client.finish();
    assert_eq!(shim.delete("one").expect("deleted"), 6);
}

#[test]
fn a_container_on_a_terminal_gets_control_c() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let script = "trap 'echo caught; exit 9' INT; test -t 1 && echo terminal; read line";
    let bundle = Bundle::busybox(&scratch, "web")
        .script(script)
        .edit(|config| config["process"]["terminal"] = json!(true));
    let shim = Shim::start(&scratch, &bundle);
    let (socket, stdio) = on(&scratch, "a.sock");
    shim.create_by(stdio, None).expect("created");
    let mut client = Attached::connect(&socket);
    shim.begin("").expect("started");
    client.expect("terminal\r\n", DEADLINE);
    client.send(b"\x03");
    let client = client.finish();
    assert!(client.text().contains("caught\r\n"), "{}", client.text());
    assert_eq!(shim.wait(""), 9);
}
