//! Programs that are started by callers with odd process attributes: they do their work all the same, and a container
//! inherits what it inherits under runc.

use std::fs;
use std::path::Path;
use std::process::Command;

use knarr_tests::deranged::{self, ATTRIBUTES, Attribute, CHILDREN_IGNORED, SIGNALS_BLOCKED, UMASK_ALL};
use knarr_tests::{Bundle, Daemon, Image, Knarr, Outcome, Runtime, Scratch, process, require};
use serde_json::json;

const NAME: &str = "test/busybox:1";

/// What of a process's attributes a program could see; the mask of signals is told by [`container_attributes`]'s test.
const LOOK: &str = "grep -E '^(SigIgn|Cap...|Umask|THP_enabled):' /proc/self/status; cat /proc/self/personality \
    /proc/self/oom_score_adj /proc/self/timerslack_ns /proc/self/coredump_filter; cut -d' ' -f 19,40,41 /proc/self/stat; \
    uname -rm; pwd; ls /proc/self/fd; head -1 /proc/self/numa_maps | cut -d' ' -f 2; grep -v open /proc/self/limits";

fn run(scratch: &Scratch, odd: &[Attribute], command: &Command) -> Outcome {
    process::run(&mut deranged::deranged(scratch, odd, command))
}

/// A container that exits with 7, with a hook of each kind, which leaves a line of its own attributes in `directory`.
fn with_hooks(bundle: Bundle, directory: &Path) -> Bundle {
    let look = |kind: &str, place: &str| {
        let line = format!("(grep -E '^Sig(Blk|Ign):' /proc/self/status; umask; pwd) >{place}/{kind}");
        json!([{ "path": "/bin/sh", "args": ["sh", "-c", line] }])
    };
    let outside = directory.display().to_string();
    bundle.edit(|config| {
        config["process"]["args"] = json!(["sh", "-c", "exit 7"]);
        config["hooks"] = json!({ "startContainer": look("startContainer", "") });
        for kind in ["prestart", "createRuntime", "createContainer", "poststart", "poststop"] {
            config["hooks"][kind] = look(kind, &outside);
        }
    })
}

