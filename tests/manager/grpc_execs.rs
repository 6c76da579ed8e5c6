//! The Containers service as docker's clients use it: exec in four calls, attach and wait before the start, sizes of
//! terminals from outside, and verbs that say when there was nothing to do.

use knarr_proto::v1::session_reply::Message as Reply;
use knarr_proto::v1::{self, ContainerState, ExecState, WaitCondition};
use knarr_tests::{Daemon, Grpc, Scratch, require};
use tonic::{Code, Status};

use crate::made::{self, config, create, inspect, remove, run, start, waiter};
use crate::session::{all_of, attach, attach_early, command, create_exec, start_exec};

fn inspect_exec(grpc: &Grpc, exec_id: &str) -> Result<v1::ExecInspectReply, Status> {
    let request = v1::ExecInspectRequest { exec_id: exec_id.to_owned() };
    Ok(grpc.wait(grpc.containers().exec_inspect(request))?.into_inner())
}

fn resize_exec(grpc: &Grpc, exec_id: &str) -> Result<(), Status> {
    let size = Some(v1::TerminalSize { rows: 50, columns: 60 });
    let request = v1::ExecResizeRequest { exec_id: exec_id.to_owned(), size };
    grpc.wait(grpc.containers().exec_resize(request)).map(drop)
}

fn resize(grpc: &Grpc, container: &str) -> Result<(), Status> {
    let size = Some(v1::TerminalSize { rows: 50, columns: 60 });
    let request = v1::ResizeContainerRequest { container: container.to_owned(), size };
    grpc.wait(grpc.containers().resize(request)).map(drop)
}

fn open(exec_id: &str) -> v1::ExecOpen {
    v1::ExecOpen { exec_id: exec_id.to_owned(), ..v1::ExecOpen::default() }
}

#[test]
fn an_exec_is_made_started_once_and_known_after_its_end() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    made::image(&scratch, &grpc);
    let id = run(&grpc, "web", &["sleep", "600"]);
    let mut asked = command("web", &["sh", "-c", "read line; exit 9"]);
    asked.config.stdin = true;
    asked.config.user = "1000".into();
    let exec_id = create_exec(&grpc, &asked).expect("made");
    let made = inspect_exec(&grpc, &exec_id).expect("known");
    assert_eq!((made.state(), made.pid, made.exit.clone()), (ExecState::Created, 0, None));
    assert_eq!((made.container, made.config), (id.clone(), Some(asked.config)));
    assert_eq!(inspect(&grpc, "web").expect("there").exec_ids, [exec_id.as_str()]);
    assert_eq!(resize_exec(&grpc, &exec_id).expect_err("it does not run").code(), Code::FailedPrecondition);

    let mut session = start_exec(&grpc, open(&exec_id)).expect("started");
    let running = inspect_exec(&grpc, &exec_id).expect("known");
    assert_eq!((running.state(), running.pid), (ExecState::Running, session.started.pid));
    assert_eq!(resize_exec(&grpc, &exec_id).expect_err("no terminal").code(), Code::FailedPrecondition);
    let again = start_exec(&grpc, open(&exec_id)).err().expect("once");
    assert_eq!(again.code(), Code::FailedPrecondition, "{again:?}");
    session.stdin(b"go\n");
    assert_eq!(session.exit().code, 9);

    let ended = inspect_exec(&grpc, &exec_id).expect("still known");
    assert_eq!((ended.state(), ended.pid), (ExecState::Exited, 0));
    assert_eq!(ended.exit.map(|exit| exit.code), Some(9));
    assert!(inspect(&grpc, "web").expect("there").exec_ids.is_empty());
    let again = start_exec(&grpc, open(&exec_id)).err().expect("once");
    assert_eq!(again.code(), Code::FailedPrecondition, "{again:?}");
    remove(&grpc, "web", true).expect("removed");
    assert_eq!(inspect_exec(&grpc, &exec_id).expect_err("forgotten").code(), Code::NotFound);
}

