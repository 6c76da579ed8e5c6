//! `knarr run`: what comes out, what it exits with, and that every flag arrives in the container.

use std::fs;
use std::process::Stdio;

use knarr_tests::process::{self, DEADLINE};
use knarr_tests::{Daemon, Image, Scratch, require};
use serde_json::json;

use crate::busybox::{self, NAME};

#[test]
fn output_and_exit_code_are_the_commands_own() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    let outcome = knarr.call(["run", "--rm", NAME, "sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("out\n", "err\n"));
    outcome.exits_with(7);
    knarr.call(["run", "--rm", NAME, "true"]).exits_with(0);
    knarr.call(["run", "--rm", NAME, "nothing"]).exits_with(127);
    knarr.call(["run", "--rm", NAME, "/etc/passwd"]).exits_with(126);
    knarr.call(["run", "--rm", "--pull", "never", "test/other:1", "true"]).exits_with(125);
    assert_eq!(knarr.say(["ps", "-aq"]), "", "--rm has removed each before knarr ended");
}

#[test]
fn much_goes_in_and_comes_out_whole() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    let input: String = (0..400_000).map(|number| format!("{number}\n")).collect();
    let mut cat = knarr.command(["run", "--rm", "-i", NAME, "cat"]);
    let outcome = process::run_with_input(&mut cat, input.as_bytes()).success();
    assert!(outcome.stdout == input, "{} bytes came back of {}", outcome.stdout.len(), input.len());
    // Without -i nothing is read.
    let mut wc = knarr.command(["run", "--rm", NAME, "wc", "-c"]);
    assert_eq!(process::run_with_input(&mut wc, input.as_bytes()).success().stdout, "0\n");
    let zeros = knarr.call(["run", "--rm", NAME, "head", "-c", "20000000", "/dev/zero"]).success();
    assert_eq!(zeros.stdout.len(), 20_000_000);
}

#[test]
fn a_reader_that_leaves_ends_knarr_and_not_the_container() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    let mut command = knarr.command(["run", "--name", "talks", NAME, "sh", "-c", "while :; do echo x; done"]);
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("knarr can be started");
    let mut first = [0; 2];
    let mut stdout = child.stdout.take().expect("a pipe");
    std::io::Read::read_exact(&mut stdout, &mut first).expect("it talks");
    drop(stdout);
    let status = process::wait(&mut child, DEADLINE).expect("it ends");
    assert_eq!(status.code(), Some(141));
    assert_eq!(knarr.say(["inspect", "--format", "{{.State.Status}}", "talks"]), "running");
}

#[test]
fn what_is_said_of_the_process_arrives() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    let image = Image::busybox().config("Env", json!(["PATH=/bin", "FROM_IMAGE=1", "GONE=1"]));
    busybox::load_as(&scratch, &knarr, &image, NAME);
    let file = scratch.join("env");
    fs::write(&file, "# comment\nIN_FILE=a b\n").expect("our own file");
    let file = file.to_str().expect("our own path");
    let run = |args: &[&str]| knarr.say([&["run", "--rm"], args].concat());
    let env = run(&["-e", "OWN=x=y", "-e", "GONE", "--env-file", file, NAME, "env"]);
    for line in ["OWN=x=y", "FROM_IMAGE=1", "IN_FILE=a b", "PATH=/bin"] {
        assert!(env.lines().any(|had| had == line), "{line} is missing:\n{env}");
    }
    assert!(!env.contains("GONE") && env.contains("HOSTNAME="), "{env}");
    assert_eq!(run(&["-w", "/made/here", NAME, "pwd"]), "/made/here");
    assert_eq!(run(&["-u", "1000:1001", NAME, "sh", "-c", "echo $(id -u):$(id -g)"]), "1000:1001");
    assert_eq!(run(&["--group-add", "44", NAME, "sh", "-c", "id -G"]), "0 44");
    assert_eq!(run(&["--entrypoint", "echo", NAME, "a", "b"]), "a b");
    assert_eq!(run(&["-h", "web", NAME, "hostname"]), "web");
    assert_eq!(run(&["--ulimit", "nofile=123:456", NAME, "sh", "-c", "ulimit -n; ulimit -Hn"]), "123\n456");
    assert_eq!(
        run(&["--sysctl", "net.ipv4.ip_forward=1", NAME, "cat", "/proc/sys/net/ipv4/ip_forward"]),
        "1"
    );
    let flag = run(&["--security-opt", "no-new-privileges", NAME, "grep", "NoNewPrivs", "/proc/self/status"]);
    assert!(flag.ends_with('1'), "{flag}");
    let caps = |args: &[&str]| run(&[args, &[NAME, "grep", "CapEff", "/proc/self/status"]].concat());
    assert!(caps(&["--cap-drop", "ALL"]).ends_with("\t0000000000000000"));
    assert!(caps(&["--cap-drop", "ALL", "--cap-add", "CHOWN"]).ends_with("\t0000000000000001"));
    let own = "ip link | grep -c '^[0-9]'";
    assert_eq!(run(&[NAME, "sh", "-c", own]), "1", "only loopback");
    let host = fs::read_link("/proc/self/ns/net").expect("we have a network");
    assert_eq!(run(&["--network", "host", NAME, "readlink", "/proc/self/ns/net"]), host.to_string_lossy());
}

