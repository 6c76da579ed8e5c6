//! `process`: args, env, cwd, user, umask, noNewPrivileges, oomScoreAdj, labels.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Stdio;

use knarr_tests::process::{self, DEADLINE};
use knarr_tests::{Bundle, Runtime, Scratch, eventually, require};
use serde_json::{Value, json};

use crate::{CAP_SYS_RESOURCE, differs, output, refusal, run};

#[test]
fn arguments_arrive_as_they_are() {
    require!(root, tool("busybox"));
    let arguments = [
        "sh",
        "-c",
        "for a; do printf '<%s>' \"$a\"; done",
        "name",
        "",
        "two words",
        "$HOME `id`",
        "é\n\t\"'\\",
        "--",
    ];
    let seen = output("", |config| config["process"]["args"] = json!(arguments));
    assert_eq!(seen, "<><two words><$HOME `id`><é\n\t\"'\\><-->");
}

#[test]
fn a_program_is_found_by_the_containers_path_or_by_its_own() {
    require!(root, tool("busybox"));
    let with = |path: &'static str, program: &'static str| {
        run("", move |config| {
            config["process"]["env"] = json!([format!("PATH={path}")]);
            config["process"]["args"] = json!([program, "found"]);
        })
    };
    assert_eq!(with("/nowhere:/bin", "echo").success().stdout, "found\n");
    assert_eq!(with("/nowhere", "/bin/echo").success().stdout, "found\n");
    let missing = with("/nowhere", "echo");
    assert!(missing.stderr.contains("executable file") && missing.stderr.contains("not found"), "{missing}");
    missing.exits_with(1);
    with("/bin", "/etc/passwd").exits_with(1);
    with("/bin", "/etc").exits_with(1);
}

#[test]
fn the_environment_is_what_is_given_and_home() {
    require!(root, tool("busybox"));
    let env = ["PATH=/bin", "EMPTY=", "TWO=a=b", "SPACED=a b", "LAST=1", "LAST=2"];
    let seen = output("env", |config| {
        config["process"]["env"] = json!(env);
        config["process"]["user"] = json!({ "uid": 1000, "gid": 1000 });
    });
    let mut lines: Vec<&str> =
        seen.lines().filter(|line| !line.starts_with("PWD=") && !line.starts_with("SHLVL=")).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["EMPTY=", "HOME=/home", "LAST=2", "PATH=/bin", "SPACED=a b", "TWO=a=b"]);
}

#[test]
fn a_given_home_is_kept() {
    require!(root, tool("busybox"));
    let seen =
        output("echo $HOME", |config| config["process"]["env"] = json!(["PATH=/bin", "HOME=/elsewhere"]));
    assert_eq!(seen, "/elsewhere\n");
}

#[test]
fn the_working_directory_is_entered_and_made_when_it_is_missing() {
    require!(root, tool("busybox"));
    for (cwd, seen) in
        [("/", "/\n"), ("/etc", "/etc\n"), ("/made/for/us", "/made/for/us\n"), ("/var/../etc", "/etc\n")]
    {
        assert_eq!(output("pwd -P", |config| config["process"]["cwd"] = json!(cwd)), seen);
    }
    // runtime-spec, "Process": cwd "MUST be an absolute path"; crun 1.8.1 takes any.
    if crate::is("crun") {
        return;
    }
    let relative = refusal(|config| config["process"]["cwd"] = json!("etc"));
    assert!(relative.to_lowercase().contains("cwd"), "{relative}");
}

#[test]
fn a_working_directory_that_only_the_user_or_only_root_may_enter_works() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let first = Bundle::busybox(&scratch, "first");
    let home = first.rootfs().join("home");
    fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).expect("a mode");
    for (number, owner) in [0, 1000].into_iter().enumerate() {
        std::os::unix::fs::chown(&home, Some(owner), Some(owner)).expect("an owner");
        let bundle = first.another(&scratch, &format!("case-{number}")).args(["true"]).edit(|config| {
            config["process"]["cwd"] = json!("/home");
            config["process"]["user"] = json!({ "uid": 1000, "gid": 1000 });
            config["process"]["capabilities"] = json!({});
        });
        runtime.run(&bundle).success();
    }
}

#[test]
fn the_user_has_its_ids_and_its_groups_and_no_others() {
    require!(root, tool("busybox"));
    let script = "grep -E '^(Uid|Gid|Groups):' /proc/self/status | tr '\\t' ' ' | sed 's/ *$//'";
    let as_user = |user: Value| output(script, move |config| config["process"]["user"] = user);
    let seen = as_user(json!({ "uid": 1000, "gid": 1001, "additionalGids": [29, 5] }));
    assert_eq!(seen, "Uid: 1000 1000 1000 1000\nGid: 1001 1001 1001 1001\nGroups: 5 29\n");
    let seen = as_user(json!({ "uid": 0, "gid": 0 }));
    assert_eq!(seen, "Uid: 0 0 0 0\nGid: 0 0 0 0\nGroups:\n");
    // runc 1.1.5 takes none above 2147483647; the specification has "uid (int)", the kernel 4294967294.
    if crate::is("runc") {
        return;
    }
    let seen = as_user(json!({ "uid": 4_000_000_000_u32, "gid": 4_000_000_001_u32 }));
    assert!(seen.contains("Uid: 4000000000 "), "{seen}");
}

