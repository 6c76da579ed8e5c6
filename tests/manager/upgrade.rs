//! A start on the root of the version before, whose records had another form, while its containers run.

use std::fs;

use knarr_tests::{Daemon, Image, Scratch, eventually, process, programs, require};
use serde_json::{Value, json};

const NAME: &str = "test/old:1";

/// Puts the table of containers, and the copies of their records in the bundles, back into the form that they had with
/// schema 4. The arguments are the root and one JSON object: the identity, in that form, of each container by its name.
const BACK: &str = r#"
import json, os, sqlite3, sys
root, identities = sys.argv[1], json.loads(sys.argv[2])
database = sqlite3.connect(os.path.join(root, "knarr.db"), isolation_level=None)
rows = database.execute("SELECT id, name, phase, json_extract(spec, '$.created_at'), json_extract(spec, '$.image.id'), life FROM containers").fetchall()
later = ("volume_uses", "volumes", "build_steps", "build_cache", "build_configurations", "published_ports", "addresses",
    "endpoints", "network_pools", "networks")
for table in later:
    database.execute("DROP TABLE " + table)
database.executescript("""
DROP TABLE containers;
CREATE TABLE containers (
    id       TEXT PRIMARY KEY,
    name     TEXT NOT NULL UNIQUE,
    phase    TEXT NOT NULL,
    identity TEXT NOT NULL,
    life     TEXT NOT NULL
) STRICT, WITHOUT ROWID;
PRAGMA user_version = 4;
""")
for id, name, phase, created_at, image_id, life in rows:
    identity = dict(identities[name], id=id, name=name, created_at=created_at, image_id=image_id)
    text = json.dumps(identity)
    database.execute("INSERT INTO containers VALUES (?, ?, ?, ?, ?)", (id, name, phase, text, life))
    with open(os.path.join(root, "containers", id, "container.json"), "w") as copy:
        copy.write(text)
database.close()
"#;

/// A container's identity as schema 4 had it, but for what is its own.
fn identity(command: &[&str], auto_remove: bool) -> Value {
    let env = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"];
    json!({
        "config": {
            "image": NAME, "entrypoint": null, "command": command, "env": ["OLD=1"], "working_dir": "", "user": "",
            "hostname": "old-host", "tty": false, "open_stdin": false, "stdin_once": false,
            "labels": {"made": "before"}, "stop_signal": "", "stop_timeout_seconds": 1,
            "mounts": [{"kind": {"tmpfs": {"size_bytes": 1_048_576, "mode": 448}}, "target": "/memory", "read_only": false}],
            "resources": {"memory_bytes": 67_108_864, "memory_swap_bytes": 0, "memory_reservation_bytes": 0,
                "nano_cpus": 0, "cpu_shares": 0, "cpuset_cpus": "", "cpuset_mems": "", "pids_limit": 50},
            "read_only_rootfs": false, "cap_add": [], "cap_drop": ["NET_RAW"], "privileged": false, "network": "none",
            "auto_remove": auto_remove, "no_new_privileges": false, "group_add": [], "terminal_size": null,
            "sysctls": {}, "ulimits": []
        },
        "process": {
            "args": command, "env": [env[0], "OLD=1"], "working_dir": "/", "user": "", "stop_signal": 15,
            "volumes": ["/data"]
        }
    })
}

const RUNS: [&str; 3] = ["sh", "-c", "trap 'exit 9' TERM; echo from-before; while :; do sleep 0.05; done"];
const ENDS: [&str; 3] =
    ["sh", "-c", "mkdir -p /data; date >/data/kept; cat /data/kept | wc -l; hostname; exit 4"];

fn root_of_the_version_before(daemon: &mut Daemon<'_>, scratch: &Scratch) {
    let knarr = daemon.knarr();
    knarr.load(&Image::busybox().config("Volumes", json!({"/data": {}})), NAME);
    let flags = ["-e", "OLD=1", "--hostname", "old-host", "--label", "made=before", "--stop-timeout", "1"];
    let more = [
        "--tmpfs",
        "/memory:size=1m,mode=700",
        "--memory",
        "64m",
        "--pids-limit",
        "50",
        "--cap-drop",
        "NET_RAW",
    ];
    let args = |verb: &[&str], name: &str, command: &[&str]| -> Vec<String> {
        let parts = [verb, &["--name", name], &flags, &more, &[NAME], command];
        parts.concat().into_iter().map(str::to_owned).collect()
    };
    knarr.say(args(&["run", "-d"], "runs", &RUNS));
    knarr.say(args(&["run", "-d", "--rm"], "once", &RUNS));
    knarr.call(args(&["run"], "ended", &ENDS)).exits_with(4);
    knarr.say(args(&["create"], "made", &ENDS));
    daemon.kill();
    let identities = json!({
        "runs": identity(&RUNS, false), "once": identity(&RUNS, true),
        "ended": identity(&ENDS, false), "made": identity(&ENDS, false),
    });
    let mut command = scratch.command(programs::tool("python3"));
    command.args(["-c", BACK]).arg(daemon.root()).arg(identities.to_string());
    process::run(&mut command).success();
}

