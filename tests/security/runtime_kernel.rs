//! What the kernel still answers inside: filtered system calls by every way in, devices, cgroups, keyrings, terminals,
//! names and clocks of others. Classes R19, R20, R24, R25, R30, R34 and R35.

use std::fs;
use std::path::Path;

use knarr_tests::{Bundle, Outcome, Pty, Runtime, Scratch, process, require};
use serde_json::{Value, json};

use crate::attacker;

/// Docker's default profile as Docker resolves it for its default capabilities.
const DOCKER: &str = include_str!("../../runtime/src/security/seccomp/tests/docker.json");

fn results(outcome: &Outcome) -> std::collections::BTreeMap<&str, &str> {
    outcome.stdout.lines().filter_map(|line| line.split_once(' ')).collect()
}

#[test]
fn a_filter_holds_by_every_way_into_the_kernel() {
    require!(root, tool("busybox"), tool("cc"));
    if std::env::consts::ARCH != "x86_64" {
        return require::skip("a_filter_holds_by_every_way_into_the_kernel", "not x86_64");
    }
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let first = Bundle::busybox(&scratch, "first").args(["attacker", "calls"]);
    attacker::arm(&scratch, &first);
    let open = runtime.run(&first).success();
    let open = results(&open);
    // The control: without a filter these reach the kernel, which does them or finds fault with their arguments.
    for call in
        ["getpid", "keyctl", "unshare_user", "clone_user", "personality", "clone3", "mount", "i386_keyctl"]
    {
        assert_ne!(open[call], "EPERM", "{call} without a filter");
    }
    let profile: Value = serde_json::from_str(DOCKER).expect("JSON");
    for (name, no_new_privileges, uid) in [("nnp", true, 0), ("plain", false, 0), ("user", true, 1000)] {
        let bundle = first.another(&scratch, name).edit(|config| {
            config["linux"]["seccomp"] = profile.clone();
            config["process"]["noNewPrivileges"] = json!(no_new_privileges);
            config["process"]["user"] = json!({ "uid": uid, "gid": uid });
        });
        let outcome = runtime.run(&bundle).success();
        let filtered = results(&outcome);
        for (call, result) in &filtered {
            let allowed = matches!(*call, "getpid" | "ptrace_self");
            let refused = matches!(*result, "EPERM" | "ENOSYS" | "killed");
            assert!(allowed == (*result == "worked") && (allowed || refused), "{name}: {call} {result}");
        }
        assert_eq!(filtered["clone3"], "ENOSYS", "so that the C library falls back to clone");
        assert_eq!(filtered.len(), open.len(), "{outcome}");
    }
}

#[test]
fn a_device_node_of_the_hosts_disk_opens_nothing() {
    require!(root, tool("busybox"), cgroup("devices"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let partitions = fs::read_to_string("/proc/partitions").expect("procfs");
    let numbers: Vec<&str> = partitions.lines().nth(2).unwrap_or_default().split_whitespace().collect();
    let [major, minor, ..] = numbers[..] else {
        return require::skip("a_device_node_of_the_hosts_disk_opens_nothing", "no disk");
    };
    let script = format!(
        "rm -f /tmp/*; mknod /tmp/disk b {major} {minor} && head -c 1 /tmp/disk >/dev/null 2>&1 && echo READ; \
         mknod /tmp/mem c 1 1 && head -c 1 /tmp/mem >/dev/null 2>&1 && echo MEM; mknod /tmp/kmsg c 1 11 && head -c 1 /tmp/kmsg 2>/dev/null && echo KMSG; \
         mknod /tmp/null c 1 3 && echo x >/tmp/null && echo null; exit 0"
    );
    let bundle = Bundle::busybox(&scratch, "disk").script(&script);
    let outcome = runtime.run(&bundle).success();
    assert_eq!(outcome.stdout, "null\n", "{outcome}");
    // And a process that comes later is held as well.
    let container = runtime.run_detached(&bundle.another(&scratch, "later").args(["sleep", "600"]));
    assert_eq!(container.exec(["sh", "-c", &script]).success().stdout, "null\n");
}

#[test]
fn a_device_is_made_below_dev_or_refused() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let canary = crate::canary::Canary::new(&scratch);
    let up = format!("/dev/{}{}/x", "../".repeat(30), canary.path().display());
    for (number, path) in [up.as_str(), "/dev/../../x", "relative", "", "/dev/a\0b"].iter().enumerate() {
        let bundle = Bundle::busybox(&scratch, &format!("device-{number}")).edit(|config| {
            config["linux"]["devices"] =
                json!([{ "path": path, "type": "c", "major": 1, "minor": 3, "fileMode": 438 }]);
        });
        runtime.run(&bundle);
        canary.assert_untouched(path);
    }
}

#[test]
fn the_cgroups_of_others_are_out_of_reach() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let neighbour = runtime_neighbour(&scratch);
    let container = runtime.run_detached(&neighbour);
    let script = "grep -c knarr-test /proc/self/cgroup; find /sys/fs/cgroup -name 'knarr-test*' | head -3; \
                  for f in $(find /sys/fs/cgroup -name cgroup.procs -o -name release_agent -o -name tasks); do (echo $$ >$f) 2>/dev/null && echo WROTE $f; done; \
                  mkdir /tmp/c; for o in memory pids cpu; do mount -t cgroup -o $o none /tmp/c 2>/dev/null && echo MOUNTED; done; \
                  unshare -Urm true 2>/dev/null; mount -t cgroup2 none /tmp/c 2>/dev/null && echo MOUNTED; exit 0";
    let is_v2 = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    for namespace in [false, true] {
        let bundle =
            neighbour.another(&scratch, &format!("reach-{namespace}")).script(script).edit(|config| {
                if namespace {
                    config["linux"]["namespaces"]
                        .as_array_mut()
                        .expect("a list")
                        .push(json!({ "type": "cgroup" }));
                }
            });
        let outcome = runtime.run(&bundle).success();
        assert!(!outcome.stdout.contains("WROTE") && !outcome.stdout.contains("MOUNTED"), "{outcome}");
        // Without a namespace the mount of v2 is the host's hierarchy, with runc as well.
        let may_see = is_v2 && !namespace;
        assert!(
            may_see || !outcome.stdout.contains("/sys/fs/cgroup/"),
            "another's cgroup is in sight: {outcome}"
        );
        let shown: u32 = outcome.stdout.lines().next().and_then(|line| line.parse().ok()).expect("a count");
        assert!(!namespace || shown == 0, "a cgroup namespace shows where it is: {outcome}");
    }
    assert_eq!(container.status(), "running");
    // The control: with the right to mount and a writable mount it does both, to its own cgroup.
    let given = neighbour.another(&scratch, "given").script(script).edit(|config| {
        config["linux"]["namespaces"].as_array_mut().expect("a list").push(json!({ "type": "cgroup" }));
        let rights = json!(["CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE"]);
        config["process"]["capabilities"] =
            json!({ "bounding": rights, "effective": rights, "permitted": rights });
        let mounts = config["mounts"].as_array_mut().expect("a list");
        let cgroup = mounts.iter_mut().find(|mount| mount["type"] == "cgroup").expect("the cgroup mount");
        cgroup["options"] = json!(["rw"]);
    });
    let outcome = runtime.run(&given).success();
    assert!(outcome.stdout.contains("WROTE") && outcome.stdout.contains("MOUNTED"), "blind: {outcome}");
}

