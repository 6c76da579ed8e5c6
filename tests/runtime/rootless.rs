//! A user who is not root, without entries in /etc/subuid but where a test makes some: from `spec --rootless` to a
//! container and its end, and what an administrator may delegate to the user: more ids, and cgroups.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;
use std::time::Duration;

use knarr_tests::{Outcome, Scratch, eventually, leftovers, process, programs, require, rootfs};
use serde_json::{Value, json};

/// `nobody`, on every machine.
const USER: u32 = 65534;

/// In a bundle of the user's: the runtime, as the user.
fn as_user(scratch: &Scratch, args: &[&str]) -> Outcome {
    with(scratch.command(programs::tool("setpriv")), scratch, args)
}

/// The same by a command that begins with setpriv.
fn with(mut command: Command, scratch: &Scratch, args: &[&str]) -> Outcome {
    let user = USER.to_string();
    command.args(["--reuid", &user, "--regid", &user, "--clear-groups"]);
    command.arg(scratch.join("program/knarr-runtime")).arg("--root").arg(scratch.join("bundle/state"));
    process::run(command.args(args).current_dir(scratch.join("bundle")))
}

/// A bundle with the configuration that `spec --rootless` writes, its process a line of shell.
fn bundle(scratch: &Scratch, line: &str, edit: impl FnOnce(&mut Value)) {
    // Where the programs are built, another user may have no way in.
    let program = scratch.directory("program").join("knarr-runtime");
    fs::copy(programs::ours("knarr-runtime"), &program).expect("a copy of the program");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("its mode");
    let bundle = scratch.directory("bundle");
    rootfs::make(&bundle.join("rootfs"));
    chown(&bundle, Some(USER), Some(USER)).expect("the bundle is the user's");
    chown(bundle.join("rootfs"), Some(USER), Some(USER)).expect("the rootfs is the user's");
    as_user(scratch, &["spec", "--rootless"]).success();
    let path = bundle.join("config.json");
    let mut config: Value =
        serde_json::from_str(&fs::read_to_string(&path).expect("it was written")).expect("it is JSON");
    config["process"]["terminal"] = false.into();
    config["process"]["args"] = vec!["sh", "-c", line].into();
    edit(&mut config);
    fs::write(&path, config.to_string()).expect("the edited configuration");
}

#[test]
fn a_user_runs_the_container_that_spec_describes() {
    require!(root, tool("setpriv"), tool("busybox"));
    let scratch = Scratch::new();
    // The host's /sys is bound with all that is mounted below it.
    bundle(&scratch, "id -u; cat /proc/self/uid_map; ls -d /sys/fs/cgroup", |_| ());
    let run = as_user(&scratch, &["run", "one"]).success();
    let words: Vec<&str> = run.stdout.split_whitespace().collect();
    assert_eq!(words, ["0", "0", "65534", "1", "/sys/fs/cgroup"], "{run}");
    assert_eq!(as_user(&scratch, &["list", "--quiet"]).success().stdout, "");
}

#[test]
fn a_user_enters_and_ends_a_container() {
    require!(root, tool("setpriv"), tool("busybox"));
    let scratch = Scratch::new();
    bundle(&scratch, "exec sleep 60", |_| ());
    as_user(&scratch, &["run", "--detach", "one"]).success();
    let seen = as_user(&scratch, &["exec", "one", "id", "-u"]).success();
    assert_eq!(seen.stdout, "0\n", "{seen}");
    as_user(&scratch, &["delete", "--force", "one"]).success();
    assert_eq!(as_user(&scratch, &["list", "--quiet"]).success().stdout, "");
}

/// Without a cgroup only the state tells which process it is: its copy is whole, too.
#[test]
fn a_container_without_cgroups_is_deleted_by_force_when_its_state_is_damaged() {
    require!(root, tool("setpriv"), tool("busybox"));
    let scratch = Scratch::new();
    bundle(&scratch, "exec sleep 60", |_| ());
    for damaged in ["", "{", "{}"] {
        as_user(&scratch, &["run", "--detach", "one"]).success();
        let state = scratch.join("bundle/state/one/state.json");
        let remembered: Value =
            serde_json::from_str(&fs::read_to_string(&state).expect("a state")).expect("it is JSON");
        assert_eq!(remembered["cgroups"]["hierarchies"], json!([]), "the user may make cgroups here");
        let pid = remembered["init"]["pid"].as_u64().expect("a pid");
        fs::write(&state, damaged).expect("the test's own file");
        assert!(!as_user(&scratch, &["delete", "one"]).status.success());
        assert!(fs::exists(format!("/proc/{pid}/root/bin")).expect("procfs"), "without --force it is ended");
        as_user(&scratch, &["delete", "--force", "one"]).success();
        eventually(Duration::from_secs(10), || {
            (!fs::exists(format!("/proc/{pid}/root/bin")).unwrap_or(false)).then_some(())
        });
        assert!(!scratch.join("bundle/state/one").exists());
    }
}

