//! The socket that clients connect to: a service manager's when it hands one over, else one that knarrd makes. From its
//! first moment on nobody but root can connect, and with `--group` its members; whoever can is as mighty as root.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::Mode;
use tokio::net::UnixListener;

use super::DaemonError;
use crate::files::failed;
use crate::settings::Settings;

/// Of a socket that only its owner can connect to.
const PRIVATE: u32 = 0o600;
/// Of one that a group can connect to as well.
const SHARED: u32 = 0o660;

/// Listens; a client that connects now waits until recovery is done. Called before anything else runs in this process,
/// since the mode that new files get (umask) is changed for a moment.
pub(super) fn listen(settings: &Settings) -> Result<UnixListener, DaemonError> {
    let socket = &settings.socket;
    let activated = listenfd::ListenFd::from_env().take_unix_listener(0).map_err(failed("take", socket))?;
    let listener = match activated {
        // Its owner and mode are the service manager's to choose.
        Some(listener) => listener,
        None => bind(socket, settings.group.as_deref())?,
    };
    let listening = listener.set_nonblocking(true).and_then(|()| UnixListener::from_std(listener));
    Ok(listening.map_err(failed("listen on", socket))?)
}

fn bind(socket: &Path, group: Option<&str>) -> Result<std::os::unix::net::UnixListener, DaemonError> {
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
    let before = rustix::process::umask(Mode::from_bits_retain(!PRIVATE & 0o777));
    let bound = std::os::unix::net::UnixListener::bind(socket);
    rustix::process::umask(before);
    let listener = bound.map_err(failed("listen on", socket))?;
    // The group before the mode: in between, the starter's group must not have what the named one is to have.
    let owner = Some(rustix::process::geteuid().as_raw());
    let group = gid.unwrap_or_else(|| rustix::process::getegid().as_raw());
    std::os::unix::fs::chown(socket, owner, Some(group)).map_err(failed("set the owner of", socket))?;
    let mode = if gid.is_some() { SHARED } else { PRIVATE };
    fs::set_permissions(socket, Permissions::from_mode(mode)).map_err(failed("set the mode of", socket))?;
    Ok(listener)
}

fn group_id(name: &str) -> Option<u32> {
    let groups = fs::read_to_string("/etc/group").ok()?;
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then(|| fields.nth(1)?.parse().ok())?
    })
}
