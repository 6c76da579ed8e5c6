//! pull, images, tag, rmi, save and load.

use std::time::Duration;

use knarr_tests::{Daemon, Image, Layer, Pty, Registry, Scratch, process, require};

use crate::busybox::{self, NAME};

#[test]
fn an_image_is_listed_tagged_and_removed() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    let id = Image::busybox().id();
    assert_eq!(knarr.say(["images", "-q", "--no-trunc"]), id);
    knarr.say(["tag", NAME, "other:2"]);
    let table = knarr.say(["images"]);
    let head: Vec<&str> = table.lines().next().expect("a head").split_whitespace().collect();
    assert_eq!(head, ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"]);
    assert!(table.contains("test/busybox") && table.contains("other "), "{table}");
    assert_eq!(knarr.say(["images", "--format", "{{.Tag}}", "other"]), "2");
    assert_eq!(knarr.say(["images", "-q"]).lines().count(), 1, "an image is one image, whatever its names");
    let inspected = knarr.json(["image", "inspect", "other:2"]);
    assert_eq!(inspected[0]["Id"], id);
    assert_eq!(inspected[0]["RepoTags"].as_array().map(Vec::len), Some(2));
    assert_eq!(knarr.say(["rmi", "other:2"]), "Untagged: other:2");
    knarr.say(["create", "--name", "uses", NAME]);
    let used = knarr.call(["rmi", NAME]).exits_with(1);
    assert!(used.stderr.contains("uses"), "{used}");
    knarr.say(["rm", "uses"]);
    let removed = knarr.say(["image", "rm", NAME]);
    assert!(removed.starts_with(&format!("Untagged: {NAME}\nDeleted: sha256:")), "{removed}");
    assert_eq!(knarr.say(["images", "-q"]), "");
}

#[test]
fn what_is_saved_can_be_loaded() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    let archive = scratch.join("saved.tar");
    let path = archive.to_str().expect("our own path");
    knarr.say(["save", "-o", path, NAME]);
    let piped = knarr.call(["save", NAME]).success();
    assert!(!piped.stdout.is_empty());
    knarr.say(["rmi", NAME]);
    assert_eq!(knarr.say(["load", "-i", path]), format!("Loaded image: {NAME}"));
    assert_eq!(knarr.say(["run", "--rm", NAME, "echo", "back"]), "back");
    let bytes = std::fs::read(&archive).expect("it was written");
    knarr.say(["rmi", NAME]);
    let outcome = process::run_with_input(&mut knarr.command(["load", "-q"]), &bytes).success();
    assert_eq!(outcome.stdout, format!("Loaded image: {NAME}\n"), "--quiet only leaves out the progress");
    let refused = process::run_with_input(&mut knarr.command(["load"]), b"no archive").exits_with(1);
    assert_eq!(refused.stderr.lines().count(), 1, "{refused}");
    // A save that fails leaves no half archive.
    knarr
        .call(["save", "-o", scratch.join("none.tar").to_str().expect("our own path"), "nothing"])
        .exits_with(1);
    let left: Vec<_> = std::fs::read_dir(scratch.path())
        .expect("our own directory")
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().contains("none"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn load_says_what_the_archive_calls_its_images_and_nothing_else() {
    require!(root);
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    let archive = scratch.join("archive.tar");
    let path = archive.to_str().expect("our own path");
    let load = |image: &Image, names: &[&str], flags: &[&str]| {
        image.write_docker_archive(&archive, names);
        knarr.say([&["load", "-i", path], flags].concat())
    };
    let image = Image::busybox();
    assert_eq!(
        load(&image, &["a:1", "quay.io/b/c:2"], &[]),
        "Loaded image: a:1\nLoaded image: quay.io/b/c:2"
    );
    assert_eq!(load(&image, &["d:3"], &[]), "Loaded image: d:3", "it had other names before");
    assert_eq!(load(&image, &[], &[]), format!("Loaded image ID: {}", image.id()));
    let nameless = Image::busybox().config("User", serde_json::json!("7"));
    assert_eq!(load(&nameless, &[], &["-q"]), format!("Loaded image ID: {}", nameless.id()));
    assert_eq!(load(&image, &["a:1"], &["-q"]), "Loaded image: a:1");
}

#[test]
fn a_pull_that_never_begins_leaves_one_sentence() {
    require!(root, tool("setsid"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    for reference in ["127.0.0.1:1/library/alpine:latest", "localhost:1/a", "127.0.0.1:1/a@sha256:00"] {
        let pty = Pty::spawn(&daemon.knarr().command(["pull", reference]));
        let (status, seen) = pty.finish(Duration::from_secs(60));
        assert_eq!(status.code(), Some(1), "{seen:?}");
        assert!(!seen.contains("Waiting"), "{seen:?}");
        assert_eq!(seen.trim_end().lines().count(), 1, "{seen:?}");
    }
}

#[test]
fn pull_says_what_docker_says() {
    require!(root, tool("busybox"), tool("docker-registry"), tool("skopeo"));
    let scratch = Scratch::new();
    let registry = Registry::start(&scratch);
    let reference = registry.push(&Image::busybox(), "test/pulled:1");
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    let pulled = knarr.say(["pull", &reference]);
    let lines: Vec<&str> = pulled.lines().collect();
    let name = reference.rsplit_once(':').expect("a tag").0;
    assert_eq!(lines[0], format!("1: Pulling from {name}"));
    assert!(lines[1].ends_with(": Pull complete"), "{pulled}");
    assert!(lines[2].starts_with("Digest: sha256:"), "{pulled}");
    assert_eq!(lines[3], format!("Status: Downloaded newer image for {reference}"));
    assert_eq!(lines[4], reference);
    assert!(knarr.say(["pull", &reference]).contains("Status: Image is up to date for"));
    assert_eq!(knarr.say(["pull", "-q", &reference]), reference);
    knarr.say(["rmi", &reference]);
    let run = knarr.call(["run", "--rm", &reference, "echo", "hi"]).success();
    assert_eq!(run.stdout, "hi\n");
    assert!(run.stderr.starts_with(&format!("Unable to find image '{reference}' locally\n")), "{run}");
    let never = knarr.call(["run", "--rm", "--pull", "never", &format!("{name}:2"), "true"]).exits_with(125);
    assert_eq!(never.stderr.lines().count(), 1, "{never}");
    let always = knarr.call(["run", "--rm", "--pull", "always", "-q", &reference, "echo", "hi"]).success();
    assert_eq!((always.stdout.as_str(), always.stderr.as_str()), ("hi\n", ""));
}

#[test]
fn a_person_sees_bars_move() {
    require!(root, tool("busybox"), tool("docker-registry"), tool("skopeo"), tool("setsid"));
    let scratch = Scratch::new();
    let registry = Registry::start(&scratch);
    let image = Image::busybox().layer(Layer::new().file("big", 0o644, &vec![7; 1 << 20]));
    let reference = registry.push(&image, "test/bars:1");
    let daemon = Daemon::start(&scratch);
    let mut pty = Pty::spawn(&daemon.knarr().command(["pull", &reference]));
    let seen = pty.expect("Status: Downloaded newer image", Duration::from_secs(60));
    assert!(seen.matches("Pull complete").count() >= 2, "{seen:?}");
    let (status, _) = pty.finish(Duration::from_secs(10));
    assert!(status.success());
}
