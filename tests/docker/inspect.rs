//! What was asked for by docker's JSON is what gRPC shows, and the other way round.

use knarr_tests::{Scratch, require};
use serde_json::json;

use crate::engine::{Engine, IMAGE};

#[test]
fn all_that_is_asked_for_is_what_inspect_shows() {
    require!(root, tool("docker"), tool("busybox"));
    let scratch = Scratch::new();
    let engine = Engine::with_image(&scratch);
    let shared = scratch.directory("shared");
    let bind = format!("{}:/data:ro", shared.display());
    let created = engine.post(
        "/v1.41/containers/create?name=web",
        &json!({
            "image": IMAGE, "entrypoint": ["sh", "-c"], "Cmd": "echo $A", "Env": ["A=1"], "WorkingDir": "/srv",
            "User": "1000:1000", "Hostname": "web", "Labels": {"Tier": "front"}, "StopSignal": "SIGQUIT", "StopTimeout": 3,
            "Tty": true, "OpenStdin": true,
            "HostConfig": {
                "Binds": [bind], "Tmpfs": {"/scratch": "size=1m"}, "NetworkMode": "host", "Memory": 67_108_864,
                "PidsLimit": 40, "CapAdd": ["NET_ADMIN"], "CapDrop": ["CHOWN"], "ReadonlyRootfs": true,
                "SecurityOpt": ["no-new-privileges"], "Ulimits": [{"Name": "nofile", "Soft": 100, "Hard": 200}],
                "ShmSize": 1_048_576, "OomScoreAdj": 5, "GroupAdd": ["5"], "PidMode": "host",
            },
            "Unknown": {"is": "ignored"},
        })
        .to_string(),
    );
    assert_eq!((created.status, created.json()["Warnings"].clone()), (201, json!([])), "{created:?}");
    let by_rest = engine.ask("GET", "/containers/web/json").json();
    // `knarr inspect` makes the same JSON of what gRPC says.
    let by_grpc = engine.daemon.knarr().json(["inspect", "web"])[0].clone();
    assert_eq!(by_rest, by_grpc);
    for (pointer, expected) in [
        ("/Config/Cmd", json!(["echo $A"])),
        ("/Config/Labels/Tier", json!("front")),
        ("/Config/StopTimeout", json!(3)),
        ("/Path", json!("sh")),
        ("/HostConfig/Binds/0", json!(bind)),
        ("/HostConfig/NetworkMode", json!("host")),
        ("/HostConfig/Memory", json!(67_108_864)),
        ("/HostConfig/PidsLimit", json!(40)),
        ("/HostConfig/PidMode", json!("host")),
        ("/HostConfig/ShmSize", json!(1_048_576)),
        ("/HostConfig/LogConfig/Type", json!("json-file")),
        ("/HostConfig/Ulimits/0/Hard", json!(200)),
        ("/State/Status", json!("created")),
        ("/NetworkSettings/Networks/host/NetworkID", json!("host")),
    ] {
        assert_eq!(by_rest.pointer(pointer), Some(&expected), "{pointer}");
    }
    let listed = engine.ask("GET", "/containers/json?all=1").json();
    assert_eq!((&listed[0]["Names"], &listed[0]["State"]), (&json!(["/web"]), &json!("created")));
    for name in [
        "/containers/%2Fweb/json",
        &format!("/containers/{}/json", &created.json()["Id"].as_str().expect("an id")[..8]),
    ] {
        assert_eq!(engine.ask("GET", name).status, 200, "{name}");
    }
}

#[test]
fn lists_are_filtered_in_both_forms_and_limited() {
    require!(root, tool("docker"), tool("busybox"));
    let scratch = Scratch::new();
    let engine = Engine::with_image(&scratch);
    for name in ["aa", "bb", "cc"] {
        let body = json!({"Image": IMAGE, "Labels": {"name": name, "all": "yes"}}).to_string();
        assert_eq!(engine.post(&format!("/containers/create?name={name}"), &body).status, 201);
    }
    let names = |query: &str| {
        let listed = engine.ask("GET", &format!("/containers/json?{query}")).json();
        let names = listed
            .as_array()
            .expect("a list")
            .iter()
            .map(|each| each["Names"][0].as_str().expect("a name").to_owned());
        names.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names(""), "");
    assert_eq!(names("all=true"), "/cc /bb /aa");
    assert_eq!(names("limit=2"), "/cc /bb");
    assert_eq!(names("limit=-1&all=0"), "");
    assert_eq!(names("all=1&filters=%7B%22label%22%3A%7B%22name%3Dbb%22%3Atrue%7D%7D"), "/bb");
    assert_eq!(names("all=1&filters=%7B%22label%22%3A%20%5B%22all%22%2C%22name%3Daa%22%5D%7D"), "/aa");
    assert_eq!(names("filters=%7B%22status%22%3A%5B%22created%22%5D%7D"), "/cc /bb /aa");
    let unknown = engine.ask("GET", "/containers/json?filters=%7B%22nope%22%3A%5B%22x%22%5D%7D");
    assert!(unknown.status == 400 && unknown.message().starts_with("invalid filter"), "{unknown:?}");
}
