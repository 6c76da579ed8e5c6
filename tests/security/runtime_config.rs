//! Hostile ids, cgroup paths, configurations, hooks and peers: refused with a sentence, and nothing changes. Classes
//! R16 to R18, R23, R26, R27 and R32.

use std::fs;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use knarr_tests::leftovers::Leftovers;
use knarr_tests::{Bundle, Outcome, Runtime, Scratch, process, require};
use serde_json::json;

/// Failed, and said why in our own words: no panic, no signal.
#[track_caller]
fn refused(outcome: &Outcome, what: &str) {
    let shown: String = what.chars().take(200).collect();
    let clear = outcome.code() < 128 && !outcome.stderr.contains("panicked") && outcome.stderr.len() > 10;
    assert!(!outcome.status.success() && clear, "{shown}: {outcome}");
}

#[test]
fn an_id_that_is_no_name_is_refused_everywhere() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = Bundle::busybox(&scratch, "ids");
    let long = "x".repeat(4096);
    let ids = [
        ".",
        "..",
        "",
        "a/b",
        "../x",
        "/",
        "/etc",
        "a/../b",
        "a b",
        "a\n",
        "ä",
        "a\u{202e}b",
        "*",
        "a;b",
        "$(id)",
        &long,
        "a\\b",
        "a:b",
        "./a",
        "a/",
        "%2e%2e",
        "a\u{7f}",
    ];
    fs::create_dir_all(runtime.root().join("victim")).expect("ours");
    let listing = || {
        fs::read_dir(scratch.path())
            .expect("ours")
            .flatten()
            .map(|entry| entry.file_name())
            .collect::<Vec<_>>()
    };
    let before = listing();
    for id in ids {
        let mut create = runtime.command(["create", "--bundle"]);
        create.arg(bundle.path()).args(["--", id]);
        refused(&process::run(&mut create), id);
        for verb in [
            &["state"][..],
            &["start"],
            &["kill"],
            &["delete"],
            &["delete", "--force"],
            &["pause"],
            &["exec"],
        ] {
            let mut command = runtime.command(verb);
            command.args(["--", id]);
            if verb[0] == "exec" {
                command.arg("true");
            }
            let outcome = process::run(&mut command);
            // `delete --force` of what is not there is a success for a name that could be.
            assert!(!outcome.status.success(), "{verb:?} {id:?}: {outcome}");
        }
    }
    assert_eq!(before, listing());
    assert!(runtime.root().join("victim").exists());
}

#[test]
fn a_cgroup_path_that_leaves_its_place_is_refused() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let neighbour = Bundle::busybox(&scratch, "neighbour").args(["sleep", "600"]);
    let container = runtime.run_detached(&neighbour);
    let prefix = scratch.cgroup_prefix();
    let deep = format!("{prefix}/{}", "d/".repeat(2000));
    let long = format!("{prefix}/{}", "n".repeat(300));
    let paths = [
        "/",
        "..",
        "../x",
        &format!("{prefix}/../../x"),
        &format!("{prefix}/.."),
        "/../..",
        &deep,
        &long,
        &format!("{prefix}/a\nb"),
        &prefix,
        &format!("{prefix}/neighbour"),
        &format!("{prefix}//neighbour/."),
    ];
    for path in paths {
        let bundle =
            neighbour.another(&scratch, "bad").edit(|config| config["linux"]["cgroupsPath"] = json!(path));
        refused(&runtime.run(&bundle), path);
        assert!(!runtime.root().join("bad").exists(), "{path:?} left a state");
        assert_eq!(container.status(), "running", "after {path:?}");
    }
}

