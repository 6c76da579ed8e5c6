//! The package as a person installs it, in order: each check goes on where the one before it ended.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use knarr_tests::process::{self, Outcome};
use knarr_tests::{Image, Scratch, eventually, leftovers};
use serde_json::Value;

use crate::Check;

pub(crate) const FIRST: &[Check] = &[
    ("the_package_brings_programs_units_pages_and_completions", package),
    ("the_socket_starts_the_manager_which_says_when_it_is_ready", socket_starts_manager),
    ("overlayfs_is_used_and_info_tells_what_is_here", info),
    ("containers_run_under_the_default_profile_of_apparmor", apparmor),
    ("a_container_has_the_limits_and_the_cgroup_that_systemd_knows", limits),
    ("a_container_without_memory_left_is_told_as_such", out_of_memory),
    ("devices_of_the_host_are_refused_before_and_after_a_reload", devices),
    ("containers_go_on_while_the_manager_stops_and_starts", manager_stops),
    ("containers_go_on_while_the_package_is_upgraded", upgrade),
    ("what_runs_when_the_power_fails_is_on_the_disk", before_power_fails),
];

pub(crate) const AFTER_POWER_FAILED: &[Check] = &[
    ("containers_are_told_as_they_ended_and_start_again", after_power_failed),
    ("the_removed_package_leaves_only_data", removed),
    ("the_purged_package_leaves_nothing", purged),
];

const IMAGE: &str = "test/busybox:1";
const PROGRAMS: [&str; 4] = ["knarr", "knarrd", "containerd-shim-knarr-v2", "knarr-runtime"];

/// What takes a second elsewhere takes half a minute on an emulated processor whose host has more to do.
const LONGEST: Duration = Duration::from_secs(300);

fn call(program: &str, args: &[&str]) -> Outcome {
    process::run_within(LONGEST, Command::new(program).args(args).stdin(Stdio::null()))
}

fn knarr(args: &[&str]) -> Outcome {
    call("/usr/bin/knarr", args)
}

fn say(args: &[&str]) -> String {
    knarr(args).success().stdout.trim().to_owned()
}

fn systemctl(args: &[&str]) -> String {
    call("systemctl", args).stdout.trim().to_owned()
}

fn dpkg(args: &[&str]) {
    // What it needs is here, but dpkg's records of this machine are empty.
    call("/usr/bin/dpkg", &[&["--force-depends"], args].concat()).success();
}

fn inspect(name: &str) -> Value {
    let all: Value = serde_json::from_str(&say(&["inspect", name])).expect("JSON");
    all[0].clone()
}

fn pid(name: &str) -> u64 {
    inspect(name)["State"]["Pid"].as_u64().expect("a pid")
}

/// A container's cgroup directory.
fn cgroup(name: &str) -> String {
    let own = fs::read_to_string(format!("/proc/{}/cgroup", pid(name))).expect("its cgroup");
    format!("/sys/fs/cgroup{}", own.trim().strip_prefix("0::").expect("v2"))
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}")).trim().to_owned()
}

/// Processes of our programs that are not this test's.
fn ours() -> Vec<String> {
    let entries = fs::read_dir("/proc").expect("proc").flatten();
    let names = entries.filter_map(|entry| fs::read_link(entry.path().join("exe")).ok());
    names
        .map(|path| path.display().to_string())
        .filter(|path| path.starts_with("/usr/bin/") && PROGRAMS.iter().any(|name| path.contains(name)))
        .collect()
}

fn package() {
    dpkg(&["--install", "/test/knarr.deb"]);
    for file in [
        "/usr/bin/knarr",
        "/lib/systemd/system/knarrd.socket",
        "/usr/share/man/man1/knarr-run.1.gz",
        "/usr/share/man/man8/knarrd.8.gz",
        "/usr/share/bash-completion/completions/knarr",
    ] {
        assert!(Path::new(file).exists(), "{file} is not in the package");
    }
    assert_eq!(systemctl(&["is-active", "knarrd.socket"]), "active");
    assert_eq!(systemctl(&["is-enabled", "knarrd.socket"]), "enabled");
    assert_eq!(systemctl(&["is-active", "knarrd.service"]), "inactive");
}

fn socket_starts_manager() {
    assert_eq!(say(&["ps", "--all", "--quiet"]), "");
    let shown = systemctl(&["show", "-p", "Type,ActiveState,SubState,NotifyAccess", "knarrd.service"]);
    for line in ["Type=notify", "ActiveState=active", "SubState=running", "NotifyAccess=main"] {
        assert!(shown.lines().any(|shown| shown == line), "{line}: {shown}");
    }
    let main = systemctl(&["show", "--value", "-p", "MainPID", "knarrd.service"]);
    assert_eq!(fs::read_link(format!("/proc/{main}/exe")).expect("it runs"), Path::new("/usr/bin/knarrd"));
    // The socket is root's alone.
    assert_eq!(call("stat", &["-c", "%a %u %g", "/run/knarr/knarrd.sock"]).stdout.trim(), "600 0 0");
}

