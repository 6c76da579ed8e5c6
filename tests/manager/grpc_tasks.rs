//! The Containers service: start, stop, kill and wait, and what a container's state is after each.

use knarr_proto::v1::{self, ContainerState, WaitCondition};
use knarr_tests::{Daemon, Grpc, Scratch, require};
use tonic::{Code, Status};

use crate::made::{self, config, create, inspect, run, state, wait};

/// Why a command cannot be executed, as the metadata say it.
fn reason(status: &Status) -> Option<&str> {
    status.metadata().get("knarr-reason").map(|value| value.to_str().expect("ascii"))
}

#[test]
fn a_started_container_runs_and_starting_it_again_changes_nothing() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    made::image(&scratch, &grpc);
    create(&grpc, "web", config(&["sleep", "600"])).expect("created");
    let pid = made::start(&grpc, "web").expect("started");
    let comm = std::fs::read_to_string(format!("/proc/{pid}/comm")).expect("it runs");
    assert_eq!(comm, "sleep\n");
    let first = inspect(&grpc, "web").expect("there");
    assert_eq!((first.state(), first.pid), (ContainerState::Running, pid));
    assert!(first.started_at.is_some() && first.exit.is_none(), "{first:?}");
    assert_eq!(made::start(&grpc, "web").expect("it runs already"), pid);
    assert_eq!(inspect(&grpc, "web").expect("there"), first);
}

#[test]
fn an_ended_container_starts_again_on_what_it_wrote() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    made::image(&scratch, &grpc);
    create(&grpc, "count", config(&["sh", "-c", "echo x >>/tmp/x; exit $(wc -l </tmp/x)"])).expect("created");
    for run in 1..=3 {
        made::start(&grpc, "count").expect("started");
        let exit = wait(&grpc, "count", WaitCondition::NotRunning).expect("ended");
        assert_eq!((exit.code, exit.oom_killed, exit.error.as_str()), (run, false, ""));
        let seen = inspect(&grpc, "count").expect("there");
        assert_eq!((seen.state(), seen.pid, seen.exit), (ContainerState::Exited, 0, Some(exit)));
    }
}

#[test]
fn what_cannot_be_executed_says_why_and_can_be_removed() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    made::image(&scratch, &grpc);
    let (absent, denied) = (Some("COMMAND_NOT_FOUND"), Some("COMMAND_NOT_EXECUTABLE"));
    for (command, user, code, why) in [
        ("nothing", "", Code::FailedPrecondition, absent),
        ("/no/such", "", Code::FailedPrecondition, absent),
        ("/etc/passwd", "", Code::FailedPrecondition, denied),
        ("/tmp", "", Code::FailedPrecondition, denied),
        ("true", "stranger", Code::InvalidArgument, None),
        ("true", "0:strangers", Code::InvalidArgument, None),
    ] {
        let asked = v1::ContainerConfig { user: user.to_owned(), ..config(&[command]) };
        create(&grpc, "cannot", asked).expect("what is in the image is seen at start");
        let status = made::start(&grpc, "cannot").expect_err(command);
        assert_eq!((status.code(), reason(&status)), (code, why), "{status:?}");
        let seen = inspect(&grpc, "cannot").expect("there");
        assert_eq!((seen.state(), seen.pid), (ContainerState::Created, 0), "{command}");
        let exit = seen.exit.expect("why it never ran");
        let expected = match why {
            Some("COMMAND_NOT_FOUND") => 127,
            Some(_) => 126,
            None => 128,
        };
        assert_eq!((exit.code, exit.error.is_empty()), (expected, false), "{command}");
        made::remove(&grpc, "cannot", false).expect("removed");
    }
}

#[test]
fn stop_asks_first_and_kills_when_patience_ends() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    made::image(&scratch, &grpc);
    let asks = "trap 'exit 3' TERM; trap 'exit 4' USR1; echo ready; while :; do sleep 0.05; done";
    let deaf = "trap '' TERM; echo ready; while :; do sleep 0.05; done";
    for (script, timeout, signal, code) in [
        (asks, Some(30), "", 3),
        (asks, Some(30), "USR1", 4),
        (asks, None, "SIGTERM", 3),
        (deaf, Some(0), "", 137),
        (deaf, Some(1), "TERM", 137),
        (asks, Some(30), "KILL", 137),
    ] {
        run(&grpc, "stops", &["sh", "-c", script]);
        made::logged(&grpc, "stops", "ready");
        made::stop(&grpc, "stops", timeout, signal).expect("stopped");
        let exit = inspect(&grpc, "stops").expect("there").exit.expect("an end");
        assert_eq!(exit.code, code, "{script} {timeout:?} {signal}");
        made::stop(&grpc, "stops", None, "").expect("stopping what has stopped is no error");
        made::remove(&grpc, "stops", false).expect("removed");
    }
    let patience = Some(1);
    let own = v1::ContainerConfig {
        stop_signal: "USR1".into(),
        stop_timeout_seconds: patience,
        ..config(&["sh", "-c", asks])
    };
    create(&grpc, "own", own).expect("created");
    made::stop(&grpc, "own", None, "").expect("what never ran has stopped");
    made::start(&grpc, "own").expect("started");
    made::logged(&grpc, "own", "ready");
    let status = made::stop(&grpc, "own", None, "SIGNONE").expect_err("no such signal");
    assert_eq!((status.code(), state(&grpc, "own")), (Code::InvalidArgument, ContainerState::Running));
    made::stop(&grpc, "own", None, "").expect("stopped");
    assert_eq!(inspect(&grpc, "own").expect("there").exit.expect("an end").code, 4);
}

