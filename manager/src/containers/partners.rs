//! Containers whose namespaces another one shares: named by id when it is made, and looked up as they run when it starts.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use knarr_proto::id::ContainerId;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::census::is_process_of;
use super::container::Container;
use super::error::{ContainerError, files};
use super::registry::Registry;
use crate::tasks::plan::{Joined, NetworkMode, Partner, Sharing, SharingMode};

/// A kind of namespace, as docker and as /proc call it.
#[derive(Clone, Copy)]
struct Namespace {
    name: &'static str,
    file: &'static str,
}

const NETWORK: Namespace = Namespace { name: "network", file: "net" };
const PID: Namespace = Namespace { name: "PID", file: "pid" };

/// Names the partners by id, so that a new name changes nothing.
///
/// # Errors
/// [`ContainerError::NoPartner`].
pub(super) fn by_id(registry: &Registry, sharing: &mut Sharing) -> Result<(), ContainerError> {
    if let NetworkMode::Container(partner) = &mut sharing.network {
        *partner = find(registry, partner, NETWORK)?.id().to_string();
    }
    if let SharingMode::Container(partner) = &mut sharing.pid {
        *partner = find(registry, partner, PID)?.id().to_string();
    }
    Ok(())
}

/// The partners as they run now, with their namespaces held open until the plan that has them is dropped.
///
/// # Errors
/// [`ContainerError::PartnerNotRunning`], and [`ContainerError::NoPartner`] when one has been removed.
pub(super) async fn running(registry: &Registry, sharing: &Sharing) -> Result<Joined, ContainerError> {
    let network = match &sharing.network {
        NetworkMode::Container(text) => Some(partner(registry, text, NETWORK).await?),
        NetworkMode::None | NetworkMode::Default | NetworkMode::Host | NetworkMode::Named(_) => None,
    };
    let pid = match &sharing.pid {
        SharingMode::Container(text) => Some(partner(registry, text, PID).await?),
        SharingMode::Private | SharingMode::Host => None,
    };
    Ok(Joined { network, pid })
}

async fn partner(registry: &Registry, text: &str, kind: Namespace) -> Result<Partner, ContainerError> {
    let container = find(registry, text, kind)?;
    let life = container.life();
    let not_running = || ContainerError::PartnerNotRunning { namespace: kind.name, name: container.name() };
    if !life.phase.holds_process() {
        return Err(not_running());
    }
    let (id, pid) = (container.id().clone(), life.pid.cast_signed());
    let opened = tokio::task::spawn_blocking(move || open(&id, pid, kind.file)).await?;
    let opened =
        opened.map_err(files("open the namespace", format!("/proc/{}/ns/{}", life.pid, kind.file)))?;
    let namespace = Arc::new(opened.ok_or_else(not_running)?);
    Ok(Partner { id: container.id().clone(), namespace })
}

fn find(registry: &Registry, text: &str, kind: Namespace) -> Result<Arc<Container>, ContainerError> {
    let found = registry.find(text);
    found.map_err(|source| ContainerError::NoPartner { namespace: kind.name, source: Box::new(source) })
}

/// A namespace of a container's process; `None` when that has ended, since its pid may be another's then.
#[allow(clippy::disallowed_methods, reason = "on a blocking thread")]
fn open(id: &ContainerId, pid: i32, file: &str) -> io::Result<Option<OwnedFd>> {
    let Some(pid) = Pid::from_raw(pid) else { return Ok(None) };
    let process = match pidfd_open(pid, PidfdFlags::empty()) {
        Err(Errno::SRCH) => return Ok(None),
        opened => opened?,
    };
    let number = pid.as_raw_nonzero().get();
    let namespace = match File::open(format!("/proc/{number}/ns/{file}")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let is_it = is_process_of(id, number);
    // It has not ended meanwhile, so that all of this was about it.
    let mut watched = [PollFd::new(&process, PollFlags::IN)];
    let has_ended = poll(&mut watched, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))? > 0;
    Ok((is_it && !has_ended).then(|| namespace.into()))
}
