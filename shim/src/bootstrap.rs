//! `start`: makes the shim's socket, leaves a server behind that has it as its stdin, and prints the address. Clients may
//! connect as soon as the address is known: the socket listens before the server accepts. A start that fails leaves neither
//! socket nor server.

use std::fs::{self, DirBuilder};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use containerd_shim_protos::TASK_API_VERSION;
use containerd_shim_protos::bootstrap_api::{BootstrapParams, BootstrapResult};
use containerd_shim_protos::protobuf::Message;

use crate::args::Args;
use crate::record::{self, LiveProcess};
use crate::settings::Settings;
use crate::sockets::{bind_private, is_served};

/// Beside the address, containerd's parameters have options of a few kilobytes.
const MAX_PARAMETERS_BYTES: u64 = 1024 * 1024;
/// The kernel's range ends here.
const MAX_OOM_SCORE: i32 = 1000;

/// No server could be left behind.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// There is one.
    #[error("a shim for container {id} already runs at {}", socket.display())]
    Runs {
        /// The container.
        id: String,
        /// Where it answers.
        socket: PathBuf,
    },
    /// The container's directory has been deleted.
    #[error("the bundle {} is gone", bundle.display())]
    NoBundle {
        /// Where it was.
        bundle: PathBuf,
    },
    /// The socket cannot be made.
    #[error("cannot make the socket {}", path.display())]
    Socket {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// This very program cannot be run again.
    #[error("cannot start the shim's server")]
    Spawn(#[source] io::Error),
    /// The bundle's record of its processes.
    #[error("cannot keep the record of the shim's process in {}", bundle.display())]
    Record {
        /// The bundle.
        bundle: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The address cannot be kept or told.
    #[error("cannot tell the shim's address")]
    Address(#[source] io::Error),
}

/// Carries out `start`.
pub(crate) fn start(args: &Args, settings: &Settings) -> Result<(), StartError> {
    let speaks_protobuf = asks_for_protobuf(args);
    if !settings.bundle.is_dir() {
        return Err(StartError::NoBundle { bundle: settings.bundle.clone() });
    }
    let listener = listen(settings)?;
    let started = launch(args, settings, listener, speaks_protobuf);
    if started.is_err() {
        // No server listens there, and none will. The first error is the one to tell.
        fs::remove_file(&settings.socket).ok();
        record::forget(&settings.bundle).ok();
    }
    started
}

fn launch(
    args: &Args,
    settings: &Settings,
    listener: UnixListener,
    speaks_protobuf: bool,
) -> Result<(), StartError> {
    // First what may fail for want of space: a server that has been started would have to be ended again.
    write_address(&settings.bundle, &settings.address()).map_err(StartError::Address)?;
    let mut server = spawn(args, settings, listener.into()).map_err(StartError::Spawn)?;
    let told = keep_record(settings, server.id())
        .and_then(|()| tell(settings, speaks_protobuf).map_err(StartError::Address));
    if told.is_err() {
        // It is our child and not reaped: the pid is its own.
        server.kill().and_then(|()| server.wait()).ok();
    }
    told
}

fn keep_record(settings: &Settings, server: u32) -> Result<(), StartError> {
    let kept = record::new(server).and_then(|record| record::write(&settings.bundle, &record));
    kept.map_err(|source| StartError::Record { bundle: settings.bundle.clone(), source })
}

/// containerd 2.3 writes its parameters to stdin and wants protobuf back. Older ones write options there, or nothing,
/// which may read as parameters, too, but not as ones for this container.
fn asks_for_protobuf(args: &Args) -> bool {
    let mut input = Vec::new();
    if io::stdin().lock().take(MAX_PARAMETERS_BYTES).read_to_end(&mut input).is_err() {
        return false;
    }
    let parameters = BootstrapParams::parse_from_bytes(&input).unwrap_or_default();
    parameters.instance_id == args.id && parameters.namespace == args.namespace
}

/// Refuses where a server is alive, also one whose socket's name is gone.
fn listen(settings: &Settings) -> Result<UnixListener, StartError> {
    let path = &settings.socket;
    let is_alive = record::read(&settings.bundle)
        .is_some_and(|record| LiveProcess::open(record.shim).is_ok_and(|process| process.is_some()));
    if is_alive || is_served(path) {
        return Err(StartError::Runs { id: settings.id.clone(), socket: path.clone() });
    }
    let made = DirBuilder::new().recursive(true).mode(0o711).create(settings.socket_directory());
    made.and_then(|()| bind_private(path)).map_err(|source| StartError::Socket { path: path.clone(), source })
}

fn spawn(args: &Args, settings: &Settings, listener: OwnedFd) -> io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["-namespace", &args.namespace, "-id", &args.id, "-address", &args.address]);
    command.arg("-bundle").arg(&settings.bundle);
    if args.debug {
        command.arg("-debug");
    }
    // Nothing of ours may stay open in it: our caller waits for the end of our output.
    command.arg("serve").current_dir(&settings.bundle).process_group(0);
    command.stdin(Stdio::from(listener)).stdout(Stdio::null()).stderr(Stdio::null());
    let server = command.spawn()?;
    if let Err(error) = spare(server.id()) {
        eprintln!("containerd-shim-knarr-v2: the shim's oom score stays: {error}");
    }
    Ok(server)
}

/// When memory runs out, the manager is to live longer than its shims, and they longer than containers.
fn spare(pid: u32) -> io::Result<()> {
    let own = fs::read_to_string("/proc/self/oom_score_adj")?;
    let own: i32 = own.trim().parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    fs::write(format!("/proc/{pid}/oom_score_adj"), (own + 1).min(MAX_OOM_SCORE).to_string())
}

fn tell(settings: &Settings, speaks_protobuf: bool) -> io::Result<()> {
    let address = settings.address();
    let answer = if speaks_protobuf {
        let (version, protocol) = (TASK_API_VERSION, "ttrpc".to_owned());
        let result = BootstrapResult { version, address, protocol, ..BootstrapResult::default() };
        result.write_to_bytes()?
    } else {
        address.into_bytes()
    };
    let mut stdout = io::stdout().lock();
    stdout.write_all(&answer)?;
    stdout.flush()
}

/// containerd 1.x looks for the address in the bundle when it has been restarted.
fn write_address(bundle: &Path, address: &str) -> io::Result<()> {
    let temporary = bundle.join(".address");
    fs::write(&temporary, address)?;
    fs::rename(temporary, bundle.join("address"))
}
