//! Namespaces that are given by path and are the caller's own: the container shares them, whatever the path says, and
//! gets nothing that is had in a namespace of one's own alone. The "host" is a set of namespaces of the test's.

use knarr_tests::{Bundle, Outcome, Runtime, Scratch, process, programs, require};
use serde_json::{Value, json};

/// The paths by which one's own namespace of a kind can be named; `$$` is the caller.
const SPELLINGS: [&str; 3] = ["/proc/self/ns/KIND", "/proc/thread-self/ns/KIND", "BOUND/KIND"];

/// In namespaces of its own: a name for each of them below $1, what is true before, the runtime, what is true after.
const HOST: &str = r#"
bound=$1; look=$2; shift 2
umount /sys/fs/cgroup/unified 2>/dev/null
for kind in net uts ipc cgroup pid time; do touch "$bound/$kind"; mount --bind "/proc/self/ns/$kind" "$bound/$kind" || exit 1; done
hostname host-of-test
before=$(eval "$look")
"$@" </dev/null; code=$?
after=$(eval "$look")
[ "$before" = "$after" ] && echo "same" || echo "changed from $before to $after"
exit $code
"#;

fn on_host(scratch: &Scratch, look: &str, change: impl FnOnce(&mut Value)) -> Outcome {
    let runtime = Runtime::new(scratch).as_is();
    // Each call makes a bundle of its own.
    let name = (0..)
        .map(|number| format!("b{number}"))
        .find(|name| !scratch.join(format!("bundle-{name}")).exists());
    let bundle = Bundle::busybox(scratch, &name.expect("a name that is free"))
        .script("echo it ran; hostname")
        .edit(change);
    let mut command = scratch.command(programs::tool("unshare"));
    command.args(["-m", "-u", "-i", "-n", "--propagation", "private", "sh", "-c", HOST, "sh"]);
    command
        .arg(scratch.directory("bound"))
        .arg(look)
        .arg(runtime.program())
        .arg("--root")
        .arg(runtime.root());
    command.args(["run", "--bundle"]).arg(bundle.path()).arg("one");
    process::run(&mut command)
}

fn spelled(scratch: &Scratch, kind: &str) -> Vec<String> {
    let bound = scratch.directory("bound").display().to_string();
    SPELLINGS.iter().map(|path| path.replace("KIND", kind).replace("BOUND", &bound)).collect()
}

/// Gives the namespace of a kind by path, in place of a new one.
fn given(config: &mut Value, kind: &str, path: &str) {
    let namespaces = config["linux"]["namespaces"].as_array_mut().expect("a list");
    namespaces.retain(|namespace| namespace["type"] != kind);
    namespaces.push(json!({ "type": kind, "path": path }));
    if kind == "uts" && config["hostname"] == "knarr" {
        config.as_object_mut().expect("an object").remove("hostname");
    }
}

