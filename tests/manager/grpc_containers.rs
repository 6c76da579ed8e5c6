//! The Containers service: what is created is what was asked for, what cannot be is refused and leaves nothing, and
//! containers are found, listed and removed.

use std::collections::HashMap;

use knarr_proto::v1::{self, ContainerState, WaitCondition};
use knarr_tests::{Daemon, Grpc, Scratch, require};
use tonic::Code;

use crate::made::{self, IMAGE, config, create, inspect, list};

fn names(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn map(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn tmpfs(target: &str) -> v1::Mount {
    let mut mount = v1::Mount { target: target.to_owned(), ..v1::Mount::default() };
    mount.set_type(v1::MountType::Tmpfs);
    mount
}

fn bind(source: &str, target: &str) -> v1::Mount {
    let mut mount =
        v1::Mount { source: source.to_owned(), target: target.to_owned(), ..v1::Mount::default() };
    mount.set_type(v1::MountType::Bind);
    mount
}

fn snapshots(grpc: &Grpc) -> usize {
    grpc.list_snapshots().expect("listed").len()
}

#[test]
fn what_was_asked_for_is_what_inspect_shows() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    let image = made::image(&scratch, &grpc);
    let shared = scratch.directory("shared");
    let asked = v1::ContainerConfig {
        entrypoint: Some(v1::StringList { values: names(&["sh", "-c"]) }),
        command: names(&["echo $A"]),
        env: names(&["A=1", "PATH"]),
        working_dir: "/srv".into(),
        user: "1000:1000".into(),
        hostname: "web.example".into(),
        tty: true,
        open_stdin: true,
        stdin_once: true,
        labels: map(&[("tier", "front"), ("empty", "")]),
        stop_signal: "SIGQUIT".into(),
        stop_timeout_seconds: Some(3),
        mounts: vec![bind(shared.to_str().expect("our own path"), "/data"), tmpfs("/scratch")],
        resources: Some(v1::Resources { memory_bytes: 64 << 20, pids_limit: 40, ..v1::Resources::default() }),
        read_only_rootfs: true,
        cap_add: names(&["NET_ADMIN"]),
        cap_drop: names(&["CAP_CHOWN"]),
        network: "host".to_owned(),
        no_new_privileges: true,
        group_add: names(&["5"]),
        terminal_size: Some(v1::TerminalSize { rows: 24, columns: 80 }),
        sysctls: map(&[("kernel.msgmax", "65536")]),
        ulimits: vec![v1::Ulimit { name: "nofile".into(), soft: 100, hard: 200 }],
        ..config(&[])
    };
    let created = create(&grpc, "web", asked.clone()).expect("created");
    let seen = inspect(&grpc, &created.id).expect("there");
    assert_eq!(seen.config, Some(asked));
    assert_eq!((created.name.as_str(), seen.name.as_str(), seen.id.len()), ("web", "web", 64));
    assert_eq!((seen.image.as_str(), &seen.image_id), (IMAGE, &image.id));
    assert_eq!(seen.args, ["sh", "-c", "echo $A"]);
    assert_eq!(
        (seen.state(), seen.pid, seen.exit, seen.started_at),
        (ContainerState::Created, 0, None, None)
    );
    assert!(seen.created_at.is_some());
    assert!(std::path::Path::new(&seen.bundle_path).is_dir(), "{}", seen.bundle_path);
    assert_eq!(seen.snapshot_key, created.id);
}

#[test]
fn the_images_own_settings_count_where_nothing_was_asked() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    let made = knarr_tests::Image::busybox()
        .config("Entrypoint", serde_json::json!(["echo"]))
        .config("Cmd", serde_json::json!(["from the image"]))
        .config("Volumes", serde_json::json!({ "/data": {} }));
    crate::imported::image(&scratch, &grpc, &made, &[IMAGE]);
    let args = |name: &str, config| {
        create(&grpc, name, config).expect(name);
        inspect(&grpc, name).expect(name).args
    };
    assert_eq!(args("plain", config(&[])), ["echo", "from the image"]);
    assert_eq!(args("command", config(&["mine"])), ["echo", "mine"]);
    let entrypoint = Some(v1::StringList { values: names(&["true"]) });
    assert_eq!(args("entrypoint", v1::ContainerConfig { entrypoint, ..config(&[]) }), ["true"]);
    let cleared = Some(v1::StringList::default());
    assert_eq!(args("cleared", v1::ContainerConfig { entrypoint: cleared, ..config(&["id"]) }), ["id"]);
    let unnamed = create(&grpc, "", config(&[])).expect("created");
    assert!(unnamed.name.contains('_'), "a name is made up: {}", unnamed.name);
}