/// As rootless Docker and Podman call it: by root of a user namespace that they have made, for a container that has none of
/// its own. Nobody makes device nodes there or has a way back to the host's pid namespace.
#[test]
fn root_of_a_user_namespace_runs_enters_and_ends_a_container() {
    require!(root, tool("setpriv"), tool("unshare"), tool("busybox"));
    let scratch = Scratch::new();
    bundle(&scratch, "exec sleep 60", |config| {
        let linux = config["linux"].as_object_mut().expect("an object");
        linux.retain(|name, _| !name.ends_with("Mappings"));
        linux["namespaces"].as_array_mut().expect("a list").retain(|namespace| namespace["type"] != "user");
    });
    let script = "knarr() { \"$0\" --root state \"$@\"; }; knarr run --detach one && \
                  knarr exec one sh -c 'id -u; echo told >/dev/null; cat /dev/null; ! chmod 600 /dev/null' && \
                  knarr delete --force one";
    let user = USER.to_string();
    let mut command = scratch.command(programs::tool("setpriv"));
    command.args(["--reuid", &user, "--regid", &user, "--clear-groups"]);
    command.args(["unshare", "-Urm", "--propagation", "private", "sh", "-c", script]);
    command.arg(scratch.join("program/knarr-runtime")).current_dir(scratch.join("bundle"));
    assert_eq!(process::run(&mut command).success().stdout, "0\n");
}

#[test]
fn mappings_that_the_user_has_no_right_to_are_refused() {
    require!(root, tool("setpriv"), tool("busybox"));
    let scratch = Scratch::new();
    bundle(&scratch, "true", |config| config["linux"]["uidMappings"][0]["size"] = 2.into());
    let run = as_user(&scratch, &["run", "one"]);
    assert!(!run.status.success() && run.stderr.contains("uid"), "{run}");
    assert_eq!(as_user(&scratch, &["list", "--quiet"]).success().stdout, "");
}

/// The runtime as the user, to whom /etc/subuid and /etc/subgid give 300 ids in two ranges each.
fn with_ranges(scratch: &Scratch, args: &[&str]) -> Outcome {
    for (name, text) in [
        ("subuid", format!("{USER}:700000:200\nnobody:800000:100\n")),
        ("subgid", format!("{USER}:710000:100\nnobody:900000:200\n")),
    ] {
        fs::write(scratch.join(name), text).expect("a file");
    }
    let prepare = "mount --bind \"$0/subuid\" /etc/subuid && mount --bind \"$0/subgid\" /etc/subgid";
    with(scratch.with_mounts(prepare, scratch.path(), programs::tool("setpriv")), scratch, args)
}

fn range(inside: u32, host: u32, size: u32) -> Value {
    json!({ "containerID": inside, "hostID": host, "size": size })
}

#[test]
fn newuidmap_and_newgidmap_give_a_user_several_ranges() {
    require!(root, tool("setpriv"), tool("busybox"), tool("newuidmap"), tool("newgidmap"));
    let scratch = Scratch::new();
    bundle(&scratch, "cat /proc/self/uid_map /proc/self/gid_map; id -u; id -g", |config| {
        config["linux"]["uidMappings"] =
            json!([range(0, USER, 1), range(1, 700_000, 200), range(201, 800_000, 100)]);
        config["linux"]["gidMappings"] =
            json!([range(0, USER, 1), range(1, 710_000, 100), range(101, 900_000, 200)]);
        config["process"]["user"] = json!({ "uid": 205, "gid": 299 });
    });
    let run = with_ranges(&scratch, &["run", "one"]).success();
    let words: Vec<&str> = run.stdout.split_whitespace().collect();
    let users = ["0", "65534", "1", "1", "700000", "200", "201", "800000", "100"];
    let groups = ["0", "65534", "1", "1", "710000", "100", "101", "900000", "200"];
    assert_eq!((&words[..9], &words[9..18]), (&users[..], &groups[..]), "{run}");
    assert_eq!(words[18..], ["205", "299"], "{run}");
}

#[test]
fn more_ids_than_newuidmap_may_give_are_refused() {
    require!(root, tool("setpriv"), tool("busybox"), tool("newuidmap"), tool("newgidmap"));
    let scratch = Scratch::new();
    bundle(&scratch, "true", |config| {
        config["linux"]["uidMappings"] = json!([range(0, USER, 1), range(1, 800_000, 101)]);
        config["linux"]["gidMappings"] = json!([range(0, USER, 1), range(1, 900_000, 101)]);
    });
    let refused = with_ranges(&scratch, &["run", "one"]).exits_with(1);
    assert!(refused.stderr.contains("newuidmap refused the mappings"), "{refused}");
    assert_eq!(as_user(&scratch, &["list", "--quiet"]).success().stdout, "");
}

