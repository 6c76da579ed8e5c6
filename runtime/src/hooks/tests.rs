//! Hooks against the real kernel: they need no privilege.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use crate::hooks::*;

fn shell(script: &str) -> Hook {
    Hook {
        path: "/bin/sh".to_owned(),
        args: vec!["hook".to_owned(), "-c".to_owned(), script.to_owned()],
        env: None,
        timeout: None,
    }
}

fn prestart(hook: Hook) -> Hooks {
    Hooks { prestart: vec![hook], ..Hooks::default() }
}

fn failure(hook: Hook) -> String {
    let error = run(HookKind::Prestart, &prestart(hook), b"{}", None).unwrap_err();
    assert_eq!(error.to_string(), "error running prestart hook #0");
    std::error::Error::source(&error).unwrap().to_string()
}

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("knarr-hooks-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

#[test]
fn the_state_arrives_on_stdin_whole_even_when_it_is_larger_than_a_pipe() {
    let scratch = Scratch::new("state");
    let state = vec![b'x'; 300_000];
    let hook = shell(&format!("cat > {}", scratch.file("out").display()));
    run(HookKind::Prestart, &prestart(hook), &state, None).unwrap();
    assert_eq!(fs::read(scratch.file("out")).unwrap(), state);
}

#[test]
fn a_hook_that_does_not_read_its_state_is_no_failure() {
    run(HookKind::Prestart, &prestart(shell("exec <&-; exit 0")), &vec![b'x'; 300_000], None).unwrap();
}

#[test]
fn arguments_and_environment_are_given_exactly_and_nothing_else_is() {
    let scratch = Scratch::new("env");
    let script = format!("echo \"$0 $1\" > {0}; env >> {0}", scratch.file("out").display());
    let mut hook = shell(&script);
    hook.args.extend(["zero".to_owned(), "one".to_owned()]);
    hook.env = Some(vec!["PATH=/usr/bin:/bin".to_owned(), "A=b=c".to_owned()]);
    run(HookKind::Prestart, &prestart(hook), b"{}", None).unwrap();
    let text = fs::read_to_string(scratch.file("out")).unwrap();
    let mut lines: Vec<_> =
        text.lines().filter(|line| !line.starts_with("PWD=") && !line.starts_with("_=")).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["A=b=c", "PATH=/usr/bin:/bin", "zero one"]);
}

#[test]
fn a_failing_hook_is_described_with_its_output() {
    assert_eq!(failure(shell("echo out; echo bad >&2; exit 3")), "exit status 3, stdout: out, stderr: bad");
    assert_eq!(failure(shell("kill -9 $$")), "signal: killed, stdout: , stderr: ");
}

#[test]
fn output_without_end_is_drained_and_bounded() {
    let hook = shell(
        "i=0; while [ $i -lt 4000 ]; do echo 0123456789012345678901234567890123456789; i=$((i+1)); done; exit 1",
    );
    assert!(failure(hook).len() < 5000);
}

#[test]
fn a_hook_that_runs_past_its_timeout_is_killed() {
    let scratch = Scratch::new("timeout");
    let hook = Hook {
        timeout: Some(1),
        ..shell(&format!("echo $$ > {}; exec sleep 60", scratch.file("pid").display()))
    };
    let before = Instant::now();
    assert_eq!(failure(hook), "hook ran past specified timeout of 1.0s, stdout: , stderr: ");
    assert!(before.elapsed() < Duration::from_secs(20));
    let pid = fs::read_to_string(scratch.file("pid")).unwrap();
    assert!(!PathBuf::from(format!("/proc/{}", pid.trim())).exists());
}

#[test]
fn what_a_hook_leaves_in_the_background_is_not_waited_for() {
    let scratch = Scratch::new("background");
    let before = Instant::now();
    let hook = shell(&format!("sleep 30 & echo $! > {}", scratch.file("pid").display()));
    run(HookKind::Prestart, &prestart(hook), b"{}", None).unwrap();
    assert!(before.elapsed() < Duration::from_secs(20));
    let pid = fs::read_to_string(scratch.file("pid")).unwrap().trim().parse().unwrap();
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(pid).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let missing = Hook { path: "/nonexistent/hook".to_owned(), args: Vec::new(), env: None, timeout: None };
    assert_eq!(failure(missing), "cannot start \"/nonexistent/hook\"");
}

#[test]
fn the_first_failure_ends_the_sequence() {
    let scratch = Scratch::new("sequence");
    let touch = shell(&format!("> {}", scratch.file("second").display()));
    let hooks = Hooks { create_runtime: vec![shell("exit 1"), touch], ..Hooks::default() };
    let error = run(HookKind::CreateRuntime, &hooks, b"{}", None).unwrap_err();
    assert_eq!(error.to_string(), "error running createRuntime hook #0");
    assert!(!scratch.file("second").exists());
}

#[test]
fn hooks_that_can_never_run_are_refused_by_the_plan() {
    let with = |change: fn(&mut Hook)| {
        let mut hook = shell("true");
        change(&mut hook);
        check(&Hooks { poststart: vec![shell("true"), hook], ..Hooks::default() })
            .map_err(|error| error.to_string())
    };
    let refused = |text: &str| Err(text.to_owned());
    assert_eq!(with(|_| ()), Ok(()));
    assert_eq!(
        with(|hook| hook.path = "sh".to_owned()),
        refused("hooks.poststart[1].path: \"sh\" is not an absolute path")
    );
    assert_eq!(
        with(|hook| hook.timeout = Some(0)),
        refused("hooks.poststart[1].timeout: 0 is not above zero")
    );
    assert_eq!(with(|hook| hook.timeout = Some(1)), Ok(()));
    assert_eq!(
        with(|hook| hook.env = Some(vec!["=x".to_owned()])),
        refused("hooks.poststart[1].env: \"=x\" is not of the form KEY=value")
    );
}
