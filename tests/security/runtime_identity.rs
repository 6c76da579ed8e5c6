//! Who a process is: user, groups, capabilities, no_new_privs, id maps; and what an image says about users. Classes R12
//! to R15, R21, R22 and R36.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::Duration;

use knarr_tests::{Background, Bundle, Outcome, Runtime, Scratch, eventually, process, require};
use serde_json::json;

use crate::attacker;

const STATUS: &str = "grep -E '^(Cap|NoNewPrivs|Groups|Uid|Gid)' /proc/self/status";
const NONE: &str = "0000000000000000";

#[track_caller]
fn field<'a>(outcome: &'a Outcome, name: &str) -> &'a str {
    let line = outcome.stdout.lines().find(|line| line.starts_with(name));
    line.unwrap_or_else(|| panic!("no {name}: {outcome}")).split_once(':').expect("a field").1.trim()
}

#[test]
fn no_capability_is_inheritable_or_ambient_unless_asked_for() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let first = Bundle::busybox(&scratch, "first");
    for uid in [0, 1000] {
        let bundle = first.another(&scratch, &format!("run-{uid}")).script(STATUS).edit(|config| {
            config["process"]["user"] = json!({ "uid": uid, "gid": uid });
        });
        let outcome = runtime.run(&bundle).success();
        assert_eq!((field(&outcome, "CapInh"), field(&outcome, "CapAmb")), (NONE, NONE), "{outcome}");
        assert_eq!(uid == 1000, field(&outcome, "CapEff") == NONE, "{outcome}");
    }
    // The control: what is asked for is seen.
    let asked = first.another(&scratch, "asked").script(STATUS).edit(|config| {
        config["process"]["capabilities"]["inheritable"] = json!(["CAP_CHOWN"]);
    });
    assert_eq!(field(&runtime.run(&asked).success(), "CapInh"), "0000000000000001");
    let waiting = first.another(&scratch, "waiting").args(["sleep", "600"]);
    let container = runtime.run_detached(&waiting);
    for arguments in [&["--cap", "CAP_NET_ADMIN"][..], &["--user", "1000"], &["--user", "0"]] {
        let mut all = vec!["exec"];
        all.extend(arguments);
        all.extend([container.id(), "sh", "-c", STATUS]);
        let outcome = runtime.call(all).success();
        assert_eq!(field(&outcome, "CapInh"), NONE, "{outcome}");
        assert!(arguments[0] == "--cap" || field(&outcome, "CapAmb") == NONE, "{outcome}");
    }
}

#[test]
fn a_user_is_a_number_in_range_or_refused() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = Bundle::busybox(&scratch, "users").args(["sleep", "600"]);
    let container = runtime.run_detached(&bundle);
    // An empty user is none, as in runc.
    let bad = [
        ":",
        ":0",
        "1:",
        "-1",
        "+1",
        " 1",
        "1 ",
        "0x0",
        "0x1",
        "1e0",
        "1.0",
        "2147483648",
        "4294967295",
        "4294967296",
        "4294967297",
        "18446744073709551616",
        "99999999999999999999",
        "1:4294967296",
        "1:-1",
        "1:0:0",
        "1,0",
        "٣",
        "1\n",
        "root",
        "root:root",
        "user",
        "\u{0}1",
        "01a",
        "--",
        "1:+0",
    ];
    for user in bad.into_iter().filter(|user| !user.contains('\0')) {
        let outcome = runtime.call(["exec", &format!("--user={user}"), container.id(), "id", "-u"]);
        assert_eq!(outcome.code(), 255, "{user:?}: {outcome}");
        assert_eq!(outcome.stdout, "", "{user:?} ran as somebody");
    }
    for (user, uid, gid) in
        [("0", "0", "0"), ("1", "1", "0"), ("1000:29", "1000", "29"), ("2147483647:7", "2147483647", "7")]
    {
        let outcome =
            runtime.call(["exec", "--user", user, container.id(), "sh", "-c", "id -u; id -g"]).success();
        assert_eq!(outcome.stdout, format!("{uid}\n{gid}\n"), "{user}");
    }
    for (field, value) in [
        ("uid", json!(4_294_967_296_u64)),
        ("uid", json!(-1)),
        ("gid", json!("0")),
        ("uid", json!(1.5)),
        ("gid", json!(4_294_967_295_u64)),
    ] {
        let odd = bundle.another(&scratch, "odd").edit(|config| config["process"]["user"][field] = value);
        let outcome = runtime.run(&odd);
        assert!(!outcome.status.success() && outcome.stderr.contains("level=error"), "{outcome}");
    }
}

