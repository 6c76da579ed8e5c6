//! `delete`: cleans up after a server that has died, without one: what runs is killed, what is mounted unmounted. Prints
//! how the container ended, as far as anybody knows.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use containerd_shim_protos::api::DeleteResponse;
use containerd_shim_protos::protobuf::{Message, MessageField};

use crate::exit::{self, ExitError};
use crate::mounts::{self, MountError};
use crate::reaper::{self, Reaper};
use crate::runtime::{Runtime, RuntimeError, Streams};
use crate::settings::Settings;
use crate::task::Options;
use crate::timestamp;

/// SIGKILL's: what we sent to the container, or what it died of with its shim.
const KILLED: u32 = 137;

/// Something is left.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CleanupError {
    /// The event loop, or the answer.
    #[error("cannot {doing}")]
    Own {
        /// What was to be done.
        doing: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The container.
    #[error("cannot delete the container")]
    Runtime(#[source] RuntimeError),
    /// Its rootfs.
    #[error("cannot take the rootfs apart")]
    Mount(#[source] MountError),
    /// What was kept of its end.
    #[error("cannot tell how the container ended")]
    Exit(#[source] ExitError),
}

/// Carries out `delete`. Everything is tried; the first failure is told.
pub(crate) fn clean_up(settings: &Settings) -> Result<(), CleanupError> {
    let own = |doing| move |source| CleanupError::Own { doing, source };
    let event_loop = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let event_loop = event_loop.map_err(own("make the event loop"))?;
    let deleted = event_loop.block_on(delete(settings));
    let unmounted = mounts::unmount_all(&settings.bundle.join("rootfs")).map_err(CleanupError::Mount);
    // The server that had it is dead, or we would not have been called.
    fs::remove_file(&settings.socket).ok();
    deleted?;
    unmounted?;
    let answer = end_of(&settings.bundle)?.write_to_bytes().expect("there are no required fields");
    let mut stdout = io::stdout().lock();
    stdout.write_all(&answer).and_then(|()| stdout.flush()).map_err(own("tell how the container ended"))
}

async fn delete(settings: &Settings) -> Result<(), CleanupError> {
    let own = |doing| move |source| CleanupError::Own { doing, source };
    let reaper = Arc::new(Reaper::default());
    let children = reaper::child_signal().map_err(own("watch child processes"))?;
    let reaping = tokio::spawn(Arc::clone(&reaper).run(children));
    let options = Options::kept(&settings.bundle).map_err(own("read the runtime options"))?;
    let runtime = Runtime::new(&options.invocation(settings), &settings.bundle, reaper);
    let arguments = ["--force", &settings.id].map(OsStr::new);
    let deleted = runtime.run("delete", &arguments, Streams::Collected).await;
    reaping.abort();
    match deleted {
        Err(error) if error.is_gone() => Ok(()),
        other => other.map(drop).map_err(CleanupError::Runtime),
    }
}

/// From the record, which a server writes before it tells anybody; without one, the container died of the cleaning up.
fn end_of(bundle: &Path) -> Result<DeleteResponse, CleanupError> {
    let answer = |pid, exit_status, at| DeleteResponse {
        pid,
        exit_status,
        exited_at: MessageField::some(timestamp::protobuf(at)),
        ..DeleteResponse::default()
    };
    if let Some(record) = exit::read(bundle).map_err(CleanupError::Exit)? {
        let at = SystemTime::UNIX_EPOCH + Duration::from_nanos(record.exited_at_unix_ns);
        return Ok(answer(record.pid, record.code, at));
    }
    let pid = fs::read_to_string(bundle.join("init.pid")).ok().and_then(|text| text.trim().parse().ok());
    Ok(answer(pid.unwrap_or(0), KILLED, SystemTime::now()))
}