#[test]
fn what_is_said_of_files_arrives() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    let shared = scratch.directory("shared");
    fs::write(shared.join("from-host"), "host\n").expect("our own file");
    let shared = shared.to_str().expect("our own path");
    let run = |args: &[&str]| knarr.call([&["run", "--rm"], args].concat());
    let bind = format!("{shared}:/data");
    run(&["-v", &bind, NAME, "sh", "-c", "cat /data/from-host; echo guest >/data/from-guest"]).success();
    assert_eq!(fs::read_to_string(scratch.join("shared/from-guest")).expect("it was made"), "guest\n");
    run(&["-v", &format!("{bind}:ro"), NAME, "touch", "/data/no"]).exits_with(1);
    let mount = format!("type=bind,src={shared},dst=/data,readonly");
    assert_eq!(run(&["--mount", &mount, NAME, "cat", "/data/from-host"]).success().stdout, "host\n");
    let made = scratch.join("made-by-v");
    run(&["-v", &format!("{}:/data", made.display()), NAME, "true"]).success();
    assert!(made.is_dir());
    let tmpfs =
        run(&["--tmpfs", "/t:size=1m,mode=700", NAME, "sh", "-c", "df -k /t | tail -n 1; stat -c %a /t"]);
    assert!(tmpfs.stdout.contains(" 1024 ") && tmpfs.stdout.ends_with("700\n"), "{tmpfs}");
    let read_only = run(&["--read-only", NAME, "touch", "/no"]).exits_with(1);
    assert!(read_only.stderr.contains("Read-only file system"), "{read_only}");
}

#[test]
fn limits_are_those_that_were_said() {
    require!(root, tool("busybox"), cgroup("memory"), cgroup("pids"), cgroup("cpu"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    let flags = ["--name", "limited", "--memory", "64m", "--pids-limit", "40", "--cpus", "0.5"];
    // Version 1 has a directory for each controller, version 2 has one for all.
    let look = "cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes memory.max 2>/dev/null
        cat pids/pids.max pids.max 2>/dev/null; cat cpu/cpu.cfs_quota_us cpu.max 2>/dev/null";
    let seen = knarr.call([&["run"], &flags[..], &[NAME, "sh", "-c", look]].concat()).stdout;
    let values: Vec<&str> = seen.split_whitespace().collect();
    assert_eq!(values[..3], ["67108864", "40", "50000"]);
    let inspected = knarr.json(["inspect", "limited"]);
    assert_eq!(inspected[0]["HostConfig"]["Memory"], 64 << 20);
    assert_eq!(inspected[0]["HostConfig"]["NanoCpus"], 500_000_000);
}

#[test]
fn a_container_in_the_background_is_its_id() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    let id_file = scratch.join("id");
    let id_path = id_file.to_str().expect("our own path");
    let id = knarr.say([
        "run",
        "-d",
        "--name",
        "web",
        "--cidfile",
        id_path,
        "--label",
        "a=1",
        NAME,
        "sleep",
        "600",
    ]);
    assert_eq!(id.len(), 64);
    assert_eq!(fs::read_to_string(&id_file).expect("it was written"), id);
    assert_eq!(knarr.say(["ps", "-q", "--no-trunc", "--filter", "label=a=1"]), id);
    let again = knarr.call(["run", "-d", "--cidfile", id_path, NAME, "true"]).exits_with(125);
    assert!(again.stderr.contains("exists already"), "{again}");
    let taken = knarr.call(["run", "-d", "--name", "web", NAME, "true"]).exits_with(125);
    assert!(taken.stderr.contains("already in use"), "{taken}");
    assert_eq!(knarr.say(["ps", "-aq"]).lines().count(), 1);
}

#[test]
fn ten_at_once_each_get_their_own() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    let started: Vec<_> = (0..10)
        .map(|number| {
            let script = format!("echo I am {number}; exit {number}");
            let mut command = knarr.command(["run", "--rm", NAME, "sh", "-c", &script]);
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().expect("knarr can be started")
        })
        .collect();
    for (number, child) in (0..).zip(started) {
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("I am {number}\n"));
        assert_eq!(output.status.code(), Some(number));
    }
    assert_eq!(knarr.say(["ps", "-aq"]), "");
}

#[test]
fn a_container_for_once_goes_with_the_reader_of_its_output() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    let first_line_of = |args: &[&str]| {
        let mut command = knarr.command([&["run"], args, &[NAME, "yes"]].concat());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("knarr can be started");
        let mut line = [0; 2];
        let mut stdout = child.stdout.take().expect("a pipe");
        std::io::Read::read_exact(&mut stdout, &mut line).expect("a line");
        drop(stdout);
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "as other programs in a pipe");
        (line, output.status.code())
    };
    assert_eq!(first_line_of(&["--rm"]), (*b"y\n", Some(141)));
    assert_eq!(knarr.say(["ps", "-aq"]), "", "nothing is left of it when knarr ends");
    assert_eq!(first_line_of(&["--name", "stays"]), (*b"y\n", Some(141)));
    assert_eq!(knarr.say(["ps", "--format", "{{.Names}}"]), "stays", "docker's runs on, too");
}
