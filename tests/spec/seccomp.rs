//! `linux.seccomp`, by what a program in the container gets when it makes the call. Which filters are made is tested in
//! the runtime (security/seccomp/tests).

use knarr_tests::{Bundle, Outcome, Receiver, Runtime, Scratch, require};
use serde_json::{Value, json};

use crate::{differs, refusal, run};

/// A profile that allows everything but what the rules say.
fn profile(rules: &Value) -> Value {
    json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"], "syscalls": rules })
}

#[track_caller]
fn under(rules: &Value, script: &str) -> Outcome {
    run(script, |config| config["linux"]["seccomp"] = profile(rules))
}

#[test]
fn a_call_gets_the_error_of_its_rule() {
    require!(root, tool("busybox"));
    let mkdir = |errno: Value| json!([{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno }]);
    for (errno, text) in
        [(1, "Operation not permitted"), (30, "Read-only file system"), (12, "Out of memory")]
    {
        let outcome = under(&mkdir(json!(errno)), "mkdir /tmp/x; touch /tmp/y && echo others work");
        assert!(outcome.stderr.contains(text) || errno == 12, "{errno}: {outcome}");
        assert!(outcome.stdout.contains("others work"), "{outcome}");
    }
    // runtime-spec, "Seccomp", errnoRet: the default is EPERM.
    let outcome =
        under(&json!([{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO" }]), "mkdir /tmp/x");
    assert!(outcome.stderr.contains("Operation not permitted"), "{outcome}");
}

#[test]
fn a_default_that_denies_leaves_what_is_allowed() {
    require!(root, tool("busybox"));
    differs!("runc-head" => "1.5 needs more calls itself once the filter holds", "runc" => "1.1.5 needs more calls itself once the filter holds");
    let needed = [
        "execve",
        "exit",
        "exit_group",
        "write",
        "read",
        "brk",
        "mmap",
        "mprotect",
        "munmap",
        "arch_prctl",
        "readlink",
        "readlinkat",
        "prctl",
        "set_tid_address",
        "set_robust_list",
        "rseq",
        "prlimit64",
        "getrandom",
        "rt_sigprocmask",
        "rt_sigaction",
        "getuid",
        "getgid",
        "setuid",
        "setgid",
        "newfstatat",
        "stat",
        "fstat",
        "futex",
        "rt_sigreturn",
        "close",
        "fcntl",
        "getcwd",
        "capset",
        "capget",
        "uname",
    ];
    let outcome = run("", |config| {
        config["linux"]["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": [{ "names": needed.as_slice(), "action": "SCMP_ACT_ALLOW" }],
        });
        config["process"]["args"] = json!(["mkdir", "/tmp/x"]);
    });
    assert!(outcome.stderr.contains("Function not implemented"), "{outcome}");
}

#[test]
fn a_kill_ends_the_process_with_sigsys() {
    require!(root, tool("busybox"));
    for action in ["SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP"] {
        let rules = json!([{ "names": ["mkdir", "mkdirat"], "action": action }]);
        let outcome = under(&rules, "mkdir /tmp/x; echo status $?");
        assert!(outcome.stdout.contains("status 159"), "{action}: {outcome}");
    }
}

#[test]
fn a_log_and_a_trace_without_tracer_do_what_the_kernel_says() {
    require!(root, tool("busybox"));
    let mkdir = |action: &str| json!([{ "names": ["mkdir", "mkdirat"], "action": action }]);
    let logged = under(&mkdir("SCMP_ACT_LOG"), "mkdir /tmp/x && echo done");
    assert_eq!(logged.success().stdout, "done\n");
    let traced = under(&mkdir("SCMP_ACT_TRACE"), "mkdir /tmp/x");
    assert!(traced.stderr.contains("Function not implemented"), "{traced}");
}

#[test]
fn arguments_decide() {
    require!(root, tool("busybox"));
    // kill(2) with signal 0 is a question: denied for it alone.
    let rule = |op: &str, value: u64, value_two: u64| {
        json!([{ "names": ["kill"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1,
                 "args": [{ "index": 1, "value": value, "valueTwo": value_two, "op": op }] }])
    };
    let script = "sleep 60 & kill -0 $! 2>/dev/null && echo zero; kill -15 $! 2>/dev/null && echo fifteen; kill -9 $! 2>/dev/null; true";
    for (op, value, two, seen) in [
        ("SCMP_CMP_EQ", 0, 0, "fifteen\n"),
        ("SCMP_CMP_NE", 0, 0, "zero\n"),
        ("SCMP_CMP_GT", 14, 0, "zero\n"),
        ("SCMP_CMP_LT", 15, 0, "fifteen\n"),
        ("SCMP_CMP_GE", 15, 0, "zero\n"),
        ("SCMP_CMP_LE", 0, 0, "fifteen\n"),
        ("SCMP_CMP_MASKED_EQ", 8, 8, "zero\n"),
    ] {
        assert_eq!(under(&rule(op, value, two), script).success().stdout, seen, "{op}");
    }
}

#[test]
fn the_filter_holds_with_and_without_new_privileges_and_for_exec() {
    require!(root, tool("busybox"));
    for no_new_privileges in [true, false] {
        let scratch = Scratch::new();
        let runtime = Runtime::new(&scratch);
        let bundle = Bundle::busybox(&scratch, "one").args(["sleep", "60"]).edit(|config| {
            config["linux"]["seccomp"] =
                profile(&json!([{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO" }]));
            config["process"]["noNewPrivileges"] = json!(no_new_privileges);
            config["process"]["user"] = json!({ "uid": 1000, "gid": 1000 });
        });
        let container = runtime.run_detached(&bundle);
        let outcome = container.exec(["sh", "-c", "grep Seccomp: /proc/self/status; mkdir /dev/shm/x"]);
        assert!(outcome.stdout.contains("Seccomp:\t2"), "{outcome}");
        assert!(outcome.stderr.contains("Operation not permitted"), "{outcome}");
    }
}

#[test]
fn a_profile_that_is_older_than_the_kernel_does_not_stop_the_runtime() {
    require!(root, tool("busybox"));
    differs!("runc-head" => "1.5 needs more calls itself once the filter holds", "crun" => "1.8.1 needs statx for exec");
    // Without noNewPrivileges the filter is loaded long before exec, and what the runtime calls after that must not
    // need what profiles of some years ago do not name.
    let new = json!([
        "statx",
        "faccessat2",
        "close_range",
        "openat2",
        "clone3",
        "pidfd_open",
        "mount_setattr",
        "epoll_pwait2"
    ]);
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = Bundle::busybox(&scratch, "one").args(["sleep", "60"]).edit(|config| {
        config["linux"]["seccomp"] = profile(&json!([{ "names": new, "action": "SCMP_ACT_ERRNO" }]));
        config["process"]["noNewPrivileges"] = json!(false);
    });
    let container = runtime.create(&bundle);
    container.start().success();
    assert_eq!(container.status(), "running");
    container.exec(["true"]).success();
}

#[test]
fn unknown_calls_are_left_out_and_unknown_words_refused() {
    require!(root, tool("busybox"));
    differs!("crun" => "1.8.1 takes unknown words");
    let unknown = json!([{ "names": ["warp_drive", "mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO" }]);
    assert!(under(&unknown, "mkdir /tmp/x").stderr.contains("Operation not permitted"));
    for (place, value) in [
        ("defaultAction", json!("SCMP_ACT_WARP")),
        ("architectures", json!(["SCMP_ARCH_WARP"])),
        ("syscalls", json!([{ "names": ["mkdir"], "action": "SCMP_ACT_WARP" }])),
        (
            "syscalls",
            json!([{ "names": ["kill"], "action": "SCMP_ACT_ERRNO", "args": [{ "index": 0, "value": 1, "op": "SCMP_CMP_WARP" }] }]),
        ),
    ] {
        refusal(|config| {
            config["linux"]["seccomp"] = profile(&json!([]));
            config["linux"]["seccomp"][place] = value;
        });
    }
}

#[test]
fn a_notifying_filter_goes_to_the_agent_with_the_state() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let agent = Receiver::new(&scratch, "agent.sock");
    let runtime = Runtime::new(&scratch);
    let bundle = Bundle::busybox(&scratch, "one").args(["sleep", "60"]).edit(|config| {
        let mut seccomp = profile(&json!([{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY" }]));
        seccomp["listenerPath"] = json!(agent.path());
        seccomp["listenerMetadata"] = json!("some words");
        config["linux"]["seccomp"] = seccomp;
    });
    let container = runtime.run_detached(&bundle);
    let (message, descriptors) = agent.take();
    let state: Value = serde_json::from_slice(&message).expect("the state is JSON");
    assert_eq!(state["metadata"], "some words", "{state}");
    assert_eq!(state["state"]["id"], "one", "{state}");
    assert_eq!(state["pid"], container.pid(), "{state}");
    assert_eq!(state["fds"], json!(["seccompFd"]), "{state}");
    assert_eq!(descriptors.len(), 1);
}

#[test]
fn an_agent_that_is_not_there_ends_the_creation() {
    require!(root, tool("busybox"));
    let said = refusal(|config| {
        let mut seccomp = profile(&json!([{ "names": ["mkdir"], "action": "SCMP_ACT_NOTIFY" }]));
        seccomp["listenerPath"] = json!("/nowhere/agent.sock");
        config["linux"]["seccomp"] = seccomp;
    });
    assert!(said.contains("/nowhere/agent.sock"), "{said}");
    // crun 1.8.1 goes on with a filter that nobody listens to.
    if !crate::is("crun") {
        refusal(|config| {
            config["linux"]["seccomp"] =
                profile(&json!([{ "names": ["mkdir"], "action": "SCMP_ACT_NOTIFY" }]));
        });
    }
}
