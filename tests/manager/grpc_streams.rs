//! The Containers service: logs, attach and exec.

use knarr_proto::v1::session_request::Message;
use knarr_proto::v1::{self, ContainerState, WaitCondition};
use knarr_tests::{Daemon, Grpc, Scratch, require};
use tonic::{Code, Status};

use crate::made::{self, config, create, run, state, wait};
use crate::session::{Command, all_of, attach, command, exec};

/// What of a container's log comes, and on which stream.
fn logs(grpc: &Grpc, request: v1::ContainerLogsRequest) -> Result<Vec<v1::ContainerLogsReply>, Status> {
    let mut service = grpc.containers();
    grpc.wait(async {
        let mut stream = service.logs(request).await?.into_inner();
        let mut replies = Vec::new();
        while let Some(reply) = stream.message().await? {
            replies.push(reply);
        }
        Ok(replies)
    })
}

fn of(container: &str) -> v1::ContainerLogsRequest {
    v1::ContainerLogsRequest { container: container.to_owned(), ..v1::ContainerLogsRequest::default() }
}

fn text(replies: &[v1::ContainerLogsReply], stream: v1::Stream) -> String {
    let of_stream = replies.iter().filter(|reply| reply.stream() == stream);
    of_stream.map(|reply| String::from_utf8_lossy(&reply.data).into_owned()).collect()
}

#[test]
fn logs_are_what_was_written_as_much_as_was_asked_for() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    made::image(&scratch, &grpc);
    made::run_to_end(&grpc, "says", &["sh", "-c", "echo 1; sleep 0.1; echo 2 >&2; sleep 0.1; printf 3"]);
    let all = logs(&grpc, of("says")).expect("logs");
    assert_eq!(
        (text(&all, v1::Stream::Stdout), text(&all, v1::Stream::Stderr)),
        ("1\n3".into(), "2\n".into())
    );
    let times: Vec<_> = all.iter().map(|reply| reply.time.expect("a time")).collect();
    assert!(times.is_sorted_by_key(|time| (time.seconds, time.nanos)), "{times:?}");
    let count = |request| logs(&grpc, request).expect("logs").len();
    assert_eq!(count(v1::ContainerLogsRequest { stdout: true, ..of("says") }), 2);
    assert_eq!(count(v1::ContainerLogsRequest { stderr: true, ..of("says") }), 1);
    assert_eq!(count(v1::ContainerLogsRequest { tail: Some(1), ..of("says") }), 1);
    assert_eq!(count(v1::ContainerLogsRequest { tail: Some(0), ..of("says") }), 0);
    assert_eq!(count(v1::ContainerLogsRequest { tail: Some(99), ..of("says") }), 3);
    assert_eq!(count(v1::ContainerLogsRequest { since: Some(times[1]), ..of("says") }), 2);
    assert_eq!(count(v1::ContainerLogsRequest { until: Some(times[1]), ..of("says") }), 2);
    assert_eq!(logs(&grpc, of("nobody")).expect_err("none").code(), Code::NotFound);
    create(&grpc, "silent", config(&["true"])).expect("created");
    assert_eq!(count(of("silent")), 0);
}

#[test]
fn followed_logs_end_with_the_container() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    made::image(&scratch, &grpc);
    let id = run(
        &grpc,
        "says",
        &["sh", "-c", "echo first; while [ ! -e /tmp/go ]; do sleep 0.05; done; echo last"],
    );
    let mut service = grpc.containers();
    let request = v1::ContainerLogsRequest { follow: true, ..of("says") };
    let mut stream = grpc.wait(service.logs(request)).expect("followed").into_inner();
    let mut next = || grpc.wait(stream.message()).expect("a stream").map(|reply| reply.data);
    assert_eq!(next().as_deref(), Some(&b"first\n"[..]));
    exec(&grpc, &command(&id, &["touch", "/tmp/go"])).expect("run").exit();
    assert_eq!(next().as_deref(), Some(&b"last\n"[..]));
    assert_eq!(next(), None);
    assert_eq!(state(&grpc, "says"), ContainerState::Exited);
}

#[test]
fn who_attaches_before_the_start_misses_nothing() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    made::image(&scratch, &grpc);
    create(&grpc, "says", config(&["sh", "-c", "echo out; echo err >&2; exit 7"])).expect("created");
    let open = v1::AttachOpen { start: true, ..all_of("says") };
    let mut session = attach(&grpc, open).expect("attached");
    assert!(session.started.pid > 0, "{:?}", session.started);
    assert_eq!(session.exit().code, 7);
    assert_eq!((session.stdout.as_slice(), session.stderr.as_slice()), (&b"out\n"[..], &b"err\n"[..]));
    // And with the log, what was written before comes first.
    let open = v1::AttachOpen { start: true, logs: true, stderr: false, ..all_of("says") };
    let mut session = attach(&grpc, open).expect("attached");
    assert_eq!(session.exit().code, 7);
    assert!(session.stdout.starts_with(b"out\n") && session.stderr.is_empty(), "{:?}", session.stdout);
}