fn load() {
    let scratch = Scratch::new();
    let archive = scratch.join("busybox.tar");
    Image::busybox().write_docker_archive(&archive, &[IMAGE]);
    say(&["load", "-q", "-i", archive.to_str().expect("our own path")]);
}

fn info() {
    load();
    let told: Value = serde_json::from_str(&say(&["info", "--format", "json"])).expect("JSON");
    println!("info: {told}");
    assert_eq!(told["Driver"], "overlayfs", "{told}");
    assert_eq!(told["CgroupVersion"], "2", "{told}");
    say(&["run", "-d", "--name", "web", IMAGE, "sleep", "1000000"]);
    let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", pid("web"))).expect("its mounts");
    let root = mounts.lines().find(|line| line.split(' ').nth(4) == Some("/")).expect("a root");
    assert!(root.contains(" - overlay "), "{root}");
}

/// The profile that the first process of a new container says it has.
fn label(flags: &[&str]) -> String {
    say(&[&["run", "--rm"], flags, &[IMAGE, "cat", "/proc/self/attr/current"]].concat())
}

fn apparmor() {
    const CONFINED: &str = "knarr-default (enforce)";
    let told: Value = serde_json::from_str(&say(&["info", "--format", "json"])).expect("JSON");
    assert_eq!(told["SecurityOptions"], serde_json::json!(["apparmor", "seccomp"]), "{told}");
    assert_eq!(told["Warnings"], serde_json::json!([]), "{told}");
    assert_eq!(read(&format!("/proc/{}/attr/current", pid("web"))), CONFINED);
    assert_eq!(say(&["exec", "web", "cat", "/proc/self/attr/current"]), CONFINED);
    assert_eq!(label(&["--privileged"]), "unconfined");
    // What capabilities and filter would allow, the profile denies.
    let mount = ["mount", "-t", "tmpfs", "none", "/tmp"];
    let run = |flags: &[&str]| knarr(&[&["run", "--rm"], flags, &[IMAGE], &mount[..]].concat());
    assert_ne!(run(&["--cap-add", "SYS_ADMIN"]).code(), 0);
    run(&["--privileged"]).success();
    // It is signalled from outside, and signals itself.
    let kill = "sleep 100 & kill -TERM $! && wait $!; echo ended with $?";
    assert_eq!(say(&["run", "--rm", IMAGE, "sh", "-c", kill]), "ended with 143");
    // A profile that was removed is loaded again before the next container starts.
    let gone = Path::new("/run/gone");
    fs::write(gone, "profile knarr-default {}\n").expect("/run can be written");
    call("/sbin/apparmor_parser", &["--remove", "/run/gone"]).success();
    assert_eq!(label(&[]), CONFINED);
}

fn limits() {
    say(&[
        "run",
        "-d",
        "--name",
        "small",
        "--memory",
        "32m",
        "--pids-limit",
        "21",
        "--cpus",
        "0.5",
        IMAGE,
        "sleep",
        "1000000",
    ]);
    let path = cgroup("small");
    println!("cgroup: {path}");
    assert_eq!(read(&format!("{path}/memory.max")), "33554432");
    assert_eq!(read(&format!("{path}/pids.max")), "21");
    assert_eq!(read(&format!("{path}/cpu.max")), "50000 100000");
    let id = say(&["inspect", "-f", "{{.Id}}", "small"]);
    // systemd's own tree: nothing beside it at the root.
    let unit = format!("knarr-{id}.scope");
    assert_eq!(systemctl(&["is-active", &unit]), "active", "{unit}");
    assert_eq!(systemctl(&["show", "--value", "-p", "MemoryMax", &unit]), "33554432");
    say(&["rm", "-f", "small"]);
    eventually(LONGEST, || (!Path::new(&path).exists()).then_some(()));
    assert_ne!(systemctl(&["is-active", &unit]), "active");
}

fn out_of_memory() {
    let hog = "x=a; while :; do x=$x$x; done";
    let outcome =
        knarr(&["run", "--name", "hog", "--memory", "16m", "--memory-swap", "16m", IMAGE, "sh", "-c", hog]);
    assert_eq!(outcome.code(), 137, "{outcome}");
    assert_eq!(inspect("hog")["State"]["OOMKilled"], true);
    say(&["rm", "hog"]);
}

