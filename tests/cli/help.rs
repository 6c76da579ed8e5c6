//! What knarr says without any knarrd: help, completion, and what is wrong with a command line.

use std::io::Read;
use std::process::Stdio;

use knarr_tests::process::{self, Outcome};
use knarr_tests::{Knarr, Scratch, programs, require};

/// knarr, with an address where nobody listens.
fn call(scratch: &Scratch, args: &[&str]) -> Outcome {
    Knarr::new(scratch, &scratch.join("nobody.sock")).call(args)
}

#[test]
fn help_is_shown_for_every_command_and_asks_nobody() {
    let scratch = Scratch::new();
    let top = call(&scratch, &["--help"]).success().stdout;
    assert_eq!(call(&scratch, &["help"]).success().stdout, top);
    for verb in [
        "run",
        "create",
        "start",
        "stop",
        "restart",
        "kill",
        "pause",
        "unpause",
        "rename",
        "update",
        "top",
        "stats",
        "rm",
        "exec",
        "attach",
        "logs",
        "diff",
        "wait",
        "ps",
        "pull",
        "build",
        "builder",
        "images",
        "rmi",
        "tag",
        "load",
        "save",
        "inspect",
        "events",
        "info",
        "version",
        "completion",
    ] {
        assert!(top.contains(&format!("\n  {verb} ")), "{verb} is not in the help:\n{top}");
        let help = call(&scratch, &[verb, "--help"]).success().stdout;
        assert!(help.contains(&format!("Usage: knarr {verb}")), "{help}");
        assert_eq!(call(&scratch, &["help", verb]).success().stdout, help);
    }
    let run = call(&scratch, &["run", "--help"]).success().stdout;
    assert!(run.contains("Usage: knarr run [OPTIONS] IMAGE [COMMAND] [ARG...]"), "{run}");
    for line in run.lines() {
        assert!(line.chars().count() <= 100, "too wide: {line}");
    }
}

#[test]
fn a_wrong_command_line_is_one_sentence_and_the_way_to_the_help() {
    let scratch = Scratch::new();
    for (args, code, said) in [
        (
            &["run", "--no-such-flag", "a"][..],
            125,
            "knarr: unknown flag: --no-such-flag\nSee 'knarr run --help'.\n",
        ),
        (
            &["rum"][..],
            1,
            "knarr: 'knarr rum' is no command, did you mean 'knarr run'?\nSee 'knarr --help'.\n",
        ),
        (
            &["image", "pull"][..],
            1,
            "knarr: 'knarr image pull' needs more arguments: NAME[:TAG|@DIGEST] is missing\n\
             See 'knarr image pull --help'.\n",
        ),
        (&["exec", "web"][..], 1, "knarr: no command: write knarr exec web COMMAND [ARG...]\n"),
        (
            &["run", "-d", "-a", "stdout", "x"][..],
            125,
            "knarr: conflicting options: cannot specify both --attach and --detach\n",
        ),
        (&["ps", "--format", "{{.Names"][..], 1, "knarr: template: "),
        (&["push", "x"][..], 1, "knarr: 'knarr push' is docker's: images can be pulled"),
        (&["run", "--gpus", "all", "x"][..], 125, "knarr: the flag --gpus is docker's: "),
        (&["run", "-p", "80:x", "x"][..], 125, "knarr: \"x\" in \"80:x\" is no port"),
        (
            &["run", "--link-local-ip", "169.254.1.1", "x"][..],
            125,
            "knarr: the flag --link-local-ip is docker's: ",
        ),
        (&["run", "-it", "x"][..], 1, "knarr: the input device is not a TTY\n"),
        (&["--host", "tcp://1.2.3.4:5", "ps"][..], 1, "knarr: cannot use \"tcp://1.2.3.4:5\""),
    ] {
        let outcome = call(&scratch, args).exits_with(code);
        assert!(outcome.stderr.starts_with(said), "{outcome}");
        assert_eq!(outcome.stdout, "", "{outcome}");
    }
}

#[test]
fn a_daemon_that_is_not_there_is_said_in_one_sentence() {
    let scratch = Scratch::new();
    for (args, code) in [(&["ps"][..], 1), (&["run", "x"][..], 125), (&["exec", "x", "y"][..], 1)] {
        let outcome = call(&scratch, args).exits_with(code);
        let expected = format!(
            "knarr: cannot connect to knarrd at unix://{}: there is no such socket; is knarrd running?\n",
            scratch.join("nobody.sock").display()
        );
        assert_eq!(outcome.stderr, expected);
    }
    let version = call(&scratch, &["version"]).exits_with(1);
    assert!(version.stdout.starts_with("Client: knarr\n Version:"), "{version}");
}

#[test]
fn completion_scripts_are_what_their_shells_understand() {
    let scratch = Scratch::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = call(&scratch, &["completion", shell]).success().stdout;
        assert!(script.contains("detach-keys") && script.contains("inspect"), "{shell}");
    }
    require!(tool("bash"));
    let path = scratch.join("knarr.bash");
    std::fs::write(&path, call(&scratch, &["completion", "bash"]).success().stdout).expect("our own file");
    let mut bash = scratch.command(programs::tool("bash"));
    bash.args(["--norc", "-c"]).arg(
        ". \"$0\"; COMP_WORDS=(knarr run --det); COMP_CWORD=2; _knarr knarr --det run; echo \"${COMPREPLY[@]}\"",
    );
    let outcome = process::run(bash.arg(&path)).success();
    assert!(outcome.stdout.contains("--detach"), "{outcome}");
}

#[test]
fn a_reader_that_leaves_ends_knarr_quietly() {
    let scratch = Scratch::new();
    let knarr = Knarr::new(&scratch, &scratch.join("nobody.sock"));
    let mut command = knarr.command(["completion", "bash"]);
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("knarr can be started");
    drop(child.stdout.take());
    let status = process::wait(&mut child, process::DEADLINE).expect("it ends");
    let mut said = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut said).expect("text");
    assert_eq!((status.code(), said.as_str()), (Some(141), ""));
}