#[test]
fn a_run_and_its_hooks_are_what_they_are_under_any_caller() {
    require!(root, tool("busybox"), tool("perl"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    for (number, odd) in (0..).zip(ATTRIBUTES) {
        let seen = scratch.directory(format!("seen-{number}"));
        let bundle = with_hooks(Bundle::busybox(&scratch, &format!("c{number}")), &seen);
        let outcome = run(&scratch, &[odd], &runtime.verb("run", &bundle));
        assert_eq!(outcome.code(), 7, "{}: {outcome}", odd.name);
        let own = fs::read_to_string(bundle.rootfs().join("startContainer")).expect(odd.name);
        assert!(own.ends_with("0022\n/\n"), "{}: {own}", odd.name);
        for kind in ["prestart", "createRuntime", "createContainer", "poststart", "poststop"] {
            let text = fs::read_to_string(seen.join(kind)).unwrap_or_else(|error| panic!("{kind}: {error}"));
            let lines: Vec<&str> = text.lines().collect();
            let none = "0000000000000000";
            let umask = match odd.name {
                "umask 0" => "0000",
                // Its maker may use what the runtime makes.
                "umask 0777" => "0077",
                _ => "0022",
            };
            let directory =
                if kind == "createContainer" { bundle.rootfs() } else { bundle.path().to_owned() };
            let expected = [
                format!("SigBlk:\t{none}"),
                format!("SigIgn:\t{none}"),
                umask.to_owned(),
                directory.display().to_string(),
            ];
            assert_eq!(lines, expected, "{} {kind}", odd.name);
        }
    }
}

#[test]
fn an_exec_is_what_it_is_under_any_caller() {
    require!(root, tool("busybox"), tool("perl"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = Bundle::busybox(&scratch, "one").args(["sleep", "600"]);
    let _container = runtime.run_detached(&bundle);
    for odd in ATTRIBUTES {
        let exec = runtime.command(["exec", "one", "sh", "-c", "exit 9"]);
        let outcome = run(&scratch, &[odd], &exec);
        assert_eq!(outcome.code(), 9, "{}: {outcome}", odd.name);
    }
}

/// Go's runtime and the C library leave signals 32 to 34, which are for threads, as they are.
fn without_threads_signals(text: &str) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for line in &mut lines {
        if let Some(ignored) = line.strip_prefix("SigIgn:\t") {
            let ignored = u64::from_str_radix(ignored, 16).expect("a mask");
            *line = format!("SigIgn:\t{:016x}", ignored & !(7 << 31));
        }
    }
    lines.join("\n")
}

/// What a container has of its caller's attributes is what it has under runc, by `run` and by `exec`; but for the mask
/// of signals, and the file mode mask of `exec`, which runc 1.1 passes on and crun does not.
#[test]
fn a_container_inherits_what_it_inherits_under_runc() {
    require!(root, tool("busybox"), tool("perl"), tool("runc"));
    let scratch = Scratch::new();
    let (ours, runc) = (Runtime::new(&scratch), Runtime::other(&scratch, "runc"));
    let bundle = Bundle::busybox(&scratch, "one").script(LOOK);
    let sleeping = Bundle::busybox(&scratch, "two").args(["sleep", "600"]);
    for odd in ATTRIBUTES {
        let look = |runtime: &Runtime<'_>| {
            let ran = run(&scratch, &[odd], &runtime.verb("run", &bundle));
            let _sleeping = runtime.run_detached(&sleeping);
            let exec = run(&scratch, &[odd], &runtime.command(["exec", "two", "sh", "-c", LOOK]));
            let umask = format!("Umask:\t0{}\n", if odd.name == "umask 0" { "000" } else { "777" });
            [ran.stdout, exec.stdout.replace(&umask, "Umask:\t0022\n")]
                .map(|text| without_threads_signals(&text))
        };
        let (own, others) = (look(&ours), look(&runc));
        assert_eq!(own, others, "{}", odd.name);
        // Without standard streams nothing is seen.
        assert!(own.iter().all(|text| text.lines().count() > 20) || odd.name.contains("closed"), "{own:?}");
    }
}

#[test]
fn a_container_blocks_and_ignores_no_signal() {
    require!(root, tool("busybox"), tool("perl"));
    let scratch = Scratch::new();
    let runtime = Runtime::new(&scratch);
    let bundle = Bundle::busybox(&scratch, "one").args(["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"]);
    for odd in
        ATTRIBUTES.into_iter().filter(|odd| odd.name.contains("ignored") || odd.name.contains("blocked"))
    {
        let outcome = run(&scratch, &[odd], &runtime.verb("run", &bundle));
        let none = "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n";
        assert_eq!(outcome.success().stdout, none, "{}", odd.name);
    }
}

fn load(knarr: &Knarr<'_>, scratch: &Scratch, odd: &[Attribute]) -> Outcome {
    let path = scratch.join("busybox.tar");
    if !path.exists() {
        Image::busybox().write_docker_archive(&path, &[NAME]);
    }
    run(scratch, odd, &knarr.command(["load", "-q", "-i"].into_iter().chain([path.to_str().expect("UTF-8")])))
}

#[track_caller]
fn all_works(knarr: &Knarr<'_>, scratch: &Scratch, odd: &[Attribute]) {
    let names: Vec<&str> = odd.iter().map(|odd| odd.name).collect();
    let said = load(knarr, scratch, odd);
    assert_eq!(said.code(), 0, "{names:?}: {said}");
    let ran = run(scratch, odd, &knarr.command(["run", "--rm", NAME, "sh", "-c", "exit 7"]));
    assert_eq!(ran.code(), 7, "{names:?}: {ran}");
    knarr.say(["run", "-d", "--name", "sleeps", NAME, "sleep", "600"]);
    let exec = run(scratch, odd, &knarr.command(["exec", "sleeps", "sh", "-c", "exit 9"]));
    assert_eq!(exec.code(), 9, "{names:?}: {exec}");
    let removed = run(scratch, odd, &knarr.command(["rm", "--force", "sleeps"]));
    assert_eq!(removed.code(), 0, "{names:?}: {removed}");
}

#[test]
fn many_odd_callers_of_the_command_line_get_the_same() {
    require!(root, tool("busybox"), tool("perl"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    for odd in ATTRIBUTES {
        all_works(&daemon.knarr(), &scratch, &[odd]);
    }
}

/// One start each for those that a program can fail by on its own, and one for all others together.
#[test]
fn many_odd_starters_of_the_manager_get_the_same() {
    require!(root, tool("busybox"), tool("perl"));
    let alone = |odd: &Attribute| {
        let words = ["SIGCHLD", "every signal", "umask", "gone", "closed", "more descriptors"];
        words.iter().any(|word| odd.name.contains(word))
    };
    let mut starters: Vec<Vec<Attribute>> =
        ATTRIBUTES.iter().filter(|odd| alone(odd)).map(|odd| vec![*odd]).collect();
    starters.push(ATTRIBUTES.into_iter().filter(|odd| !alone(odd)).collect());
    starters.push(vec![CHILDREN_IGNORED, SIGNALS_BLOCKED, UMASK_ALL]);
    for odd in starters {
        let scratch = Scratch::new();
        let mut daemon = Daemon::start_deranged(&scratch, &odd);
        all_works(&daemon.knarr(), &scratch, &[]);
        daemon.stop();
    }
}
