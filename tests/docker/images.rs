//! Images through docker's CLI.

use knarr_tests::scripted::Answer;
use knarr_tests::{Image, Registry, Scratch, Scripted, require};

use crate::engine::{Engine, IMAGE};

#[test]
fn images_are_loaded_tagged_saved_and_removed() {
    require!(root, tool("docker"), tool("busybox"));
    let scratch = Scratch::new();
    let engine = Engine::with_image(&scratch);
    let row = engine.say(["images", "--format", "{{.Repository}}:{{.Tag}}"]);
    assert_eq!(row, IMAGE);
    engine.docker(["tag", IMAGE, "other:2"]).success();
    assert_eq!(engine.say(["images", "--quiet", "other"]).len(), 12);
    let saved = scratch.join("saved.tar");
    engine.docker(["save".as_ref(), "--output".as_ref(), saved.as_os_str(), "other:2".as_ref()]).success();
    let gone = engine.say(["rmi", "other:2", IMAGE]);
    assert!(gone.starts_with("Untagged: other:2\nUntagged: busybox:1\nDeleted: sha256:"), "{gone}");
    assert_eq!(engine.say(["images", "--quiet"]), "");
    let loaded = engine.say(["load".as_ref(), "--input".as_ref(), saved.as_os_str()]);
    assert_eq!(loaded, "Loaded image: other:2");
    let cmd = engine.say(["image", "inspect", "--format", "{{json .Config.Cmd}} {{.Os}}", "other:2"]);
    assert_eq!(cmd, "[\"sh\"] linux");
    engine.docker(["create", "--name", "it", "other:2"]).success();
    let used = engine.docker(["rmi", "other:2"]).exits_with(1);
    assert!(used.stderr.contains("it"), "{used}");
    engine.docker(["rm", "it"]).success();
    let pruned = engine.say(["image", "prune", "--all", "--force"]);
    assert!(pruned.contains("untagged: other:2") && !pruned.contains("reclaimed space: 0B"), "{pruned}");
    let missing = engine.docker(["rmi", "nowhere"]).exits_with(1);
    assert!(missing.stderr.contains("No such image: nowhere"), "{missing}");
}

#[test]
fn what_is_no_archive_is_told_in_the_stream() {
    require!(root, tool("docker"));
    let scratch = Scratch::new();
    let engine = Engine::start(&scratch);
    let junk = scratch.join("junk");
    std::fs::write(&junk, vec![b'x'; 4096]).expect("written");
    let refused = engine.docker(["load".as_ref(), "--input".as_ref(), junk.as_os_str()]).exits_with(1);
    assert!(refused.stderr.contains("archive"), "{refused}");
}

#[test]
fn a_pull_is_told_layer_by_layer_and_a_missing_image_is_an_error() {
    require!(root, tool("docker"), tool("busybox"), tool("docker-registry"));
    let scratch = Scratch::new();
    let registry = Registry::start(&scratch);
    registry.push(&Image::busybox(), "app/web:1");
    let engine = Engine::start(&scratch);
    let name = format!("{}/app/web:1", registry.address());
    let pulled = engine.say(["pull", &name]);
    for line in ["1: Pulling from", "Pull complete", "Digest: sha256:", "Status: Downloaded newer image for"]
    {
        assert!(pulled.contains(line), "{line}: {pulled}");
    }
    assert!(engine.say(["pull", &name]).contains("Status: Image is up to date for"));
    // Docker pulls what is missing by itself.
    engine.docker(["rmi", &name]).success();
    assert_eq!(engine.docker(["run", "--rm", &name, "echo", "hi"]).success().stdout, "hi\n");
    let missing = engine.docker(["pull", &format!("{}/app/none:1", registry.address())]).exits_with(1);
    assert!(missing.stderr.starts_with("Error response from daemon: "), "{missing}");
    let challenge = "www-authenticate: Basic realm=\"r\"\r\n";
    let refusing = Scripted::start(&scratch, &Image::busybox(), |_| {
        Answer::Other(401, challenge.to_owned(), Vec::new())
    });
    let denied =
        engine.ask("POST", &format!("/images/create?fromImage={}/app/web&tag=1", refusing.address()));
    assert!(denied.status == 404 && denied.message().contains("pull access denied for"), "{denied:?}");
    let all = engine.ask("POST", "/images/create?fromImage=a");
    assert!(all.status == 501 && all.message().contains("name one"), "{all:?}");
}
