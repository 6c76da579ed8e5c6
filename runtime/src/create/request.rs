//! What `create`, `run` and `restore` are asked for, and what they return.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use knarr_proto::id::ContainerId;

use crate::cgroup::plan::Driver;
use crate::child::error::CreateError;
use crate::child::options::Options;
use crate::host::Host;
use crate::notify::Notify;
use crate::output::log::Log;
use crate::plan::Plan;
use crate::process::launch::UserNamespace;
use crate::spec::Spec;
use crate::spec::linux::NamespaceKind;

/// What to create.
#[derive(Debug)]
pub(crate) struct CreateRequest<'a> {
    /// The container's id.
    pub(crate) id: &'a ContainerId,
    /// `--root`.
    pub(crate) root: &'a Path,
    /// What is to be made a container of.
    pub(crate) bundle: &'a Bundle,
    /// What is true of the host.
    pub(crate) host: &'a Host,
    /// What makes the cgroups.
    pub(crate) driver: Driver,
    /// The other flags.
    pub(crate) options: Options,
    /// Whether the container waits for `start`.
    pub(crate) start: Start,
    /// Where `--debug` tells how it goes.
    pub(crate) log: &'a Log,
}

impl CreateRequest<'_> {
    pub(crate) fn user_namespace(&self, plan: &Plan) -> UserNamespace {
        UserNamespace::new(plan.namespaces.has(NamespaceKind::User), self.host.in_user_namespace)
    }
}

/// A bundle and its configuration, read once.
#[derive(Debug)]
pub(crate) struct Bundle {
    /// Its directory, absolute.
    pub(crate) path: PathBuf,
    /// config.json as it stands there.
    pub(crate) text: Vec<u8>,
}

impl Bundle {
    /// Reads a directory's configuration, and returns what it asks for.
    ///
    /// # Errors
    /// [`CreateError::Spec`].
    pub(crate) fn read(path: PathBuf) -> Result<(Self, Spec), CreateError> {
        let (spec, text) = Spec::read(&path)?;
        Ok((Self { path, text }, spec))
    }
}

/// When the user's program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// At once (`run`).
    AtOnce,
    /// When `start` asks for it.
    OnRequest,
}

/// A container that was made.
#[derive(Debug)]
pub(crate) struct Created {
    /// Its first process.
    pub(crate) pid: u32,
    /// The same, for ever.
    pub(crate) pidfd: OwnedFd,
    /// The terminal's master, when no console socket took it.
    pub(crate) master: Option<OwnedFd>,
    /// Where it says that it is ready, when it runs and the caller has a notify socket.
    pub(crate) notify: Option<Notify>,
    /// What the plan ignored.
    pub(crate) warnings: Vec<String>,
}