#[test]
fn containers_of_the_version_before_go_on_and_are_what_they_were() {
    require!(root, tool("busybox"), tool("python3"));
    let scratch = Scratch::new();
    let mut daemon = Daemon::start(&scratch);
    root_of_the_version_before(&mut daemon, &scratch);
    daemon.start_again();
    let knarr = daemon.knarr();
    let listed = knarr.say([
        "ps",
        "-a",
        "--format",
        "{{.Names}} {{.State}} {{.Image}}",
        "--filter",
        "label=made=before",
    ]);
    let mut states: Vec<&str> = listed.lines().collect();
    states.sort_unstable();
    let of = |name: &str, state: &str| format!("{name} {state} {NAME}");
    let expected =
        [of("ended", "exited"), of("made", "created"), of("once", "running"), of("runs", "running")];
    assert_eq!(states, expected);
    let runs = &knarr.json(["inspect", "runs"])[0];
    assert_eq!(runs["Config"]["Hostname"], "old-host");
    assert_eq!(runs["HostConfig"]["Memory"], 64 << 20);
    assert_eq!(
        runs["Mounts"].as_array().map(Vec::len),
        Some(1),
        "only what was asked for: {}",
        runs["Mounts"]
    );
    // Entered, read, ended and started anew as if nothing had happened.
    assert_eq!(
        knarr.say([
            "exec",
            "runs",
            "sh",
            "-c",
            "echo $OLD; hostname; df -k /memory | tail -n 1 | awk '{print $2}'"
        ]),
        "1\nold-host\n1024"
    );
    assert_eq!(knarr.say(["logs", "runs"]), "from-before");
    knarr.say(["stop", "runs", "once"]);
    assert_eq!(knarr.say(["wait", "runs"]), "9", "its own status");
    // Removed behind its end, which is what stop waits for.
    eventually(process::DEADLINE, || (knarr.call(["inspect", "once"]).code() == 1).then_some(()));
    knarr.call(["start", "-a", "ended"]).exits_with(4);
    assert_eq!(knarr.call(["start", "-a", "made"]).exits_with(4).stdout, "1\nold-host\n");
    knarr.say(["start", "runs"]);
    // Once brought to the new form it stays there.
    daemon.stop();
    daemon.start_again();
    assert_eq!(knarr.say(["exec", "runs", "echo", "here"]), "here");
    knarr.say(["rm", "-f", "runs", "ended", "made"]);
    assert_eq!(knarr.say(["ps", "-aq"]), "");
    scratch.assert_no_container_left();
}

/// The records were lost with the version before, and its containers are known only by the copies in their bundles.
#[test]
fn bundles_of_the_version_before_make_lost_records_again() {
    require!(root, tool("busybox"), tool("python3"));
    let scratch = Scratch::new();
    let mut daemon = Daemon::start(&scratch);
    root_of_the_version_before(&mut daemon, &scratch);
    for name in ["knarr.db", "knarr.db-wal", "knarr.db-shm", "knarr.db.copy"] {
        match fs::remove_file(daemon.root().join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{name}: {error}"),
            _ => {}
        }
    }
    daemon.start_again();
    let knarr = daemon.knarr();
    let listed = knarr.say(["ps", "-a", "--format", "{{.Names}} {{.State}}"]);
    for line in ["runs running", "once running", "ended exited", "made created"] {
        assert!(listed.lines().any(|listed| listed == line), "{line} is missing:\n{listed}");
    }
    assert_eq!(knarr.say(["exec", "runs", "hostname"]), "old-host");
    knarr.say(["stop", "runs", "once"]);
    assert_eq!(knarr.say(["wait", "runs"]), "9");
    knarr.say(["rm", "-f", "runs", "ended", "made"]);
    assert_eq!(knarr.say(["ps", "-aq"]), "");
}