fn devices() {
    let script =
        "mknod /tmp/disk b 254 0; head -c 1 /tmp/disk; echo is $?; rm /tmp/disk; head -c 1 /dev/zero | wc -c";
    let attack = || say(&["exec", "web", "sh", "-c", script]);
    assert_eq!(attack(), "is 1\n1");
    systemctl(&["daemon-reload"]);
    assert_eq!(attack(), "is 1\n1", "after daemon-reload");
}

fn manager_stops() {
    let before = pid("web");
    systemctl(&["stop", "knarrd.socket", "knarrd.service"]);
    assert_eq!(systemctl(&["is-active", "knarrd.service"]), "inactive");
    assert!(Path::new(&format!("/proc/{before}")).exists(), "the container ended with its manager");
    systemctl(&["start", "knarrd.socket"]);
    assert_eq!(pid("web"), before);
    assert_eq!(say(&["exec", "web", "echo", "here"]), "here");
    // kill -9: systemd starts it again.
    let main = systemctl(&["show", "--value", "-p", "MainPID", "knarrd.service"]);
    call("/bin/kill", &["-9", &main]).success();
    eventually(LONGEST, || {
        let now = systemctl(&["show", "--value", "-p", "MainPID", "knarrd.service"]);
        (now != main && now != "0" && systemctl(&["is-active", "knarrd.service"]) == "active").then_some(())
    });
    assert_eq!(pid("web"), before);
}

fn upgrade() {
    let count = "n=0; while :; do n=$((n+1)); echo $n; sleep 0.1; done";
    say(&["run", "-d", "--name", "count", IMAGE, "sh", "-c", count]);
    let before = (pid("web"), pid("count"));
    let main = systemctl(&["show", "--value", "-p", "MainPID", "knarrd.service"]);
    dpkg(&["--install", "/test/knarr-newer.deb"]);
    let now = systemctl(&["show", "--value", "-p", "MainPID", "knarrd.service"]);
    assert_ne!(now, main, "the manager was not replaced");
    assert_eq!((pid("web"), pid("count")), before, "the containers are the same");
    assert_eq!(say(&["exec", "web", "echo", "here"]), "here");
    say(&["stop", "-t", "1", "count"]);
    let lines: Vec<u64> =
        say(&["logs", "count"]).lines().map(|line| line.parse().expect("a number")).collect();
    assert_eq!(lines, (1..=lines.len() as u64).collect::<Vec<_>>(), "lines are lost");
    say(&["rm", "count"]);
}

fn before_power_fails() {
    let ended = knarr(&["run", "--name", "ended", IMAGE, "sh", "-c", "exit 3"]);
    assert_eq!(ended.code(), 3, "{ended}");
    assert!(pid("web") > 0);
}

fn after_power_failed() {
    systemctl(&["start", "sockets.target"]);
    assert_eq!(inspect("ended")["State"]["ExitCode"], 3);
    let web = inspect("web");
    println!("state: {}", web["State"]);
    assert_eq!(web["State"]["Running"], false);
    assert_ne!(web["State"]["ExitCode"], 0, "an exit status is invented");
    assert_eq!(systemctl(&["list-units", "--no-legend", "knarr-*.scope"]), "");
    assert_eq!(leftovers::mounts_below(Path::new("/var/lib/knarr")), Vec::<std::path::PathBuf>::new());
    say(&["start", "web"]);
    assert_eq!(say(&["exec", "web", "echo", "here"]), "here");
}

fn removed() {
    let (id, path) = (say(&["inspect", "-f", "{{.Id}}", "web"]), cgroup("web"));
    dpkg(&["--remove", "knarr"]);
    eventually(LONGEST, || ours().is_empty().then_some(()));
    for program in PROGRAMS {
        assert!(!Path::new("/usr/bin").join(program).exists(), "{program} stays");
    }
    assert!(!Path::new(&path).exists(), "{path} stays");
    assert_ne!(systemctl(&["is-active", &format!("knarr-{id}.scope")]), "active");
    assert_eq!(systemctl(&["list-unit-files", "--no-legend", "knarrd.*"]), "");
    assert_eq!(leftovers::mounts_below(Path::new("/var/lib/knarr")), Vec::<std::path::PathBuf>::new());
    assert!(!Path::new("/run/knarr").exists(), "/run/knarr stays");
    assert!(Path::new("/var/lib/knarr/knarr.db").exists(), "the data of people is not the package's");
}

fn purged() {
    dpkg(&["--purge", "knarr"]);
    assert!(!Path::new("/var/lib/knarr").exists());
    let left = call(
        "/bin/busybox",
        &["find", "/etc", "/lib", "/usr", "/var", "/run", "-name", "*knarr*", "-not", "-path", "/usr/src/*"],
    );
    let left: Vec<&str> = left.stdout.lines().filter(|path| !path.starts_with("/var/lib/dpkg")).collect();
    assert!(left.is_empty(), "{left:?}");
}
