//! kill -9 of knarrd while ten containers run, log and end: none is disturbed, no line is lost, every exit is told.

use std::fs;
use std::path::Path;
use std::time::Duration;

use knarr_tests::{Daemon, Image, Knarr, Registry, Scratch, eventually, require};

const CONTAINERS: usize = 10;
/// The first half ends while knarrd is dead, with these exit codes.
const FIRST_CODE: usize = 10;
const DEADLINE: Duration = Duration::from_secs(60);

/// Counts aloud until its file is there, then says "end" and exits with the number in the file.
const COUNT: &str = r#"n=0; while [ ! -e /go/$0 ]; do n=$((n+1)); echo "line $n"; usleep 3000; done; echo end; exit $(cat /go/$0)"#;

/// The logged lines as numbers; panics at a line that is torn.
#[track_caller]
fn numbers(log: &str) -> Vec<u64> {
    let lines = log.lines().filter(|line| *line != "end");
    lines
        .map(|line| {
            line.strip_prefix("line ").and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("{line:?}"))
        })
        .collect()
}

#[track_caller]
fn assert_counts_without_gap(knarr: &Knarr<'_>, name: &str, at_least: usize) {
    let log = knarr.say(["logs", name]);
    let seen = numbers(&log);
    let expected: Vec<u64> = (1..=seen.len() as u64).collect();
    assert_eq!(seen, expected, "{name} lost or repeated lines");
    assert!(seen.len() >= at_least, "{name} logged {} lines, before it were {at_least}", seen.len());
}

fn pid(knarr: &Knarr<'_>, name: &str) -> u64 {
    let inspected = knarr.json(["inspect", name]);
    inspected[0]["State"]["Pid"].as_u64().unwrap_or_else(|| panic!("{name} has no pid: {inspected}"))
}

fn start_all(knarr: &Knarr<'_>, image: &str, go: &Path) -> Vec<String> {
    let bind = format!("{}:/go:ro", go.display());
    let names: Vec<String> = (0..CONTAINERS).map(|number| format!("count-{number}")).collect();
    for name in &names {
        knarr.say(["run", "-d", "--name", name, "-v", &bind, image, "sh", "-c", COUNT, name]);
    }
    names
}

/// Tells a container to end, by putting its exit code whole under its name.
fn end(go: &Path, name: &str, code: usize) {
    let unfinished = go.join(format!(".{name}"));
    fs::write(&unfinished, code.to_string()).expect("the scratch directory is ours");
    fs::rename(&unfinished, go.join(name)).expect("the scratch directory is ours");
}

#[test]
fn many_containers_go_on_log_and_end_while_the_manager_is_dead() {
    require!(root, tool("docker-registry"), tool("skopeo"), tool("busybox"));
    let scratch = Scratch::new();
    let registry = Registry::start(&scratch);
    let image = registry.push(&Image::busybox(), "test/busybox:1");
    let mut daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    knarr.say(["pull", "-q", &image]);
    let go = scratch.directory("go");
    let names = start_all(&knarr, &image, &go);
    let pids: Vec<u64> = names.iter().map(|name| pid(&knarr, name)).collect();
    eventually(DEADLINE, || (numbers(&knarr.say(["logs", names.last()?])).len() > 50).then_some(()));
    let lines_before: Vec<usize> =
        names.iter().map(|name| numbers(&knarr.say(["logs", name])).len()).collect();

    daemon.kill();
    let (ending, staying) = names.split_at(CONTAINERS / 2);
    for (number, name) in ending.iter().enumerate() {
        end(&go, name, FIRST_CODE + number);
    }
    for pid in &pids[..ending.len()] {
        eventually(DEADLINE, || (!Path::new(&format!("/proc/{pid}")).exists()).then_some(()));
    }
    for pid in &pids[ending.len()..] {
        assert!(Path::new(&format!("/proc/{pid}")).exists(), "killing knarrd ended process {pid}");
    }
    daemon.start_again();

    for (number, name) in ending.iter().enumerate() {
        let code = (FIRST_CODE + number).to_string();
        assert_eq!(knarr.say(["wait", name]), code, "{name}");
        assert_eq!(knarr.json(["inspect", name])[0]["State"]["Status"], "exited", "{name}");
        assert_counts_without_gap(&knarr, name, lines_before[number]);
        assert!(knarr.say(["logs", "--tail", "1", name]).contains("end"), "{name}'s last line");
    }
    for (offset, name) in staying.iter().enumerate() {
        let number = ending.len() + offset;
        assert_eq!(pid(&knarr, name), pids[number], "{name} is the same process");
        assert_eq!(knarr.say(["exec", name, "echo", "here"]), "here", "{name} can be entered");
        end(&go, name, number);
        assert_eq!(knarr.say(["wait", name]), number.to_string(), "{name}");
        assert_counts_without_gap(&knarr, name, lines_before[number] + 1);
    }
    for name in &names {
        knarr.say(["rm", name]);
    }
    assert_eq!(knarr.say(["ps", "-aq"]), "");
}

#[test]
fn a_foreground_run_survives_nothing_but_its_container_does() {
    require!(root, tool("docker-registry"), tool("skopeo"), tool("busybox"));
    let scratch = Scratch::new();
    let registry = Registry::start(&scratch);
    let image = registry.push(&Image::busybox(), "test/busybox:1");
    let mut daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    let go = scratch.directory("go");
    let bind = format!("{}:/go:ro", go.display());
    let mut run = knarr.command(["run", "--name", "fore", "-v", &bind, &image, "sh", "-c", COUNT, "fore"]);
    let mut foreground = knarr_tests::Background::start(&mut run, &scratch.join("foreground.log"));
    eventually(DEADLINE, || {
        let shown = fs::read_to_string(scratch.join("foreground.log")).ok()?;
        shown.contains("line 5\n").then_some(())
    });
    daemon.kill();
    eventually(DEADLINE, || (!foreground.is_running()).then_some(()));
    daemon.start_again();
    end(&go, "fore", 3);
    assert_eq!(knarr.say(["wait", "fore"]), "3");
    assert_counts_without_gap(&knarr, "fore", 5);
    knarr.say(["rm", "fore"]);
}