#[test]
fn an_exec_that_could_not_start_tells_why_afterwards() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    made::image(&scratch, &grpc);
    run(&grpc, "web", &["sleep", "600"]);
    for (args, code) in [(&["/nothing"][..], 127), (&["/etc"], 126), (&["/etc/passwd", "x"], 126)] {
        let exec_id = create_exec(&grpc, &command("web", args)).expect("made");
        let status = start_exec(&grpc, open(&exec_id)).err().expect("refused");
        assert_eq!(status.code(), Code::FailedPrecondition, "{status:?}");
        let ended = inspect_exec(&grpc, &exec_id).expect("known");
        assert_eq!(ended.state(), ExecState::Exited);
        let exit = ended.exit.expect("an end");
        assert_eq!(exit.code, code, "{args:?}");
        assert!(exit.error.contains(args[0]), "{exit:?}");
    }
    // One that was made while the container ran, and started when it does not.
    let exec_id = create_exec(&grpc, &command("web", &["true"])).expect("made");
    made::stop(&grpc, "web", Some(0), "").expect("stopped");
    let status = start_exec(&grpc, open(&exec_id)).err().expect("refused");
    assert_eq!(status.code(), Code::FailedPrecondition, "{status:?}");
    assert!(status.metadata().get("knarr-reason").is_none(), "{status:?}");
    assert_eq!(
        create_exec(&grpc, &command("web", &["true"])).expect_err("ended").code(),
        Code::FailedPrecondition
    );
    assert_eq!(inspect_exec(&grpc, "4f1c").expect_err("none").code(), Code::NotFound);
    assert_eq!(inspect_exec(&grpc, "").expect_err("none").code(), Code::NotFound);
}

#[test]
fn execs_that_are_never_started_have_a_bound() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    made::image(&scratch, &grpc);
    run(&grpc, "web", &["sleep", "600"]);
    let first = create_exec(&grpc, &command("web", &["true"])).expect("made");
    let mut large = command("web", &["true"]);
    large.config.env = vec![format!("A={}", "x".repeat(3 << 20))];
    let refused = (0..20).find_map(|_| create_exec(&grpc, &large).err()).expect("there is a bound");
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    assert!(!refused.message().contains("disk"), "{refused:?}");
    // Others are still made and run, and their end makes room.
    assert_eq!(start_exec(&grpc, open(&first)).expect("started").exit().code, 0);
    let small = create_exec(&grpc, &command("web", &["true"])).expect("made");
    assert_eq!(start_exec(&grpc, open(&small)).expect("started").exit().code, 0);
}

#[test]
fn attach_then_wait_then_start_misses_neither_output_nor_end() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    made::image(&scratch, &grpc);
    let script = ["sh", "-c", "echo out; echo err >&2; exit 7"];
    create(&grpc, "short", config(&script)).expect("created");
    let once = v1::ContainerConfig { auto_remove: true, ..config(&script) };
    create(&grpc, "once", once).expect("created");
    for (name, condition) in [
        ("short", WaitCondition::NextExit),
        ("short", WaitCondition::NextExit),
        ("once", WaitCondition::Removed),
    ] {
        let mut first = attach_early(&grpc, all_of(name)).expect("joined");
        let mut second = attach_early(&grpc, all_of(name)).expect("joined");
        let left = attach_early(&grpc, all_of(name)).expect("joined");
        drop(left);
        let request = v1::WaitContainerRequest { container: name.into(), condition: condition.into() };
        let mut waiting = waiter(&grpc, request).expect("registered");
        let pid = start(&grpc, name).expect("started");
        for session in [&mut first, &mut second] {
            session.expect_start().expect("started");
            assert_eq!(session.started.pid, pid);
            assert_eq!(session.exit().code, 7);
            assert_eq!(
                (session.stdout.as_slice(), session.stderr.as_slice()),
                (&b"out\n"[..], &b"err\n"[..])
            );
        }
        let reply = grpc.wait(waiting.message()).expect("a stream").expect("one reply");
        assert_eq!(reply.exit.expect("an exit").code, 7);
        assert!(grpc.wait(waiting.message()).expect("a stream").is_none());
    }
    let request =
        v1::WaitContainerRequest { container: "once".into(), ..v1::WaitContainerRequest::default() };
    assert_eq!(waiter(&grpc, request).expect_err("it is gone").code(), Code::NotFound);
}

