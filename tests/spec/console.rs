//! `process.terminal` and `process.consoleSize`.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::time::Duration;

use knarr_tests::{Bundle, Pty, Receiver, Runtime, Scratch, eventually, process, require};
use serde_json::{Value, json};

use crate::differs;

const SECONDS: Duration = Duration::from_secs(20);

fn with_terminal(config: &mut Value) {
    config["process"]["terminal"] = json!(true);
}

#[test]
fn a_terminal_is_the_processs_own_and_keys_reach_it() {
    require!(root, tool("busybox"), tool("setsid"));
    differs!("crun" => "1.8.1 behind its view of cgroups is not on our terminal");
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let script = "tty; stat -c %F /dev/console; ls -l /proc/self/fd/0 | sed 's/.*-> //'; read line; echo \"got $line\"; exit 5";
    let bundle = Bundle::busybox(&scratch, "one").script(script).edit(with_terminal);
    let mut terminal = Pty::spawn(&runtime.verb("run", &bundle));
    let seen = terminal.expect("character special file", SECONDS);
    assert!(seen.contains("/dev/pts/0") || seen.contains("/dev/console"), "{seen}");
    terminal.type_keys("hello\r");
    terminal.expect("got hello", SECONDS);
    let (status, rest) = terminal.finish(SECONDS);
    assert_eq!(status.code(), Some(5), "{rest}");
}

#[test]
fn ctrl_c_interrupts_the_process_in_the_container() {
    require!(root, tool("busybox"), tool("setsid"));
    differs!("crun" => "1.8.1 behind its view of cgroups is not on our terminal");
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let script = "trap 'echo interrupted; exit 9' INT; echo ready; while :; do sleep 1; done";
    let bundle = Bundle::busybox(&scratch, "one").script(script).edit(with_terminal);
    let mut terminal = Pty::spawn(&runtime.verb("run", &bundle));
    terminal.expect("ready", SECONDS);
    terminal.type_keys("\x03");
    terminal.expect("interrupted", SECONDS);
    assert_eq!(terminal.finish(SECONDS).0.code(), Some(9));
}

/// Creates the container with a console socket and returns the terminal's other end.
fn master_of(scratch: &Scratch, runtime: &Runtime<'_>, bundle: &Bundle) -> OwnedFd {
    let console = Receiver::new(scratch, "console.sock");
    let mut command = runtime.command(["create", "--console-socket"]);
    command.arg(console.path()).arg("--bundle").arg(bundle.path()).arg(bundle.id());
    process::run(&mut command).success();
    console.take().1.pop().expect("a descriptor")
}

#[test]
fn the_console_size_is_the_terminals_and_belongs_to_the_user() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let script = "(stty size; stat -c %u /dev/console; id -u) >/dev/shm/seen; cat";
    let bundle = Bundle::busybox(&scratch, "one").script(script).edit(|config| {
        with_terminal(config);
        config["process"]["consoleSize"] = json!({ "height": 33, "width": 77 });
        config["process"]["user"] = json!({ "uid": 1000, "gid": 1000 });
    });
    // The guard first: the container is there before its terminal is.
    let master = master_of(&scratch, &runtime, &bundle);
    let size = rustix::termios::tcgetwinsize(&master).expect("it is a terminal");
    assert_eq!((size.ws_row, size.ws_col), (33, 77));
    runtime.call(["start", bundle.id()]).success();
    let seen = eventually(SECONDS, || {
        let read = runtime.call(["exec", bundle.id(), "cat", "/dev/shm/seen"]);
        (read.stdout.lines().count() == 3).then_some(read.stdout)
    });
    assert_eq!(seen, "33 77\n1000\n1000\n");
    std::fs::File::from(master).write_all(b"\x04").expect("the terminal takes keys");
    eventually(SECONDS, || (runtime.state(bundle.id())?["status"] == "stopped").then_some(()));
    runtime.call(["delete", bundle.id()]).success();
}

#[test]
fn without_a_terminal_there_is_no_console_device() {
    require!(root, tool("busybox"));
    let seen = crate::output("ls /dev/console 2>/dev/null; tty || true", |config| {
        config["process"]["consoleSize"] = json!({ "height": 33, "width": 77 });
    });
    assert_eq!(seen, "not a tty\n");
}
