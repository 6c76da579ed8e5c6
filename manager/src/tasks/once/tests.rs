//! Processes run to their end by our own shim and runtime. They need root, busybox and `KNARR_BIN_DIR`.
#![allow(clippy::disallowed_methods, reason = "tests serve no clients")]

use std::fs;
use std::path::{Path, PathBuf};

use knarr_proto::frame::Stream;
use tempfile::TempDir;

use super::*;
use crate::apparmor::AppArmor;
use crate::cgroups::Cgroups;
use crate::snapshots::Choice;
use crate::store::Store;
use crate::tasks::plan::{Files, Isolation, Joined, Process, Resources, Streams};
use crate::tasks::shims::Shims;

const BUSYBOX: &str = "/bin/busybox";

struct Bed {
    tasks: Tasks,
    snapshots: Snapshots,
    directory: TempDir,
}

/// A snapshot for each of `ids` with busybox in it, or why there cannot be one.
async fn bed(ids: &[&str]) -> Result<Bed, String> {
    let programs = std::env::var_os("KNARR_BIN_DIR").map(PathBuf::from).ok_or("KNARR_BIN_DIR is not set")?;
    if !rustix::process::geteuid().is_root() || !Path::new(BUSYBOX).exists() {
        return Err("it needs root and busybox".to_owned());
    }
    let directory = tempfile::tempdir().expect("a directory");
    let below = |name: &str| directory.path().join(name);
    for name in ["bundles", "attach", "runtime", "shims"] {
        fs::create_dir(below(name)).expect(name);
    }
    let store = Store::open(&below("knarr.db"), &[crate::snapshots::SCHEMA_1]).expect("a database");
    let snapshots = Snapshots::open(&below("snapshots"), store, Choice::Native).expect("snapshots");
    for id in ids {
        let mounts = snapshots.prepare(id, None).await.expect("a snapshot");
        let bin = Path::new(&mounts[0].source).join("bin");
        fs::create_dir(&bin).expect("bin");
        fs::copy(BUSYBOX, bin.join("sh")).expect("a shell");
    }
    let shims = Shims {
        program: programs.join("containerd-shim-knarr-v2"),
        runtime: programs.join("knarr-runtime"),
        runtime_root: below("runtime"),
        sockets: below("shims"),
        open_files: None,
    };
    let cgroups = Cgroups::Cgroupfs { parent: "/".into() };
    let tasks = Tasks {
        bundles: below("bundles"),
        attach: below("attach"),
        shims,
        cgroups,
        apparmor: AppArmor::Off,
        init: PathBuf::new(),
        counts_swap: true,
    };
    Ok(Bed { tasks, snapshots, directory })
}

fn plan(id: &str, script: &str) -> TaskPlan {
    let args = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    TaskPlan {
        joined: Joined::default(),
        volumes: Default::default(),
        place: None,
        id: id.parse().expect("an id"),
        process: Process { args, working_dir: "/".into(), ..Process::default() },
        streams: Streams::default(),
        files: Files::default(),
        isolation: Isolation::default(),
        resources: Resources::default(),
    }
}

fn assert_nothing_left(bed: &Bed) {
    for name in ["bundles", "attach", "runtime", "shims"] {
        let left: Vec<_> = fs::read_dir(bed.directory.path().join(name)).expect(name).flatten().collect();
        assert!(left.is_empty(), "{name}: {left:?}");
    }
}

#[tokio::test]
async fn a_process_runs_to_its_end_and_leaves_what_it_wrote() {
    let bed = match bed(&["once"]).await {
        Ok(bed) => bed,
        Err(why) => return eprintln!("SKIPPED: {why}"),
    };
    let plan = plan("once", "echo out; echo err >&2; echo kept > /kept; exit 7");
    let (sender, mut receiver) = mpsc::channel(16);
    let exit = bed.tasks.run_once(plan, &bed.snapshots, sender, &CancellationToken::new()).await;
    assert_eq!(exit.expect("it ran").code, 7);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    while let Some(piece) = receiver.recv().await {
        match piece {
            Piece::Output { stream: Stream::Stdout, data } => out.extend(data),
            Piece::Output { stream: Stream::Stderr, data } => err.extend(data),
            Piece::Dropped { bytes } => panic!("{bytes} bytes were dropped"),
        }
    }
    assert_eq!((out.as_slice(), err.as_slice()), (&b"out\n"[..], &b"err\n"[..]));
    let source = bed.snapshots.mounts("once").await.expect("its snapshot")[0].source.clone();
    assert_eq!(fs::read_to_string(Path::new(&source).join("kept")).expect("kept"), "kept\n");
    assert_nothing_left(&bed);
}

#[tokio::test]
async fn a_process_that_is_cancelled_or_cannot_run_leaves_nothing() {
    let bed = match bed(&["long", "none"]).await {
        Ok(bed) => bed,
        Err(why) => return eprintln!("SKIPPED: {why}"),
    };
    let (sender, mut receiver) = mpsc::channel(16);
    let cancelled = CancellationToken::new();
    let plan_of_long = plan("long", "echo up; while :; do :; done");
    let run = bed.tasks.run_once(plan_of_long, &bed.snapshots, sender, &cancelled);
    let up = async {
        receiver.recv().await.expect("it runs");
        cancelled.cancel();
    };
    let (ended, ()) = tokio::join!(run, up);
    assert!(matches!(ended, Err(TaskError::Cancelled)), "{ended:?}");
    assert_nothing_left(&bed);
    let mut absent = plan("none", "");
    absent.process.args = vec!["/bin/absent".into()];
    let (sender, _receiver) = mpsc::channel(1);
    let ended = bed.tasks.run_once(absent, &bed.snapshots, sender, &CancellationToken::new()).await;
    assert!(matches!(ended, Err(TaskError::Shim(_))), "{ended:?}");
    assert_nothing_left(&bed);
}
