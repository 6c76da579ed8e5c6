//! Volumes, as docker's own client makes, mounts, lists and removes them.

use knarr_tests::{Scratch, require};
use serde_json::json;

use crate::engine::{Engine, IMAGE};

#[test]
fn docker_volume_does_what_it_says() {
    require!(root, tool("docker"), tool("busybox"));
    let scratch = Scratch::new();
    let engine = Engine::with_image(&scratch);
    assert_eq!(engine.say(["volume", "create", "--label", "a=1", "data"]), "data");
    let made = engine.post("/volumes/create", r#"{"Name": "data", "Labels": {"b": "2"}}"#);
    assert_eq!((made.status, &made.json()["Labels"]), (201, &json!({"a": "1"})), "it is there already");
    engine
        .docker(["run", "--rm", "-v", "data:/x", "-v", "/own", IMAGE, "sh", "-c", "echo 1 >/x/f"])
        .success();
    let read = engine.say(["run", "--rm", "--mount", "src=data,dst=/y,ro", IMAGE, "cat", "/y/f"]);
    assert_eq!(read, "1");
    assert_eq!(engine.say(["volume", "ls", "--quiet"]), "data", "anonymous ones go with --rm");
    engine.docker(["create", "--name", "it", "-v", "data:/x:ro", "-v", "/own", IMAGE]).success();
    let seen = engine.ask("GET", "/containers/it/json").json();
    assert_eq!(seen["HostConfig"]["Binds"], json!(["data:/x:ro"]));
    assert_eq!(seen["Config"]["Volumes"], json!({"/own": {}}));
    let mount = seen["Mounts"].as_array().expect("a list").iter().find(|mount| mount["Name"] == "data");
    let mount = mount.expect("the volume");
    assert_eq!(
        (&mount["Type"], &mount["RW"], &mount["Mode"]),
        (&json!("volume"), &json!(false), &json!("ro"))
    );
    let refused = engine.docker(["volume", "rm", "data"]).exits_with(1);
    assert!(refused.stderr.contains("volume is in use - ["), "{refused}");
    let other = engine.say(["run", "--rm", "--volumes-from", "it", IMAGE, "cat", "/x/f"]);
    assert_eq!(other, "1");
    engine.docker(["rm", "--volumes", "it"]).success();
    assert_eq!(engine.say(["volume", "ls", "--quiet"]), "data");
    let usage = engine.ask("GET", "/system/df").json();
    assert_eq!(usage["Volumes"][0]["UsageData"], json!({"RefCount": 0, "Size": 2}));
    assert!(engine.say(["volume", "prune", "--force"]).contains("0B"), "it has a name");
    assert!(engine.say(["volume", "prune", "--force", "--all"]).contains("data"));
    for (method, path, body, status, says) in [
        ("GET", "/volumes/data", "", 404, "get data: no such volume"),
        ("DELETE", "/volumes/data", "", 404, "get data: no such volume"),
        ("POST", "/volumes/create", r#"{"Name": "a/b"}"#, 400, "includes invalid characters"),
        ("POST", "/volumes/create", r#"{"Name": "ab", "Driver": "nope"}"#, 400, "nope"),
        ("POST", "/volumes/create", r#"{"Name": "ab", "DriverOpts": {"x": "1"}}"#, 400, "invalid option"),
        ("GET", "/volumes?filters=%7B%22x%22:%5B%22y%22%5D%7D", "", 400, "invalid filter"),
        (
            "POST",
            "/containers/create",
            r#"{"Image": "x", "HostConfig": {"Binds": ["a:/b:c"]}}"#,
            400,
            "option",
        ),
    ] {
        let answer = if body.is_empty() { engine.ask(method, path) } else { engine.post(path, body) };
        assert!(answer.status == status && answer.message().contains(says), "{method} {path}: {answer:?}");
    }
    assert_eq!(engine.ask("DELETE", "/volumes/data?force=1").status, 204);
    assert_eq!(engine.ask("GET", "/volumes").json(), json!({"Volumes": [], "Warnings": null}));
}
