//! `serve`: the server that stays with its container. One thread, one loop; it ends when it is told to and has no
//! container, or when no client can want it any more, and takes its socket's name with it.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;

use containerd_shim_protos::ttrpc;
use containerd_shim_protos::ttrpc::r#async::Server;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use crate::chain::chain;
use crate::connections::Connections;
use crate::journal;
use crate::publisher::Publisher;
use crate::reaper::{self, Reaper};
use crate::service::services;
use crate::settings::Settings;
use crate::sockets::SocketName;
use crate::task::{ShimContext, Tasks};

/// A server without a container and without a connection for so long belongs to no manager: one that is starting a
/// container holds a connection, and creates the container within seconds.
const IDLE_LIMIT: Duration = Duration::from_secs(30);
/// How often a server without a container looks whether it is idle.
const IDLE_PERIOD: Duration = Duration::from_secs(5);
/// How often one with a container looks whether its sockets are in place. A manager that misses them asks by SIGHUP.
const SOCKET_PERIOD: Duration = Duration::from_secs(60);
/// Connections that the kernel queues, as std has it.
const BACKLOG: i32 = 128;

/// The server cannot do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    /// Its own place in the system.
    #[error("cannot {doing}")]
    Prepare {
        /// What was to be done.
        doing: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The socket that was handed over.
    #[error("cannot serve the socket that came as stdin")]
    Serve(#[source] ttrpc::Error),
}

/// Carries out `serve`.
pub(crate) fn serve(settings: Settings) -> Result<(), ServeError> {
    let prepare = |doing| move |source| ServeError::Prepare { doing, source };
    journal::open(&settings.bundle, settings.debug);
    let listener = take_listener().map_err(prepare("take the socket from stdin"))?;
    detach().map_err(|errno| prepare("become a session and a subreaper")(errno.into()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(prepare("make the event loop"))?;
    let served = runtime.block_on(run(Arc::new(settings), listener));
    // What still runs waits for clients that will not come.
    runtime.shutdown_background();
    served
}

/// stdin itself becomes /dev/null, so that no child has the socket. Listening once more has the kernel tell clients our
/// pid as the peer's, in place of that of `start`.
fn take_listener() -> io::Result<UnixListener> {
    let listener = io::stdin().as_fd().try_clone_to_owned()?;
    let null = rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(null)?;
    rustix::net::listen(&listener, BACKLOG)?;
    Ok(UnixListener::from(listener))
}

fn detach() -> Result<(), Errno> {
    match rustix::process::setsid() {
        // We lead a process group, as `start` made us; sessions are only for those that do not.
        Ok(_) | Err(Errno::PERM) => {}
        Err(errno) => return Err(errno),
    }
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
}

async fn run(settings: Arc<Settings>, listener: UnixListener) -> Result<(), ServeError> {
    let prepare = |doing| move |source| ServeError::Prepare { doing, source };
    let socket = SocketName::at(&settings.socket).map_err(prepare("find the socket"))?;
    let reaper = Arc::new(Reaper::default());
    let children = reaper::child_signal().map_err(prepare("watch child processes"))?;
    let reaping = tokio::spawn(Arc::clone(&reaper).run(children));
    let publisher = Arc::new(Publisher::start(&settings.namespace, settings.events.clone()));
    let context = ShimContext { settings: Arc::clone(&settings), reaper, publisher: Arc::clone(&publisher) };
    let tasks = Arc::new(Tasks::new(context, socket));
    let (connections, accepted) = Connections::new();
    let mut server = Server::new().add_listener(accepted).register_service(services(&tasks));
    server.start().await.map_err(ServeError::Serve)?;
    connections.accept_from(listener).map_err(prepare("listen"))?;
    journal::debug("serving");
    tokio::select! {
        () = tasks.ending.raised() => {}
        watched = stay_in_reach(&tasks, &connections) => watched.map_err(prepare("watch the sockets"))?,
    }
    server.shutdown().await.map_err(ServeError::Serve)?;
    publisher.close().await;
    tasks.farewell().await;
    reaping.abort();
    Ok(())
}

/// Makes sockets anew whose names are gone, now and then and at SIGHUP. Returns when no client can want the server any
/// more: it has no connection, and no container or one that has ended and that no client could ask about.
async fn stay_in_reach(tasks: &Tasks, connections: &Connections) -> io::Result<()> {
    let mut asked = signal(SignalKind::hangup())?;
    loop {
        let period = if tasks.is_empty() { IDLE_PERIOD } else { SOCKET_PERIOD };
        tokio::select! {
            () = sleep(period) => {}
            _ = asked.recv() => {}
            () = connections.all_closed() => {
                tasks.forget_unstarted_execs().await;
                continue;
            }
        }
        let is_reachable = match tasks.renew_sockets() {
            Ok(Some(listener)) => {
                journal::warn("the socket was gone and has been made anew");
                connections.accept_from(listener)?;
                true
            }
            Ok(None) => tasks.is_in_place(),
            Err(error) => {
                journal::warn(&format!("the socket cannot be made anew: {}", chain(&error)));
                false
            }
        };
        let is_wanted = if is_reachable { !tasks.is_empty() } else { tasks.has_process() };
        if !is_wanted && connections.idle_for() >= IDLE_LIMIT && tasks.abandon() {
            journal::warn("the shim ends: it has no client and no running container");
            return Ok(());
        }
    }
}
