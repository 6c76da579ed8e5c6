//! `knarr attach`, and what `run` and `start` share with it: our streams joined with a container's first process.

use knarr_proto::detach::DetachKeys;
use knarr_proto::v1::session_request::Message;
use knarr_proto::v1::{AttachOpen, Container, ContainerState, ExitStatus, InspectContainerRequest};
use rustix::process::Signal;
use tokio::sync::oneshot;

use super::each::DONE;
use crate::args::container::AttachArgs;
use crate::connect::{Address, Client};
use crate::error::Error;
use crate::options::config::Streams;
use crate::session::signals::Forwarding;
use crate::session::{self, Ending, Plan};
use crate::{output, terminal};

/// What a shell adds to the number of the signal that ended a program.
const SIGNALLED: i32 = 128;

/// Which container is joined, and how.
pub(super) struct Joining {
    pub(super) container: String,
    pub(super) streams: Streams,
    pub(super) tty: bool,
    pub(super) detach_keys: Option<DetachKeys>,
    pub(super) sig_proxy: bool,
    /// It is to be started once we listen; otherwise it runs already.
    pub(super) start: bool,
}

/// Joins a running container's streams.
pub(super) async fn run(args: AttachArgs, address: &Address) -> Result<u8, Error> {
    let client = Client::connect(address).await?;
    let container = inspect(&client, &args.container, false).await?;
    match container.state() {
        ContainerState::Running => {}
        ContainerState::Paused => {
            return Err(Error::State(format!("container {} is paused: unpause it first", args.container)));
        }
        ContainerState::Restarting => {
            return Err(Error::State(format!(
                "container {} is restarting: wait until it runs",
                args.container
            )));
        }
        _ => {
            return Err(Error::State(format!(
                "container {0} is not running: start it first, with 'knarr start {0}'",
                args.container
            )));
        }
    }
    let config = container.config.unwrap_or_default();
    let streams = Streams { stdin: config.open_stdin && !args.no_stdin, stdout: true, stderr: true };
    check_terminal(config.tty, streams)?;
    let joining = Joining {
        container: container.id,
        streams,
        tty: config.tty,
        detach_keys: args.detach_keys,
        sig_proxy: args.sig_proxy,
        start: false,
    };
    join(&client, joining).await
}

/// What the daemon knows of one container, with or without its size.
pub(super) async fn inspect(client: &Client, name: &str, size: bool) -> Result<Container, Error> {
    let request = InspectContainerRequest { container: name.to_owned(), size };
    let reply = client.containers().inspect(request).await?.into_inner();
    reply.container.ok_or(Error::Contract { call: "inspect", missing: "container" })
}

/// A container's terminal can only be typed at from a terminal.
pub(super) fn check_terminal(tty: bool, streams: Streams) -> Result<(), Error> {
    match tty && streams.stdin && !terminal::stdin_is_terminal() {
        true => Err(Error::NoTerminal),
        false => Ok(()),
    }
}

/// Joins the streams to the end; the exit code is the container's.
pub(super) async fn join(client: &Client, joining: Joining) -> Result<u8, Error> {
    let Joining { container, streams, tty, detach_keys, sig_proxy, start } = joining;
    let (started, mut forwarding) = if sig_proxy && !tty {
        let (sender, receiver) = oneshot::channel();
        (Some(sender), Some(Forwarding::start(client.containers(), container.clone(), receiver)?))
    } else {
        (None, None)
    };
    let open = AttachOpen {
        container,
        stdin: streams.stdin,
        stdout: streams.stdout,
        stderr: streams.stderr,
        start,
        logs: false,
    };
    let plan = Plan {
        streams,
        tty,
        detach_keys: detach_keys.unwrap_or_default(),
        client: client.clone(),
        redraw: !start,
    };
    let (requests, stream) = session::requests(Message::Attach(open));
    let mut containers = client.containers();
    let session = session::join(plan, requests, containers.attach(stream), started);
    let Some(forwarding) = &mut forwarding else { return session.await.map(|ending| exit_code(&ending)) };
    tokio::select! {
        ending = session => ending.map(|ending| exit_code(&ending)),
        () = forwarding.enough() => {
            output::note("knarr: left the container running, which does not end on the signals that it got; see 'knarr ps'");
            Ok(exit_code(&Ending::Signalled(Signal::INT.as_raw())))
        }
    }
}

/// What `knarr` exits with after a session.
pub(super) fn exit_code(ending: &Ending) -> u8 {
    match ending {
        Ending::Exited(status) => code_of(status),
        Ending::Detached => DONE,
        Ending::Signalled(signal) => u8::try_from(SIGNALLED + signal).unwrap_or(u8::MAX),
    }
}

fn code_of(status: &ExitStatus) -> u8 {
    if !status.error.is_empty() {
        output::complain(&Error::State(status.error.clone()));
    }
    u8::try_from(status.code).unwrap_or(u8::MAX)
}
