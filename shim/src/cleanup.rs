//! `delete`: ends everything of a container and cleans up, without its server: what runs is killed, what is mounted
//! unmounted. A server that is alive all the same is ended first. Prints how the container ended, if that is known: from the
//! record, from the kernel, or because it was killed here. It makes nothing up.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use containerd_shim_protos::api::DeleteResponse;
use containerd_shim_protos::protobuf::{Message, MessageField};
use knarr_proto::exit::{ExitRecord, VERSION};
use knarr_proto::processes::{ProcessRecord, ProcessStat};
use rustix::process::Signal;

use crate::cgroup::own;
use crate::exit;
use crate::mounts::{self, MountError};
use crate::reaper::{self, Reaper};
use crate::record::{self, LiveProcess};
use crate::runtime::{self, Runtime, RuntimeError, Streams};
use crate::settings::Settings;
use crate::sockets;
use crate::task::Options;
use crate::timestamp;

/// The exit status of a process that SIGKILL ended.
const KILLED: u32 = 137;
/// containerd's number for an exit status that nothing tells (`UnknownExitStatus`); it comes without a time.
const UNKNOWN: u32 = 255;
/// A process that survives SIGKILL for so long is stuck in the kernel.
const KILL_LIMIT: Duration = Duration::from_secs(10);
/// A server that is alive sees its container's end, takes its last output and records it, within moments.
const RECORD_LIMIT: Duration = Duration::from_secs(3);
/// A call to the runtime that is under way ends by itself, unless it waits for a hook.
const CALL_LIMIT: Duration = Duration::from_secs(2);

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
    /// A process survives.
    #[error("{what} (process {pid}) does not die of SIGKILL: it is stuck in the kernel")]
    Immortal {
        /// What it is for.
        what: &'static str,
        /// Its pid.
        pid: u32,
    },
    /// The container.
    #[error("cannot delete the container")]
    Runtime(#[source] RuntimeError),
    /// Its rootfs.
    #[error("cannot take the rootfs apart")]
    Mount(#[source] MountError),
}

/// How the container ended, as far as anything tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct End {
    pid: u32,
    exit: Option<(u32, SystemTime)>,
}

/// Carries out `delete`. Everything is tried; the first failure is told.
pub(crate) fn clean_up(settings: &Settings) -> Result<(), CleanupError> {
    let own = |doing| move |source| CleanupError::Own { doing, source };
    let bundle = &settings.bundle;
    let record = record::read(bundle);
    let (end, killed) = end_first_process(bundle, record.as_ref());
    let event_loop = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let event_loop = event_loop.map_err(own("make the event loop"))?;
    let since = record.as_ref().and_then(|record| record.init).map_or(u64::MAX, |init| init.start_time);
    let cgroups = record.map(|record| record.cgroups).unwrap_or_default();
    let steps = [
        killed,
        end_server(settings),
        end_calls(bundle),
        event_loop.block_on(delete(settings)),
        own::end(&cgroups, since).map_err(own("end what is left in the container's cgroup")),
        mounts::unmount_all(&bundle.join("rootfs")).map_err(CleanupError::Mount),
        sockets::remove_left(bundle).map_err(own("remove the sockets of its processes")),
        settings.remove_volatile_files().map_err(own("remove short-lived files")),
        sockets::remove_dead(&settings.socket).map_err(own("remove the socket")),
    ];
    let failed = steps.into_iter().find_map(Result::err);
    let end = keep(bundle, end);
    if let Some(error) = failed {
        return Err(error);
    }
    record::forget(bundle).map_err(own("remove the record of its processes"))?;
    let answer = answer(end).write_to_bytes().expect("there are no required fields");
    let mut stdout = io::stdout().lock();
    stdout.write_all(&answer).and_then(|()| stdout.flush()).map_err(own("tell how the container ended"))
}

/// Kills the container's first process and finds out how it ended. Its parent is waited for first: a server that is
/// alive, or has only been stopped, records the true status.
fn end_first_process(bundle: &Path, record: Option<&ProcessRecord>) -> (End, Result<(), CleanupError>) {
    let mut end = recorded(bundle);
    let Some(init) = record.and_then(|record| record.init) else { return (end, Ok(())) };
    end.pid = init.pid;
    let server = record.and_then(|record| LiveProcess::open(record.shim).ok().flatten());
    if let Some(server) = &server {
        // One that has been stopped goes on; to another this is nothing.
        server.signal(Signal::CONT).ok();
    }
    let killed = kill(init, "the container's first process");
    if server.is_some() {
        await_record(bundle);
    }
    let recorded = recorded(bundle);
    if recorded.exit.is_some() {
        return (recorded, killed.map(drop));
    }
    // Not reaped yet: the kernel still knows. Of one that could not be killed it says 0, which means nothing.
    let is_zombie = |stat: &ProcessStat| stat.identity == init && !stat.is_alive();
    let zombie = record::stat(init.pid).ok().flatten().filter(is_zombie);
    let status = zombie.and_then(|stat| reaper::exit_code(stat.wait_status));
    let status = match (status, &killed) {
        (Some(status), _) => Some(status),
        (None, Ok(was_alive)) => was_alive.then_some(KILLED),
        (None, Err(_)) => None,
    };
    end.exit = status.map(|status| (status, SystemTime::now()));
    (end, killed.map(drop))
}

