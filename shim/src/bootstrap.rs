//! `start`: makes the shim's socket, leaves a server behind that has it as its stdin, and prints the address. Clients may
//! connect as soon as the address is known: the socket listens before there is anybody to accept.

use std::fs::{self, DirBuilder};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use containerd_shim_protos::TASK_API_VERSION;
use containerd_shim_protos::bootstrap_api::{BootstrapParams, BootstrapResult};
use containerd_shim_protos::protobuf::Message;

use crate::args::Args;
use crate::settings::Settings;
use crate::stdio::attach::bind_private;

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
    /// The address cannot be kept or told.
    #[error("cannot tell the shim's address")]
    Address(#[source] io::Error),
}

/// Carries out `start`.
pub(crate) fn start(args: &Args, settings: &Settings) -> Result<(), StartError> {
    let speaks_protobuf = asks_for_protobuf(args);
    let path = settings.socket.clone();
    let listener = listen(settings)?;
    let spawned = spawn(args, settings, listener.into()).map_err(StartError::Spawn);
    let told = spawned.and_then(|()| tell(settings, speaks_protobuf).map_err(StartError::Address));
    if told.is_err() {
        // Nobody will ever listen there.
        fs::remove_file(path).ok();
    }
    told
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

fn listen(settings: &Settings) -> Result<std::os::unix::net::UnixListener, StartError> {
    let path = &settings.socket;
    if UnixStream::connect(path).is_ok() {
        return Err(StartError::Runs { id: settings.id.clone(), socket: path.clone() });
    }
    let made = DirBuilder::new().recursive(true).mode(0o711).create(settings.socket_directory());
    made.and_then(|()| bind_private(path)).map_err(|source| StartError::Socket { path: path.clone(), source })
}

fn spawn(args: &Args, settings: &Settings, listener: OwnedFd) -> io::Result<()> {
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
    Ok(())
}

/// When memory runs out, the manager is to live longer than its shims, and they longer than containers.
fn spare(pid: u32) -> io::Result<()> {
    let own = fs::read_to_string("/proc/self/oom_score_adj")?;
    let own: i32 = own.trim().parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    fs::write(format!("/proc/{pid}/oom_score_adj"), (own + 1).min(MAX_OOM_SCORE).to_string())
}

/// The address goes into the bundle, where containerd 1.x looks for it when it has been restarted, and to stdout.
fn tell(settings: &Settings, speaks_protobuf: bool) -> io::Result<()> {
    let address = settings.address();
    write_address(&settings.bundle, &address)?;
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

fn write_address(bundle: &Path, address: &str) -> io::Result<()> {
    let temporary = bundle.join(".address");
    fs::write(&temporary, address)?;
    fs::rename(temporary, bundle.join("address"))
}
