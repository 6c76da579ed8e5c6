//! Restart policies through docker's CLI and API.

use std::time::Duration;

use knarr_tests::{Scratch, eventually, require};

use crate::engine::{Engine, IMAGE};

const DEADLINE: Duration = Duration::from_secs(60);

#[test]
fn a_policy_is_asked_for_shown_kept_and_changed() {
    require!(root, tool("docker"), tool("busybox"));
    let scratch = Scratch::new();
    let engine = Engine::with_image(&scratch);
    let run = ["run", "--detach", "--name", "web", "--restart", "unless-stopped", IMAGE];
    engine.say([&run[..], &["sh", "-c", "exit 3"]].concat());
    let shown = |format: &str| engine.say(["inspect", "--format", format, "web"]);
    eventually(DEADLINE, || (shown("{{.RestartCount}}").parse::<u32>().ok()? >= 5).then_some(()));
    eventually(DEADLINE, || engine.say(["ps"]).contains("Restarting (3) ").then_some(()));
    assert_eq!(shown("{{.HostConfig.RestartPolicy.Name}}"), "unless-stopped");
    assert_eq!(engine.say(["ps", "--quiet", "--filter", "status=restarting"]).len(), 12);
    let attach = engine.docker(["attach", "web"]).exits_with(1);
    assert!(attach.stderr.contains("restart"), "{attach}");
    assert_eq!(engine.say(["update", "--restart", "on-failure:4", "web"]), "web");
    assert_eq!(shown("{{json .HostConfig.RestartPolicy}}"), r#"{"Name":"on-failure","MaximumRetryCount":4}"#);
    engine.say(["stop", "web"]);
    assert_eq!(shown("{{.State.Status}} {{.State.ExitCode}}"), "exited 3");
    engine.say(["start", "web"]);
    eventually(DEADLINE, || (shown("{{.State.Status}}") == "exited").then_some(()));
    assert_eq!(shown("{{.RestartCount}}"), "4");
    engine.say(["rm", "web"]);
}

#[test]
fn what_docker_s_cli_would_not_send_is_refused_in_docker_s_words() {
    require!(root, tool("docker"), tool("busybox"));
    let scratch = Scratch::new();
    let engine = Engine::with_image(&scratch);
    for (host, status, words) in [
        (r#"{"RestartPolicy":{"Name":"maybe"}}"#, 400, "unknown policy 'maybe'; use one of 'no', 'always'"),
        (
            r#"{"RestartPolicy":{"Name":"always","MaximumRetryCount":1}}"#,
            400,
            "only be used with 'on-failure'",
        ),
        (r#"{"RestartPolicy":{"Name":"on-failure","MaximumRetryCount":-1}}"#, 400, "cannot be negative"),
        (r#"{"RestartPolicy":{"MaximumRetryCount":2}}"#, 400, "only be used with 'on-failure'"),
        (r#"{"RestartPolicy":{"Name":"on-failure","MaximumRetryCount":99999999999}}"#, 400, "retry count"),
        (r#"{"RestartPolicy":"always"}"#, 400, "RestartPolicy must be an object"),
        (r#"{"RestartPolicy":{"Name":3}}"#, 400, "RestartPolicy.Name must be a text"),
        (
            r#"{"RestartPolicy":{"Name":"always"},"AutoRemove":true}"#,
            400,
            "can't create 'AutoRemove' container",
        ),
    ] {
        let body = format!(r#"{{"Image":"{IMAGE}","Cmd":["true"],"HostConfig":{host}}}"#);
        let reply = engine.post("/containers/create", &body);
        assert_eq!(reply.status, status, "{host}: {reply:?}");
        assert!(reply.message().contains(words), "{host}: {reply:?}");
    }
    assert_eq!(engine.say(["ps", "--all", "--quiet"]), "", "nothing was made");
    let made = engine.post(
        "/containers/create?name=web",
        &format!(r#"{{"Image":"{IMAGE}","Cmd":["true"],"HostConfig":{{"RestartPolicy":{{"Name":""}}}}}}"#),
    );
    assert_eq!(made.status, 201, "{made:?}");
    for (body, words) in [
        (r#"{"RestartPolicy":{"Name":"maybe"}}"#, "unknown policy 'maybe'"),
        (r#"{"RestartPolicy":{"Name":"no","MaximumRetryCount":1}}"#, "only be used with 'on-failure'"),
    ] {
        let reply = engine.post("/containers/web/update", body);
        assert_eq!(reply.status, 400, "{body}: {reply:?}");
        assert!(reply.message().contains(words), "{body}: {reply:?}");
    }
}
