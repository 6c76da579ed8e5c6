//! Unpacking: one compressed layer becomes the files of one snapshot, in a helper process that is shut in before it
//! reads the layer's first byte. Here is knarrd's side of it. It knows no images: who asks says which blob, which
//! snapshot and which digest.
#![allow(clippy::disallowed_methods, reason = "a process of its own, without clients")]

mod archive;
mod budget;
mod child;
#[cfg(test)]
mod differential;
mod error;
mod extensions;
#[cfg(test)]
mod inherited;
mod later;
mod message;
mod path;
mod place;
mod remove;
mod stream;
#[cfg(test)]
mod tests;
mod tree;
mod write;

use std::fs::File;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::Stdio;

use tokio::process::{ChildStdout, Command};
use tokio_stream::StreamExt;
use tokio_util::codec::{FramedRead, LinesCodec, LinesCodecError};
use tokio_util::sync::CancellationToken;

pub(crate) use child::main;
pub(crate) use error::UnpackError;
pub(crate) use message::COMMAND;

use crate::content::Digest;
use crate::snapshots::Layout;
use message::{Limits, Plan, Removal, Report};

/// One report: a path or two and a sentence.
const MAX_REPORT_BYTES: usize = 64 << 10;

/// A layer to unpack.
pub(crate) struct Layer<'a> {
    /// The compressed bytes, from their beginning.
    pub(crate) blob: File,
    /// What they must be, uncompressed.
    pub(crate) diff_id: &'a Digest,
    /// Where they go.
    pub(crate) layout: &'a Layout,
    /// Whether the snapshot holds only what the layer changes (overlayfs), or everything (copies).
    pub(crate) is_layered: bool,
}

/// An archive that is no layer.
pub(crate) struct Plain<'a> {
    /// The bytes, compressed or not, from their beginning.
    pub(crate) blob: File,
    /// What it goes into.
    pub(crate) root: PathBuf,
    /// What a snapshot stands on, where it holds only what it changes.
    pub(crate) below: Option<Vec<PathBuf>>,
    /// The directory of the root that is the archive's.
    pub(crate) prefix: &'a str,
}

/// Unpacks an archive that is no layer.
///
/// # Errors
/// As [`unpack`].
pub(crate) async fn unpack_plain(
    archive: Plain<'_>,
    cancelled: &CancellationToken,
) -> Result<(), UnpackError> {
    let plan = Plan {
        parent_pid: rustix::process::getpid().as_raw_nonzero().get(),
        root: archive.root,
        removal: archive.below.map_or(Removal::Deletion, Removal::Whiteouts),
        diff_id: String::new(),
        prefix: archive.prefix.to_owned(),
        is_plain: true,
        limits: Limits::default(),
    };
    run(&plan, archive.blob, cancelled, |_| {}).await
}

/// Unpacks `layer`. `read` is told how many bytes of the blob are read.
///
/// # Errors
/// [`UnpackError`]; the snapshot then holds some of the layer, and the helper is gone.
pub(crate) async fn unpack(
    layer: Layer<'_>,
    cancelled: &CancellationToken,
    read: impl FnMut(u64),
) -> Result<(), UnpackError> {
    let plan = Plan {
        parent_pid: rustix::process::getpid().as_raw_nonzero().get(),
        root: layer.layout.upper(),
        removal: match layer.is_layered {
            true => Removal::Whiteouts(layer.layout.lower.clone()),
            false => Removal::Deletion,
        },
        diff_id: layer.diff_id.to_string(),
        prefix: String::new(),
        is_plain: false,
        limits: Limits::default(),
    };
    run(&plan, layer.blob, cancelled, read).await
}

async fn run(
    plan: &Plan,
    blob: File,
    cancelled: &CancellationToken,
    read: impl FnMut(u64),
) -> Result<(), UnpackError> {
    let mut child = Command::new("/proc/self/exe")
        .arg(COMMAND)
        .arg(serde_json::to_string(plan).map_err(UnpackError::Instruct)?)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(blob))
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(UnpackError::Start)?;
    let stdout = child.stdout.take().expect("stdout is piped");
    let result = tokio::select! {
        result = listen(stdout, read) => result,
        () = cancelled.cancelled() => Err(UnpackError::Cancelled),
    };
    if result.is_err() {
        child.kill().await.map_err(UnpackError::Listen)?;
    }
    let status = child.wait().await.map_err(UnpackError::Listen)?;
    match result? {
        Some(Report::Done) if status.success() => Ok(()),
        Some(Report::Failed(error)) => Err(error.into()),
        _ => Err(UnpackError::Lost { status }),
    }
}

/// The helper's last word.
async fn listen(stdout: ChildStdout, mut read: impl FnMut(u64)) -> Result<Option<Report>, UnpackError> {
    let mut lines = FramedRead::new(stdout, LinesCodec::new_with_max_length(MAX_REPORT_BYTES));
    let mut last = None;
    while let Some(line) = lines.next().await {
        let line = line.map_err(|error| match error {
            LinesCodecError::Io(source) => UnpackError::Listen(source),
            LinesCodecError::MaxLineLengthExceeded => UnpackError::Listen(ErrorKind::InvalidData.into()),
        })?;
        match serde_json::from_str(&line).map_err(UnpackError::Understand)? {
            Report::Read(bytes) => read(bytes),
            result => last = Some(result),
        }
    }
    Ok(last)
}
