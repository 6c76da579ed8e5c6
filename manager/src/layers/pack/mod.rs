//! Packing: what a snapshot has changed, or all that it shows, becomes a tar, in a helper process that is shut in before
//! it looks at what a container has made. An overlay's changes are read from its upper directory alone, however much is
//! below it. The bytes depend on nothing but the files: the same tree has the same digest.
#![allow(
    clippy::disallowed_methods,
    reason = "the helper is a process of its own; its tar is read on a blocking thread"
)]

mod child;
mod data;
mod error;
mod message;
mod tar;
#[cfg(test)]
mod tests;
mod walk;

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::process::Stdio;

use rustix::pipe::PipeFlags;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

pub(crate) use child::main;
pub(crate) use error::PackError;
pub(crate) use message::{COMMAND, Times};

use crate::content::{Content, Verified};
use crate::snapshots::Layout;
use message::{Plan, Report, Tree};

/// What a layer may have, as for unpacking one.
const MAX_LAYER_BYTES: u64 = 256 << 30;
/// A path and a sentence.
const MAX_REPORT_BYTES: u64 = 64 << 10;
const READ_BYTES: usize = 1 << 20;

/// A tree to pack.
pub(crate) struct Packing {
    tree: Tree,
    /// Which times its entries get.
    pub(crate) times: Times,
}

impl Packing {
    /// What the snapshot has changed of what is below it, as a layer tells it. `is_layered` is the snapshotter's.
    pub(crate) fn changes(layout: &Layout, is_layered: bool) -> Self {
        let tree = match is_layered {
            true => Tree::Changes { upper: layout.upper() },
            // Copies are whole: the nearest one below shows all.
            false => Tree::Differences {
                directory: layout.upper(),
                below: layout.lower.iter().take(1).cloned().collect(),
            },
        };
        Self { tree, times: Times::Kept }
    }

    /// All that the snapshot shows.
    #[allow(dead_code, reason = "export, which needs it, comes with another change")]
    pub(crate) fn whole(layout: &Layout, is_layered: bool) -> Self {
        let mut layers = vec![layout.upper()];
        if is_layered {
            layers.extend(layout.lower.iter().cloned());
        }
        Self { tree: Tree::Whole { layers }, times: Times::Kept }
    }
}

/// Packs a tree into a blob, whose digest is the layer's diff_id. It is verified and has no name in `content` yet: the
/// caller leases its digest before it names it, so that no collection takes it.
///
/// # Errors
/// [`PackError`]; nothing is left.
pub(crate) async fn pack(
    packing: Packing,
    content: &Content,
    cancelled: &CancellationToken,
) -> Result<Verified, PackError> {
    let content = content.clone();
    let mut ingest = spawn_blocking(move || content.ingest_unnamed(MAX_LAYER_BYTES)).await??;
    let ingest = stream(packing, cancelled, move |tar| {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            match tar.read(&mut buffer) {
                Ok(0) => return Ok(ingest),
                Ok(count) => drop(ingest.write(&buffer[..count])?),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(PackError::Read(error)),
            }
        }
    })
    .await?;
    Ok(spawn_blocking(move || ingest.finish()).await.map_err(PackError::Task)??)
}

/// Packs a tree for `reader`, which gets the tar on a blocking thread and reads to its end. What it returns counts only
/// if the tree was packed whole.
///
/// # Errors
/// [`PackError`]; the reader's own comes first only where the helper had nothing to say.
pub(crate) async fn stream<T: Send + 'static>(
    packing: Packing,
    cancelled: &CancellationToken,
    reader: impl FnOnce(&mut File) -> Result<T, PackError> + Send + 'static,
) -> Result<T, PackError> {
    let plan = Plan {
        parent_pid: rustix::process::getpid().as_raw_nonzero().get(),
        tree: packing.tree,
        times: packing.times,
    };
    let (read_end, write_end) =
        rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(|errno| PackError::Start(errno.into()))?;
    // Fewer turns between the two; without it they are only slower.
    rustix::pipe::fcntl_setpipe_size(&read_end, READ_BYTES).ok();
    let mut child = Command::new("/proc/self/exe")
        .arg(COMMAND)
        .arg(serde_json::to_string(&plan).expect("a plan is JSON"))
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::from(write_end))
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(PackError::Start)?;
    let reading = spawn_blocking(move || reader(&mut File::from(read_end)));
    let told = tokio::select! {
        told = last_words(&mut child) => told,
        () = cancelled.cancelled() => Err(PackError::Cancelled),
    };
    if told.is_err() {
        child.kill().await.map_err(PackError::Read)?;
    }
    let read = reading.await?;
    let status = child.wait().await.map_err(PackError::Read)?;
    match (told?.as_slice(), read) {
        (told, read) if status.success() => match (serde_json::from_slice(told), read) {
            (Ok(Report::Done), read) => read,
            // The helper cannot write because the reader has stopped, which said why.
            (Ok(Report::Failed(error::PackFault::Write(_))), Err(error)) => Err(error),
            (Ok(Report::Failed(fault)), _) => Err(fault.into()),
            (Err(_), _) => Err(lost(status, told)),
        },
        (told, _) => Err(lost(status, told)),
    }
}

async fn last_words(child: &mut Child) -> Result<Vec<u8>, PackError> {
    let mut told = Vec::new();
    let stderr = child.stderr.take().expect("stderr is piped");
    stderr.take(MAX_REPORT_BYTES).read_to_end(&mut told).await.map_err(PackError::Read)?;
    Ok(told)
}

fn lost(status: std::process::ExitStatus, told: &[u8]) -> PackError {
    PackError::Lost { status, told: String::from_utf8_lossy(told).trim().to_owned() }
}