#[test]
fn input_reaches_the_process_and_its_end_does_too() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    made::image(&scratch, &grpc);
    let asked = v1::ContainerConfig { open_stdin: true, stdin_once: true, ..config(&["cat"]) };
    create(&grpc, "cat", asked).expect("created");
    let mut session = attach(&grpc, v1::AttachOpen { start: true, ..all_of("cat") }).expect("attached");
    session.stdin(b"hello\n");
    session.expect("hello\n");
    session.stdin(&vec![b'x'; 200_000]);
    session.stdin(b"\nend\n");
    session.close_stdin();
    assert_eq!(session.exit().code, 0);
    assert_eq!(session.stdout.len(), 6 + 200_000 + 5);
}

#[test]
fn who_leaves_leaves_the_container_running() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    made::image(&scratch, &grpc);
    let asked = v1::ContainerConfig { open_stdin: true, ..config(&["sh", "-c", "echo up; exec cat"]) };
    create(&grpc, "cat", asked).expect("created");
    let mut first = attach(&grpc, v1::AttachOpen { start: true, ..all_of("cat") }).expect("attached");
    first.expect("up\n");
    first.close_stdin();
    drop(first);
    let mut second = attach(&grpc, v1::AttachOpen { logs: true, ..all_of("cat") }).expect("attached");
    second.expect("up\n");
    let mut third = attach(&grpc, all_of("cat")).expect("attached");
    second.stdin(b"to both\n");
    second.expect("to both\n");
    third.expect("to both\n");
    second.fall_silent();
    third.stdin(b"still here\n");
    second.expect("still here\n");
    assert_eq!(state(&grpc, "cat"), ContainerState::Running);
}

#[test]
fn a_terminal_has_one_stream_and_the_size_that_it_is_given() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    made::image(&scratch, &grpc);
    let size = Some(v1::TerminalSize { rows: 33, columns: 44 });
    let script = "trap 'stty size; exit 0' WINCH; stty size; echo err >&2; while :; do sleep 0.05; done";
    let asked = v1::ContainerConfig {
        tty: true,
        open_stdin: true,
        terminal_size: size,
        ..config(&["sh", "-c", script])
    };
    create(&grpc, "tty", asked).expect("created");
    let mut session = attach(&grpc, v1::AttachOpen { start: true, ..all_of("tty") }).expect("attached");
    session.expect("33 44\r\n");
    session.expect("err\r\n");
    session.resize(50, 60);
    session.expect("50 60\r\n");
    assert_eq!(session.exit().code, 0);
    assert!(session.stderr.is_empty());
}

#[test]
fn a_session_begins_with_open_and_needs_a_container_that_runs() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    made::image(&scratch, &grpc);
    create(&grpc, "made", config(&["true"])).expect("created");
    let refused = |name: &str| attach(&grpc, all_of(name)).err().expect("refused");
    assert_eq!(refused("nobody").code(), Code::NotFound);
    let not_open = [
        None,
        Some(Message::Stdin(b"x".to_vec())),
        Some(Message::CloseStdin(v1::CloseStdin {})),
        Some(Message::Resize(v1::TerminalSize::default())),
    ];
    for message in not_open {
        let exec = Message::Exec(v1::ExecOpen::default());
        for message in [message.clone(), Some(exec)] {
            let mut service = grpc.containers();
            let status = grpc.wait(service.attach(tokio_stream::iter([v1::SessionRequest { message }])));
            assert_eq!(status.expect_err("not open").code(), Code::InvalidArgument);
        }
        let attach = Message::Attach(all_of("made"));
        for message in [message, Some(attach)] {
            let mut service = grpc.containers();
            let status = grpc.wait(service.exec_start(tokio_stream::iter([v1::SessionRequest { message }])));
            assert_eq!(status.expect_err("not open").code(), Code::InvalidArgument);
        }
    }
    let mut service = grpc.containers();
    let status = grpc.wait(service.attach(tokio_stream::iter(Vec::<v1::SessionRequest>::new())));
    assert_eq!(status.expect_err("nothing at all").code(), Code::InvalidArgument);
    let status = exec(&grpc, &command("made", &["true"])).err().expect("it does not run");
    assert_eq!(status.code(), Code::FailedPrecondition, "{status:?}");
}

