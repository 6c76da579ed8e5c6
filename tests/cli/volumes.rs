//! Volumes: named and anonymous, seeded from the image, held by containers, removed and pruned; and what is refused.

use knarr_tests::{Daemon, Image, Knarr, Layer, Scratch, require};
use serde_json::json;

use crate::busybox::{self, NAME};

const SEEDED: &str = "test/seeded:1";

fn load_seeded(scratch: &Scratch, knarr: &Knarr<'_>) {
    let layer = Layer::new().directory("data", 0o750).file("data/hello", 0o644, b"from the image");
    let image = Image::busybox().layer(layer).config("Volumes", json!({"/data": {}}));
    busybox::load_as(scratch, knarr, &image, SEEDED);
}

#[test]
fn a_volume_outlives_its_containers_and_begins_with_what_the_image_has() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let mut daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    load_seeded(&scratch, &knarr);
    let run = |knarr: &Knarr<'_>, volume: &str, script: &str| {
        knarr.say(["run", "--rm", "-v", volume, SEEDED, "sh", "-c", script])
    };
    assert_eq!(
        run(&knarr, "mine:/data", "cat /data/hello; stat -c %a /data; echo more >/data/more"),
        "from the image750"
    );
    assert_eq!(
        run(&knarr, "mine:/data:ro", "cat /data/more; touch /data/x 2>&1 | grep -c Read-only"),
        "more\n1"
    );
    assert_eq!(run(&knarr, "mine:/data", "rm /data/hello; ls /data"), "more");
    assert_eq!(run(&knarr, "mine:/elsewhere", "ls /elsewhere"), "more", "never seeded twice");
    assert_eq!(run(&knarr, "bare:/data:nocopy", "ls /data; stat -c %a /data"), "755");
    assert_eq!(run(&knarr, "other:/nowhere", "ls /nowhere; stat -c %a /nowhere"), "755");
    // A read-only root leaves volumes writable.
    let written = knarr.say([
        "run",
        "--rm",
        "--read-only",
        "-v",
        "mine:/data",
        SEEDED,
        "sh",
        "-c",
        "echo 2 >/data/two; ls /data",
    ]);
    assert_eq!(written, "more\ntwo");
    daemon.kill();
    daemon.start_again();
    let knarr = daemon.knarr();
    assert_eq!(run(&knarr, "mine:/data", "ls /data"), "more\ntwo");
    assert_eq!(knarr.say(["volume", "ls", "-q"]), "bare\nmine\nother", "anonymous ones went with --rm");
    assert_eq!(knarr.say(["volume", "rm", "bare", "other"]), "bare\nother");
    assert!(!scratch.join("root/volumes/bare").exists());
}

#[test]
fn anonymous_volumes_go_with_their_container_when_that_is_asked_for() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    load_seeded(&scratch, &knarr);
    let count = || knarr.say(["volume", "ls", "-q"]).lines().count();
    knarr.say(["create", "--name", "one", "-v", "/own", SEEDED, "true"]);
    assert_eq!(count(), 2, "the request's and the image's");
    let seen = &knarr.json(["inspect", "one"])[0];
    assert_eq!(seen["Config"]["Volumes"], json!({"/data": {}, "/own": {}}));
    let mounts = seen["Mounts"].as_array().expect("a list");
    assert!(mounts.iter().all(|mount| mount["Type"] == "volume" && mount["Driver"] == "local"), "{seen}");
    let name = mounts[0]["Name"].as_str().expect("a name");
    let source = mounts[0]["Source"].as_str().expect("a path");
    assert!(name.len() == 64 && source.ends_with(&format!("volumes/{name}/_data")), "{seen}");
    let volume = &knarr.json(["volume", "inspect", name])[0];
    assert_eq!(volume["Labels"], json!({"com.docker.volume.anonymous": ""}));
    knarr.say(["rm", "one"]);
    assert_eq!(count(), 2, "without -v they stay");
    assert!(knarr.say(["volume", "prune", "-f"]).ends_with("Total reclaimed space: 14B"));
    knarr.say(["create", "--name", "two", "-v", "kept:/own", SEEDED, "true"]);
    knarr.say(["rm", "-v", "two"]);
    assert_eq!(knarr.say(["volume", "ls", "-q"]), "kept", "a named one stays");
    assert_eq!(knarr.say(["volume", "prune", "-f"]), "Total reclaimed space: 0B");
    assert!(knarr.say(["volume", "prune", "-a", "-f"]).starts_with("Deleted Volumes:\nkept\n"));
    assert_eq!(count(), 0);
}

