//! Command lines, good and bad, as runc's users and callers know them: exit codes, and what is said where.

use std::fs;

use knarr_tests::eventually::holds_within;
use knarr_tests::process::{self, DEADLINE};
use knarr_tests::{Bundle, Pty, Runtime, Scratch, eventually, programs, require};

/// The child waits until it may go on; it is ended before it can take the end of its creator's work for that of its creator.
#[test]
fn a_create_that_fails_late_says_why_and_nothing_else() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = Bundle::busybox(&scratch, "one");
    for _ in 0..20 {
        let mut create = runtime.verb("create", &bundle);
        let said = process::run(create.arg("--pid-file").arg("/nonexistent/pid")).exits_with(1).stderr;
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains("no such file or directory"), "{said}");
    }
}

/// The files that it opens must not become the container's streams, or what is written to them its own files.
#[test]
fn streams_that_the_caller_has_closed_are_null() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = Bundle::busybox(&scratch, "one");
    let look = "seen=$(for n in 0 1 2; do stat -L -c %t:%T /proc/$$/fd/$n; done); echo \"$seen\" >/seen";
    let looks = bundle.another(&scratch, "looks").script(look);
    let asleep = bundle.another(&scratch, "asleep").args(["sleep", "600"]);
    let container = runtime.run_detached(&asleep);
    for (verb, command) in [
        ("run", runtime.verb("run", &looks)),
        ("exec", runtime.command(["exec", container.id(), "sh", "-c", look])),
    ] {
        let mut closed = scratch.command(programs::tool("sh"));
        closed
            .args(["-c", "exec \"$@\" <&- >&- 2>&-", "sh"])
            .arg(command.get_program())
            .args(command.get_args());
        process::run(&mut closed).success();
        let seen = fs::read_to_string(looks.rootfs().join("seen")).expect("what the container saw");
        assert_eq!(seen, "1:3\n1:3\n1:3\n", "{verb}");
        fs::remove_file(looks.rootfs().join("seen")).expect("ours");
    }
}

/// Not an end by SIGPIPE, which could come in the middle of a change; the container's process has the signal as always.
#[test]
fn a_reader_who_has_left_is_an_error_and_no_signal() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let dies = Bundle::busybox(&scratch, "dies").script("sh -c 'kill -PIPE $$'; echo $?");
    let outcome = runtime.run(&dies).success();
    assert_eq!(outcome.stdout, "141\n", "{outcome}");
    let container = runtime.create(&dies);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let said = scratch.join("said");
    let mut state = runtime.command(["state", container.id()]);
    state.stdout(writer).stderr(fs::File::create(&said).expect("a file"));
    let status = process::run_as_it_is(&mut state);
    let text = fs::read_to_string(&said).expect("a file");
    assert_eq!((status.code(), text.contains("broken pipe")), (Some(1), true), "{text}");
}

/// Nothing of these needs a container. Each ends as with runc, and prints no result where runc prints none.
#[test]
fn command_lines_without_a_container_end_as_with_runc() {
    require!(root, tool("runc"));
    let scratch = Scratch::new();
    let (ours, runc) = (Runtime::new(&scratch), Runtime::other(&scratch, "runc"));
    for line in [
        "",
        "help",
        "help state",
        "help nosuch",
        "nosuch",
        "--nosuch",
        "--version",
        "--log-format xml --version",
        "--log-format xml list",
        "--log-format",
        "--log /nonexistent/log list",
        "--log /nonexistent/log state one",
        "--debug=maybe list",
        "list",
        "list --format json",
        "list --format xml",
        "list one",
        "state",
        "state one",
        "state one two",
        "state bad/id",
        "state --nosuch one",
        "state --help",
        "start one",
        "kill one",
        "kill one TERM two",
        "delete one",
        "delete --force one",
        "delete --force bad/id",
        "pause one",
        "resume one",
        "ps one",
        "events --stats one",
        "events --interval five one",
        "exec",
        "exec one true",
        "exec --preserve-fds x one true",
        "update one",
        "update --blkio-weight x one",
        "checkpoint one",
        "checkpoint --manage-cgroups-mode x one",
        "restore --bundle /nonexistent one",
        "create --bundle /nonexistent one",
        "run --bundle /nonexistent one",
        "features one",
        "spec one",
        "spec --bundle /nonexistent",
    ] {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (ours, runc) = (ours.call(&words), runc.call(&words));
        assert_eq!(ours.code(), runc.code(), "{ours}\n{runc}");
        assert_eq!(ours.stdout.is_empty(), runc.stdout.is_empty(), "{ours}\n{runc}");
        assert_eq!(ours.stderr.is_empty(), runc.stderr.is_empty(), "{ours}\n{runc}");
    }
}