#[test]
fn groups_are_those_that_were_asked_for_and_no_others() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let first = Bundle::busybox(&scratch, "first").script(STATUS);
    for (number, groups) in [&[][..], &[29], &[1000, 29, 29], &[0]].into_iter().enumerate() {
        let bundle = first.another(&scratch, &format!("groups-{number}")).edit(|config| {
            config["process"]["user"] = json!({ "uid": 1000, "gid": 1000, "additionalGids": groups });
        });
        let outcome = runtime.run(&bundle).success();
        let got: Vec<u32> =
            field(&outcome, "Groups").split_whitespace().map(|gid| gid.parse().expect("a number")).collect();
        assert!(got.iter().all(|gid| groups.contains(gid)), "{groups:?}: {outcome}");
        assert!(groups.iter().all(|gid| got.contains(gid)), "{groups:?}: {outcome}");
        assert_eq!(field(&outcome, "Gid"), "1000\t1000\t1000\t1000");
    }
}

#[test]
fn a_setuid_program_gives_nothing_with_no_new_privileges_and_works_without() {
    require!(root, tool("busybox"), tool("cc"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let first = Bundle::busybox(&scratch, "first").args(["attacker", "ids"]);
    attacker::arm(&scratch, &first);
    let program = first.rootfs().join("bin/attacker");
    fs::set_permissions(program, fs::Permissions::from_mode(0o6755)).expect("ours");
    for (no_new_privileges, ids) in
        [(true, "1000 1000 1000 1000 1000 1000\n"), (false, "1000 0 0 1000 0 0\n")]
    {
        let bundle = first.another(&scratch, &format!("nnp-{no_new_privileges}")).edit(|config| {
            config["process"]["user"] = json!({ "uid": 1000, "gid": 1000 });
            config["process"]["noNewPrivileges"] = json!(no_new_privileges);
        });
        assert_eq!(runtime.run(&bundle).success().stdout, ids);
    }
}

#[test]
fn maps_that_overlap_wrap_or_are_empty_are_refused() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let first = Bundle::busybox(&scratch, "first").script("cat /proc/self/uid_map; id -u");
    let range = |container: u64, host: u64, size: u64| json!({ "containerID": container, "hostID": host, "size": size });
    let many: Vec<_> = (0..341).map(|n| range(n, 100_000 + n, 1)).collect();
    let bad = [
        json!([range(0, 100_000, 0)]),
        json!([range(0, 100_000, 2), range(1, 200_000, 2)]),
        json!([range(0, 100_000, 2), range(2, 100_001, 2)]),
        json!([range(4_294_967_295, 0, 2)]),
        json!([range(0, 4_294_967_295, 2)]),
        json!([range(0, 0, 4_294_967_296)]),
        json!([range(0, 4_294_967_290, 10)]),
        json!(many),
        json!([{ "containerID": -1, "hostID": 0, "size": 1 }]),
        json!([{ "containerID": "0", "hostID": 0, "size": 1 }]),
    ];
    let with_map = |name: &str, map: &serde_json::Value| {
        first.another(&scratch, name).edit(|config| {
            config["linux"]["namespaces"].as_array_mut().expect("a list").push(json!({ "type": "user" }));
            config["linux"]["uidMappings"] = map.clone();
            config["linux"]["gidMappings"] = json!([range(0, 100_000, 1000)]);
        })
    };
    for map in &bad {
        let outcome = runtime.run(&with_map("bad", map));
        assert!(!outcome.status.success() && outcome.stderr.contains("level=error"), "{map}: {outcome}");
    }
    let outcome =
        runtime.run(&with_map("good", &json!([range(0, 100_000, 1000), range(2000, 300_000, 1)]))).success();
    let lines: Vec<String> =
        outcome.stdout.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(lines, ["0 100000 1000", "2000 300000 1", "0"]);
}

#[test]
fn a_hostile_passwd_neither_hangs_nor_eats_memory_nor_leads_out() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    for kind in ["fifo", "sparse", "link", "loop", "directory", "device", "lines", "binary"] {
        let bundle = Bundle::busybox(&scratch, kind).script("echo $HOME").edit(|config| {
            config["process"]["env"] = json!(["PATH=/bin"]);
            config["process"]["user"] = json!({ "uid": 1000, "gid": 1000 });
        });
        let passwd = bundle.rootfs().join("etc/passwd");
        fs::remove_file(&passwd).expect("ours");
        let mode = rustix::fs::Mode::from_raw_mode(0o666);
        let node =
            |kind, device| rustix::fs::mknodat(rustix::fs::CWD, &passwd, kind, mode, device).expect("a node");
        match kind {
            "fifo" => node(rustix::fs::FileType::Fifo, 0),
            "device" => node(rustix::fs::FileType::CharacterDevice, rustix::fs::makedev(1, 5)),
            "sparse" => fs::File::create(&passwd).and_then(|file| file.set_len(8 << 30)).expect("a hole"),
            "link" => symlink(scratch.join("outside"), &passwd).expect("ours"),
            "loop" => symlink("passwd", &passwd).expect("ours"),
            "directory" => fs::create_dir(&passwd).expect("ours"),
            "lines" => fs::write(&passwd, "x:x:1:1::/x:\n".repeat(1_000_000)).expect("ours"),
            _ => fs::write(&passwd, b"user:x:1000:1000::/\xff\x00/etc:/bin/sh\n").expect("ours"),
        }
        fs::write(scratch.join("outside"), "user:x:1000:1000::/outside:\n").expect("ours");
        let begun = std::time::Instant::now();
        let outcome = runtime.run(&bundle);
        assert!(begun.elapsed() < Duration::from_secs(10), "{kind} took {:?}", begun.elapsed());
        assert!(outcome.status.success() && !outcome.stdout.contains("outside"), "{kind}: {outcome}");
        process::run(&mut runtime.command(["state", kind])).exits_with(1);
    }
}