#[test]
fn a_configuration_that_is_broken_or_huge_is_refused_quickly() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = Bundle::busybox(&scratch, "hostile");
    let good = bundle.config().to_string();
    let put = |text: Vec<u8>, what: &str| {
        fs::write(bundle.path().join("config.json"), text).expect("ours");
        let begun = Instant::now();
        refused(&runtime.run(&bundle), what);
        assert!(begun.elapsed() < Duration::from_secs(10), "{what} took {:?}", begun.elapsed());
        assert!(!runtime.root().join("hostile").exists(), "{what} left a state");
    };
    for (what, text) in [
        ("empty", ""),
        ("a word", "null"),
        ("a list", "[]"),
        ("half", &good[..good.len() / 2]),
        ("an object", "{}"),
        ("deep lists", &"[".repeat(100_000)),
        ("deep objects", &"{\"a\":".repeat(100_000)),
        (
            "twice the same key",
            "{\"ociVersion\":\"1.0.2\",\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"rootfs\"}}",
        ),
        ("another version", "{\"ociVersion\":\"99.0.0\"}"),
    ] {
        put(text.as_bytes().to_vec(), what);
    }
    put(b"\xff\xfe{}".to_vec(), "no UTF-8");
    put([good.as_bytes(), &vec![b' '; 64 << 20]].concat(), "64 MiB");
    for (pointer, value) in [
        ("/process/args", json!([])),
        ("/process/args/0", json!("a\0b")),
        ("/process/args/0", json!(7)),
        ("/process/env", json!(["A=b\0c"])),
        ("/process/cwd", json!("relative")),
        ("/process/cwd", json!("/a\0")),
        ("/root/path", json!("")),
        ("/root/path", json!("no\0")),
        ("/root/path", json!("/not/there")),
        ("/hostname", json!("a\0b")),
        ("/mounts/0/destination", json!("a\0b")),
        ("/mounts/0/destination", json!(3)),
        ("/mounts/0/type", json!("no-such-type")),
        ("/linux/namespaces", json!([{ "type": "nonsense" }])),
        ("/linux/namespaces", json!([{ "type": "pid" }, { "type": "pid" }])),
        ("/linux/maskedPaths", json!(["a\0b"])),
        ("/linux/resources", json!("much")),
        ("/process/capabilities", json!({ "bounding": "ALL" })),
        ("/process/rlimits", json!([{ "type": "RLIMIT_X", "hard": 1, "soft": 1 }])),
        ("/process/rlimits", json!([{ "type": "RLIMIT_NOFILE", "hard": 1, "soft": 2 }])),
        ("/process/env", json!(vec!["A=x".repeat(1000); 4000])),
    ] {
        let mut config = bundle.config().clone();
        *config.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value.clone();
        put(config.to_string().into_bytes(), &format!("{pointer} = {value}"));
    }
    // What is too much for the kernel alone ends the container, which is made by then.
    let large = json!(["true", "x".repeat(3 << 20)]);
    let bundle = bundle.another(&scratch, "large").edit(|config| config["process"]["args"] = large);
    let outcome = runtime.run(&bundle).exits_with(255);
    assert_eq!(outcome.stderr, "exec /bin/true: argument list too long\n");
}

#[test]
fn nothing_but_the_configuration_decides_how_a_hook_runs() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let told = scratch.join("told");
    let bundle = Bundle::busybox(&scratch, "hooked").edit(|config| {
        let script = format!("env >{}; pwd >>{0}; ls -l /proc/self/fd | wc -l >>{0}", told.display());
        config["process"]["env"] = json!(["PATH=/bin", "LD_PRELOAD=/evil.so", "BASH_ENV=/evil", "SECRET=1"]);
        config["hooks"] =
            json!({ "createRuntime": [{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["A=1"] }] });
    });
    runtime.run(&bundle).success();
    let told = fs::read_to_string(told).expect("the hook ran");
    for word in ["LD_PRELOAD", "BASH_ENV", "SECRET", "KNARR_TEST"] {
        assert!(!told.contains(word), "{told}");
    }
    assert!(told.contains("A=1\n"), "{told}");
}