#[test]
fn what_a_container_has_another_may_have_too() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    load_seeded(&scratch, &knarr);
    busybox::load(&scratch, &knarr);
    let shared = scratch.join("shared");
    std::fs::create_dir(&shared).expect("a directory");
    let bind = format!("{}:/bind", shared.display());
    knarr.say([
        "create",
        "--name",
        "first",
        "-v",
        "named:/named",
        "-v",
        &bind,
        "--tmpfs",
        "/memory",
        SEEDED,
        "true",
    ]);
    let script = "echo x >/named/f; echo x >/bind/f; echo x >/data/f; ls -d /memory 2>&1 | grep -c No";
    assert_eq!(knarr.say(["run", "--rm", "--volumes-from", "first", NAME, "sh", "-c", script]), "1");
    let script = "cat /named/f /data/f; touch /named/g 2>&1 | grep -c Read-only";
    assert_eq!(knarr.say(["run", "--rm", "--volumes-from", "first:ro", NAME, "sh", "-c", script]), "x\nx\n1");
    // Its own mount wins.
    let own =
        knarr.say(["run", "--rm", "--volumes-from", "first", "--tmpfs", "/named", NAME, "ls", "/named"]);
    assert_eq!(own, "");
    knarr.say(["create", "--name", "second", "--volumes-from", "first", NAME, "true"]);
    let anonymous = knarr.json(["inspect", "first"])[0]["Config"]["Volumes"].clone();
    assert_eq!(anonymous, json!({"/data": {}}));
    knarr.say(["rm", "-v", "first"]);
    assert_eq!(knarr.say(["volume", "ls", "-q"]).lines().count(), 2, "the second still has them");
    knarr.say(["rm", "-v", "second"]);
    assert_eq!(knarr.say(["volume", "ls", "-q"]), "named");
}

#[test]
fn a_volume_s_options_are_mounted_in_the_container_alone() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    let directory = scratch.join("directory");
    std::fs::create_dir(&directory).expect("a directory");
    let device = format!("device={}", directory.display());
    knarr.say(["volume", "create", "-o", "type=none", "-o", "o=bind", "-o", &device, "bound"]);
    knarr.say([
        "volume",
        "create",
        "-o",
        "type=tmpfs",
        "-o",
        "device=tmpfs",
        "-o",
        "o=size=1m,mode=700",
        "memory",
    ]);
    let script = "echo there >/b/file; grep ' /m ' /proc/mounts | grep -c size=1024k; stat -c %a /m";
    let said = knarr.say(["run", "--rm", "-v", "bound:/b", "-v", "memory:/m", NAME, "sh", "-c", script]);
    assert_eq!(said, "1\n700");
    assert_eq!(std::fs::read_to_string(directory.join("file")).expect("written"), "there\n");
    let mounts = std::fs::read_to_string("/proc/self/mounts").expect("read");
    assert!(!mounts.contains(&scratch.join("root/volumes").display().to_string()), "{mounts}");
    let asked = "type=volume,src=asked,dst=/m,volume-opt=type=tmpfs,volume-opt=device=tmpfs,volume-label=a=1";
    assert_eq!(
        knarr.say(["run", "--rm", "--mount", asked, NAME, "sh", "-c", "grep -c ' /m tmpfs' /proc/mounts"]),
        "1"
    );
    assert_eq!(knarr.json(["volume", "inspect", "asked"])[0]["Labels"], json!({"a": "1"}));
}

