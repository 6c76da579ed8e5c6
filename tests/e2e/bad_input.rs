//! Bad input: each time the right exit code and one clear sentence, and nothing is left behind.

use std::fs;

use knarr_tests::{Daemon, Image, Knarr, Registry, Scratch, require};

/// The daemon's objects, of which bad input must make none.
fn belongings(daemon: &Daemon<'_>) -> Vec<String> {
    let knarr = daemon.knarr();
    let mut found: Vec<String> = knarr.say(["ps", "-aq"]).lines().map(str::to_owned).collect();
    found.extend(knarr.say(["images", "-q"]).lines().map(str::to_owned));
    for directory in ["containers", "snapshots", "content/ingest", "content/blobs/sha256"] {
        let entries = fs::read_dir(daemon.root().join(directory)).into_iter().flatten().flatten();
        found.extend(entries.map(|entry| format!("{directory}/{}", entry.file_name().to_string_lossy())));
    }
    found.sort();
    found
}

/// What a person gets to see: this exit code, and one line that has all these words.
#[track_caller]
fn refused(knarr: &Knarr<'_>, args: &[&str], code: i32, words: &[&str]) {
    let outcome = knarr.call(args);
    assert_eq!(outcome.code(), code, "{outcome}");
    assert_eq!(outcome.stdout, "", "{outcome}");
    // A wrong flag may be followed by the way to the help, as docker does it.
    let lines = outcome.stderr.lines().filter(|line| !line.is_empty() && !line.contains("--help"));
    assert_eq!(lines.count(), 1, "one sentence: {outcome}");
    let said = outcome.stderr.to_lowercase();
    for word in words {
        assert!(said.contains(&word.to_lowercase()), "{word:?} is missing: {outcome}");
    }
    for noise in ["error { ", "os error", "status: ", "panicked", "grpc"] {
        assert!(!said.contains(noise), "{noise:?} is no word for people: {outcome}");
    }
}

#[test]
fn bad_images_and_references_are_refused_with_one_sentence_and_leave_nothing() {
    require!(root, tool("docker-registry"), tool("skopeo"), tool("busybox"));
    let scratch = Scratch::new();
    let registry = Registry::start(&scratch);
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    let before = belongings(&daemon);
    let unknown = format!("{}/no/such:1", registry.address());
    refused(&knarr, &["run", "--rm", &unknown, "true"], 125, &["no/such", "not found"]);
    refused(&knarr, &["pull", &unknown], 1, &["no/such", "not found"]);
    refused(&knarr, &["run", "--rm", "127.0.0.1:1/a/b:1", "true"], 125, &["127.0.0.1:1", "connect"]);
    refused(&knarr, &["run", "--rm", "Not//A:Reference!", "true"], 125, &["Not//A:Reference!"]);
    refused(&knarr, &["pull", "a@sha256:12"], 1, &["sha256:12"]);
    refused(&knarr, &["rmi", "nothing-here"], 1, &["nothing-here"]);
    refused(&knarr, &["image", "inspect", "nothing-here"], 1, &["nothing-here"]);
    let missing = scratch.join("missing.tar");
    let missing = missing.to_str().expect("our own path");
    refused(&knarr, &["load", "-i", missing], 1, &["missing.tar"]);
    assert_eq!(belongings(&daemon), before);
}

#[test]
fn a_blob_that_is_not_what_its_digest_says_is_refused_and_not_kept() {
    require!(root, tool("docker-registry"), tool("skopeo"), tool("busybox"));
    let scratch = Scratch::new();
    let registry = Registry::start(&scratch);
    let image = Image::busybox();
    let layout = scratch.join("layout");
    let manifest = image.write_layout(&layout, "x");
    let reference = registry.push_layout(&layout, "x", "test/spoilt:1");
    let manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(registry.blob(&manifest)).expect("it was pushed")).expect("JSON");
    let layer = manifest["layers"][0]["digest"].as_str().expect("a layer");
    let stored = registry.blob(layer);
    let mut bytes = fs::read(&stored).expect("it was pushed");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&stored, bytes).expect("the registry's files are ours");
    let daemon = Daemon::start(&scratch);
    refused(&daemon.knarr(), &["pull", &reference], 1, &["digest", layer]);
    assert_eq!(daemon.knarr().say(["images", "-q"]), "");
    let hex = layer.trim_start_matches("sha256:");
    assert!(!daemon.root().join("content/blobs/sha256").join(hex).exists(), "the bad blob has no name");
}

#[test]
fn bad_flags_and_commands_are_refused_with_one_sentence_and_leave_nothing() {
    require!(root, tool("docker-registry"), tool("skopeo"), tool("busybox"));
    let scratch = Scratch::new();
    let registry = Registry::start(&scratch);
    let image = registry.push(&Image::busybox(), "test/busybox:1");
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    knarr.say(["pull", "-q", &image]);
    knarr.say(["create", "--name", "taken", &image, "true"]);
    let before = belongings(&daemon);
    let run =
        |args: &[&str]| [&["run", "--rm"], args].concat().iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
    let cases: [(&[&str], i32, &[&str]); 13] = [
        (&["--no-such-flag", &image, "true"], 125, &["--no-such-flag"]),
        (&[&image, "no-such-command"], 127, &["no-such-command", "not found"]),
        (&[&image, "/no/such/path"], 127, &["/no/such/path", "no such file"]),
        (&[&image, "/etc/passwd"], 126, &["/etc/passwd", "permission denied"]),
        (&[&image, "/etc"], 126, &["/etc"]),
        (&["--name", "taken", &image, "true"], 125, &["taken", "in use"]),
        (&["--name", "no spaces", &image, "true"], 125, &["no spaces"]),
        (&["--mount", "type=bind,src=/no/such/dir,dst=/x", &image, "true"], 125, &["/no/such/dir"]),
        (&["-v", "/tmp:relative", &image, "true"], 125, &["relative"]),
        (&["--memory", "12q", &image, "true"], 125, &["12q"]),
        (&["--user", "nobody-knows", &image, "true"], 125, &["nobody-knows"]),
        (&["--cap-add", "CAP_FLY", &image, "true"], 125, &["FLY"]),
        (&["--network", "moon", &image, "true"], 125, &["moon"]),
    ];
    for (args, code, words) in cases {
        let args = run(args);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        refused(&knarr, &args, code, words);
        assert_eq!(belongings(&daemon), before, "left by {args:?}");
    }
    for verb in ["start", "stop", "kill", "rm", "logs", "inspect", "wait", "attach"] {
        refused(&knarr, &[verb, "nobody"], 1, &["nobody", "no such"]);
    }
    refused(&knarr, &["exec", "nobody", "true"], 1, &["nobody", "no such"]);
    refused(&knarr, &["exec", "taken", "true"], 1, &["taken", "not running"]);
    assert_eq!(belongings(&daemon), before);
}