/// A namespace's kind, its name in /proc, what is asked for, and how to look at it on the host.
type Attack = (&'static str, &'static str, fn(&mut Value), &'static str);

const ATTACKS: [Attack; 10] = [
    (
        "network",
        "net",
        |c| c["linux"]["sysctl"] = json!({ "net.ipv4.ip_forward": "1" }),
        "cat /proc/sys/net/ipv4/ip_forward",
    ),
    (
        "network",
        "net",
        |c| c["linux"]["sysctl"] = json!({ "net/ipv4/ip_default_ttl": "7" }),
        "cat /proc/sys/net/ipv4/ip_default_ttl",
    ),
    (
        "ipc",
        "ipc",
        |c| c["linux"]["sysctl"] = json!({ "kernel.msgmax": "4711" }),
        "cat /proc/sys/kernel/msgmax",
    ),
    (
        "ipc",
        "ipc",
        |c| c["linux"]["sysctl"] = json!({ "fs.mqueue.msg_max": "7" }),
        "cat /proc/sys/fs/mqueue/msg_max",
    ),
    (
        "uts",
        "uts",
        |c| c["linux"]["sysctl"] = json!({ "kernel.domainname": "evil" }),
        "cat /proc/sys/kernel/domainname",
    ),
    ("uts", "uts", |c| c["hostname"] = json!("evil"), "hostname"),
    ("uts", "uts", |c| c["domainname"] = json!("evil"), "cat /proc/sys/kernel/domainname"),
    ("user", "user", |_| (), "cat /proc/self/uid_map"),
    (
        "time",
        "time",
        |c| c["linux"]["timeOffsets"] = json!({ "monotonic": { "secs": 1000 } }),
        "readlink /proc/self/ns/time",
    ),
    (
        "network",
        "net",
        |c| c["linux"]["netDevices"] = json!({ "lo": { "name": "eth0" } }),
        "ls /sys/class/net",
    ),
];

#[test]
fn what_needs_a_namespace_of_ones_own_is_refused_with_the_hosts_by_path() {
    require!(root, tool("busybox"), tool("unshare"));
    let mut tried = 0;
    for (kind, file, ask, look) in ATTACKS {
        let scratch = Scratch::new();
        for path in
            spelled(&scratch, file).into_iter().filter(|path| kind != "user" || !path.contains("bound"))
        {
            let outcome = on_host(&scratch, look, |config| {
                given(config, kind, &path);
                ask(config);
            });
            assert!(
                !outcome.status.success() && !outcome.stdout.contains("it ran"),
                "{kind} {path}: {outcome}"
            );
            assert!(outcome.stdout.ends_with("same\n"), "{kind} {path}: {outcome}");
            tried += 1;
        }
    }
    println!("attacks by the caller's own namespaces: {tried}");
}

/// Nothing is refused that needs none: the container shares the namespace, as if it were not named.
#[test]
fn the_hosts_namespaces_by_path_are_shared() {
    require!(root, tool("busybox"), tool("unshare"));
    for (kind, file) in [
        ("network", "net"),
        ("ipc", "ipc"),
        ("uts", "uts"),
        ("pid", "pid"),
        ("cgroup", "cgroup"),
        ("time", "time"),
    ] {
        let scratch = Scratch::new();
        for path in spelled(&scratch, file) {
            let outcome = on_host(&scratch, "hostname", |config| given(config, kind, &path));
            let shown = if kind == "uts" { "it ran\nhost-of-test\nsame\n" } else { "it ran\nknarr\nsame\n" };
            assert_eq!(outcome.success().stdout, shown, "{kind} {path}");
        }
    }
}

/// The container is built aside, as without a mount namespace: the host's own root stays what it is.
#[test]
fn the_hosts_mount_namespace_by_path_is_neither_changed_nor_pivoted() {
    require!(root, tool("busybox"), tool("unshare"));
    for path in ["/proc/self/ns/mnt", "/proc/thread-self/ns/mnt"] {
        let scratch = Scratch::new();
        let outcome = on_host(&scratch, "cat /proc/self/mountinfo; ls /", |config| {
            given(config, "mount", path);
            config["linux"]["maskedPaths"] = json!([]);
            config["linux"]["readonlyPaths"] = json!([]);
        });
        assert!(outcome.stdout.ends_with("same\n"), "{path}: {outcome}");
        assert_eq!(outcome.success().stdout, "it ran\nknarr\nsame\n", "{path}");
    }
}

/// exec has no more trust in the path: it would leave the container's root behind.
#[test]
fn exec_stays_in_the_root_of_a_container_with_the_hosts_mount_namespace_by_path() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = Bundle::busybox(&scratch, "one").args(["sleep", "600"]).edit(|config| {
        given(config, "mount", "/proc/self/ns/mnt");
    });
    std::fs::write(bundle.rootfs().join("inside"), "").expect("a file");
    let container = runtime.run_detached(&bundle);
    let seen =
        container.exec(["sh", "-c", "ls /inside; ls -d /proc/1/cwd >/dev/null && echo proc"]).success();
    assert_eq!(seen.stdout, "/inside\nproc\n", "{seen}");

    // Nor where the caller of exec is in another mount namespace than the creator was.
    let mut elsewhere = scratch.command(programs::tool("unshare"));
    elsewhere
        .args(["-m", "--propagation", "private"])
        .arg(runtime.program())
        .arg("--root")
        .arg(runtime.root());
    let seen = process::run(elsewhere.args(["exec", "one", "ls", "/inside"])).success();
    assert_eq!(seen.stdout, "/inside\n", "{seen}");
}

/// A positive control: a namespace of another's by path is one of the container's own.
#[test]
fn anothers_namespace_by_path_takes_what_is_asked_for() {
    require!(root, tool("busybox"), tool("unshare"));
    let scratch = Scratch::new();
    let bound = scratch.join("bound-net").display().to_string();
    let runtime = Runtime::new(&scratch).as_is();
    let bundle =
        Bundle::busybox(&scratch, "one").script("cat /proc/sys/net/ipv4/ip_forward").edit(|config| {
            given(config, "network", &bound);
            config["linux"]["sysctl"] = json!({ "net.ipv4.ip_forward": "1" });
        });
    let run = runtime.verb("run", &bundle);
    let prepare = "touch $0 && unshare --net=$0 true";
    let mut command = scratch.with_mounts(prepare, &scratch.join("bound-net"), run.get_program());
    assert_eq!(process::run(command.args(run.get_args())).success().stdout, "1\n");
}