#[test]
fn a_file_made_by_the_container_belongs_to_its_user_on_the_host() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let bundle = Bundle::busybox(&scratch, "one").script("touch /tmp/file").edit(|config| {
        config["process"]["user"] = json!({ "uid": 1000, "gid": 1001, "umask": 0o027 });
    });
    fs::set_permissions(bundle.rootfs().join("tmp"), fs::Permissions::from_mode(0o1777)).expect("a mode");
    Runtime::new(&scratch).run(&bundle).success();
    let made = fs::metadata(bundle.rootfs().join("tmp/file")).expect("the file");
    assert_eq!((made.uid(), made.gid(), made.mode() & 0o777), (1000, 1001, 0o640));
}

#[test]
fn the_umask_is_the_given_one_or_0022() {
    require!(root, tool("busybox"));
    assert_eq!(output("umask", |config| config["process"]["user"]["umask"] = json!(0o77)), "0077\n");
    assert_eq!(output("umask", |config| config["process"]["user"]["umask"] = json!(0)), "0000\n");
    assert_eq!(output("umask", |_| ()), "0022\n");
}

#[test]
fn no_new_privileges_is_as_given() {
    require!(root, tool("busybox"));
    let script = "grep NoNewPrivs /proc/self/status";
    for (given, seen) in [(true, "NoNewPrivs:\t1\n"), (false, "NoNewPrivs:\t0\n")] {
        assert_eq!(output(script, |config| config["process"]["noNewPrivileges"] = json!(given)), seen);
    }
}

#[test]
fn the_oom_score_adjustment_is_as_given_or_the_callers() {
    require!(root, tool("busybox"));
    let script = "cat /proc/self/oom_score_adj";
    // Below the caller's own is for CAP_SYS_RESOURCE.
    let lowest = if require::capability(CAP_SYS_RESOURCE).is_ok() { -500 } else { 0 };
    for value in [lowest, 1, 1000] {
        assert_eq!(
            output(script, |config| config["process"]["oomScoreAdj"] = json!(value)),
            format!("{value}\n")
        );
    }
    // runtime-spec, "Linux Process": "If oomScoreAdj is not set, the runtime MUST NOT change the value".
    let own = fs::read_to_string("/proc/self/oom_score_adj").expect("ours");
    assert_eq!(output(script, |_| ()), own);
    refusal(|config| config["process"]["oomScoreAdj"] = json!(1001));
    refusal(|config| config["process"]["oomScoreAdj"] = json!(-1001));
}

#[test]
fn a_label_of_a_security_module_that_is_not_there_is_refused() {
    require!(root, tool("busybox"));
    differs!(
        "runc" => "1.1.5 ignores a SELinux label where SELinux is off",
        "crun" => "1.8.1 ignores an AppArmor profile where AppArmor is off",
    );
    let modules = fs::read_to_string("/sys/kernel/security/lsm").unwrap_or_default();
    // runtime-spec, "Linux Process": a runtime "MUST" generate an error for what it cannot honour ("Errors").
    if !modules.contains("apparmor") {
        let said = refusal(|config| config["process"]["apparmorProfile"] = json!("knarr-test"));
        assert!(said.to_lowercase().contains("apparmor"), "{said}");
    }
    if !modules.contains("selinux") {
        let said =
            refusal(|config| config["process"]["selinuxLabel"] = json!("system_u:system_r:container_t:s0"));
        assert!(said.to_lowercase().contains("selinux"), "{said}");
    }
}

#[test]
fn no_descriptor_of_the_runtimes_reaches_the_program() {
    require!(root, tool("busybox"));
    let seen = output("ls /proc/self/fd | tr '\\n' ' '", |_| ());
    // ls itself has 3 open on the directory.
    assert_eq!(seen, "0 1 2 3 ");
}

#[test]
fn signals_start_at_their_defaults_with_none_blocked() {
    require!(root, tool("busybox"));
    differs!("runc-head" => "1.5 may begin its child before it listens to signals itself, which are ignored then");
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let look = ["grep", "-E", "^(SigBlk|SigIgn|SigCgt):", "/proc/self/status"];
    let run = runtime.verb("run", &Bundle::busybox(&scratch, "one").args(look));
    // As under nohup: the caller's are not.
    let mut command = scratch.command("/bin/sh");
    command
        .args(["-c", "trap '' HUP INT TERM; exec \"$@\"", "sh"])
        .arg(run.get_program())
        .args(run.get_args());
    let seen = runtime.finish(&mut command).success().stdout;
    for line in seen.lines() {
        let set = line.split_once('\t').expect("a set").1;
        let set = u64::from_str_radix(set, 16).expect("a set is a hexadecimal number");
        // 32 and 33 are the C library's own, which no program gets to see or to change.
        assert_eq!(set & !0x1_8000_0000, 0, "{seen}");
    }
}

/// As runc has it, the container is made by then: `run` tells what the kernel says like a program of the container's,
/// and `start` has no more to tell.
#[test]
fn a_program_that_the_kernel_does_not_execute_says_so_and_exits_with_255() {
    require!(root, tool("busybox"));
    differs!("runc" => "1.1.5 exits with 1", "crun" => "1.8.1 has words of its own");
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = Bundle::busybox(&scratch, "one").args(["/script"]);
    let script = bundle.rootfs().join("script");
    fs::write(&script, "#!/nowhere\n").expect("a file");
    fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).expect("a mode");
    let said = "exec /script: no such file or directory\n";
    let run = runtime.run(&bundle).exits_with(255);
    assert_eq!(run.stderr, said, "{run}");
    let container = runtime.guard(&bundle);
    let stderr = scratch.join("stderr");
    let mut create = runtime.verb("create", &bundle);
    create.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&stderr).expect("a file"));
    assert!(process::run_as_it_is(&mut create).success());
    container.start().success();
    eventually(DEADLINE, || (container.status() == "stopped").then_some(()));
    assert_eq!(fs::read_to_string(&stderr).expect("a file"), said);
}
