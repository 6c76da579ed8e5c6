//! Containers whose remembered state is damaged: `delete --force` ends what runs and removes all of it, whatever is
//! left to find it by; without force nothing is ended and nothing lost.

use std::fs;
use std::path::Path;
use std::time::Duration;

use knarr_tests::{Bundle, Runtime, Scratch, eventually, require};

const SECONDS: Duration = Duration::from_secs(10);

/// What happens to a state directory.
type Damage = fn(&Path);

const DAMAGES: [(&str, Damage); 11] = [
    ("empty", |directory| write(directory, "")),
    ("cut", |directory| {
        let text = fs::read_to_string(directory.join("state.json")).expect("a state");
        write(directory, &text[..text.len() / 2]);
    }),
    ("garbage", |directory| write(directory, "\u{7f}ELF\0\0")),
    ("bytes that are no text", |directory| {
        fs::write(directory.join("state.json"), [0xff, 0xfe, 0]).expect("our own file");
    }),
    ("another's", |directory| write(directory, "{}")),
    ("of a version to come", |directory| write(directory, r#"{"version":99}"#)),
    ("a directory", |directory| {
        remove(directory, &["state.json"]);
        fs::create_dir(directory.join("state.json")).expect("our own directory");
    }),
    ("missing", |directory| remove(directory, &["state.json"])),
    ("missing with the one before", |directory| remove(directory, &["state.json", ".state.json"])),
    ("empty with the one before", |directory| {
        write(directory, "");
        fs::write(directory.join(".state.json"), "").expect("our own file");
    }),
    ("cut, and the configuration gone", |directory| {
        write(directory, "{\"version\":1,");
        remove(directory, &["config.json"]);
    }),
];

fn write(directory: &Path, text: &str) {
    fs::write(directory.join("state.json"), text).expect("our own file");
}

fn remove(directory: &Path, names: &[&str]) {
    names.iter().for_each(|name| fs::remove_file(directory.join(name)).expect("our own file"));
}

#[test]
fn a_damaged_state_does_not_keep_a_container_from_being_deleted_by_force() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    for (number, (name, damage)) in (0..).zip(DAMAGES) {
        for verb in ["created", "running"] {
            let id = format!("{verb}-{number}");
            let bundle = Bundle::busybox(&scratch, &id).args(["sleep", "600"]);
            let container =
                if verb == "created" { runtime.create(&bundle) } else { runtime.run_detached(&bundle) };
            let pid = container.pid();
            let directory = runtime.root().join(&id);
            damage(&directory);
            let alive = || Path::new(&format!("/proc/{pid}/root")).exists();

            let refused = container.delete();
            assert!(!refused.status.success() && alive(), "{name} {verb}: {refused}");
            assert!(directory.exists(), "{name} {verb}: what it could be found by is gone: {refused}");
            assert!(runtime.call(["list", "--quiet"]).success().stdout.lines().all(|line| line != id));

            let forced = runtime.call(["delete", "--force", &id]);
            assert!(forced.status.success(), "{name} {verb}: {forced}");
            eventually(SECONDS, || (!alive()).then_some(()));
            assert!(!directory.exists(), "{name} {verb}: {forced}");
            assert!(scratch.pids(&id).is_empty(), "{name} {verb}");
            drop(container);
            scratch.assert_nothing_left();
        }
    }
}

#[test]
fn the_poststop_hooks_of_a_container_with_a_damaged_state_run() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    for (number, (name, damage)) in (0..).zip(DAMAGES).take(9) {
        let id = format!("c{number}");
        let done = scratch.join(&id);
        let line = format!("touch {}", done.display());
        let bundle = Bundle::busybox(&scratch, &id).args(["sleep", "600"]).edit(|config| {
            config["hooks"]["poststop"] =
                serde_json::json!([{ "path": "/bin/sh", "args": ["sh", "-c", line] }]);
        });
        let container = runtime.run_detached(&bundle);
        damage(&runtime.root().join(&id));
        runtime.call(["delete", "--force", &id]).success();
        assert!(done.exists(), "{name}");
        drop(container);
    }
}

/// The hooks that it names cannot be called, which is told; nothing else needs it.
#[test]
fn a_damaged_kept_configuration_does_not_keep_a_container_from_being_deleted_by_force() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    for (number, damaged) in (0..).zip([&b""[..], b"{", b"\xff\xfe", b"[1]"]) {
        let bundle = Bundle::busybox(&scratch, &format!("c{number}")).args(["sleep", "600"]).edit(|config| {
            config["hooks"]["poststop"] = serde_json::json!([{ "path": "/bin/true" }]);
        });
        let container = runtime.run_detached(&bundle);
        fs::write(runtime.root().join(container.id()).join("config.json"), damaged).expect("our own file");
        let forced = runtime.call(["delete", "--force", container.id()]).success();
        assert!(forced.stderr.contains("poststop hooks are not called"), "{forced}");
        assert!(!runtime.root().join(container.id()).exists() && scratch.pids(container.id()).is_empty());
    }
}