/// Gives the user v1 cgroups as administrators who know of nothing else do: the v2 hierarchy stays theirs.
fn delegate(scratch: &Scratch) {
    let prefix = scratch.cgroup_prefix();
    for root in leftovers::cgroup_roots().iter().filter(|root| !root.ends_with("unified")) {
        let parent = root.join(prefix.trim_start_matches('/'));
        fs::create_dir(&parent).expect("a cgroup");
        for name in ["", "cgroup.procs", "tasks", "cpuset.cpus", "cpuset.mems"] {
            let path = parent.join(name);
            if !path.exists() {
                continue;
            }
            if name.starts_with("cpuset.") {
                fs::copy(root.join(name), &path).expect("the parent's CPUs and nodes");
            }
            chown(&path, Some(USER), Some(USER)).expect("it is the user's");
        }
    }
}

/// v2 beside v1 has no limits, so that it may be left out.
#[test]
fn a_user_has_limits_in_the_v1_cgroups_that_are_delegated() {
    require!(root, cgroup1, tool("setpriv"), tool("busybox"));
    let scratch = Scratch::new();
    delegate(&scratch);
    bundle(&scratch, "exec sleep 60", |config| {
        config["linux"]["cgroupsPath"] = scratch.cgroup("one").into();
        config["linux"]["resources"]["pids"] = json!({ "limit": 7 });
    });
    as_user(&scratch, &["run", "--detach", "one"]).success();
    let file = format!("/sys/fs/cgroup/pids{}/pids.max", scratch.cgroup("one"));
    assert_eq!(fs::read_to_string(file).expect("the limit"), "7\n");
    let listed = as_user(&scratch, &["ps", "--format", "json", "one"]).success().stdout;
    assert_eq!(serde_json::from_str::<Vec<u32>>(&listed).expect("pids").len(), 1, "{listed}");
    as_user(&scratch, &["delete", "--force", "one"]).success();
    assert!(scratch.pids("one").is_empty());
}

/// It has none of its own, and is in its caller's.
#[test]
fn a_container_sees_the_cgroups_that_it_is_in() {
    require!(root, cgroup1, tool("setpriv"), tool("busybox"));
    for has_namespace in [true, false] {
        let scratch = Scratch::new();
        bundle(&scratch, "grep -q ^1$ /sys/fs/cgroup/pids/cgroup.procs && echo there", |config| {
            let namespaces = config["linux"]["namespaces"].as_array_mut().expect("a list");
            namespaces.retain(|namespace| namespace["type"] != "cgroup");
            if has_namespace {
                namespaces.push(json!({ "type": "cgroup" }));
            }
            config["mounts"].as_array_mut().expect("a list").push(json!(
                { "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"] }
            ));
        });
        assert_eq!(as_user(&scratch, &["run", "one"]).success().stdout, "there\n");
    }
}

#[test]
fn a_cgroup_that_is_asked_for_and_not_permitted_is_refused_in_runcs_words() {
    require!(root, cgroup1, tool("setpriv"), tool("busybox"));
    let scratch = Scratch::new();
    bundle(&scratch, "true", |config| config["linux"]["cgroupsPath"] = scratch.cgroup("one").into());
    let refused = as_user(&scratch, &["run", "one"]).exits_with(1);
    for words in ["unable to apply cgroup configuration", "permission denied"] {
        assert!(refused.stderr.contains(words), "{refused}");
    }
    assert_eq!(as_user(&scratch, &["list", "--quiet"]).success().stdout, "");
}

/// With neither, nothing but the first process is known of it.
#[test]
fn a_container_without_cgroup_and_pid_namespace_is_warned_of_and_can_be_killed() {
    require!(root, tool("setpriv"), tool("busybox"));
    let scratch = Scratch::new();
    bundle(&scratch, "exec sleep 60", without_pid_namespace);
    let run = as_user(&scratch, &["run", "--detach", "one"]).success();
    assert!(run.stderr.contains("Such configuration is strongly discouraged"), "{run}");
    as_user(&scratch, &["kill", "one", "KILL"]).success();
    wait_for_stop(&scratch);
    as_user(&scratch, &["kill", "one", "0"]).exits_with(1);
    as_user(&scratch, &["kill", "--all", "one", "0"]).success();
    as_user(&scratch, &["delete", "one"]).success();
}