#[test]
fn kill_sends_one_signal_to_what_runs() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    made::image(&scratch, &grpc);
    let script =
        "trap 'echo got USR1' USR1; trap 'echo got WINCH' WINCH; echo ready; while :; do sleep 0.05; done";
    run(&grpc, "listens", &["sh", "-c", script]);
    made::logged(&grpc, "listens", "ready");
    for (signal, word) in [("USR1", "got USR1"), ("28", "got WINCH")] {
        made::kill(&grpc, "listens", signal).expect(signal);
        made::logged(&grpc, "listens", word);
    }
    for signal in ["0", "65", "SIGNONE", "-9", "1 "] {
        let status = made::kill(&grpc, "listens", signal).expect_err(signal);
        assert_eq!(status.code(), Code::InvalidArgument, "{signal}: {status:?}");
    }
    assert_eq!(state(&grpc, "listens"), ContainerState::Running);
    made::kill(&grpc, "listens", "").expect("SIGKILL is the default");
    assert_eq!(wait(&grpc, "listens", WaitCondition::NotRunning).expect("ended").code, 137);
    create(&grpc, "made", config(&["true"])).expect("created");
    for name in ["listens", "made"] {
        let status = made::kill(&grpc, name, "").expect_err("it does not run");
        assert_eq!(status.code(), Code::FailedPrecondition, "{status:?}");
        assert!(status.message().contains("not running"), "{status:?}");
    }
}

#[test]
fn wait_tells_every_waiter_once_its_condition_is_met() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    made::image(&scratch, &grpc);
    create(&grpc, "web", config(&["sleep", "600"])).expect("created");
    assert_eq!(wait(&grpc, "web", WaitCondition::NotRunning).expect("at once").code, 0);
    let next = |condition: WaitCondition| {
        let (mut service, request) = (
            grpc.containers(),
            v1::WaitContainerRequest { container: "web".into(), condition: condition.into() },
        );
        async move {
            let reply = service.wait(request).await?.into_inner().message().await?;
            Ok::<_, Status>(reply.expect("one reply").exit.expect("an exit"))
        }
    };
    let (ends, runs, gone, killed) = grpc.wait(async {
        let (mut starter, mut killer) = (grpc.containers(), grpc.containers());
        let script = async {
            let named = || "web".to_owned();
            starter.start(v1::StartContainerRequest { container: named() }).await.expect("started");
            let kill = v1::KillContainerRequest { container: named(), signal: "KILL".into() };
            killer.kill(kill).await.expect("killed");
            let remove = v1::RemoveContainerRequest { container: named(), force: true, volumes: false };
            killer.remove(remove).await
        };
        // In this order: the first two ask before it is started.
        tokio::join!(
            biased;
            next(WaitCondition::NextExit),
            next(WaitCondition::NextExit),
            next(WaitCondition::Removed),
            script,
        )
    });
    assert_eq!(ends.expect("waited").code, 137);
    assert_eq!(runs.expect("waited").code, 137);
    assert_eq!(gone.expect("waited").code, 137);
    killed.expect("removed");
    let status = wait(&grpc, "web", WaitCondition::Removed).expect_err("it is gone");
    assert_eq!(status.code(), Code::NotFound);
}

#[test]
fn a_container_that_is_removed_by_itself_is_gone_when_its_end_is_told() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    made::image(&scratch, &grpc);
    let asked = v1::ContainerConfig { auto_remove: true, ..config(&["sh", "-c", "sleep 0.2; exit 5"]) };
    create(&grpc, "once", asked.clone()).expect("created");
    made::start(&grpc, "once").expect("started");
    assert_eq!(wait(&grpc, "once", WaitCondition::Removed).expect("ended").code, 5);
    assert_eq!(inspect(&grpc, "once").expect_err("gone").code(), Code::NotFound);
    // One that never ran is gone, too.
    let asked = v1::ContainerConfig { command: vec!["nothing".into()], ..asked };
    create(&grpc, "never", asked).expect("created");
    assert_eq!(made::start(&grpc, "never").expect_err("no command").code(), Code::FailedPrecondition);
    assert_eq!(inspect(&grpc, "never").expect_err("gone").code(), Code::NotFound);
}

#[test]
fn a_container_outlives_knarrd_and_its_end_is_known_to_the_next() {
    require!(root);
    let scratch = Scratch::new();
    let mut daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    made::image(&scratch, &grpc);
    run(&grpc, "lives", &["sleep", "600"]);
    run(&grpc, "ends", &["sh", "-c", "read line </tmp/none; sleep 0.5; exit 9"]);
    let pid = inspect(&grpc, "lives").expect("there").pid;
    daemon.stop();
    daemon.start_again();
    let grpc = Grpc::connect(&daemon.socket());
    assert_eq!(inspect(&grpc, "lives").expect("there").pid, pid);
    assert_eq!(wait(&grpc, "ends", WaitCondition::NotRunning).expect("ended").code, 9);
    made::kill(&grpc, "lives", "KILL").expect("killed");
    assert_eq!(wait(&grpc, "lives", WaitCondition::NotRunning).expect("ended").code, 137);
}
