//! The same shim over other OCI runtimes, chosen by containerd's own option for it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use knarr_proto::stdio::KnarrStdio;
use knarr_tests::shim::{Stdio, by_program, refused};
use knarr_tests::{Attached, Bundle, Scratch, Shim, process, programs, require};
use serde_json::json;

/// crun refuses a hybrid machine's cgroups: it is called in a mount namespace that does not have the second kind.
fn crun(scratch: &Scratch) -> PathBuf {
    let path = scratch.join("crun");
    let script = format!(
        "#!/bin/sh\nexec {unshare} -m --propagation private sh -c \
         'umount /sys/fs/cgroup/unified 2>/dev/null; exec {crun} \"$@\"' sh \"$@\"\n",
        unshare = programs::tool("unshare").display(),
        crun = programs::tool("crun").display(),
    );
    fs::write(&path, script).expect("a script");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("an executable one");
    path
}

/// A container's whole life under one runtime.
fn life(scratch: &Scratch, runtime: &std::path::Path) {
    let name = runtime.file_name().and_then(|name| name.to_str()).expect("a name");
    let bundle = Bundle::busybox(scratch, name).script("echo out; echo err >&2; read line; exit 42");
    let shim = Shim::start(scratch, &bundle);
    let socket = scratch.join(format!("{name}.sock"));
    let stdio = Stdio::all(&KnarrStdio { attach: socket.display().to_string(), log: None }.to_uri());
    shim.create_by(stdio, Some(by_program(runtime))).expect("created");
    let mut client = Attached::connect(&socket);
    shim.begin("").expect("started");
    let files = scratch.directory(format!("{name}-exec"));
    shim.exec("one", "cat /proc/1/comm; exit 7", Stdio::files(&files)).expect("added");
    shim.begin("one").expect("started");
    assert_eq!(shim.wait("one"), 7);
    assert_eq!(fs::read_to_string(files.join("out")).expect("there"), "sh\n");
    let terminal = scratch.join(format!("{name}-t.sock"));
    let uri = KnarrStdio { attach: terminal.display().to_string(), log: None }.to_uri();
    shim.exec("two", "test -t 0 && echo terminal", Stdio::terminal(&uri)).expect("added");
    let on_terminal = Attached::connect(&terminal);
    shim.begin("two").expect("started");
    assert_eq!(on_terminal.finish().text(), "terminal\r\n");
    shim.exec("bad", "true", Stdio::default()).expect("added");
    shim.delete("bad").expect("one that never ran");
    client.send(b"go on\n");
    let client = client.finish();
    assert_eq!((client.text(), client.stderr), ("out\n".to_owned(), b"err\n".to_vec()));
    assert_eq!(shim.wait(""), 42);
    assert_eq!(shim.delete("").expect("deleted"), 42);
}

#[test]
fn a_containers_life_is_the_same_over_knarr_runtime() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    life(&scratch, &programs::ours("knarr-runtime"));
}

#[test]
fn a_containers_life_is_the_same_over_runc() {
    require!(root, tool("busybox"), tool("runc"));
    let scratch = Scratch::new();
    life(&scratch, &programs::tool("runc"));
}

#[test]
fn a_containers_life_is_the_same_over_crun() {
    require!(root, tool("busybox"), tool("crun"), tool("unshare"));
    let scratch = Scratch::new();
    life(&scratch, &crun(&scratch));
}

#[test]
fn limits_are_changed_while_it_runs_over_runc() {
    require!(root, tool("busybox"), tool("runc"), cgroup("pids"));
    let scratch = Scratch::new();
    let bundle = Bundle::busybox(&scratch, "limited").args(["sleep", "600"]);
    let shim = Shim::start(&scratch, &bundle);
    shim.create_by(Stdio::default(), Some(by_program(&programs::tool("runc")))).expect("created");
    shim.begin("").expect("started");
    let update = |resources: &str| {
        use containerd_shim_protos::protobuf::MessageField;
        use containerd_shim_protos::protobuf::well_known_types::any::Any;
        let any = Any { value: resources.as_bytes().to_vec(), ..Any::default() };
        let request = containerd_shim_protos::api::UpdateTaskRequest {
            id: bundle.id().to_owned(),
            resources: MessageField::some(any),
            ..Default::default()
        };
        shim.task.update(knarr_tests::shim::limit(), &request)
    };
    update(&json!({ "pids": { "limit": 77 } }).to_string()).expect("updated");
    let request =
        containerd_shim_protos::api::StatsRequest { id: bundle.id().to_owned(), ..Default::default() };
    let stats = shim.task.stats(knarr_tests::shim::limit(), &request).expect("measured");
    assert!(stats.stats.value.windows(2).any(|bytes| bytes == [0x10, 77]), "the new limit is measured");
    let (code, _) = refused(update("no JSON"));
    assert_eq!(code, containerd_shim_protos::ttrpc::Code::INVALID_ARGUMENT);
}

#[test]
fn a_runtime_that_is_not_there_is_named() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let bundle = Bundle::busybox(&scratch, "web");
    let shim = Shim::start(&scratch, &bundle);
    let (_, text) = refused(shim.create_by(Stdio::default(), Some(by_program(&scratch.join("nope")))));
    assert!(text.contains("cannot run the OCI runtime") && text.contains("nope"), "{text}");
    drop(shim);
    process::run(&mut scratch.command("/bin/true")).success();
}
