//! The seccomp agent: a process of the host that decides the calls for which the profile says `SCMP_ACT_NOTIFY`. It is
//! reached once, by the parent, over the profile's `listenerPath` (runtime-spec, "The Container Process State"). A peer
//! that does not answer costs a bounded time.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{PidfdGetfdFlags, pidfd_getfd};
use serde::Serialize;

use crate::spec;
use crate::sys::message;

/// An agent is local and only has to accept and read: one that takes longer is stuck, and holds up `create`.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the descriptor goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listener {
    /// `linux.seccomp.listenerPath`.
    pub(crate) path: PathBuf,
    /// `linux.seccomp.listenerMetadata`.
    pub(crate) metadata: String,
}

/// Why the agent did not get it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenerError {
    /// The descriptor could not be taken from the child.
    #[error("cannot fetch the seccomp notify descriptor from the container's process")]
    Fetch {
        /// What the kernel said.
        source: Errno,
    },
    /// There is no listener at the path; the text is runc's.
    #[error("failed to connect with seccomp agent specified in the seccomp profile: {path}")]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        source: Errno,
    },
    /// The agent does not read.
    #[error("cannot send the seccomp notify descriptor to {path}")]
    Send {
        /// The socket.
        path: PathBuf,
        /// What the kernel said; EAGAIN when it took too long.
        source: Errno,
    },
    /// The state has no JSON form.
    #[error("cannot encode the container process state")]
    Encode {
        /// What the encoder said.
        source: serde_json::Error,
    },
}

/// What the agent gets beside the descriptor.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ContainerProcessState<'a, S> {
    oci_version: &'static str,
    fds: [&'static str; 1],
    pid: i32,
    #[serde(skip_serializing_if = "str::is_empty")]
    metadata: &'a str,
    state: &'a S,
}

/// Takes the child's descriptor `number` into this process. Needs ptrace access to the child, as a parent with
/// CAP_SYS_PTRACE over its user namespace has.
///
/// # Errors
/// [`ListenerError::Fetch`].
pub(crate) fn fetch(pidfd: BorrowedFd<'_>, number: RawFd) -> Result<OwnedFd, ListenerError> {
    pidfd_getfd(pidfd, number, PidfdGetfdFlags::empty()).map_err(|source| ListenerError::Fetch { source })
}

impl Listener {
    /// Sends the descriptor and the process's state. `state` serialises as the OCI state of the container, `pid` is the
    /// process's as we see it: the container's first, or that of an exec.
    ///
    /// # Errors
    /// [`ListenerError`], after ten seconds at the latest.
    pub(crate) fn deliver(
        &self,
        notify: BorrowedFd<'_>,
        pid: i32,
        state: &impl Serialize,
    ) -> Result<(), ListenerError> {
        let metadata = self.metadata.as_str();
        let message =
            ContainerProcessState { oci_version: spec::VERSION, fds: ["seccompFd"], pid, metadata, state };
        let message = serde_json::to_vec(&message).map_err(|source| ListenerError::Encode { source })?;
        let socket = message::dial(&self.path, ANSWER_TIMEOUT)
            .map_err(|source| ListenerError::Connect { path: self.path.clone(), source })?;
        send(socket.as_fd(), notify, &message)
            .map_err(|source| ListenerError::Send { path: self.path.clone(), source })
    }
}

/// The descriptor goes with the first bytes; the rest follows alone.
fn send(socket: BorrowedFd<'_>, notify: BorrowedFd<'_>, text: &[u8]) -> Result<(), Errno> {
    let mut sent = message::send(socket, text, Some(notify))?;
    while sent < text.len() {
        sent += message::send(socket, &text[sent..], None)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn listener(name: &str) -> (Listener, UnixListener) {
        let path = std::env::temp_dir().join(format!("knarr-seccomp-{name}-{}.sock", std::process::id()));
        let socket = UnixListener::bind(&path).unwrap();
        (Listener { path, metadata: "hello".to_owned() }, socket)
    }

    #[test]
    fn the_agent_gets_the_state_and_the_descriptor() {
        let (listener, socket) = listener("deliver");
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let state = serde_json::json!({"id": "web", "annotations": {"long": "x".repeat(100_000)}});
        let agent = std::thread::spawn(move || {
            let (mut stream, _) = socket.accept().unwrap();
            let mut first = [0; 16];
            let (length, received) = message::receive(&stream, &mut first).unwrap();
            let mut text = first[..length].to_vec();
            stream.read_to_end(&mut text).unwrap();
            rustix::io::write(received.unwrap(), b"!").unwrap();
            text
        });
        listener.deliver(writer.as_fd(), 42, &state).unwrap();
        let text = agent.join().unwrap();
        let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(value["fds"], serde_json::json!(["seccompFd"]));
        assert_eq!((value["pid"].as_i64(), value["metadata"].as_str()), (Some(42), Some("hello")));
        assert_eq!(value["state"], state);
        let mut byte = [0; 1];
        assert_eq!(rustix::io::read(&reader, &mut byte), Ok(1));
        std::fs::remove_file(&listener.path).unwrap();
    }

    #[test]
    fn nobody_at_the_path_is_an_error_that_names_it() {
        let listener = Listener { path: "/nonexistent/agent.sock".into(), metadata: String::new() };
        let (_reader, writer) = rustix::pipe::pipe().unwrap();
        let error = listener.deliver(writer.as_fd(), 1, &()).unwrap_err();
        assert!(matches!(error, ListenerError::Connect { source: Errno::NOENT, .. }));
    }
}