fn runtime_neighbour(scratch: &Scratch) -> Bundle {
    Bundle::busybox(scratch, "neighbour").args(["sleep", "600"])
}

#[test]
fn two_containers_share_no_name_key_or_queue() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let first = Bundle::busybox(&scratch, "first").args(["sleep", "600"]);
    let one = runtime.run_detached(&first);
    let two = runtime.run_detached(&first.another(&scratch, "second"));
    let session = |pid: i32| {
        let keys = fs::read_to_string(format!("/proc/{pid}/keys")).unwrap_or_default();
        keys.lines().filter(|line| line.contains("_ses")).map(str::to_owned).collect::<Vec<_>>()
    };
    one.exec([
        "sh",
        "-c",
        "echo x >/dev/shm/x; hostname mine 2>/dev/null; ipcmk -M 4096 2>/dev/null; touch /dev/mqueue/q",
    ])
    .success();
    let seen = two
        .exec([
            "sh",
            "-c",
            "ls /dev/shm /dev/mqueue; hostname; ps -o comm | grep -c '^sleep$'; ip link 2>/dev/null | grep -c '^[0-9]'",
        ])
        .success();
    assert_eq!(seen.stdout, "/dev/mqueue:\n\n/dev/shm:\nknarr\n1\n1\n", "{seen}");
    for kind in ["pid", "net", "ipc", "uts", "mnt"] {
        let [a, b, own] = [one.pid().to_string(), two.pid().to_string(), "self".to_owned()]
            .map(|who| fs::read_link(format!("/proc/{who}/ns/{kind}")).expect("a namespace"));
        assert!(a != b && a != own && b != own, "{kind}: {a:?} {b:?} {own:?}");
    }
    // Each has a session keyring of its own, named for it.
    assert!(session(one.pid()).iter().all(|line| !line.contains("_ses.second")), "{:?}", session(one.pid()));
}

#[test]
fn a_container_types_nothing_into_its_callers_terminal() {
    require!(root, tool("busybox"), tool("cc"), tool("setsid"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let first = Bundle::busybox(&scratch, "tty")
        .script("attacker inject /dev/tty; attacker inject /proc/self/fd/0; echo end")
        .edit(|config| config["process"]["terminal"] = json!(true));
    attacker::arm(&scratch, &first);
    let pty = Pty::spawn(&runtime.verb("run", &first));
    let (_, shown) = pty.finish(process::DEADLINE);
    // It has a terminal of its own: whatever it pushes, it pushes to itself, and ours does not echo it back as a
    // command.
    assert!(shown.contains("end"), "{shown}");
    let bare = first.another(&scratch, "bare").edit(|config| config["process"]["terminal"] = json!(false));
    let pty = Pty::spawn(&runtime.verb("run", &bare));
    let (_, shown) = pty.finish(process::DEADLINE);
    assert!(
        shown.contains("inject ENXIO") || shown.contains("inject EIO") || shown.contains("inject EPERM"),
        "{shown}"
    );
    assert!(!shown.contains("worked"), "the caller's terminal took a key from the container: {shown}");
    // The control: a process of the caller's session types what it likes.
    let mut beside = scratch.command(first.rootfs().join("bin/attacker"));
    beside.args(["inject", "/dev/tty"]);
    let (_, shown) = Pty::spawn(&beside).finish(process::DEADLINE);
    assert!(shown.contains("inject worked"), "blind: {shown}");
}
