//! What the engine says of itself, and how it says no.

use knarr_tests::{Scratch, require};

use crate::engine::Engine;

#[test]
fn docker_shows_client_and_server() {
    require!(root, tool("docker"));
    let scratch = Scratch::new();
    let engine = Engine::start(&scratch);
    let version = engine.docker(["version"]).success().stdout;
    assert!(version.contains("1.51 (minimum version 1.24)"), "{version}");
    let info = engine.docker(["info", "--format", "{{json .}}"]).success().stdout;
    let info: serde_json::Value = serde_json::from_str(&info).expect("JSON");
    for (key, value) in [("OSType", "linux"), ("DefaultRuntime", "knarr"), ("Driver", "overlayfs")] {
        assert_eq!(info[key], value, "{key}");
    }
    assert_eq!(info["Containers"], 0);
    assert!(info["ServerErrors"].is_null(), "{info}");
    assert_eq!(engine.say(["network", "ls", "--format", "{{.Name}}"]), "host\nnone");
    assert_eq!(engine.say(["volume", "ls", "--quiet"]), "");
    engine.docker(["system", "df"]).success();
}

#[test]
fn a_ping_has_all_that_clients_negotiate_by() {
    require!(root);
    let scratch = Scratch::new();
    let engine = Engine::start(&scratch);
    for (method, path, body) in [
        ("GET", "/_ping", "OK"),
        ("HEAD", "/_ping", ""),
        ("HEAD", "/v1.44/_ping", ""),
        ("GET", "/v1.24/_ping", "OK"),
    ] {
        let reply = engine.ask(method, path);
        assert_eq!((reply.status, reply.body.as_str()), (200, body), "{method} {path}");
        for header in
            ["api-version: 1.51", "ostype: linux", "server: docker/", "swarm: inactive", "builder-version: 1"]
        {
            assert!(reply.head.contains(header), "{header}: {}", reply.head);
        }
    }
}

#[test]
fn a_client_that_sends_no_more_still_gets_its_answer() {
    require!(root);
    let scratch = Scratch::new();
    let engine = Engine::start(&scratch);
    let mut stream = engine.connect();
    std::io::Write::write_all(&mut stream, b"GET /version HTTP/1.1\r\nHost: d\r\n\r\n").expect("sent");
    stream.shutdown(std::net::Shutdown::Write).expect("half closed");
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).expect("read");
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("\"MinAPIVersion\":\"1.24\""),
        "{answer}"
    );
}

#[test]
fn what_is_not_there_yet_is_refused_with_a_sentence() {
    require!(root, tool("docker"));
    let scratch = Scratch::new();
    let engine = Engine::start(&scratch);
    for (method, path, status, word) in [
        ("GET", "/volumes/x", 404, "get x: no such volume"),
        ("GET", "/networks/app", 404, "network app not found"),
        ("GET", "/swarm", 503, "This node is not a swarm manager."),
        ("POST", "/swarm/leave", 503, "This node is not a swarm manager."),
        ("GET", "/services", 503, "This node is not a swarm manager."),
        ("POST", "/secrets/create", 503, "This node is not a swarm manager."),
        ("POST", "/auth", 501, "accounts"),
        ("POST", "/images/a/b/push", 501, "push"),
        ("GET", "/images/search?term=a", 501, "search"),
        ("GET", "/plugins/x/json", 404, "plugin \"x\" not found"),
        ("POST", "/commit", 501, "commit"),
    ] {
        let reply = engine.ask(method, path);
        assert_eq!(reply.status, status, "{method} {path}");
        assert!(reply.message().contains(word), "{method} {path}: {}", reply.message());
    }
}

#[test]
fn docker_s_api_can_be_turned_off_and_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    require!(root);
    let scratch = Scratch::new();
    let engine = Engine::start(&scratch);
    let mode = std::fs::metadata(engine.socket()).expect("a socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let other = Scratch::new();
    let without = knarr_tests::Daemon::start_with(&other, &["--docker-address", "none"]);
    assert!(!without.state().join("docker.sock").exists());
}
