//! How a process's end is kept and told, also when the shim itself ends badly.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use containerd_shim_protos::protobuf::Message;
use containerd_shim_protos::protobuf::well_known_types::empty::Empty;
use containerd_shim_protos::ttrpc::{self, Server, TtrpcContext};
use containerd_shim_protos::{Events, api, create_events, events};
use knarr_proto::exit::{ExitRecord, FILE_NAME};
use knarr_tests::shim::Stdio;
use knarr_tests::{Bundle, Scratch, Shim, leftovers, process, require};
use rustix::process::Signal;
use serde_json::json;

/// An event's topic, and for an exit its status and what the record said at that moment.
type Seen = (String, Option<(u32, Option<ExitRecord>)>);

/// containerd's events service, which looks into the bundle as each event comes.
struct Listener {
    bundle: PathBuf,
    seen: Mutex<Sender<Seen>>,
}

impl Events for Listener {
    fn forward(&self, _: &TtrpcContext, request: api::ForwardRequest) -> ttrpc::Result<Empty> {
        let envelope = request.envelope;
        let exit = (envelope.topic == "/tasks/exit").then(|| {
            let event = events::task::TaskExit::parse_from_bytes(&envelope.event.value).expect("a TaskExit");
            (event.exit_status, record(&self.bundle))
        });
        let seen = (envelope.topic.clone(), exit);
        self.seen.lock().expect("no panic").send(seen).expect("the test listens");
        Ok(Empty::default())
    }
}

fn record(bundle: &Path) -> Option<ExitRecord> {
    let text = std::fs::read(bundle.join(FILE_NAME)).ok()?;
    Some(serde_json::from_slice(&text).expect("a whole record"))
}

fn listen(socket: &Path, bundle: &Path) -> (Server, Receiver<Seen>) {
    let (sender, receiver) = mpsc::channel();
    let listener = Listener { bundle: bundle.to_owned(), seen: Mutex::new(sender) };
    let service: HashMap<_, _> = create_events(Arc::new(listener));
    let server = Server::new().bind(&format!("unix://{}", socket.display())).expect("a socket");
    let mut server = server.register_service(service);
    server.start().expect("the server starts");
    (server, receiver)
}

#[test]
fn the_record_is_on_the_disk_before_anybody_is_told_and_a_start_before_its_exit() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let bundle = Bundle::busybox(&scratch, "web").script("exit 42");
    let socket = scratch.join("events.sock");
    let (server, events) = listen(&socket, bundle.path());
    let shim = Shim::start_with(&scratch, &bundle, &[("TTRPC_ADDRESS", &socket)]);
    let pid = shim.run(Stdio::default());
    assert_eq!(shim.wait(""), 42);
    let kept = record(bundle.path()).expect("waiters are told after the record is kept");
    assert_eq!((kept.code, kept.pid, kept.oom_killed), (42, pid, false));
    shim.delete("").expect("deleted");
    let mut topics = Vec::new();
    while topics.last().is_none_or(|topic| topic != "/tasks/delete") {
        let (topic, exit) = events.recv_timeout(Duration::from_secs(20)).expect("an event");
        if let Some((status, record)) = exit {
            assert_eq!((status, record), (42, Some(kept.clone())));
        }
        topics.push(topic);
    }
    assert_eq!(topics, ["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"]);
    drop(shim);
    server.shutdown();
}

#[test]
fn a_hundred_short_execs_all_have_their_own_status() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let bundle = Bundle::busybox(&scratch, "web").args(["sleep", "600"]);
    let shim = Shim::start(&scratch, &bundle);
    shim.run(Stdio::default());
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let shim = &shim;
            scope.spawn(move || {
                for number in 0..25 {
                    let exec_id = format!("exec-{worker}-{number}");
                    let code = worker * 25 + number;
                    shim.exec(&exec_id, &format!("exit {code}"), Stdio::default()).expect("added");
                    shim.begin(&exec_id).expect("started");
                    assert_eq!(shim.wait(&exec_id), code);
                    assert_eq!(shim.delete(&exec_id).expect("deleted"), code);
                }
            });
        }
    });
}

#[test]
fn after_a_killed_shim_delete_kills_unmounts_and_tells_137() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let bundle = Bundle::busybox(&scratch, "web").args(["sleep", "600"]);
    let shim = Shim::start(&scratch, &bundle);
    let pid = shim.run(Stdio::default());
    process::signal(shim.pid(), Signal::KILL);
    assert!(process::wait_for_pid(shim.pid(), Duration::from_secs(10)));
    let answer = told(&shim);
    assert_eq!((answer.pid, answer.exit_status), (pid, 137));
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).expect("a pid");
    assert!(process::wait_for_pid(pid, Duration::from_secs(10)), "the container's process is gone");
    assert!(leftovers::mounts_below(bundle.path()).is_empty());
    assert!(!shim.socket().exists());
    assert_eq!(told(&shim).exit_status, 137, "and it can be said again");
}

#[test]
fn after_a_killed_shim_delete_tells_the_true_status_of_one_that_had_ended() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let bundle = Bundle::busybox(&scratch, "web").script("exit 3");
    let shim = Shim::start(&scratch, &bundle);
    let pid = shim.run(Stdio::default());
    assert_eq!(shim.wait(""), 3);
    process::signal(shim.pid(), Signal::KILL);
    assert!(process::wait_for_pid(shim.pid(), Duration::from_secs(10)));
    let answer = told(&shim);
    assert_eq!((answer.pid, answer.exit_status), (pid, 3));
}

/// `delete`'s answer.
#[track_caller]
fn told(shim: &Shim<'_>) -> api::DeleteResponse {
    let bytes = shim.act_raw("delete");
    api::DeleteResponse::parse_from_bytes(&bytes).expect("a DeleteResponse")
}

#[test]
fn what_outlives_the_first_process_in_the_hosts_pid_namespace_is_killed() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let script = "sleep 601 & sleep 602 & exit 5";
    let bundle = Bundle::busybox(&scratch, "shared").script(script).edit(|config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().expect("a list");
        namespaces.retain(|namespace| namespace["type"] != json!("pid"));
    });
    let shim = Shim::start(&scratch, &bundle);
    shim.run(Stdio::default());
    assert_eq!(shim.wait(""), 5);
    assert_eq!(shim.delete("").expect("its cgroup is empty"), 5);
    drop(shim);
    scratch.assert_nothing_left();
}

#[test]
fn a_container_killed_for_want_of_memory_is_told_so() {
    require!(root, tool("busybox"), cgroup("memory"));
    let scratch = Scratch::new();
    let script = "head -c 200000000 /dev/zero | tail -c 100000000 >/dev/null; exit 9";
    let bundle = Bundle::busybox(&scratch, "hog").script(script).edit(|config| {
        config["linux"]["resources"]["memory"] = json!({ "limit": 32 << 20, "swap": 32 << 20 });
    });
    let socket = scratch.join("events.sock");
    let (server, events) = listen(&socket, bundle.path());
    let shim = Shim::start_with(&scratch, &bundle, &[("TTRPC_ADDRESS", &socket)]);
    shim.run(Stdio::default());
    shim.wait("");
    assert!(record(bundle.path()).expect("kept").oom_killed);
    let mut topics = Vec::new();
    while topics.last().is_none_or(|topic| topic != "/tasks/exit") {
        topics.push(events.recv_timeout(Duration::from_secs(20)).expect("an event").0);
    }
    assert!(topics.contains(&"/tasks/oom".to_owned()), "before the exit: {topics:?}");
    drop(shim);
    server.shutdown();
}