#[test]
fn an_error_at_a_terminal_is_for_a_person() {
    require!(root);
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let mut terminal = Pty::spawn(&runtime.command(["state", "one"]));
    terminal.expect("\x1b[31mERRO\x1b[0m[0000] container does not exist", DEADLINE);
}

#[test]
fn the_log_is_there_whatever_comes() {
    require!(root);
    let scratch = Scratch::new();
    let log = scratch.join("log");
    let runtime = Runtime::new(&scratch);
    process::run(runtime.command::<&str>([]).arg("--log").arg(&log).arg("list")).success();
    assert_eq!(fs::read_to_string(&log).expect("runc makes it, too"), "");
}

/// Its reader takes the first end for the last.
#[test]
fn a_fifo_as_the_log_is_opened_to_say_something() {
    require!(root);
    let scratch = Scratch::new();
    let log = scratch.join("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &log, rustix::fs::Mode::RWXU).expect("a fresh name");
    let reader = std::thread::spawn({
        let log = log.clone();
        move || fs::read_to_string(log).expect("it is there")
    });
    let runtime = Runtime::new(&scratch);
    process::run(runtime.command::<&str>([]).arg("--log").arg(&log).args(["state", "one"])).exits_with(1);
    assert!(holds_within(DEADLINE, || reader.is_finished()), "nobody has opened the log");
    assert!(reader.join().expect("it reads").contains("container does not exist"));
}

#[test]
fn a_capability_that_is_unknown_is_left_out_and_told() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let container = runtime.run_detached(&Bundle::busybox(&scratch, "one").args(["sleep", "60"]));
    let added = runtime.call(["exec", "--cap", "CAP_NOSUCH", container.id(), "echo", "hi"]).success();
    assert_eq!(added.stdout, "hi\n");
    assert!(added.stderr.contains("level=warning") && added.stderr.contains("CAP_NOSUCH"), "{added}");
}

/// Those of glibc and Go; musl, which the program is linked with, has others for some errors.
#[test]
fn what_the_kernel_refuses_is_told_in_runcs_words() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = Bundle::busybox(&scratch, "one").args(["sleep", "60"]);
    std::os::unix::fs::symlink("loop", bundle.rootfs().join("loop")).expect("a link to itself");
    let container = runtime.run_detached(&bundle);
    let said = runtime.call(["exec", "--cwd", "/loop", container.id(), "true"]).exits_with(255).stderr;
    assert!(said.contains("failed: too many levels of symbolic links"), "{said}");
}

/// sd_listen_fds(3): LISTEN_PID says whose they are.
#[test]
fn sockets_of_the_caller_go_in_and_those_of_another_process_do_not() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let seen = "echo $LISTEN_FDS/$LISTEN_PID; [ -e /proc/self/fd/3 ] && echo there";
    let bundle = Bundle::busybox(&scratch, "one").script(seen);
    let run = |whose: &str| {
        let mut shell = scratch.command("sh");
        shell.arg("-c").arg(format!("exec 3</dev/null; {whose} LISTEN_FDS=1 exec \"$@\"")).arg("sh");
        shell.arg(runtime.program()).arg("--root").arg(runtime.root());
        process::run(shell.args(["run", "--bundle"]).arg(bundle.path()).arg(bundle.id())).stdout
    };
    assert_eq!(run("LISTEN_PID=$$"), "1/1\nthere\n");
    assert_eq!([run("LISTEN_PID=1"), run("")], ["/\n", "/\n"]);
}

#[test]
fn flags_may_be_ended_behind_the_id() {
    require!(root, tool("busybox"), tool("ps"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let container = runtime.run_detached(&Bundle::busybox(&scratch, "one").args(["sleep", "60"]));
    assert_eq!(container.exec(["--", "echo", "--", "hi"]).success().stdout, "-- hi\n");
    runtime.call(["ps", container.id(), "--", "-o", "pid,comm"]).success();
}

#[test]
fn an_empty_signal_is_term() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let container = runtime.create(&Bundle::busybox(&scratch, "one"));
    container.kill("").success();
    eventually(DEADLINE, || (container.status() == "stopped").then_some(()));
}

#[test]
fn a_limit_that_is_ignored_is_told() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let container = runtime.run_detached(&Bundle::busybox(&scratch, "one").args(["sleep", "60"]));
    let updated = runtime.call(["update", "--kernel-memory", "1M", container.id()]).success();
    assert!(updated.stderr.contains("Kernel memory settings are ignored"), "{updated}");
}
