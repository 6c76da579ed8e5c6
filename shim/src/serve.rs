//! `serve`: the server that stays with its container. One thread, one loop; it ends when it is told to and has no
//! container, and takes its socket's name with it.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::sync::Arc;

use containerd_shim_protos::ttrpc;
use containerd_shim_protos::ttrpc::r#async::Server;
use containerd_shim_protos::ttrpc::asynchronous::transport::Listener;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::journal;
use crate::publisher::Publisher;
use crate::reaper::{self, Reaper};
use crate::service::services;
use crate::settings::Settings;
use crate::task::{Surroundings, Tasks};

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
    journal::open(&settings.bundle, settings.debug).map_err(prepare("open the journal"))?;
    let listener = take_listener().map_err(prepare("take the socket from stdin"))?;
    detach().map_err(|errno| prepare("become a session and a subreaper")(errno.into()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(prepare("make the event loop"))?;
    let served = runtime.block_on(run(Arc::new(settings), listener));
    // What still runs waits for clients that will not come.
    runtime.shutdown_background();
    served
}

/// stdin itself becomes /dev/null, so that nobody whom we start has the socket.
fn take_listener() -> io::Result<UnixListener> {
    let listener = io::stdin().as_fd().try_clone_to_owned()?;
    let null = rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(null)?;
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
    let reaper = Arc::new(Reaper::default());
    let children = reaper::child_signal().map_err(prepare("watch child processes"))?;
    let reaping = tokio::spawn(Arc::clone(&reaper).run(children));
    let publisher = Arc::new(Publisher::start(&settings.namespace, settings.events.clone()));
    let around = Surroundings { settings: Arc::clone(&settings), reaper, publisher: Arc::clone(&publisher) };
    let tasks = Arc::new(Tasks::new(around));
    let listener = Listener::try_from(listener).map_err(prepare("listen"))?;
    let mut server = Server::new().add_listener(listener).register_service(services(&tasks));
    server.start().await.map_err(ServeError::Serve)?;
    journal::debug("serving");
    tasks.ending.raised().await;
    server.shutdown().await.map_err(ServeError::Serve)?;
    publisher.close().await;
    tasks.farewell().await;
    reaping.abort();
    Ok(())
}
