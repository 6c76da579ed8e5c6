//! Text that images, registries, containers and other clients choose does not steer the terminal of the person who
//! looks at it, nor forge a line of a list or of the log. What a process writes is its own and passes untouched.

use knarr_proto::escape;
use knarr_tests::{Daemon, Image, Knarr, Outcome, Scratch, process, require};
use serde_json::json;

const NAME: &str = "test/hostile:1";

/// What a terminal obeys, what reverses the direction of reading, what hides, and what forges lines and columns.
const HOSTILE: [&str; 9] = [
    "\x1b[2J\x1b[31mred",
    "\x1b]0;title\x07",
    "\u{9b}31m",
    "back\x08\x08\x08",
    "over\rwritten",
    "\u{202e}desrever\u{202c}",
    "\u{2066}isolated\u{2069}",
    "zero\u{200b}width\u{feff}",
    "forged\n0123456789ab   alpine   \"sh\"\tUp",
];

fn hostile() -> String {
    HOSTILE.concat()
}

/// An image all of whose texts are hostile.
fn image() -> Image {
    let text = hostile();
    Image::busybox()
        .config("User", json!(text))
        .config("Cmd", json!([text, text]))
        .config("Env", json!(["PATH=/bin", format!("{text}={text}")]))
        .config("Labels", json!({ text.clone(): text, "plain": text }))
        .config("Volumes", json!({ text.clone(): {} }))
        .config("ExposedPorts", json!({ text.clone(): {} }))
        .config("StopSignal", json!("SIGTERM"))
}

/// Fails when what was printed has anything that a terminal obeys but newlines and tabs.
#[track_caller]
fn assert_tame(outcome: &Outcome) {
    for (stream, text) in [("stdout", &outcome.stdout), ("stderr", &outcome.stderr)] {
        let obeyed = text.chars().find(|letter| escape::is_unsafe(*letter) && !"\n\t".contains(*letter));
        assert_eq!(obeyed, None, "on {stream} of {}: {text:?}", outcome.command);
    }
}

fn load(scratch: &Scratch, knarr: &Knarr<'_>) {
    let archive = scratch.join("hostile.tar");
    image().write_docker_archive(&archive, &[NAME]);
    assert_tame(&knarr.call(["load", "-i", archive.to_str().expect("our own path")]).success());
}

#[test]
fn lists_events_errors_and_templates_show_escapes_instead() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    load(&scratch, &knarr);
    let text = hostile();
    let label = format!("own={text}");
    let created = knarr.call(["create", "--name", "one", "-l", &label, "-w", "/tmp", NAME, "sh", &text]);
    assert_tame(&created.success());
    for args in [
        &["ps", "-a"][..],
        &["ps", "-a", "--no-trunc"],
        &["ps", "-a", "--format", "{{.Labels}}|{{.Command}}"],
        &["ps", "-a", "--format", "{{.Label \"own\"}}"],
        &["ps", "-a", "--format", "table {{.Labels}}\t{{.Names}}"],
        &["ps", "-a", "--format", "{{json .}}"],
        &["ps", "-a", "--format", "json"],
        &["images", "--no-trunc"],
        &["images", "--format", "json"],
        &["inspect", "one"],
        &["inspect", NAME],
        &["inspect", "-f", "{{.Config.Labels}} {{.Config.Cmd}} {{json .Config}}", "one"],
        &["inspect", "-f", "{{range .Config.Env}}{{println .}}{{end}}", NAME],
        &["inspect", "-f", "{{printf \"%s %v %q\" .Config.User .Config.Cmd .Config.User}}", NAME],
        &["events", "--since", "2020-01-01T00:00:00Z", "--until", "0s"],
        &["events", "--since", "2020-01-01T00:00:00Z", "--until", "0s", "--format", "json"],
        &["events", "--since", "2020-01-01T00:00:00Z", "--until", "0s", "--format", "{{.Actor}}"],
        &["info"],
        &["version"],
        &["start", "one"],
        &["run", "--rm", NAME],
        &["run", "--rm", "--user", "root", NAME],
        &["run", "--rm", "--user", &text, NAME, "true"],
        &["run", "--rm", "--user", "root", NAME, &text],
        &["run", "--rm", "--user", "root", "--entrypoint", &text, NAME],
        &["run", &text],
        &["create", "--name", &text, NAME],
        &["pull", &text],
        &["pull", &format!("127.0.0.1:1/a:{text}")],
        &["rm", &text],
        &["rmi", &text],
        &["kill", "--signal", &text, "one"],
        &["ps", "--filter", &format!("{text}=x")],
        &["ps", "--format", &format!("{{{{.{text}}}}}")],
        &["inspect", &text],
        &["logs", &text],
        &["--host", &text, "ps"],
        &["save", "-o", &format!("/nowhere/{text}"), NAME],
        &["load", "-i", &format!("/nowhere/{text}")],
        &[&text],
        &["ps", &format!("--{text}")],
    ] {
        assert_tame(&knarr.call(args));
    }
    let log = daemon.log();
    let obeyed = log.chars().find(|letter| escape::is_unsafe(*letter) && *letter != '\n');
    assert_eq!(obeyed, None, "{log:?}");
    let forged = log.lines().find(|line| line.starts_with("0123456789ab"));
    assert_eq!(forged, None, "a line of the log is knarrd's own");
}

#[test]
fn a_row_is_a_container_and_json_means_the_same() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    load(&scratch, &knarr);
    let text = hostile();
    knarr.call(["create", "--name", "one", "-l", &format!("own={text}"), NAME, "sh", &text]).success();
    for format in ["{{.Labels}}", "{{.Label \"own\"}}", "{{.Command}} {{.Labels}}", "json"] {
        let rows = knarr.say(["ps", "-a", "--no-trunc", "--format", format]);
        assert_eq!(rows.lines().count(), 1, "{format}: {rows}");
    }
    assert_eq!(knarr.say(["ps", "-a"]).lines().count(), 2);
    let inspected = knarr.json(["inspect", "one"]);
    assert_eq!(inspected[0]["Config"]["Labels"]["own"], json!(text));
    assert_eq!(inspected[0]["Args"][0], json!(text));
    assert_eq!(knarr.json(["inspect", NAME])[0]["Config"]["User"], json!(text));
    let row = knarr.json(["ps", "-a", "--format", "json"]);
    assert!(row["Labels"].as_str().is_some_and(|labels| labels.contains(&text)), "{row}");
}

#[test]
fn what_a_process_writes_passes_untouched() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    load(&scratch, &knarr);
    let text = hostile();
    let args = [
        "run",
        "--name",
        "one",
        "--user",
        "0",
        NAME,
        "sh",
        "-c",
        "printf %s \"$0\"; printf %s \"$0\" >&2",
        &text,
    ];
    let ran = process::run(&mut knarr.command(args)).success();
    // What comes before the process's own words is knarr's warning of the image's volume, which is escaped.
    let warning = ran.stderr.strip_suffix(text.as_str()).expect("the process's words");
    assert_eq!(ran.stdout, text);
    assert!(warning.starts_with("WARNING: ") && !warning.contains('\x1b'), "{warning:?}");
    let logs = knarr.call(["logs", "one"]).success();
    assert_eq!((logs.stdout.as_str(), logs.stderr.as_str()), (text.as_str(), text.as_str()));
}