/// The control: Debian's runc 1.1.5 waits for whoever writes to a pipe that the image has as its passwd.
#[test]
fn a_runtime_that_opens_any_passwd_hangs_at_a_pipe() {
    require!(root, tool("busybox"), tool("runc"));
    let scratch = Scratch::new();
    let runc = Runtime::other(&scratch, "runc");
    if !runc.call(["--version"]).success().stdout.starts_with("runc version 1.1.") {
        return require::skip("a_runtime_that_opens_any_passwd_hangs_at_a_pipe", "runc is too new");
    }
    let bundle = Bundle::busybox(&scratch, "pipe").edit(|config| {
        config["process"]["env"] = json!(["PATH=/bin"]);
    });
    let passwd = bundle.rootfs().join("etc/passwd");
    fs::remove_file(&passwd).expect("ours");
    rustix::fs::mknodat(rustix::fs::CWD, &passwd, rustix::fs::FileType::Fifo, 0o666.into(), 0)
        .expect("a pipe");
    let mut running = Background::start(&mut runc.verb("run", &bundle), &scratch.join("log"));
    // Only when somebody waits at its other end can a pipe be opened so.
    let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::CLOEXEC;
    let end =
        eventually(process::DEADLINE, || rustix::fs::open(&passwd, flags, rustix::fs::Mode::empty()).ok());
    assert!(running.is_running());
    drop(end);
    eventually(process::DEADLINE, || (!running.is_running()).then_some(()));
}

#[test]
fn limits_and_oom_score_are_the_configurations_not_the_callers() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let look = "cat /proc/self/oom_score_adj; ulimit -n; ulimit -Hn; ulimit -c";
    let bundle = Bundle::busybox(&scratch, "limits").script(look).edit(|config| {
        config["process"]["oomScoreAdj"] = json!(321);
        config["process"]["rlimits"] = json!([
            { "type": "RLIMIT_NOFILE", "soft": 77, "hard": 99 }, { "type": "RLIMIT_CORE", "soft": 0, "hard": 0 }
        ]);
    });
    let mut caller = scratch.command("/bin/sh");
    let run = runtime.verb("run", &bundle);
    caller.args([
        "-c",
        "ulimit -n 500; ulimit -c 5000; echo 900 >/proc/self/oom_score_adj; exec \"$@\"",
        "sh",
    ]);
    caller.arg(run.get_program()).args(run.get_args());
    assert_eq!(process::run(&mut caller).success().stdout, "321\n77\n99\n0\n");
    let container = runtime.run_detached(&bundle.another(&scratch, "enter").args(["sleep", "600"]));
    assert_eq!(container.exec(["sh", "-c", look]).success().stdout, "321\n77\n99\n0\n");
}
