//! The same bundle under knarr-runtime, runc and crun: the same state, exit codes and view of /proc.

use std::collections::BTreeSet;

use knarr_tests::{Bundle, Runtime, Scratch, require};

/// What ours is compared with.
const OTHERS: [&str; 2] = ["runc", "crun"];

fn all(scratch: &Scratch) -> [Runtime<'_>; 3] {
    let [first, second] = OTHERS.map(|name| Runtime::other(scratch, name).with_private_view());
    [Runtime::at(scratch, knarr_tests::programs::ours("knarr-runtime")).with_private_view(), first, second]
}

#[test]
fn exit_codes_are_the_containers_own_under_all_three() {
    require!(root, tool("busybox"), tool("runc"), tool("crun"));
    let scratch = Scratch::new();
    let first = Bundle::busybox(&scratch, "first");
    for (script, code) in [
        ("true", 0),
        ("exit 42", 42),
        ("kill -9 $$", 137),
        ("kill -TERM $$; sleep 9", 143),
        ("exit 255", 255),
    ] {
        // As pid 1 the shell would not get its own signals: a child does, and the shell tells how it ended.
        let script = format!("sh -c '{}'; exit $?", script.replace("$$", "\\$\\$").replace("\\$", "$"));
        for (number, runtime) in all(&scratch).iter().enumerate() {
            let bundle = first.another(&scratch, &format!("code-{code}-{number}")).script(&script);
            let outcome = runtime.run(&bundle);
            assert_eq!(outcome.code(), code, "{outcome}");
        }
    }
}

/// dockerd and people look for these sentences.
#[test]
fn a_failed_exec_says_the_same_as_under_runc() {
    require!(root, tool("busybox"), tool("runc"));
    let scratch = Scratch::new();
    let bundle = Bundle::busybox(&scratch, "one").args(["sleep", "600"]);
    let said = |runtime: &Runtime<'_>, bundle: &Bundle, cwd: &str, program: &str| {
        let _container = runtime.run_detached(bundle);
        let outcome = runtime.call(["exec", "--cwd", cwd, bundle.id(), program]);
        let message =
            outcome.stderr.lines().last().and_then(|line| Some(line.split_once("msg=")?.1.to_owned()));
        message.unwrap_or_else(|| panic!("no message: {outcome}"))
    };
    for (number, (cwd, program)) in [("/", "nope"), ("/nodir", "true")].into_iter().enumerate() {
        let [ours, runc] = ["ours", "runc"].map(|name| bundle.another(&scratch, &format!("{name}-{number}")));
        assert_eq!(
            said(&Runtime::new(&scratch), &ours, cwd, program),
            said(&Runtime::other(&scratch, "runc"), &runc, cwd, program)
        );
    }
}

#[test]
fn state_has_the_same_keys_under_all_three() {
    require!(root, tool("busybox"), tool("runc"), tool("crun"));
    let scratch = Scratch::new();
    let first = Bundle::busybox(&scratch, "first");
    let mut keys = Vec::new();
    for (number, runtime) in all(&scratch).iter().enumerate() {
        let bundle = first.another(&scratch, &format!("state-{number}")).args(["sleep", "60"]);
        let container = runtime.create(&bundle);
        assert_eq!(container.status(), "created");
        container.start().success();
        assert_eq!(container.status(), "running");
        let state = runtime.state(container.id()).expect("it is there");
        let names: BTreeSet<String> = state.as_object().expect("an object").keys().cloned().collect();
        assert_eq!(state["id"], container.id());
        assert_eq!(state["bundle"], bundle.path().to_str().expect("our own path"));
        keys.push(names);
        container.kill("KILL").success();
        knarr_tests::eventually(std::time::Duration::from_secs(5), || {
            (container.status() == "stopped").then_some(())
        });
        container.delete().success();
        assert_eq!(container.status(), "gone");
    }
    let [ours, runc, crun] = keys.try_into().expect("three");
    assert_eq!(ours, runc, "the keys of runc");
    // crun adds its own `created` and `systemd-scope`, or leaves out what is empty; the OCI's five are in all.
    let oci: BTreeSet<String> =
        ["ociVersion", "id", "status", "pid", "bundle"].into_iter().map(str::to_owned).collect();
    assert!(oci.is_subset(&ours) && oci.is_subset(&crun), "{ours:?} {crun:?}");
}

#[test]
fn a_process_sees_the_same_proc_under_all_three() {
    require!(root, tool("busybox"), tool("runc"), tool("crun"));
    let scratch = Scratch::new();
    // Fields that say how the process is confined; the rest (memory, switches) is of the moment.
    let status =
        "grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp:|Umask|Threads|ShdPnd|SigBlk)' /proc/self/status";
    let mounts = "cut -d' ' -f4- /proc/self/mountinfo | sed -E 's/ (shared|master):[0-9]+//; s/(size|nr_inodes)=[0-9]+k?//g' | awk '{print $2, $3, $5, $6}' | sort";
    let rest = "cat /proc/self/limits | grep -E 'open files'; hostname; pwd; env | sort; ls /dev | sort; cat /proc/self/oom_score_adj; ls /proc/self/fd | wc -l";
    let first = Bundle::busybox(&scratch, "first").script(&format!("{status}; {mounts}; {rest}"));
    let views = all(&scratch).map(|runtime| {
        let name =
            runtime.program().file_name().expect("a program has a name").to_string_lossy().into_owned();
        let bundle = first.another(&scratch, &name);
        runtime.run(&bundle).success().stdout.replace(&scratch.cgroup(&name), "CGROUP")
    });
    let [ours, runc, crun] = views.map(|view| view.lines().map(str::to_owned).collect::<BTreeSet<String>>());
    // Three lines are each runtime's own: which /dev/null masks a file, and whether the tmpfs above cgroup v1's mounts
    // is read-only, as the configuration says (ours) or not (runc, crun).
    let own = ["/proc/keys ", "/proc/timer_list ", "/sys/fs/cgroup "];
    let [ours, runc, crun] = [ours, runc, crun].map(|view| {
        view.into_iter()
            .filter(|line| !own.iter().any(|start| line.starts_with(start)))
            .collect::<BTreeSet<_>>()
    });
    // runc and crun differ in places that the specification leaves open; ours must have all that they agree on, and
    // nothing that neither has.
    let both: BTreeSet<String> = runc.intersection(&crun).cloned().collect();
    let either: BTreeSet<String> = runc.union(&crun).cloned().collect();
    let missing: Vec<_> = both.difference(&ours).collect();
    let only_ours: Vec<_> = ours.difference(&either).collect();
    assert!(missing.is_empty() && only_ours.is_empty(), "missing: {missing:#?}\nonly ours: {only_ours:#?}");
}