/// Each with the code and a word of the message that names what is wrong.
fn refusals() -> Vec<(v1::ContainerConfig, Code, &'static str)> {
    let with = |change: fn(&mut v1::ContainerConfig)| {
        let mut config = config(&["true"]);
        change(&mut config);
        config
    };
    let invalid = |word, change| (with(change), Code::InvalidArgument, word);
    vec![
        (with(|config| config.image = "test/none:1".into()), Code::NotFound, "test/none:1"),
        (with(|config| config.image = "sha256:0123456789ab".into()), Code::NotFound, "0123456789ab"),
        invalid("Upper", |config| config.image = "Upper/Case".into()),
        invalid("relative", |config| config.working_dir = "relative".into()),
        invalid("=value", |config| config.env = vec!["=value".into()]),
        invalid("SIGNONE", |config| config.stop_signal = "SIGNONE".into()),
        invalid("NO_SUCH", |config| config.cap_add = vec!["NO_SUCH".into()]),
        invalid("NO_SUCH", |config| config.cap_drop = vec!["NO_SUCH".into()]),
        invalid("kernel.hostname", |config| {
            config.sysctls = HashMap::from([("kernel.hostname".into(), "x".into())]);
        }),
        invalid("nosuch", |config| {
            config.ulimits = vec![v1::Ulimit { name: "nosuch".into(), soft: 1, hard: 1 }];
        }),
        invalid("type", |config| {
            config.mounts = vec![v1::Mount { target: "/a".into(), ..v1::Mount::default() }];
        }),
        invalid("target", |config| config.mounts = vec![tmpfs("relative")]),
        invalid("/none/here", |config| config.mounts = vec![bind("/none/here", "/a")]),
        invalid("NUL", |config| config.command = vec!["a\0b".into()]),
        invalid("1 MiB", |config| config.env = vec![format!("A={}", "x".repeat(1 << 20))]),
    ]
}

#[test]
fn what_cannot_be_is_refused_by_name_and_leaves_nothing() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    made::image(&scratch, &grpc);
    let before = snapshots(&grpc);
    for (config, code, word) in refusals() {
        let status = create(&grpc, "", config.clone()).expect_err(word);
        assert_eq!(status.code(), code, "{status:?} for {config:?}");
        assert!(status.message().contains(word), "{word:?} is not in {:?}", status.message());
        assert!(!status.message().contains('\n'), "{status:?}");
    }
    for name in ["a", "-ab", "a/b", "a b", "ä1", &"n".repeat(200)] {
        let status = create(&grpc, name, config(&["true"])).expect_err(name);
        assert_eq!(status.code(), Code::InvalidArgument, "{name:?}: {status:?}");
    }
    let request = v1::CreateContainerRequest { name: String::new(), config: None, platform: String::new() };
    let status = grpc.wait(grpc.containers().create(request)).expect_err("no configuration");
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    assert_eq!(list(&grpc, true, &[]).expect("listed"), [""; 0]);
    assert_eq!(snapshots(&grpc), before, "no snapshot is left");
    let bundles = std::fs::read_dir(daemon.root().join("containers")).expect("a directory").count();
    assert_eq!(bundles, 0, "no bundle is left");
    create(&grpc, "taken", config(&["true"])).expect("created");
    let status = create(&grpc, "taken", config(&["true"])).expect_err("a name is one container's");
    assert_eq!(status.code(), Code::AlreadyExists);
    assert!(status.message().contains("taken"), "{status:?}");
}

