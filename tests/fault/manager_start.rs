//! knarrd killed at each change that its start makes: on records as they should be, on those of an older knarrd, whose
//! database it brings up to date, and on damaged ones, of which it makes new ones. The next start finds all.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::process::Command;

use knarr_tests::{Scratch, process, programs, require, strace};

use crate::manager_bed::{Bed, IMAGE};
use crate::sweep::{Harm, Injection, Sweep, kills_at_changes};

/// A tag that the last good copy of the database has not.
const LATE: &str = "test/late:1";

/// Puts the table of containers back into the form that it had with schema 4; the argument is the database.
const MAKE_OLDER: &str = r#"
import json, sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
rows = database.execute("SELECT id, name, phase, json_extract(spec, '$.created_at'), json_extract(spec, '$.image.id'), life FROM containers").fetchall()
resources = {"memory_bytes": 0, "memory_swap_bytes": 0, "memory_reservation_bytes": 0, "nano_cpus": 0, "cpu_shares": 0,
    "cpuset_cpus": "", "cpuset_mems": "", "pids_limit": 0}
config = {"image": "test/busybox:1", "entrypoint": None, "command": ["sleep", "1000000"], "env": [], "working_dir": "",
    "user": "", "hostname": "", "tty": False, "open_stdin": False, "stdin_once": False, "labels": {}, "stop_signal": "",
    "stop_timeout_seconds": 1, "mounts": [], "resources": resources, "read_only_rootfs": False, "cap_add": [],
    "cap_drop": [], "privileged": False, "network": "none", "auto_remove": False, "no_new_privileges": False,
    "group_add": [], "terminal_size": None, "sysctls": {}, "ulimits": []}
process = {"args": ["sleep", "1000000"], "env": [], "working_dir": "/", "user": "", "stop_signal": 15, "volumes": []}
later = ("volume_uses", "volumes", "build_steps", "build_cache", "build_configurations", "published_ports", "addresses",
    "endpoints", "network_pools", "networks")
for table in later:
    database.execute("DROP TABLE " + table)
database.executescript("""
DROP TABLE containers;
CREATE TABLE containers (
    id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, phase TEXT NOT NULL, identity TEXT NOT NULL, life TEXT NOT NULL
) STRICT, WITHOUT ROWID;
PRAGMA user_version = 4;
""")
for id, name, phase, created_at, image_id, life in rows:
    identity = {"config": config, "process": process, "id": id, "name": name, "created_at": created_at, "image_id": image_id}
    database.execute("INSERT INTO containers VALUES (?, ?, ?, ?, ?)", (id, name, phase, json.dumps(identity), life))
database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
"#;

/// The freelist's length in the header: with a false one SQLite's check fails, and every row can be read.
const FREELIST_LENGTH_AT: u64 = 36;

fn database(bed: &Bed<'_>) -> std::path::PathBuf {
    bed.daemon.root().join("knarr.db")
}

fn nothing(_: &Bed<'_>) {}

fn make_older(bed: &Bed<'_>) {
    let mut python = Command::new(programs::tool("python3"));
    process::run(python.args(["-c", MAKE_OLDER]).arg(database(bed))).success();
}

fn damage(bed: &Bed<'_>) {
    let file = fs::File::options().write(true).open(database(bed)).expect("the database");
    file.write_all_at(&9_u32.to_be_bytes(), FREELIST_LENGTH_AT).expect("the database can be written");
    fs::copy(bed.scratch.join("old.copy"), bed.daemon.root().join("knarr.db.copy")).expect("copied");
}

/// The changes that a start makes until it listens.
fn rehearse(bed: &mut Bed<'_>, prepare: fn(&Bed<'_>)) -> BTreeMap<String, u32> {
    let log = bed.scratch.join("calls");
    prepare(bed);
    assert!(bed.daemon.is_ready_under(&strace::recording(&log)), "an undisturbed start");
    let calls = strace::busiest_calls(&log);
    bed.daemon.kill();
    bed.daemon.start_again();
    bed.daemon.stop();
    calls
}

fn trial(bed: &mut Bed<'_>, injection: &Injection, prepare: fn(&Bed<'_>)) -> Result<bool, Harm> {
    prepare(bed);
    let log = bed.scratch.join("injected");
    let was_ready = bed.daemon.is_ready_under(&strace::injecting(&injection.point, injection.fault, &log));
    if was_ready {
        bed.daemon.kill();
    }
    let mut harms = Vec::new();
    harms.extend(bed.start_again().map_err(Harm::Unclear).err());
    harms.extend(bed.bystanders().map_err(Harm::Lost).err());
    for name in [IMAGE, LATE] {
        let ran = bed.knarr.call(["run", "--rm", name, "echo", "here"]);
        if ran.stdout != "here\n" {
            harms.push(Harm::Lost(format!("{name} cannot be run: {ran}")));
        }
        let saved = bed.knarr.call(["save", "-o", "/dev/null", name]);
        if !saved.status.success() {
            harms.push(Harm::Lost(format!("{name} is not whole: {saved}")));
        }
    }
    bed.daemon.stop();
    Harm::of_all(harms).map_or(Ok(!was_ready), Err)
}

fn sweep(what: &str, prepare: fn(&Bed<'_>)) {
    let scratch = Scratch::new();
    let mut bed = Bed::make(&scratch);
    bed.daemon.stop();
    fs::copy(bed.daemon.root().join("knarr.db.copy"), scratch.join("old.copy")).expect("there is a copy");
    bed.daemon.start_again();
    bed.knarr.say(["tag", IMAGE, LATE]);
    bed.daemon.stop();
    let calls = rehearse(&mut bed, prepare);
    let found = Sweep::over(&kills_at_changes(&calls), |injection| trial(&mut bed, injection, prepare));
    bed.daemon.start_again();
    bed.knarr.say(["rmi", LATE]);
    bed.close();
    found.conclude(what);
}

#[test]
fn a_start_killed_at_any_change_is_made_up_by_the_next() {
    require!(root, tool("strace"), tool("busybox"), tool("docker-registry"), tool("skopeo"));
    sweep("the manager's start killed", nothing);
}

#[test]
fn a_migration_of_the_database_killed_at_any_change_loses_nothing() {
    require!(root, tool("strace"), tool("busybox"), tool("docker-registry"), tool("skopeo"), tool("python3"));
    sweep("the manager's migration killed", make_older);
}

#[test]
fn a_repair_of_the_database_killed_at_any_change_loses_nothing() {
    require!(root, tool("strace"), tool("busybox"), tool("docker-registry"), tool("skopeo"));
    sweep("the manager's repair killed", damage);
}
