//! Requests that are wrong: each has docker's status and a message, changes nothing, and the next client is served.

use std::io::Write;

use knarr_tests::{Scratch, require};

use crate::engine::{Engine, IMAGE, Reply};

/// A request, the status of its answer and a word of the message.
type Case = (&'static str, u16, &'static str);

/// Wrong methods, paths, versions and parameters; none has a body.
const WITHOUT_BODY: &[Case] = &[
    ("GET /", 404, "page not found"),
    ("GET /nope", 404, "page not found"),
    ("GET /v1.41", 404, "page not found"),
    ("GET /v1.41/", 404, "page not found"),
    ("GET /v1.41/nope", 404, "page not found"),
    ("GET //info", 404, "page not found"),
    ("GET /info/", 404, "page not found"),
    ("POST /info", 404, "page not found"),
    ("PUT /info", 404, "page not found"),
    ("DELETE /_ping", 404, "page not found"),
    ("PATCH /containers/json", 404, "page not found"),
    ("BREW /containers/json", 404, "page not found"),
    ("GET /containers/create", 404, "page not found"),
    ("POST /containers/json", 404, "page not found"),
    ("GET /containers/it/start", 404, "page not found"),
    ("GET /containers/it/nope", 404, "page not found"),
    ("GET /containers/it/json/more", 404, "page not found"),
    ("GET /containers", 404, "page not found"),
    ("POST /containers/it", 404, "page not found"),
    ("GET /images", 404, "page not found"),
    ("GET /images/json/json/nope", 404, "page not found"),
    ("POST /images/a/b/c", 404, "page not found"),
    ("POST /exec/x", 404, "page not found"),
    ("GET /v1.52/info", 400, "client version 1.52 is too new. Maximum supported API version is 1.51"),
    ("GET /v2.0/info", 400, "too new"),
    ("GET /v99999999999999999999.1/info", 400, "too new"),
    ("GET /containers/nope/json", 404, "No such container: nope"),
    ("GET /containers/%ff/json", 400, "path"),
    ("GET /containers/a%2F..%2Fb/json", 404, "No such container: a/../b"),
    ("POST /containers/nope/start", 404, "No such container: nope"),
    ("POST /containers/nope/stop", 404, "No such container: nope"),
    ("POST /containers/nope/restart", 404, "No such container: nope"),
    ("POST /containers/nope/kill", 404, "No such container: nope"),
    ("POST /containers/nope/wait", 404, "No such container: nope"),
    ("POST /containers/nope/attach?stream=1", 404, "No such container: nope"),
    ("POST /containers/nope/resize?h=1&w=1", 404, "No such container: nope"),
    ("GET /containers/nope/logs?stdout=1", 404, "No such container: nope"),
    ("DELETE /containers/nope", 404, "No such container: nope"),
    ("DELETE /containers/it?link=1", 501, "links"),
    ("POST /containers/it/kill", 409, "is not running"),
    ("POST /containers/it/kill?signal=NOPE", 400, "NOPE"),
    ("POST /containers/it/stop?signal=NOPE", 400, "NOPE"),
    ("POST /containers/it/stop?t=x", 400, "whole number"),
    ("POST /containers/it/wait?condition=x", 400, "invalid condition: \"x\""),
    ("POST /containers/it/resize", 400, "invalid resize h"),
    ("POST /containers/it/resize?h=1", 400, "invalid resize w"),
    ("POST /containers/it/resize?h=-1&w=5", 400, "invalid resize h"),
    ("POST /containers/it/attach?stream=1&stdin=1", 400, "Upgrade"),
    ("GET /containers/it/logs", 400, "must specify at least one of 'stdout' or 'stderr'"),
    ("GET /containers/it/logs?stdout=1&since=x", 400, "invalid value \"x\" for since"),
    ("GET /containers/json?limit=x", 400, "whole number"),
    ("GET /containers/json?limit=%zz", 400, "invalid URL escape \"%zz\""),
    ("GET /containers/json?filters=x", 400, "invalid filter"),
    ("GET /containers/json?filters=[]", 400, "invalid filter"),
    ("GET /containers/json?filters=%7B%22status%22:%5B%22nope%22%5D%7D", 400, "invalid filter"),
    ("GET /images/json?filters=%7B%22nope%22:%5B%22x%22%5D%7D", 400, "invalid filter"),
    ("POST /images/prune?filters=%7B%22until%22:%5B%22x%22%5D%7D", 400, "invalid filter"),
    ("POST /containers/prune?filters=%7B%22until%22:%5B%22x%22%5D%7D", 400, "invalid filter"),
    ("GET /events?since=2&until=1", 400, "cannot be after `until`"),
    ("GET /events?filters=%7B%22nope%22:%5B%22x%22%5D%7D", 400, "invalid filter"),
    ("GET /exec/nope/json", 404, "No such exec instance: nope"),
    ("POST /exec/nope/resize?h=1&w=1", 404, "No such exec instance: nope"),
    ("GET /images/nope/json", 404, "No such image: nope"),
    ("GET /images/%2e%2e%2f/json", 400, ""),
    ("GET /images/busybox:1/json?platform=x/y/z/a", 400, "platform"),
    ("DELETE /images/nope/a/b", 404, "No such image: nope/a/b"),
    ("POST /images/nope/tag?repo=a", 404, "No such image: nope"),
    ("POST /images/busybox:1/tag?repo=", 400, ""),
    ("POST /images/busybox:1/tag?repo=a&tag=b%20c", 400, ""),
    ("POST /images/create", 400, "fromImage"),
    ("POST /images/create?fromSrc=-", 501, "load"),
    ("POST /images/create?fromImage=UPPER&tag=1", 400, ""),
    ("GET /images/get", 400, ""),
    ("GET /images/nope/get", 404, "No such image: nope"),
];

