//! Health checks through docker's CLI and API.

use std::time::Duration;

use knarr_tests::{Scratch, eventually, require};

use crate::engine::{Engine, IMAGE};

const DEADLINE: Duration = Duration::from_secs(60);

#[test]
fn a_check_is_asked_for_shown_and_found_by_its_words() {
    require!(root, tool("docker"), tool("busybox"));
    let scratch = Scratch::new();
    let engine = Engine::with_image(&scratch);
    let check =
        ["--health-cmd", "echo no; test -e /ok", "--health-interval", "100ms", "--health-retries", "1"];
    let run = ["run", "--detach", "--name", "web"];
    engine.say([&run[..], &check, &[IMAGE, "sleep", "600"]].concat());
    let shown = |format: &str| engine.say(["inspect", "--format", format, "web"]);
    eventually(DEADLINE, || (shown("{{.State.Health.Status}}") == "unhealthy").then_some(()));
    assert_eq!(
        shown("{{json .Config.Healthcheck}}"),
        r#"{"Test":["CMD-SHELL","echo no; test -e /ok"],"Interval":100000000,"Retries":1}"#
    );
    assert_eq!(
        shown("{{(index .State.Health.Log 0).ExitCode}} {{(index .State.Health.Log 0).Output}}"),
        "1 no"
    );
    let listed = |filter: &str| engine.say(["ps", "--filter", filter, "--format", "{{.Names}} {{.Status}}"]);
    assert!(listed("health=unhealthy").ends_with("(unhealthy)"), "{}", listed("health=unhealthy"));
    engine.say(["exec", "web", "sh", "-c", ": >/ok"]);
    eventually(DEADLINE, || listed("health=healthy").ends_with("(healthy)").then_some(()));
    engine.say(["stop", "--timeout", "0", "web"]);
    assert_eq!(shown("{{.State.Health.Status}}"), "unhealthy", "docker's word for one that does not run");
    // Docker's CLI asks for whole seconds.
    let events = ["events", "--since", "1h", "--until", "0s", "--filter", "event=health_status"];
    eventually(DEADLINE, || {
        let told = engine.say(events);
        (told.contains("health_status: unhealthy") && told.contains("health_status: healthy")).then_some(())
    });
    engine.say(["run", "--detach", "--name", "off", "--no-healthcheck", IMAGE, "sleep", "600"]);
    assert_eq!(
        engine.say(["inspect", "--format", "{{.State.Health}} {{.Config.Healthcheck.Test}}", "off"]),
        "<nil> [NONE]"
    );
    engine.say(["rm", "--force", "web", "off"]);
}

#[test]
fn checks_that_make_no_sense_are_refused_in_docker_s_words() {
    require!(root, tool("docker"), tool("busybox"));
    let scratch = Scratch::new();
    let engine = Engine::with_image(&scratch);
    for (check, words) in [
        (r#"{"Test":["CMD","x"],"Interval":1}"#, "Interval in Healthcheck cannot be less than 1ms"),
        (r#"{"Test":["CMD","x"],"Timeout":-1}"#, "Timeout in Healthcheck cannot be less than 1ms"),
        (r#"{"Test":["CMD","x"],"StartPeriod":5}"#, "StartPeriod in Healthcheck cannot be less than 1ms"),
        (r#"{"Test":["CMD","x"],"StartInterval":5}"#, "StartInterval in Healthcheck cannot be less than 1ms"),
        (r#"{"Test":["CMD","x"],"Retries":-1}"#, "Retries in Healthcheck cannot be negative"),
        (r#"{"Test":["SHELL","x"]}"#, "unknown healthcheck type"),
        (r#"{"Test":["CMD"]}"#, "has no command"),
        (r#"{"Test":["CMD-SHELL"]}"#, "has no command"),
        (r#"{"Test":[1]}"#, "Healthcheck.Test must be a list of texts"),
        (r#"{"Interval":"1s"}"#, "Healthcheck.Interval must be a whole number"),
        (r#"{"Retries":1.5}"#, "Healthcheck.Retries must be a whole number"),
        (r#""CMD true""#, "Healthcheck must be an object"),
    ] {
        let body = format!(r#"{{"Image":"{IMAGE}","Cmd":["true"],"Healthcheck":{check}}}"#);
        let reply = engine.post("/containers/create", &body);
        assert_eq!(reply.status, 400, "{check}: {reply:?}");
        assert!(reply.message().contains(words), "{check}: {reply:?}");
    }
    assert_eq!(engine.say(["ps", "--all", "--quiet"]), "", "nothing was made");
}