#[test]
fn an_exec_is_a_process_with_its_own_streams_and_end() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    made::image(&scratch, &grpc);
    run(&grpc, "web", &["sleep", "600"]);
    let script = "echo out $A; pwd; id -u; echo err >&2; exit 9";
    let mut asked = command("web", &["sh", "-c", script]);
    asked.config.env = vec!["A=1".into()];
    asked.config.working_dir = "/tmp".into();
    asked.config.user = "1000".into();
    let mut session = exec(&grpc, &asked).expect("run");
    assert!(session.started.pid > 0, "{:?}", session.started);
    assert_eq!(session.exit().code, 9);
    assert_eq!(String::from_utf8_lossy(&session.stdout), "out 1\n/tmp\n1000\n");
    assert_eq!(session.stderr, b"err\n");
    let mut asked = command("web", &["cat"]);
    asked.config.stdin = true;
    let mut session = exec(&grpc, &asked).expect("run");
    session.stdin(b"hello\n");
    session.expect("hello\n");
    session.close_stdin();
    assert_eq!(session.exit().code, 0);
    let size = Some(v1::TerminalSize { rows: 33, columns: 44 });
    let script = "trap 'stty size; exit 0' WINCH; stty size; while :; do sleep 0.05; done";
    let mut asked = Command { terminal_size: size, ..command("web", &["sh", "-c", script]) };
    asked.config.tty = true;
    asked.config.stdin = true;
    let mut session = exec(&grpc, &asked).expect("run");
    session.expect("33 44\r\n");
    session.resize(50, 60);
    session.expect("50 60\r\n");
    assert_eq!(session.exit().code, 0);
    assert_eq!(state(&grpc, "web"), ContainerState::Running);
}

#[test]
fn an_exec_runs_on_without_its_client_and_detached_without_any() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    made::image(&scratch, &grpc);
    let id = run(
        &grpc,
        "web",
        &["sh", "-c", "while [ ! -e /tmp/two ] || [ ! -e /tmp/one ]; do sleep 0.05; done; exit 6"],
    );
    let detached = Command { detach: true, ..command(&id, &["sh", "-c", "sleep 0.2; touch /tmp/one"]) };
    let mut session = exec(&grpc, &detached).expect("run");
    assert!(session.next().expect("a stream").is_none(), "`started` is the last");
    drop(session);
    drop(exec(&grpc, &command(&id, &["sh", "-c", "sleep 0.2; touch /tmp/two"])).expect("run"));
    assert_eq!(wait(&grpc, &id, WaitCondition::NotRunning).expect("ended").code, 6);
}

#[test]
fn an_exec_that_cannot_be_is_refused_with_the_reason() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    made::image(&scratch, &grpc);
    run(&grpc, "web", &["sleep", "600"]);
    let invalid = Code::InvalidArgument;
    let with = |change: fn(&mut v1::ExecConfig)| {
        let mut asked = command("web", &["true"]);
        change(&mut asked.config);
        asked
    };
    for (open, code, reason) in [
        (command("web", &["nothing"]), Code::FailedPrecondition, Some("COMMAND_NOT_FOUND")),
        (command("web", &["/nothing"]), Code::FailedPrecondition, Some("COMMAND_NOT_FOUND")),
        (command("web", &["/etc/passwd"]), Code::FailedPrecondition, Some("COMMAND_NOT_EXECUTABLE")),
        (command("web", &["/etc"]), Code::FailedPrecondition, Some("COMMAND_NOT_EXECUTABLE")),
        (
            with(|asked| asked.working_dir = "/nowhere".into()),
            Code::FailedPrecondition,
            Some("COMMAND_NOT_FOUND"),
        ),
        (command("web", &[]), invalid, None),
        (command("web", &[""]), invalid, None),
        (with(|asked| asked.working_dir = "relative".into()), invalid, None),
        (with(|asked| asked.env = vec!["=x".into()]), invalid, None),
        (with(|asked| asked.user = "stranger".into()), invalid, None),
        (command("nobody", &["true"]), Code::NotFound, None),
    ] {
        let status = exec(&grpc, &open).err().unwrap_or_else(|| panic!("{open:?} was run"));
        assert_eq!(status.code(), code, "{open:?}: {status:?}");
        let seen = status.metadata().get("knarr-reason").map(|value| value.to_str().expect("ascii"));
        assert_eq!(seen, reason, "{open:?}");
    }
    assert_eq!(state(&grpc, "web"), ContainerState::Running);
}