/// Bodies for creating a container.
const BODIES: &[(&str, u16, &str)] = &[
    ("", 400, "got EOF while reading request body"),
    ("{", 400, "invalid JSON"),
    ("{\"Image\": \"busybox:1\"", 400, "invalid JSON"),
    ("[]", 400, "must be an object"),
    ("\"text\"", 400, "must be an object"),
    ("1", 400, "must be an object"),
    ("null", 400, "Image is empty"),
    ("{}", 400, "Image is empty"),
    ("{\"Image\":\"busybox:1\"}{}", 400, "unexpected content after JSON"),
    ("{\"Image\":\"busybox:1\"} x", 400, "unexpected content after JSON"),
    ("{\"Image\":5}", 400, "Image must be a text"),
    ("{\"Image\":\"busybox:1\",\"Env\":{}}", 400, "Env must be a list of texts"),
    ("{\"Image\":\"busybox:1\",\"Env\":[\"=x\"]}", 400, "environment"),
    ("{\"Image\":\"busybox:1\",\"Cmd\":[1]}", 400, "Cmd must be a list of texts"),
    ("{\"Image\":\"busybox:1\",\"Tty\":\"yes\"}", 400, "Tty must be true or false"),
    ("{\"Image\":\"busybox:1\",\"WorkingDir\":\"x\"}", 400, "working directory"),
    ("{\"Image\":\"busybox:1\",\"StopSignal\":\"NOPE\"}", 400, "NOPE"),
    ("{\"Image\":\"busybox:1\",\"StopTimeout\":-1}", 400, "StopTimeout"),
    ("{\"Image\":\"busybox:1\",\"Labels\":[]}", 400, "Labels must be an object of texts"),
    ("{\"Image\":\"busybox:1\",\"HostConfig\":[]}", 400, "HostConfig must be an object"),
    ("{\"Image\":\"busybox:1\",\"HostConfig\":{\"Memory\":1.5}}", 400, "HostConfig.Memory"),
    ("{\"Image\":\"busybox:1\",\"HostConfig\":{\"Memory\":\"1g\"}}", 400, "HostConfig.Memory"),
    ("{\"Image\":\"busybox:1\",\"HostConfig\":{\"Memory\":99999999999999999999}}", 400, "HostConfig.Memory"),
    ("{\"Image\":\"busybox:1\",\"HostConfig\":{\"Binds\":[\"/a\"]}}", 400, "SOURCE:TARGET"),
    ("{\"Image\":\"busybox:1\",\"HostConfig\":{\"Binds\":[\"/a:/b:what\"]}}", 400, "unknown option"),
    ("{\"Image\":\"busybox:1\",\"HostConfig\":{\"Binds\":[\"/a:b\"]}}", 400, ""),
    ("{\"Image\":\"busybox:1\",\"HostConfig\":{\"CapAdd\":[\"NOPE\"]}}", 400, "NOPE"),
    ("{\"Image\":\"busybox:1\",\"HostConfig\":{\"Ulimits\":[{\"Name\":\"nope\"}]}}", 400, "nope"),
    ("{\"Image\":\"busybox:1\",\"HostConfig\":{\"Tmpfs\":{\"/t\":\"size=x\"}}}", 400, "HostConfig.Tmpfs"),
    ("{\"Image\":\"busybox:1\",\"HostConfig\":{\"Init\":\"yes\"}}", 400, "HostConfig.Init must be"),
    ("{\"Image\":\"nope:1\"}", 404, "No such image: nope:1"),
    ("{\"Image\":\"UPPER\"}", 400, ""),
];

#[track_caller]
fn check(engine: &Engine<'_>, sent: &str, reply: &Reply, (status, word): (u16, &str)) {
    assert_eq!(reply.status, status, "{sent}: {reply:?}");
    assert!(reply.message().contains(word), "{sent}: {}", reply.message());
    assert!(reply.head.contains("content-type: application/json"), "{sent}: {}", reply.head);
    assert!(!reply.body.contains(&*engine.daemon.root().to_string_lossy()), "{sent}: {}", reply.body);
}

