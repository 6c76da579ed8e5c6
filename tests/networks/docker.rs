//! Networks through docker's own command line.

use knarr_tests::process::{self, Outcome};
use knarr_tests::{Scratch, programs, require};

use crate::bed::{Bed, HOST, IMAGE};
use crate::require_networks;

#[track_caller]
fn docker(bed: &Bed<'_>, args: &[&str]) -> Outcome {
    let mut command = bed.scratch().command(programs::tool("docker"));
    command.env("DOCKER_CONFIG", bed.scratch().path()).env_remove("DOCKER_HOST");
    command.arg("--host").arg(format!("unix://{}", bed.socket().display())).args(args);
    process::run(&mut command)
}

#[track_caller]
fn say(bed: &Bed<'_>, args: &[&str]) -> String {
    docker(bed, args).success().stdout.trim_end().to_owned()
}

#[test]
fn docker_makes_networks_and_publishes_ports() {
    require_networks!();
    require!(tool("docker"));
    let scratch = Scratch::new();
    let bed = Bed::start(&scratch);
    let id = say(&bed, &["network", "create", "--subnet", "172.29.0.0/24", "--label", "a=b", "app"]);
    assert_eq!(say(&bed, &["network", "ls", "--format", "{{.Name}}"]), "app\nbridge\nhost\nnone");
    let serve = "while :; do echo docker | nc -l -p 80; done";
    say(
        &bed,
        &[
            "run",
            "-d",
            "--name",
            "web",
            "--network",
            "app",
            "--ip",
            "172.29.0.9",
            "--network-alias",
            "front",
            "-p",
            "8080:80",
            IMAGE,
            "sh",
            "-c",
            serve,
        ],
    );
    assert_eq!(say(&bed, &["port", "web", "80"]), "0.0.0.0:8080\n[::]:8080");
    let ports = say(&bed, &["ps", "--format", "{{.Ports}}"]);
    assert_eq!(ports, "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp");
    let address = "{{(index .NetworkSettings.Networks \"app\").IPAddress}}";
    assert_eq!(say(&bed, &["inspect", "-f", address, "web"]), "172.29.0.9");
    assert_eq!(bed.peer_asks("tcp", &[&format!("{HOST} 8080")]), [Some("docker".to_owned())]);
    let found = say(&bed, &["run", "--rm", "--network", "app", IMAGE, "nslookup", "front"]);
    assert!(found.contains("172.29.0.9"), "{found}");
    let members = say(
        &bed,
        &["network", "inspect", "app", "-f", "{{range .Containers}}{{.Name}} {{.IPv4Address}}{{end}}"],
    );
    assert_eq!(members, "web 172.29.0.9/24");
    let refused = docker(&bed, &["network", "rm", "app"]).exits_with(1);
    assert!(refused.stderr.contains("has active endpoints"), "{refused}");
    say(&bed, &["network", "create", "more"]);
    say(&bed, &["network", "connect", "--alias", "second", "more", "web"]);
    say(&bed, &["network", "disconnect", "app", "web"]);
    assert_eq!(say(&bed, &["network", "rm", &id]), id);
    say(&bed, &["rm", "-f", "web"]);
    assert_eq!(say(&bed, &["network", "prune", "-f"]), "Deleted Networks:\nmore");
    let default = say(&bed, &["run", "-d", IMAGE, "sleep", "1000"]);
    assert_eq!(say(&bed, &["inspect", "-f", "{{.HostConfig.NetworkMode}}", &default]), "bridge");
}
