//! The sockets that clients connect to, gRPC's and docker's: a service manager's when it hands them over, else those that
//! knarrd makes. From their first moment on nobody but root can connect, and with `--group` its members; whoever can is as
//! mighty as root.
//!
//! A server whose socket has no name any more is found by nobody: where its directory was deleted, knarrd makes both
//! anew, as shims do.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::Mode;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use tokio::net::UnixListener;
use tokio::sync::mpsc;

use super::DaemonError;
use crate::error::Chain;
use crate::files::failed;
use crate::settings::Settings;

/// Of a socket that only its owner can connect to.
const PRIVATE: Mode = Mode::RUSR.union(Mode::WUSR);
/// Of one that a group can connect to as well.
const SHARED: u32 = 0o660;
/// Clients that may wait to be accepted, as the standard library has it.
const BACKLOG: i32 = 4096;
/// Between two looks whether the socket's name is still there.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Something for each socket; docker's need not be served.
pub(super) struct Both<G, D> {
    pub(super) grpc: G,
    pub(super) docker: D,
}

/// Both sockets.
pub(super) type Listeners = Both<UnixListener, Option<UnixListener>>;
/// Where a new listener is sent when a socket was made anew.
pub(super) type Renewing = Both<mpsc::Sender<UnixListener>, mpsc::Sender<UnixListener>>;
type Bound = std::os::unix::net::UnixListener;

/// Listens; a client that connects now waits until recovery is done.
pub(super) fn listen(settings: &Settings) -> Result<Listeners, DaemonError> {
    let Both { grpc, docker } = activated(settings)?;
    let listener = |activated: Option<Bound>, socket: &Path| match activated {
        // Its owner and mode are the service manager's to choose.
        Some(listener) => Ok(register(listener).map_err(failed("listen on", socket))?),
        None => bind(socket, settings.group.as_deref()),
    };
    // Whoever starts knarrd waits for gRPC's socket: it comes last.
    let docker = settings.docker_socket.as_deref().map(|socket| listener(docker, socket)).transpose()?;
    let grpc = listener(grpc, &settings.socket)?;
    Ok(Both { grpc, docker })
}

/// What a service manager hands over. Which is which, their addresses say; one that is unknown is gRPC's.
fn activated(settings: &Settings) -> Result<Both<Option<Bound>, Option<Bound>>, DaemonError> {
    let mut handed = listenfd::ListenFd::from_env();
    let mut both = Both { grpc: None, docker: None };
    for number in 0..handed.len() {
        let listener = handed.take_unix_listener(number).map_err(failed("take", &settings.socket))?;
        let Some(listener) = listener else { continue };
        let address = listener.local_addr().map_err(failed("look at", &settings.socket))?;
        let path = address.as_pathname();
        if path.is_some() && path == settings.docker_socket.as_deref() {
            both.docker = Some(listener);
        } else {
            both.grpc = Some(listener);
        }
    }
    Ok(both)
}

/// Makes anew what was deleted of the state directory, and the sockets with it. Each new listener goes to `renewing`. Never
/// returns while that is received.
pub(super) async fn keep(settings: Settings, renewing: Renewing) {
    let mut locks = Vec::new();
    let mut is_told = false;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let renewal = match renew(settings.clone()).await {
            Ok(Some(renewal)) => renewal,
            Ok(None) => continue,
            Err(error) => {
                if !is_told {
                    tracing::error!(error = %Chain(&error), "the state directory was deleted, and cannot be made anew: start knarrd again");
                }
                is_told = true;
                continue;
            }
        };
        is_told = false;
        tracing::warn!(state = %settings.state.display(), "what was deleted of the state directory was made anew");
        locks.extend(renewal.lock);
        for (listener, renewing) in [(renewal.grpc, &renewing.grpc), (renewal.docker, &renewing.docker)] {
            if let Some(listener) = listener
                && renewing.send(listener).await.is_err()
            {
                return;
            }
        }
    }
}