#[test]
fn what_is_wrong_is_refused_and_changes_nothing() {
    require!(root, tool("docker"), tool("busybox"));
    let scratch = Scratch::new();
    let engine = Engine::with_image(&scratch);
    engine.docker(["create", "--name", "it", IMAGE]).success();
    let before = engine.ask("GET", "/containers/it/json").body;
    for (request, status, word) in WITHOUT_BODY {
        let (method, path) = request.split_once(' ').expect("a method and a path");
        check(&engine, request, &engine.ask(method, path), (*status, word));
    }
    for (body, status, word) in BODIES {
        check(&engine, body, &engine.post("/containers/create", body), (*status, word));
    }
    assert_eq!(engine.ask("GET", "/containers/it/json").body, before);
    assert_eq!(engine.ask("GET", "/containers/json?all=1").json().as_array().map(Vec::len), Some(1));
    assert_eq!(engine.say(["images", "--format", "{{.Repository}}:{{.Tag}}"]), IMAGE);
}

#[test]
fn heads_and_types_that_docker_refuses_are_refused() {
    require!(root, tool("docker"), tool("busybox"));
    let scratch = Scratch::new();
    let engine = Engine::with_image(&scratch);
    let request = |headers: &str, body: &str| {
        format!("POST /containers/create HTTP/1.1\r\nHost: d\r\nConnection: close\r\n{headers}\r\n{body}")
    };
    let body = "{\"Image\":\"nope\"}";
    for (headers, body, status, word) in [
        (
            "Content-Type: text/plain\r\nContent-Length: 16\r\n",
            body,
            400,
            "unsupported Content-Type header (text/plain)",
        ),
        ("Content-Length: 16\r\n", body, 400, "unsupported Content-Type header ()"),
        (
            "Content-Type: application/json; charset=utf-8\r\nContent-Length: 16\r\n",
            body,
            404,
            "No such image",
        ),
        ("Content-Type: Application/JSON\r\nContent-Length: 16\r\n", body, 404, "No such image"),
        ("", "", 400, "got EOF"),
        ("Content-Type: application/json\r\nContent-Length: 99999999999\r\n", body, 413, "4 MiB"),
        (
            "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n",
            "10\r\n{\"Image\":\"nope\"}\r\n0\r\n\r\n",
            404,
            "No such image",
        ),
        ("Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n", "zz\r\n", 400, "cannot read"),
    ] {
        let sent = request(headers, body);
        check(&engine, &sent, &engine.send(sent.as_bytes()), (status, word));
    }
    // A client that sends all of its body first reads the answer, whatever it is about.
    let large = "x".repeat(1 << 20);
    for (path, status) in [("/networks/create", 400), ("/build", 200), ("/swarm/init", 503), ("/nope", 404)] {
        assert_eq!(engine.post(path, &large).status, status, "{path}");
    }
    // A start takes no body.
    let start = engine.post("/containers/it/start", "{\"Binds\":[]}");
    assert!(
        start.status == 400 && start.message().starts_with("starting container with non-empty"),
        "{start:?}"
    );
    // What is no HTTP, or two requests in one, never reaches a handler.
    for (sent, status) in [
        (&b"nonsense\r\n\r\n"[..], 400),
        (b"GET /info HTTP/9.9\r\n\r\n", 400),
        (b"GET /info HTTP/1.1\r\nHost: d\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"GET /info HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: nope\r\n\r\n", 400),
        (b"GET /in fo HTTP/1.1\r\nHost: d\r\n\r\n", 400),
        (b"GET /info HTTP/1.1\r\nbad header\r\n\r\n", 400),
    ] {
        assert_eq!(engine.send(sent).status, status, "{}", String::from_utf8_lossy(sent));
    }
    let long = format!("GET /info?{} HTTP/1.1\r\nHost: d\r\n\r\n", "x".repeat(200_000));
    assert!([400, 414, 431].contains(&engine.send(long.as_bytes()).status), "a head that is too long");
    let too_old = engine.ask("GET", "/v1.23/info");
    assert!(
        too_old.status == 400 && too_old.body.starts_with("client version 1.23 is too old"),
        "{too_old:?}"
    );
    assert_eq!(engine.ask("OPTIONS", "/info").status, 200);
}

#[test]
fn requests_in_a_row_are_answered_in_order_and_early_ends_harm_nobody() {
    require!(root);
    let scratch = Scratch::new();
    let engine = Engine::start(&scratch);
    let mut stream = engine.connect();
    let three = "GET /_ping HTTP/1.1\r\nHost: d\r\n\r\nGET /nope HTTP/1.1\r\nHost: d\r\n\r\n\
                 GET /_ping HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n";
    stream.write_all(three.as_bytes()).expect("sent");
    let mut answers = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answers).expect("read");
    let statuses: Vec<&str> = answers.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(statuses, ["200", "404", "200"]);
    for part in [
        "",
        "G",
        "GET /info HTTP/1.1\r\n",
        "POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
        "POST /images/load HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    ] {
        let mut stream = engine.connect();
        stream.write_all(part.as_bytes()).expect("sent");
        drop(stream);
    }
    assert_eq!(engine.ask("GET", "/_ping").status, 200);
}