#[test]
fn a_hook_that_hangs_or_floods_is_stopped_and_undone() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    for (name, script) in [("hang", "sleep 300 & sleep 300"), ("flood", "yes"), ("fail", "exit 3")] {
        let bundle = Bundle::busybox(&scratch, name).edit(|config| {
            let environment = format!("{}={}", knarr_tests::scratch::MARK, scratch.path().display());
            config["hooks"] = json!({ "createRuntime":
                [{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": [environment], "timeout": 1 }] });
        });
        let begun = Instant::now();
        refused(&runtime.run(&bundle), name);
        assert!(begun.elapsed() < Duration::from_secs(20), "{name} took {:?}", begun.elapsed());
        assert!(!runtime.root().join(name).exists(), "{name} left a state");
        // What a hook leaves behind on purpose is the operator's own; it is the first process that must be gone.
        Leftovers::of(&scratch).remove();
    }
}

#[test]
fn a_console_socket_that_nobody_reads_or_that_is_none_is_refused() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = Bundle::busybox(&scratch, "console")
        .args(["sleep", "60"])
        .edit(|config| config["process"]["terminal"] = json!(true));
    fs::write(scratch.join("file"), "").expect("ours");
    drop(UnixListener::bind(scratch.join("closed")).expect("a socket"));
    for name in ["file", "closed", "missing"] {
        let mut create = runtime.command(["create", "--console-socket"]);
        create.arg(scratch.join(name)).arg("--bundle").arg(bundle.path()).arg(bundle.id());
        refused(&process::run(&mut create), name);
        assert!(!runtime.root().join("console").exists(), "{name} left a state");
    }
    // A listener with a full queue, which never accepts: a deadline, not a wait for ever.
    let listener = UnixListener::bind(scratch.join("deaf")).expect("a socket");
    rustix::net::listen(&listener, 0).expect("a shorter queue");
    let _waiting = std::os::unix::net::UnixStream::connect(scratch.join("deaf")).expect("the one that fits");
    let mut create = runtime.command(["create", "--console-socket"]);
    create.arg(scratch.join("deaf")).arg("--bundle").arg(bundle.path()).arg(bundle.id());
    refused(&process::run(&mut create), "deaf");
}

#[test]
fn a_state_directory_is_its_owners_alone_and_a_link_there_is_no_container() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = Bundle::busybox(&scratch, "owned").args(["sleep", "600"]);
    let container = runtime.create(&bundle);
    let state = runtime.root().join(container.id());
    assert_eq!(state.metadata().expect("there").permissions().mode() & 0o777, 0o700);
    for entry in fs::read_dir(&state).expect("there").flatten() {
        let mode = entry.metadata().expect("there").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?} is {mode:o}", entry.file_name());
    }
    symlink(&state, runtime.root().join("alias")).expect("ours");
    for verb in [&["delete", "--force", "alias"][..], &["kill", "alias", "KILL"], &["start", "alias"]] {
        runtime.call(verb);
        assert_eq!(container.status(), "created", "{verb:?} followed a link");
    }
    fs::remove_file(runtime.root().join("alias")).expect("it is there still");
    let half = runtime.root().join("half");
    for (name, text) in [
        ("empty", ""),
        ("broken", "{\"version\":1"),
        ("binary", "\u{0}\u{1}"),
        ("later", "{\"version\":77}"),
        ("list", "[]"),
    ] {
        fs::create_dir(&half).expect("ours");
        fs::write(half.join("state.json"), text).expect("ours");
        for verb in ["state", "start", "delete"] {
            refused(&runtime.call([verb, "half"]), name);
        }
        assert!(runtime.call(["list", "--quiet"]).success().stdout.contains("owned"), "{name} hides others");
        fs::remove_dir_all(&half).expect("ours");
    }
}

/// What is kept is written anew where two names are one, and at an update: numbers grow by that.
#[test]
fn a_container_of_a_huge_configuration_is_entered_and_deleted() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = Bundle::busybox(&scratch, "huge")
        .args(["sleep", "600"])
        .edit(|config| config["hooks"]["poststop"] = json!([{ "path": "/bin/true" }]));
    let numbers = ["1e9"; 1_400_000].join(",");
    let path = bundle.path().join("config.json");
    let mut text = bundle.config().to_string();
    text.pop();
    fs::write(&path, format!(r#"{text},"LINUX":{{}},"unknown":[{numbers}]}}"#)).expect("a configuration");
    let container = runtime.run_detached(&bundle);
    runtime.call(["update", "--pids-limit", "50", container.id()]).success();
    container.exec(["true"]).success();
    runtime.call(["delete", "--force", container.id()]).success();
    assert_eq!(container.status(), "gone");
    std::mem::forget(container);
}