/// What was made anew.
struct Renewal {
    grpc: Option<UnixListener>,
    docker: Option<UnixListener>,
    /// Of a state directory that is another one than before.
    lock: Option<File>,
}

/// Makes what is missing; `None` when nothing is.
async fn renew(settings: Settings) -> Result<Option<Renewal>, DaemonError> {
    let socket = settings.socket.clone();
    let made = tokio::task::spawn_blocking(move || renew_blocking(&settings)).await;
    let Some((bound, lock)) = made.map_err(DaemonError::Interrupted)?? else { return Ok(None) };
    let registered =
        |bound: Option<Bound>| bound.map(register).transpose().map_err(failed("listen on", &socket));
    let (grpc, docker) = (registered(bound.grpc)?, registered(bound.docker)?);
    Ok(Some(Renewal { grpc, docker, lock }))
}

type Renewed = (Both<Option<Bound>, Option<Bound>>, Option<File>);

fn renew_blocking(settings: &Settings) -> Result<Option<Renewed>, DaemonError> {
    let is_missing = |socket: &&Path| socket.symlink_metadata().is_err();
    let grpc = Some(settings.socket.as_path()).filter(is_missing);
    let docker = settings.docker_socket.as_deref().filter(is_missing);
    let directories = super::state_directories(settings);
    if grpc.is_none() && docker.is_none() && directories.iter().all(|(directory, _)| directory.is_dir()) {
        return Ok(None);
    }
    super::make_directories(&directories)?;
    // Ours already, where the directory is the one that this process has locked.
    let lock = match super::lock(&settings.state, &settings.state) {
        Err(DaemonError::Locked { pid, .. }) if pid == std::process::id().to_string() => None,
        lock => Some(lock?),
    };
    super::write_pid(&settings.state)?;
    let bind = |socket: &Path| bind_blocking(socket, settings.group.as_deref());
    Ok(Some((Both { grpc: grpc.map(bind).transpose()?, docker: docker.map(bind).transpose()? }, lock)))
}

fn register(listener: Bound) -> io::Result<UnixListener> {
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

fn bind(socket: &Path, group: Option<&str>) -> Result<UnixListener, DaemonError> {
    Ok(register(bind_blocking(socket, group)?).map_err(failed("listen on", socket))?)
}

fn bind_blocking(socket: &Path, group: Option<&str>) -> Result<Bound, DaemonError> {
    let gid = match group {
        Some(name) => Some(group_id(name).ok_or_else(|| DaemonError::Group(name.to_owned()))?),
        None => None,
    };
    // We hold the lock of the state directory: the knarrd that made this socket is gone.
    match fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failed("replace", socket)(error).into());
        }
        _ => {}
    }
    let bound = bind_privately(socket).map_err(failed("listen on", socket))?;
    // The group before the mode: in between, the starter's group must not have what the named one is to have.
    let owner = Some(rustix::process::geteuid().as_raw());
    let group = gid.unwrap_or_else(|| rustix::process::getegid().as_raw());
    std::os::unix::fs::chown(socket, owner, Some(group)).map_err(failed("set the owner of", socket))?;
    if gid.is_some() {
        let shared = Permissions::from_mode(SHARED);
        fs::set_permissions(socket, shared).map_err(failed("set the mode of", socket))?;
    }
    rustix::net::listen(&bound, BACKLOG).map_err(failed("listen on", socket))?;
    Ok(bound.into())
}

/// The file that `bind` makes has the mode of the socket itself.
fn bind_privately(path: &Path) -> Result<std::os::fd::OwnedFd, rustix::io::Errno> {
    let socket =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    rustix::fs::fchmod(&socket, PRIVATE)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

fn group_id(name: &str) -> Option<u32> {
    let groups = fs::read_to_string("/etc/group").ok()?;
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then(|| fields.nth(1)?.parse().ok())?
    })
}
