//! knarr on a terminal: what a person at a keyboard sees and types, and that the terminal is as it was afterwards.

use std::time::Duration;

use knarr_tests::{Daemon, Knarr, Pty, Scratch, eventually, require};
use rustix::process::Signal;

use crate::busybox::{self, NAME};

const DEADLINE: Duration = Duration::from_secs(30);
/// The keys that leave a container running.
const DETACH: &str = "\x10\x11";

/// A shell on the terminal that runs knarr and then says how it ended and whether the terminal is as it was.
fn on_terminal(scratch: &Scratch, knarr: &Knarr<'_>, line: &str) -> Pty {
    let mut shell = scratch.command("sh");
    let program = knarr.command([""; 0]);
    for (name, value) in program.get_envs() {
        shell.env(name, value.expect("it is set"));
    }
    let script = format!(
        "before=$(stty -g); knarr {line}; echo \"exit=$?\"; [ \"$before\" = \"$(stty -g)\" ] && echo same || echo changed"
    );
    shell.args(["-c", &script]);
    Pty::spawn(&shell)
}

/// Waits until so many of the container's processes sleep.
#[track_caller]
fn sleeps(knarr: &Knarr<'_>, name: &str, count: usize) {
    eventually(DEADLINE, || {
        let processes = knarr.say(["exec", name, "ps", "-o", "args"]);
        (processes.matches("sleep 600").count() == count).then_some(())
    });
}

#[track_caller]
fn ends(mut pty: Pty, code: u8) {
    pty.expect(&format!("exit={code}\r\nsame"), DEADLINE);
    pty.finish(DEADLINE);
}

#[test]
fn a_shell_in_a_container_feels_like_a_shell() {
    require!(root, tool("busybox"), tool("setsid"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    let mut pty = on_terminal(&scratch, &knarr, &format!("run -it --rm --name shell {NAME}"));
    pty.expect("# ", DEADLINE);
    pty.type_keys("tty; stty size; test -t 0 && test -t 1 && test -t 2 && echo all three\n");
    pty.expect("/dev/pts/0", DEADLINE);
    pty.expect("24 80", DEADLINE);
    pty.expect("all three", DEADLINE);
    pty.resize(132, 50);
    pty.type_keys("stty size\n");
    pty.expect("50 132", DEADLINE);
    // Ctrl-C is a key: it interrupts what runs in the container, and neither the shell there nor knarr.
    pty.type_keys("sleep 600\n");
    sleeps(&knarr, "shell", 1);
    pty.type_keys("\x03");
    pty.expect("# ", DEADLINE);
    pty.type_keys("echo still $((40 + 2))\n");
    pty.expect("still 42", DEADLINE);
    pty.type_keys("exit 3\n");
    ends(pty, 3);
    assert_eq!(knarr.say(["ps", "-aq"]), "");
}

#[test]
fn a_person_leaves_and_comes_back() {
    require!(root, tool("busybox"), tool("setsid"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    let mut pty = on_terminal(&scratch, &knarr, &format!("run -it --name here {NAME}"));
    pty.expect("# ", DEADLINE);
    pty.type_keys("kept=yes\n");
    pty.expect("# ", DEADLINE);
    pty.type_keys(DETACH);
    ends(pty, 0);
    assert_eq!(knarr.say(["inspect", "--format", "{{.State.Running}}", "here"]), "true");
    let mut pty = on_terminal(&scratch, &knarr, "attach --detach-keys ctrl-x,x here");
    pty.type_keys("echo kept=$kept\n");
    pty.expect("kept=yes", DEADLINE);
    pty.type_keys("\x18x");
    ends(pty, 0);
    let mut pty = on_terminal(&scratch, &knarr, "attach here");
    pty.type_keys("exit 4\n");
    ends(pty, 4);
    let mut pty = on_terminal(&scratch, &knarr, "start -ai here");
    pty.expect("# ", DEADLINE);
    pty.type_keys("echo kept=$kept.; exit 6\n");
    pty.expect("kept=.", DEADLINE);
    ends(pty, 6);
}

#[test]
fn exec_has_a_terminal_of_its_own() {
    require!(root, tool("busybox"), tool("setsid"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    knarr.say(["run", "-d", "--name", "web", NAME, "sleep", "600"]);
    let mut pty = on_terminal(&scratch, &knarr, "exec -it web sh");
    pty.expect("# ", DEADLINE);
    pty.type_keys("stty size; tty\n");
    pty.expect("24 80", DEADLINE);
    pty.resize(100, 30);
    pty.type_keys("stty size\n");
    pty.expect("30 100", DEADLINE);
    pty.expect("# ", DEADLINE);
    pty.type_keys("\x04");
    ends(pty, 0);
    let mut pty = on_terminal(&scratch, &knarr, "exec -it web sleep 600");
    sleeps(&knarr, "web", 2);
    pty.type_keys("\x03");
    ends(pty, 130);
}

#[test]
fn a_killed_knarr_leaves_the_terminal_as_it_was() {
    require!(root, tool("busybox"), tool("setsid"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    // The line's knarr writes its pid by exec'ing from a shell.
    let pid_file = scratch.join("pid");
    let line = format!(
        "version >/dev/null; sh -c 'echo $$ >{}; exec knarr run -it --name left {NAME}'",
        pid_file.display()
    );
    let mut pty = on_terminal(&scratch, &knarr, &line);
    pty.expect("# ", DEADLINE);
    let pid: i32 =
        std::fs::read_to_string(&pid_file).expect("it was written").trim().parse().expect("a number");
    knarr_tests::process::signal(rustix::process::Pid::from_raw(pid).expect("a pid"), Signal::TERM);
    ends(pty, 143);
    assert_eq!(knarr.say(["inspect", "--format", "{{.State.Running}}", "left"]), "true");
}

#[test]
fn a_daemon_that_dies_leaves_the_terminal_as_it_was() {
    require!(root, tool("busybox"), tool("setsid"));
    let scratch = Scratch::new();
    let mut daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    let mut pty = on_terminal(&scratch, &knarr, &format!("run -it --name left {NAME}"));
    pty.expect("# ", DEADLINE);
    daemon.kill();
    pty.expect(
        "knarr: lost the connection to knarrd; what runs goes on running, see 'knarr ps'\r\n",
        DEADLINE,
    );
    ends(pty, 125);
    daemon.start_again();
    assert_eq!(knarr.say(["inspect", "--format", "{{.State.Running}}", "left"]), "true");
}