#[test]
fn a_container_is_found_by_id_name_and_beginning() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    made::image(&scratch, &grpc);
    let id = create(&grpc, "web", config(&["true"])).expect("created").id;
    for text in [id.as_str(), "web", &id[..12], &id[..40]] {
        assert_eq!(inspect(&grpc, text).expect(text).id, id);
    }
    // Seventeen ids and sixteen digits: two begin alike.
    let mut ids = vec![id];
    for number in 0..16 {
        ids.push(create(&grpc, &format!("more-{number}"), config(&["true"])).expect("created").id);
    }
    let shared = ids.iter().find(|id| ids.iter().filter(|other| other[..1] == id[..1]).count() > 1);
    let status = inspect(&grpc, &shared.expect("the pigeonhole principle")[..1]).expect_err("several");
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    for text in ["", "nobody", "../../etc", "web ", &"f".repeat(65), &"k".repeat(100_000)] {
        for status in [
            inspect(&grpc, text).expect_err("none"),
            made::start(&grpc, text).expect_err("none"),
            made::stop(&grpc, text, None, "").expect_err("none"),
            made::kill(&grpc, text, "").expect_err("none"),
            made::remove(&grpc, text, true).expect_err("none"),
            made::wait(&grpc, text, WaitCondition::NotRunning).expect_err("none"),
        ] {
            assert_eq!(status.code(), Code::NotFound, "{status:?}");
            assert!(status.message().starts_with("no such container"), "{status:?}");
            assert!(status.message().len() < 4096, "an error is for a person to read");
        }
    }
}

#[test]
fn lists_are_newest_first_and_filtered_as_dockers() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    let image = made::image(&scratch, &grpc);
    let labels = map(&[("tier", "front")]);
    create(&grpc, "made", v1::ContainerConfig { labels, ..config(&["true"]) }).expect("created");
    made::run_to_end(&grpc, "ended", &["sh", "-c", "exit 3"]);
    let running = made::run(&grpc, "runs", &["sleep", "600"]);
    let short = &image.id["sha256:".len()..][..12];
    for (all, filters, expected) in [
        (false, &[][..], &["runs"][..]),
        (true, &[], &["runs", "ended", "made"]),
        (true, &[("status", "created")], &["made"]),
        (false, &[("status", "exited")], &["ended"]),
        (false, &[("status", "created"), ("status", "exited")], &["ended", "made"]),
        (false, &[("exited", "3")], &["ended"]),
        (false, &[("exited", "0")], &[]),
        (true, &[("label", "tier")], &["made"]),
        (true, &[("label", "tier=back")], &[]),
        (true, &[("label", "tier"), ("label", "tier=front")], &["made"]),
        (true, &[("label", "tier"), ("label", "none")], &[]),
        (true, &[("name", "e"), ("status", "running")], &[]),
        (true, &[("name", "un")], &["runs"]),
        (true, &[("id", &running[..10])], &["runs"]),
        (true, &[("ancestor", "busybox:1")], &["runs", "ended", "made"]),
        (true, &[("ancestor", short)], &["runs", "ended", "made"]),
        (true, &[("ancestor", "other")], &[]),
    ] {
        assert_eq!(list(&grpc, all, filters).expect("listed"), expected, "{all} {filters:?}");
    }
    for filter in [("colour", "red"), ("status", "asleep"), ("exited", "maybe")] {
        let status = list(&grpc, true, &[filter]).expect_err("refused");
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains(filter.0), "{status:?}");
    }
}

#[test]
fn removal_leaves_nothing_and_a_running_container_is_removed_only_by_force() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let grpc = Grpc::connect(&daemon.socket());
    made::image(&scratch, &grpc);
    let before = snapshots(&grpc);
    create(&grpc, "made", config(&["true"])).expect("created");
    made::run_to_end(&grpc, "ended", &["true"]);
    let running = made::run(&grpc, "runs", &["sleep", "600"]);
    let status = made::remove(&grpc, "runs", false).expect_err("it runs");
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("force"), "{status:?}");
    assert_eq!(made::state(&grpc, "runs"), ContainerState::Running);
    assert_eq!(made::remove(&grpc, "runs", true).expect("removed"), running);
    for name in ["made", "ended"] {
        let bundle = inspect(&grpc, name).expect("there").bundle_path;
        made::remove(&grpc, name, false).expect(name);
        assert!(!std::path::Path::new(&bundle).exists(), "{bundle}");
        assert_eq!(made::remove(&grpc, name, false).expect_err("gone").code(), Code::NotFound);
    }
    assert_eq!(snapshots(&grpc), before);
    for directory in ["attach", "shims"] {
        let left = std::fs::read_dir(daemon.state().join(directory)).expect("a directory").count();
        assert_eq!(left, 0, "sockets are left in {directory}");
    }
}