/// A process in v1's freezer dies of a signal only when it is let go.
#[test]
fn what_v1_has_paused_can_be_killed_and_deleted() {
    require!(root, cgroup1, tool("setpriv"), tool("busybox"));
    let scratch = Scratch::new();
    delegate(&scratch);
    bundle(&scratch, "exec sleep 60", |config| {
        config["linux"]["cgroupsPath"] = scratch.cgroup("one").into();
    });
    for namespace in [true, false] {
        let path = scratch.join("bundle/config.json");
        let mut config: Value =
            serde_json::from_str(&fs::read_to_string(&path).expect("there")).expect("JSON");
        if !namespace {
            without_pid_namespace(&mut config);
            fs::write(&path, config.to_string()).expect("the edited configuration");
        }
        as_user(&scratch, &["run", "--detach", "one"]).success();
        as_user(&scratch, &["pause", "one"]).success();
        as_user(&scratch, &["kill", "one", "KILL"]).success();
        wait_for_stop(&scratch);
        as_user(&scratch, &["delete", "one"]).success();

        as_user(&scratch, &["run", "--detach", "one"]).success();
        as_user(&scratch, &["pause", "one"]).success();
        as_user(&scratch, &["delete", "--force", "one"]).success();
        assert!(scratch.pids("one").is_empty());
    }
}

fn wait_for_stop(scratch: &Scratch) {
    eventually(Duration::from_secs(10), || {
        let state = as_user(scratch, &["state", "one"]).success().stdout;
        state.contains("\"status\": \"stopped\"").then_some(())
    });
}

/// A procfs takes a pid namespace of its own; the host's is bound instead.
fn without_pid_namespace(config: &mut Value) {
    config["linux"]["namespaces"]
        .as_array_mut()
        .expect("a list")
        .retain(|namespace| namespace["type"] != "pid");
    for mount in config["mounts"].as_array_mut().expect("a list") {
        if mount["type"] == "proc" {
            *mount = json!({ "destination": "/proc", "source": "/proc", "options": ["rbind"] });
        }
    }
}

#[test]
fn a_terminal_multiplexer_among_the_devices_is_the_containers_own() {
    require!(root, tool("setpriv"), tool("busybox"));
    let scratch = Scratch::new();
    bundle(&scratch, "readlink /dev/ptmx", |config| {
        config["linux"]["devices"] = json!([{ "path": "/dev/ptmx", "type": "c", "major": 5, "minor": 2 }]);
    });
    assert_eq!(as_user(&scratch, &["run", "one"]).success().stdout, "pts/ptmx\n");
}

#[test]
fn a_mount_is_made_of_an_earlier_one_in_the_container() {
    require!(root, tool("setpriv"), tool("busybox"));
    let scratch = Scratch::new();
    bundle(&scratch, "cat /two/file", |config| {
        let rootfs = scratch.join("bundle/rootfs");
        fs::create_dir(scratch.join("bundle/source")).expect("a directory");
        fs::write(scratch.join("bundle/source/file"), "from the first").expect("a file");
        let mounts = config["mounts"].as_array_mut().expect("a list");
        for (source, destination) in [(scratch.join("bundle/source"), "/one"), (rootfs.join("one"), "/two")] {
            mounts.push(
                json!({ "source": source, "destination": destination, "type": "bind", "options": ["bind"] }),
            );
        }
    });
    assert_eq!(as_user(&scratch, &["run", "one"]).success().stdout, "from the first");
}

/// Only inside the user namespace has the user the rights to enter the pid namespace that belongs to it.
#[test]
fn a_user_runs_a_container_in_the_namespaces_of_another() {
    require!(root, tool("setpriv"), tool("busybox"));
    let scratch = Scratch::new();
    bundle(&scratch, "exec sleep 60", |_| ());
    as_user(&scratch, &["run", "--detach", "one"]).success();
    let state = as_user(&scratch, &["state", "one"]).success().stdout;
    let state: Value = serde_json::from_str(&state).expect("JSON");
    let path = scratch.join("bundle/config.json");
    let text = fs::read_to_string(&path).expect("the configuration");
    let mut config: Value = serde_json::from_str(&text).expect("JSON");
    for namespace in config["linux"]["namespaces"].as_array_mut().expect("a list") {
        let kind = namespace["type"].as_str().expect("a word").to_owned();
        if ["user", "pid"].contains(&kind.as_str()) {
            namespace["path"] = format!("/proc/{}/ns/{kind}", state["pid"]).into();
        }
    }
    let linux = config["linux"].as_object_mut().expect("an object");
    linux.remove("uidMappings");
    linux.remove("gidMappings");
    config["process"]["args"] = vec!["cat", "/proc/1/comm"].into();
    fs::write(&path, config.to_string()).expect("the edited configuration");
    assert_eq!(as_user(&scratch, &["run", "two"]).success().stdout, "sleep\n");
    as_user(&scratch, &["delete", "--force", "one"]).success();
    assert_eq!(as_user(&scratch, &["list", "--quiet"]).success().stdout, "");
}