#[test]
fn a_client_that_waits_for_a_start_is_told_what_comes_instead() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    made::image(&scratch, &grpc);
    create(&grpc, "broken", config(&["/nothing"])).expect("created");
    let mut session = attach_early(&grpc, all_of("broken")).expect("joined");
    start(&grpc, "broken").expect_err("no such command");
    let exit = session.exit();
    assert_eq!(exit.code, 127);
    assert!(exit.error.contains("/nothing"), "{exit:?}");
    let mut session = attach_early(&grpc, all_of("broken")).expect("joined");
    remove(&grpc, "broken", false).expect("removed");
    assert_eq!(session.next().expect_err("removed").code(), Code::NotFound);
    // Joined early, with input that was sent before there was anything to take it.
    let asked = v1::ContainerConfig { open_stdin: true, stdin_once: true, ..config(&["cat"]) };
    create(&grpc, "cat", asked).expect("created");
    let mut session = attach_early(&grpc, all_of("cat")).expect("joined");
    session.stdin(b"early\n");
    session.close_stdin();
    start(&grpc, "cat").expect("started");
    session.expect_start().expect("started");
    assert_eq!(session.exit().code, 0);
    assert_eq!(session.stdout, b"early\n");
}

#[test]
fn terminals_are_resized_from_outside_of_a_session() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    made::image(&scratch, &grpc);
    let script = "trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.05; done";
    let asked = v1::ContainerConfig { tty: true, ..config(&["sh", "-c", script]) };
    create(&grpc, "tty", asked).expect("created");
    assert_eq!(resize(&grpc, "tty").expect_err("it does not run").code(), Code::FailedPrecondition);
    let mut session = attach(&grpc, v1::AttachOpen { start: true, ..all_of("tty") }).expect("attached");
    session.expect("ready\r\n");
    let mut asked = command("tty", &["sh", "-c", script]);
    asked.config.tty = true;
    let exec_id = create_exec(&grpc, &asked).expect("made");
    let mut exec = start_exec(&grpc, open(&exec_id)).expect("started");
    exec.expect("ready\r\n");
    resize_exec(&grpc, &exec_id).expect("resized");
    exec.expect("50 60\r\n");
    assert_eq!(exec.exit().code, 0);
    resize(&grpc, "tty").expect("resized");
    session.expect("50 60\r\n");
    assert_eq!(session.exit().code, 0);
    run(&grpc, "plain", &["sleep", "600"]);
    assert_eq!(resize(&grpc, "plain").expect_err("no terminal").code(), Code::FailedPrecondition);
    assert_eq!(resize(&grpc, "absent").expect_err("none").code(), Code::NotFound);
}

#[test]
fn a_verb_that_had_nothing_to_do_says_so() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    made::image(&scratch, &grpc);
    create(&grpc, "web", config(&["sleep", "600"])).expect("created");
    let start = || {
        let request = v1::StartContainerRequest { container: "web".into() };
        grpc.wait(grpc.containers().start(request)).expect("started").into_inner()
    };
    let stop = || {
        let request = v1::StopContainerRequest {
            container: "web".into(),
            timeout_seconds: Some(0),
            signal: String::new(),
        };
        grpc.wait(grpc.containers().stop(request)).expect("stopped").into_inner().already
    };
    assert!(stop(), "it never ran");
    let first = start();
    assert!(!first.already);
    let second = start();
    assert!(second.already && second.pid == first.pid);
    assert!(!stop() && stop());
    assert_eq!(inspect(&grpc, "web").expect("there").state(), ContainerState::Exited);
    // And an attach that starts joins what runs already.
    start();
    let mut session = attach(&grpc, v1::AttachOpen { start: true, ..all_of("web") }).expect("attached");
    assert!(!stop());
    assert!(matches!(session.next(), Ok(Some(Reply::Exited(exit))) if exit.code == 137));
}
