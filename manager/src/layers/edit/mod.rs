//! Editing: a snapshot gets directories and files, copied from other layers or given as text, in a helper process that is
//! shut in before it looks at any of them. The snapshot is mounted as its root, so that the image's own links lead where
//! they lead in a container.
#![allow(clippy::disallowed_methods, reason = "a process of its own, without clients")]

mod child;
mod copy;
mod error;
mod message;
mod mode;
mod place;
pub(crate) mod select;

use std::path::PathBuf;
use std::process::Stdio;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

pub(crate) use child::main;
pub(crate) use error::{EditError, EditFault, failed};
pub(in crate::layers) use message::MountPlan;
pub(crate) use message::{COMMAND, CopyEdit, Edit, Owner};
pub(crate) use mode::Change;

use crate::snapshots::{Layout, Mount, MountType};
use message::{Plan, Report};

/// A path and a sentence.
const MAX_REPORT_BYTES: u64 = 64 << 10;

/// What is edited.
pub(crate) enum Target {
    /// An active snapshot, and how it is mounted.
    Snapshot(Layout, Vec<Mount>),
    /// A directory of ours.
    Directory(PathBuf),
}

/// Changes a snapshot, or a directory, taking files from `sources`: layers, nearest first.
///
/// # Errors
/// [`EditError`]; some of it may be changed then.
pub(crate) async fn edit(
    target: Target,
    sources: Vec<PathBuf>,
    edits: Vec<Edit>,
    cancelled: &CancellationToken,
) -> Result<(), EditError> {
    let (mount, place) = match target {
        Target::Snapshot(layout, mut mounts) => (mounts.pop().map(mount_plan), layout.upper()),
        Target::Directory(place) => (None, place),
    };
    let parent_pid = rustix::process::getpid().as_raw_nonzero().get();
    let plan = Plan { parent_pid, mount, place, sources, edits };
    let plan = serde_json::to_vec(&plan).expect("a plan is JSON");
    let mut child = Command::new("/proc/self/exe")
        .args([COMMAND, "-"])
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(EditError::Start)?;
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let stdout = child.stdout.take().expect("stdout is piped");
    let talk = async {
        stdin.write_all(&plan).await?;
        drop(stdin);
        let mut told = Vec::new();
        stdout.take(MAX_REPORT_BYTES).read_to_end(&mut told).await?;
        Ok(told)
    };
    let told = tokio::select! {
        told = talk => told.map_err(EditError::Talk),
        () = cancelled.cancelled() => Err(EditError::Cancelled),
    };
    if told.is_err() {
        child.kill().await.map_err(EditError::Talk)?;
    }
    let status = child.wait().await.map_err(EditError::Talk)?;
    match serde_json::from_slice(&told?) {
        Ok(Report::Done) if status.success() => Ok(()),
        Ok(Report::Failed(fault)) => Err(fault.into()),
        _ => Err(EditError::Lost { status }),
    }
}

fn mount_plan(mount: Mount) -> MountPlan {
    MountPlan { is_overlay: mount.kind == MountType::Overlay, source: mount.source, options: mount.options }
}