/// Kills a process and waits for its end. Whether it was alive.
fn kill(process: knarr_proto::processes::ProcessIdentity, what: &'static str) -> Result<bool, CleanupError> {
    let failed = |source| CleanupError::Own { doing: "kill a process of the container", source };
    let Some(process) = LiveProcess::open(process).map_err(failed)? else { return Ok(false) };
    process.signal(Signal::KILL).map_err(failed)?;
    match process.wait(KILL_LIMIT).map_err(failed)? {
        true => Ok(true),
        false => Err(CleanupError::Immortal { what, pid: process.identity().pid }),
    }
}

fn await_record(bundle: &Path) {
    let deadline = std::time::Instant::now() + RECORD_LIMIT;
    while recorded(bundle).exit.is_none() && std::time::Instant::now() < deadline {
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// Ends a server that is alive, by the bundle's record or by what answers at its socket: one that goes on would be left
/// without a socket, or with one that no client looks for.
fn end_server(settings: &Settings) -> Result<(), CleanupError> {
    let recorded = record::read(&settings.bundle).map(|record| record.shim);
    let serving = sockets::server_of(&settings.socket).and_then(|pid| record::identify(pid).ok());
    for server in recorded.into_iter().chain(serving) {
        kill(server, "the shim's server")?;
    }
    Ok(())
}

/// Calls to the runtime that a server has made and not seen end: what they are about to make could not be deleted yet.
fn end_calls(bundle: &Path) -> Result<(), CleanupError> {
    let failed = |source| CleanupError::Own { doing: "end the calls to the OCI runtime", source };
    for call in runtime::calls_for(bundle).map_err(failed)? {
        if !call.wait(CALL_LIMIT).map_err(failed)? {
            kill(call.identity(), "a call to the OCI runtime")?;
        }
    }
    Ok(())
}

async fn delete(settings: &Settings) -> Result<(), CleanupError> {
    let own = |doing| move |source| CleanupError::Own { doing, source };
    let reaper = Arc::new(Reaper::default());
    let children = reaper::child_signal().map_err(own("watch child processes"))?;
    let reaping = tokio::spawn(Arc::clone(&reaper).run(children));
    let options = Options::kept(&settings.bundle).unwrap_or_else(|error| {
        // Removal must not need what it is to remove.
        eprintln!("containerd-shim-knarr-v2: the bundle's runtime options cannot be read: {error}");
        Options::default()
    });
    let runtime = Runtime::new(&options.invocation(settings), &settings.bundle, reaper);
    let arguments = ["--force", &settings.id].map(OsStr::new);
    let deleted = runtime.run("delete", &arguments, Streams::Collected).await;
    reaping.abort();
    match deleted {
        Err(error) if error.is_gone() => Ok(()),
        other => other.map(drop).map_err(CleanupError::Runtime),
    }
}

/// The end that a server or an earlier `delete` has recorded.
fn recorded(bundle: &Path) -> End {
    match exit::read(bundle) {
        Ok(Some(record)) => {
            let at = SystemTime::UNIX_EPOCH + Duration::from_nanos(record.exited_at_unix_ns);
            End { pid: record.pid, exit: Some((record.code, at)) }
        }
        Ok(None) => End::default(),
        Err(error) => {
            eprintln!("containerd-shim-knarr-v2: {}", crate::chain::chain(&error));
            End::default()
        }
    }
}

/// Records an end that was found out here, so that it can be told again. One that is recorded already stays as it is.
fn keep(bundle: &Path, end: End) -> End {
    if let (Some((code, at)), None) = (end.exit, recorded(bundle).exit) {
        let exited_at_unix_ns = exit::unix_ns(at);
        let record =
            ExitRecord { version: VERSION, pid: end.pid, code, exited_at_unix_ns, oom_killed: false };
        if let Err(error) = exit::write(bundle, &record) {
            eprintln!("containerd-shim-knarr-v2: {}", crate::chain::chain(&error));
        }
    }
    end
}

fn answer(end: End) -> DeleteResponse {
    DeleteResponse {
        pid: end.pid,
        exit_status: end.exit.map_or(UNKNOWN, |(code, _)| code),
        exited_at: end
            .exit
            .map_or_else(MessageField::none, |(_, at)| MessageField::some(timestamp::protobuf(at))),
        ..DeleteResponse::default()
    }
}