#[test]
fn lists_are_filtered_and_formatted_and_a_used_volume_stays() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    assert_eq!(knarr.say(["volume", "create", "--label", "tier=front", "front"]), "front");
    assert_eq!(knarr.say(["volume", "create", "--label", "other", "front"]), "front", "it is there already");
    knarr.say(["volume", "create", "back"]);
    assert_eq!(knarr.say(["volume", "create"]).len(), 64);
    let id = knarr.say(["create", "-v", "front:/x", NAME, "true"]);
    for (filter, names) in [
        ("name=ron", "front"),
        ("label=tier", "front"),
        ("label=tier=back", ""),
        ("label=other", ""),
        ("dangling=false", "front"),
        ("driver=local", "back\nfront"),
    ] {
        let listed = knarr.say(["volume", "ls", "--filter", filter, "--format", "{{.Name}}"]);
        let named: Vec<&str> = listed.lines().filter(|name| name.len() < 64).collect();
        assert_eq!(named.join("\n"), names, "{filter}");
    }
    assert!(knarr.say(["volume", "ls"]).starts_with("DRIVER    VOLUME NAME\nlocal "));
    assert_eq!(
        knarr.say(["volume", "inspect", "-f", "{{.Driver}} {{.Labels.tier}}", "front"]),
        "local front"
    );
    for force in [&["volume", "rm", "front"][..], &["volume", "rm", "-f", "front"]] {
        let refused = knarr.call(force).exits_with(1);
        assert!(refused.stderr.contains(&format!("volume is in use - [{id}]")), "{refused}");
    }
    knarr.say(["rm", &id]);
    assert_eq!(knarr.say(["volume", "rm", "front"]), "front");
    assert_eq!(knarr.say(["volume", "rm", "-f", "front"]), "front");
    let events = knarr.say([
        "events",
        "--since",
        "1h",
        "--until",
        "0s",
        "--filter",
        "volume=front",
        "--format",
        "{{.Action}}",
    ]);
    assert_eq!(events, "create\ndestroy");
}

#[test]
fn what_is_wrong_with_a_volume_is_said_and_changes_nothing() {
    require!(root, tool("busybox"));
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch);
    let knarr = daemon.knarr();
    busybox::load(&scratch, &knarr);
    let long = "v".repeat(256);
    for (args, says) in [
        (&["volume", "create", "a/b"][..], "includes invalid characters"),
        (&["volume", "create", "."], "includes invalid characters"),
        (&["volume", "create", ".hidden"], "includes invalid characters"),
        (&["volume", "create", "v"], "two at least"),
        (&["volume", "create", &long], "255 at most"),
        (&["volume", "create", "-d", "rexray", "data"], "\"rexray\""),
        (&["volume", "create", "-o", "what=1", "data"], "invalid option: \"what\""),
        (&["volume", "create", "-o", "type=tmpfs", "data"], "missing required option: \"device\""),
        (&["volume", "create", "-o", "device=x", "data"], "missing required option: \"type\""),
        (&["volume", "create", "-o", "size=1g", "data"], "quota"),
        (&["volume", "inspect", "data"], "no such volume"),
        (&["volume", "rm", "data"], "no such volume"),
        (&["volume", "ls", "--filter", "colour=red"], "name, driver, label and dangling"),
        (&["volume", "ls", "--filter", "dangling=maybe"], "dangling is"),
        (&["volume", "prune", "-f", "--filter", "name=x"], "label, label! and all"),
        (&["create", "-v", "a/b:/x", NAME], "If you intended to pass a host directory"),
        (&["create", "-v", "v:/x", NAME], "includes invalid characters"),
        (&["create", "-v", "data:/", NAME], "root"),
        (&["create", "-v", "data:x", NAME], "absolute path"),
        (&["create", "-v", "data:/x", "-v", "other:/x/", NAME], "Duplicate mount point: /x"),
        (&["create", "-v", "data:/x", "--tmpfs", "/x", NAME], "Duplicate mount point: /x"),
        (&["create", "-v", "/x", "--mount", "dst=/x", NAME], "Duplicate mount point: /x"),
        (&["create", "-v", "data:/x:nope", NAME], "no option of a volume"),
        (&["create", "-v", "data:/x:rshared", NAME], "no option of a volume"),
        (&["create", "--volume-driver", "rexray", "-v", "data:/x", NAME], "\"rexray\""),
        (&["create", "--mount", "type=volume,src=data", NAME], "target is missing"),
        (&["create", "--mount", "dst=/x,tmpfs-size=1m", NAME], "tmpfs-"),
        (&["create", "--mount", "type=bind,src=/etc,dst=/x,volume-nocopy", NAME], "need type=volume"),
        (&["create", "--mount", "src=data,dst=/x,volume-opt=what=1", NAME], "invalid option"),
        (&["create", "--volumes-from", "nobody", NAME], "no such container: nobody"),
        (&["create", "--volumes-from", "nobody:maybe", NAME], "CONTAINER:ro"),
    ] {
        let refused = knarr.call(args);
        assert!(refused.code() != 0 && refused.stderr.contains(says), "{args:?}: {refused}");
    }
    assert_eq!(knarr.say(["volume", "ls", "-q"]), "");
    assert_eq!(knarr.say(["ps", "-aq"]), "");
    let left = std::fs::read_dir(scratch.join("root/volumes")).expect("there").count();
    assert_eq!(left, 0, "no directory stays");
}
