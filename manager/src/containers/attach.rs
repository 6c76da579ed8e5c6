//! Joining a container's streams: now, or at its next start.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::container::Container;
use super::error::ContainerError;
use super::handle::Containers;
use super::session::{AttachOptions, Session};
use super::start::{Asker, start_in_turn};
use crate::tasks::{Connected, TaskError};

/// A client that has joined a container.
pub(crate) enum Attachment {
    /// The container runs.
    Joined(Box<Session>),
    /// It will be joined to the container's next run.
    Pending(PendingSession),
}

impl Attachment {
    /// The session, once the container runs.
    ///
    /// # Errors
    /// As [`PendingSession::started`].
    pub(crate) async fn session(self) -> Result<Session, ContainerError> {
        match self {
            Self::Joined(session) => Ok(*session),
            Self::Pending(pending) => pending.started().await,
        }
    }
}

/// A client's place at the streams of a process that does not run yet.
pub(crate) struct PendingSession {
    containers: Containers,
    container: Arc<Container>,
    options: AttachOptions,
    /// How often the container had ended when the client came.
    ends: u64,
    connected: oneshot::Receiver<Result<Connected, TaskError>>,
}

/// Joins a container's streams, and starts it if that is asked for. One that does not run is joined to its next run.
///
/// # Errors
/// [`ContainerError`]; [`ContainerError::State`] when the container is being made or removed.
pub(crate) async fn attach(
    containers: &Containers,
    text: &str,
    options: AttachOptions,
) -> Result<Attachment, ContainerError> {
    let container = containers.registry.find(text)?;
    let this = containers.clone();
    containers.work.finish(async move { attach_now(&this, &container, options).await }).await
}

async fn attach_now(
    containers: &Containers,
    container: &Arc<Container>,
    options: AttachOptions,
) -> Result<Attachment, ContainerError> {
    if container.life().phase.holds_process() {
        return join(containers, container, options).await;
    }
    // A start or an end that is under way comes first; none comes between the look and the registration.
    let turn = container.turn.lock().await;
    let life = container.life();
    match life.phase {
        phase if phase.holds_process() => join(containers, container, options).await,
        phase if phase.may_start() => {
            let connected = container.pending.register();
            let (this, ends) = (containers.clone(), life.ends);
            let pending = PendingSession {
                containers: this,
                container: Arc::clone(container),
                options,
                ends,
                connected,
            };
            containers.records.publish(container, "attach", &[]);
            if !options.start {
                return Ok(Attachment::Pending(pending));
            }
            start_in_turn(containers, container, Asker::Person, &turn).await?;
            drop(turn);
            pending.started().await.map(|session| Attachment::Joined(Box::new(session)))
        }
        phase => Err(ContainerError::State { doing: "attach to", name: container.name(), phase }),
    }
}

/// Joins a container that runs.
async fn join(
    containers: &Containers,
    container: &Arc<Container>,
    options: AttachOptions,
) -> Result<Attachment, ContainerError> {
    let life = container.life();
    if options.start {
        container.check_answers("start")?;
    } else {
        container.running_task("attach to")?;
    }
    let socket = containers.execution.tasks.connect_streams(container.id()).await?;
    containers.records.publish(container, "attach", &[]);
    let session = Session::new(containers, container, options, life.ends, (life.pid, Some(socket)));
    Ok(Attachment::Joined(Box::new(session)))
}

impl PendingSession {
    /// Returns the session once the container runs. After a start that failed it has no output, and how the container
    /// ended is the reason.
    ///
    /// # Errors
    /// [`ContainerError::NotFound`] when the container is removed instead, [`ContainerError::Stopping`] when knarrd stops.
    pub(crate) async fn started(mut self) -> Result<Session, ContainerError> {
        let mut life = self.container.life.subscribe();
        let stopping = self.containers.work.stopping();
        let streams = tokio::select! {
            biased;
            connected = &mut self.connected => match connected {
                Ok(connected) => connected.map(|Connected { pid, socket }| (pid, Some(socket)))?,
                // The start has failed, and says why in the container's exit.
                Err(_) => (0, None),
            },
            _ = life.wait_for(|life| life.removed) => {
                return Err(ContainerError::NotFound(self.container.name()));
            }
            () = stopping.cancelled() => return Err(ContainerError::Stopping),
        };
        Ok(Session::new(&self.containers, &self.container, self.options, self.ends, streams))
    }
}
