//! Namespaces, devices, limits and confinement as docker's flags ask for them, seen from inside the container, and what
//! makes no sense refused in one sentence.

use knarr_tests::{Daemon, Knarr, Scratch, leftovers, require};

use crate::busybox::{self, NAME};

fn run(knarr: &Knarr, flags: &[&str], script: &str) -> String {
    knarr.say([&["run", "--rm"], flags, &[NAME, "sh", "-c", script]].concat())
}

fn link(path: &str) -> String {
    std::fs::read_link(path).expect("a namespace").display().to_string()
}

#[test]
fn namespaces_are_the_hosts_where_that_is_asked_for() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    for (flag, name) in
        [("--pid", "pid"), ("--ipc", "ipc"), ("--uts", "uts"), ("--cgroupns", "cgroup"), ("--network", "net")]
    {
        let inside = format!("readlink /proc/self/ns/{name}");
        let hosts = link(&format!("/proc/self/ns/{name}"));
        assert_eq!(run(&knarr, &[flag, "host"], &inside), hosts, "{flag}");
        assert_ne!(run(&knarr, &[], &inside), hosts, "{flag}");
    }
    assert_eq!(run(&knarr, &["--uts", "host"], "hostname"), run(&knarr, &["--network", "host"], "hostname"));
    assert_eq!(
        run(&knarr, &["--userns", "host", "--domainname", "example.net"], "cat /proc/sys/kernel/domainname"),
        "example.net"
    );
}

#[test]
fn a_container_joins_the_network_and_the_processes_of_another() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    let id = knarr.say(["run", "-d", "--name", "web", NAME, "sleep", "1000"]);
    let sleeper = knarr.say(["exec", "web", "readlink", "/proc/self/ns/net"]);
    assert_eq!(run(&knarr, &["--network", "container:web"], "readlink /proc/self/ns/net"), sleeper);
    assert!(
        run(&knarr, &["--pid", "container:web"], "cat /proc/1/cmdline | tr '\\0' ' '")
            .starts_with("sleep 1000")
    );
    // By id, so that a new container of that name is another one.
    let joined = knarr.say(["create", "--network", "container:web", "--name", "side", NAME, "true"]);
    let shown = knarr.json(["inspect", "side"]);
    assert_eq!(shown[0]["HostConfig"]["NetworkMode"], format!("container:{id}"));
    knarr.say(["kill", "web"]);
    knarr.say(["wait", "web"]);
    for flag in ["--network", "--pid"] {
        let outcome = knarr.call(["run", "--rm", flag, "container:web", NAME, "true"]).exits_with(125);
        assert!(outcome.stderr.contains("non running container: web"), "{outcome}");
        let outcome = knarr.call(["run", "--rm", flag, "container:nobody", NAME, "true"]).exits_with(125);
        assert!(outcome.stderr.contains("nobody"), "{outcome}");
    }
    let outcome = knarr.call(["start", "side"]).exits_with(1);
    assert!(outcome.stderr.contains("web"), "{outcome}");
    knarr.say(["rm", &joined, "web"]);
}

#[test]
fn devices_and_their_rules_are_those_that_were_asked_for() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    let flags = ["--device", "/dev/zero:/dev/mine:r"];
    assert_eq!(run(&knarr, &flags, "head -c 3 /dev/mine | wc -c"), "3");
    // A device that docker does not let through: /dev/kmsg, 1:11.
    let read = "mknod /tmp-kmsg c 1 11 && (head -c 0 </tmp-kmsg) 2>&1 | grep -c -i 'not permitted'";
    assert_eq!(run(&knarr, &["--cap-add", "SYSLOG"], &format!("{read} || true")), "1");
    let allowed = ["--cap-add", "SYSLOG", "--device-cgroup-rule", "c 1:11 r"];
    assert_eq!(run(&knarr, &allowed, &format!("{read} || true")), "0");
    let directory = ["--device", "/dev/pts:/dev/others"];
    let outcome = knarr.call([&["run", "--rm"], &directory[..], &[NAME, "ls", "/dev/others"]].concat());
    assert!(outcome.code() == 0 || outcome.stderr.contains("no device is in that directory"), "{outcome}");
}

