//! A container whose shim does not answer: what the kernel knows of it, and signals that go without the shim.

use rustix::process::Signal;

use super::census::{self, Census, Traces};
use super::container::Container;
use super::error::ContainerError;
use super::signal::KILL;

/// Signals a container whose shim does not answer: its first process, and with SIGKILL all of them.
pub(super) async fn signal(container: &Container, number: i32) -> Result<(), ContainerError> {
    let Some(traces) = traces(container).await else {
        return Err(ContainerError::NotReached {
            name: container.name(),
            cause: "/proc cannot be read".into(),
        });
    };
    let is_kill = number == KILL;
    if is_kill {
        container.set_bypassed(true);
    }
    let first = container.life().pid.cast_signed();
    let Some(number) = Signal::from_named_raw(number) else {
        let cause = "only a shim that answers can send a real-time signal".to_owned();
        return Err(ContainerError::NotReached { name: container.name(), cause });
    };
    for pid in traces.processes.into_iter().filter(|pid| is_kill || *pid == first) {
        census::signal_process(container.id(), pid, number);
    }
    Ok(())
}

/// What the kernel knows of a container; `None` when it cannot be asked.
pub(super) async fn traces(container: &Container) -> Option<Traces> {
    let id = container.id().clone();
    let looked = tokio::task::spawn_blocking(move || Census::take().map(|census| census.of_container(&id)));
    match looked.await {
        Ok(Ok(traces)) => Some(traces),
        Ok(Err(error)) => {
            tracing::warn!(%error, "the processes cannot be listed");
            None
        }
        Err(_) => None,
    }
}

/// What a person can do about a silent shim.
pub(super) fn remedy(traces: &Traces) -> Option<String> {
    let (pid, _) = traces.shims.iter().find(|(_, is_stopped)| *is_stopped)?;
    Some(format!("its process {pid} is stopped; kill -CONT {pid} lets it go on"))
}
