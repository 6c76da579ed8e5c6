//! What the task service answers, refuses and calls things; how a shim starts and ends.

use std::os::unix::net::UnixStream;
use std::time::Duration;

use containerd_shim_protos::api;
use containerd_shim_protos::ttrpc::Code;
use containerd_shim_protos::types::task::Status;
use knarr_tests::shim::{Stdio, action, limit, refused, socket_of};
use knarr_tests::{Bundle, Scratch, Shim, process, require};

const LONG: [&str; 2] = ["sleep", "600"];

#[test]
fn a_container_goes_through_its_states() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let bundle = Bundle::busybox(&scratch, "web").args(LONG);
    let shim = Shim::start(&scratch, &bundle);
    let pid = shim.create_by(Stdio::default(), None).expect("created");
    assert_eq!(shim.status("").expect("there"), Status::CREATED);
    assert_eq!(shim.begin("").expect("started"), pid);
    assert_eq!(shim.status("").expect("there"), Status::RUNNING);
    let id = || bundle.id().to_owned();
    shim.task.pause(limit(), &api::PauseRequest { id: id(), ..Default::default() }).expect("paused");
    assert_eq!(shim.status("").expect("there"), Status::PAUSED);
    shim.task.resume(limit(), &api::ResumeRequest { id: id(), ..Default::default() }).expect("resumed");
    let pids = shim.task.pids(limit(), &api::PidsRequest { id: id(), ..Default::default() }).expect("pids");
    assert_eq!(pids.processes.iter().map(|process| process.pid).collect::<Vec<_>>(), [pid]);
    let stats = shim.task.stats(limit(), &api::StatsRequest { id: id(), ..Default::default() });
    assert!(stats.expect("measured").stats.type_url.starts_with("io.containerd.cgroups.v"));
    shim.kill("", 15).expect("signalled");
    shim.kill("", 9).expect("signalled");
    assert_eq!(shim.wait(""), 137);
    assert_eq!(shim.status("").expect("there"), Status::STOPPED);
    assert_eq!(shim.delete("").expect("deleted"), 137);
    assert_eq!(refused(shim.status("")).0, Code::NOT_FOUND);
}

#[test]
fn what_is_not_there_or_not_possible_is_refused_with_containerds_codes() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let bundle = Bundle::busybox(&scratch, "web").args(LONG);
    let shim = Shim::start(&scratch, &bundle);
    assert_eq!(refused(shim.begin("")).0, Code::NOT_FOUND, "not created");
    shim.run(Stdio::default());
    assert_eq!(refused(shim.create_by(Stdio::default(), None)).0, Code::ALREADY_EXISTS);
    assert_eq!(refused(shim.begin("")).0, Code::FAILED_PRECONDITION, "started twice");
    let (code, text) = refused(shim.delete(""));
    assert_eq!((code, text.as_str()), (Code::FAILED_PRECONDITION, "cannot delete a running process"));
    assert_eq!(refused(shim.kill("nope", 9)).0, Code::NOT_FOUND);
    assert_eq!(refused(shim.exec("../x", "true", Stdio::default())).0, Code::INVALID_ARGUMENT);
    shim.exec("twice", "true", Stdio::default()).expect("added");
    assert_eq!(refused(shim.exec("twice", "true", Stdio::default())).0, Code::ALREADY_EXISTS);
    let (code, text) = refused(shim.kill("twice", 9));
    assert_eq!((code, text.as_str()), (Code::FAILED_PRECONDITION, "process not created"));
    let logger = Stdio { stdout: "binary:///bin/logger".to_owned(), ..Stdio::default() };
    assert_eq!(refused(shim.exec("logged", "true", logger)).0, Code::INVALID_ARGUMENT);
    shim.kill("", 9).expect("signalled");
    shim.wait("");
    let (code, text) = refused(shim.kill("", 9));
    assert_eq!((code, text.as_str()), (Code::NOT_FOUND, "process already finished"));
    assert_eq!(refused(shim.exec("late", "true", Stdio::default())).0, Code::FAILED_PRECONDITION);
}

#[test]
fn a_checkpoint_is_refused_in_clear_words() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let bundle = Bundle::busybox(&scratch, "web");
    let shim = Shim::start(&scratch, &bundle);
    let request = api::CreateTaskRequest {
        id: bundle.id().to_owned(),
        bundle: bundle.path().display().to_string(),
        checkpoint: "/tmp/checkpoint".to_owned(),
        ..Default::default()
    };
    let (code, text) = refused(shim.task.create(limit(), &request));
    assert_eq!(code, Code::UNIMPLEMENTED);
    assert!(text.contains("checkpoint"), "{text}");
}

#[test]
fn a_command_that_is_not_there_is_told_and_leaves_nothing() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let bundle = Bundle::busybox(&scratch, "web").args(["no-such-program"]);
    let shim = Shim::start(&scratch, &bundle);
    let failed = match shim.create_by(Stdio::default(), None) {
        Err(error) => Err(error),
        Ok(_) => shim.begin(""),
    };
    let (_, text) = refused(failed);
    assert!(text.contains("executable file not found in $PATH"), "dockerd looks for this: {text}");

    let other = Bundle::busybox(&scratch, "other").args(LONG);
    let shim = Shim::start(&scratch, &other);
    shim.run(Stdio::default());
    shim.exec_args("bad", &["no-such-program"], Stdio::default()).expect("added");
    let (_, text) = refused(shim.begin("bad"));
    assert!(text.contains("executable file not found in $PATH"), "{text}");
    assert_eq!(shim.delete("bad").expect("one that never ran can be deleted"), 255);
}

#[test]
fn a_shim_ends_when_it_is_told_to_and_has_no_container() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let bundle = Bundle::busybox(&scratch, "web").args(LONG);
    let shim = Shim::start(&scratch, &bundle);
    let twice = shim.act("start");
    assert!(twice.stderr.contains("already runs"), "{twice}");
    assert_eq!(twice.code(), 1, "{twice}");
    shim.run(Stdio::default());
    shim.shut_down().expect("with a container it only says yes");
    assert_eq!(shim.status("").expect("still there"), Status::RUNNING);
    shim.kill("", 9).expect("signalled");
    shim.wait("");
    shim.delete("").expect("deleted");
    shim.shut_down().expect("answered before it ends");
    assert!(process::wait_for_pid(shim.pid(), Duration::from_secs(10)), "the server has ended");
    assert!(UnixStream::connect(shim.socket()).is_err());
    assert!(!shim.socket().exists(), "and has taken its socket's name with it");
}

#[test]
fn a_start_without_a_bundle_says_so_and_leaves_nothing() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    for what in ["gone", "a file"] {
        let bundle = Bundle::busybox(&scratch, &what.replace(' ', "-"));
        std::fs::remove_dir_all(bundle.path()).expect("our own directory");
        if what == "a file" {
            std::fs::write(bundle.path(), "").expect("our own directory");
        }
        let started = process::run(action(&scratch, &bundle, &[], "start").current_dir("/"));
        assert_eq!(started.code(), 1, "{what}: {started}");
        assert!(
            started.stderr.contains(&format!("the bundle {} is gone", bundle.path().display())),
            "{started}"
        );
        assert!(!socket_of(&scratch, &bundle).exists(), "{what}");
    }
}