#[test]
fn limits_and_confinement_reach_the_kernel() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    assert_eq!(run(&knarr, &["--oom-score-adj", "77"], "cat /proc/self/oom_score_adj"), "77");
    assert_eq!(run(&knarr, &["--shm-size", "8m"], "df -k /dev/shm | tail -1 | awk '{print $2}'"), "8192");
    assert_eq!(
        run(&knarr, &["--security-opt", "seccomp=unconfined"], "grep Seccomp: /proc/self/status"),
        "Seccomp:\t0"
    );
    assert_eq!(run(&knarr, &[], "grep Seccomp: /proc/self/status"), "Seccomp:\t2");
    let masked = "grep -c ' /proc/sys ' /proc/mounts || true";
    assert_eq!(run(&knarr, &[], masked), "1");
    assert_eq!(run(&knarr, &["--security-opt", "systempaths=unconfined"], masked), "0");
    let profile = scratch.join("profile.json");
    let text = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO"}]}"#;
    std::fs::write(&profile, text).expect("writable");
    let option = format!("seccomp={}", profile.display());
    assert_eq!(
        run(&knarr, &["--security-opt", &option], "mkdir /x 2>/dev/null && echo made || echo refused"),
        "refused"
    );
    assert_eq!(run(&knarr, &["--log-driver", "none"], "echo seen"), "seen");
    knarr.say(["run", "--name", "mute", "--log-driver", "none", NAME, "true"]);
    let outcome = knarr.call(["logs", "mute"]).exits_with(1);
    assert!(outcome.stderr.contains("log driver none"), "{outcome}");
    let parent = scratch.cgroup("of-mine");
    let cgroups = run(&knarr, &["--cgroup-parent", &parent, "--cgroupns", "host"], "cat /proc/self/cgroup");
    assert!(cgroups.contains(&parent), "{cgroups}");
    // As with runc, a parent that was missing stays.
    for root in leftovers::cgroup_roots() {
        std::fs::remove_dir(root.join(parent.trim_start_matches('/'))).ok();
    }
    let quota = run(
        &knarr,
        &["--cpu-period", "50000", "--cpu-quota", "25000"],
        "cat /sys/fs/cgroup/cpu.max /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null | head -1",
    );
    assert!(quota.starts_with("25000"), "{quota}");
}

#[test]
fn what_makes_no_sense_is_refused_in_one_sentence() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    let long = "x".repeat(600 * 1024);
    let large = scratch.join("large.json");
    std::fs::write(&large, format!("\"{long}\"")).expect("writable");
    let large = format!("seccomp={}", large.display());
    for (flags, word) in [
        (vec!["--network", "nowhere"], "nowhere"),
        (vec!["--network", "container:"], ""),
        (vec!["--pid", "private"], "private"),
        (vec!["--ipc", "shareable"], "shareable"),
        (vec!["--ipc", "container:web"], "container:web"),
        (vec!["--uts", "host", "--hostname", "h"], "hostname"),
        (vec!["--uts", "x"], "x"),
        (vec!["--cgroupns", "x"], "x"),
        (vec!["--userns", "auto"], "auto"),
        (vec!["--domainname", "a b"], "a b"),
        (vec!["--device", "fuse"], "fuse"),
        (vec!["--device", "/dev/nowhere"], "/dev/nowhere"),
        (vec!["--device", "/etc/passwd"], "/etc/passwd"),
        (vec!["--device", "/dev/null:/x:q"], "q"),
        (vec!["--device", "nvidia.com/gpu=all"], "CDI"),
        (vec!["--device-cgroup-rule", "c 1 r"], "c 1 r"),
        (vec!["--device-read-bps", "/dev/null:1mb"], "/dev/null"),
        (vec!["--device-write-iops", "/dev/nowhere:1"], "/dev/nowhere"),
        (vec!["--blkio-weight", "7"], "7"),
        (vec!["--blkio-weight-device", "/dev/null"], "/dev/null"),
        (vec!["--memory-swappiness", "101"], "101"),
        (vec!["--oom-score-adj", "1001"], "1001"),
        (vec!["--cpus", "1", "--cpu-quota", "50000"], "cpus"),
        (vec!["--cpu-period", "10"], "cpu-period"),
        (vec!["--security-opt", "seccomp=/nowhere"], "/nowhere"),
        (vec!["--security-opt", "seccomp=/etc/passwd"], "/etc/passwd"),
        (vec!["--security-opt", &large], "512 KiB"),
        (vec!["--security-opt", "label=type:x"], "SELinux"),
        (vec!["--security-opt", "nope"], "nope"),
        (vec!["--log-driver", "syslog"], "syslog"),
        (vec!["--log-opt", "max-size=x"], "max-size"),
        (vec!["--log-driver", "none", "--log-opt", "max-file=2"], "none"),
        (vec!["--cgroup-parent", "relative"], "relative"),
        (vec!["--isolation", "hyperv"], "hyperv"),
        (vec!["--cpu-count", "2"], "Windows"),
        (vec!["--sysctl", "kernel.shmmax=1", "--ipc", "host"], "kernel.shmmax"),
    ] {
        let outcome = knarr.call([&["run", "--rm"], &flags[..], &[NAME, "true"]].concat());
        assert!(matches!(outcome.code(), 125 | 2 | 1), "{flags:?}: {outcome}");
        assert!(outcome.stderr.contains(word), "{flags:?}: {outcome}");
    }
    assert_eq!(knarr.say(["ps", "-aq"]), "", "nothing was made");
}
