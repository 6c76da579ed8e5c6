//! Answering the child's requests until it is ready; the same for a container's first process and for `exec`.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use super::error::CreateError;
use super::options::Options;
use super::process::Child;
use super::setup;
use crate::child::sources;
use crate::handshake::failure::{Failure, Phase};
use crate::handshake::{CreatorEnd, Message};
use crate::hooks::{self, HookKind};
use crate::plan::Plan;
use crate::security::seccomp::Program;
use crate::spec::hooks::Hooks;
use crate::state::record::State;

/// What the child's requests are answered with.
#[derive(Debug)]
pub(crate) struct ChildServer<'a> {
    pub(crate) options: &'a Options,
    /// Hooks of the creation; `exec` has none.
    pub(crate) hooks: Option<&'a Hooks>,
    pub(crate) seccomp: Option<&'a Program>,
    /// What mounts are made of; `exec` makes none.
    pub(crate) plan: Option<&'a Plan>,
    pub(crate) state: &'a State,
    pub(crate) child: &'a Child,
}

impl ChildServer<'_> {
    /// A source that cannot be opened is the child's failure: it knows what it is for.
    pub(crate) fn give(&self, channel: &CreatorEnd, index: usize) -> Result<(), CreateError> {
        let plan = self.plan.ok_or(CreateError::Order)?;
        let opened = sources::open_for(plan, index, self.child.pidfd.as_fd());
        let opened = opened.map_err(|error| Failure::new(Phase::Root, &error, None));
        Ok(channel.give(opened.as_ref().map(AsFd::as_fd))?)
    }

    /// Answers the child until it is ready. Returns the terminal's master when it stays with us.
    pub(crate) fn serve(&self, channel: &CreatorEnd) -> Result<Option<OwnedFd>, CreateError> {
        let mut master = None;
        loop {
            match channel.receive()? {
                Message::Hooks => {
                    let hooks = self.hooks.ok_or(CreateError::Order)?;
                    let text = self.state.oci("creating", self.child.pid);
                    let bundle = Some(Path::new(&self.state.bundle));
                    hooks::run(HookKind::Prestart, hooks, &text, bundle)?;
                    hooks::run(HookKind::CreateRuntime, hooks, &text, bundle)?;
                    channel.go()?;
                }
                Message::Console(terminal) => {
                    master = setup::deliver_terminal(self.options, terminal, b"/dev/ptmx")?;
                }
                Message::Listener(number) => {
                    setup::deliver_listener(self, number)?;
                    channel.go()?;
                }
                Message::Fetch(index) => self.give(channel, index)?,
                Message::Ready => return Ok(master),
                Message::Failure(failure) => return Err(CreateError::Init { source: failure }),
                Message::Closed => return Err(CreateError::Died),
            }
        }
    }
}

/// Waits until the child, which was let go, runs the user's program: then its end of the channel is closed.
pub(crate) fn await_execution(channel: &CreatorEnd) -> Result<(), CreateError> {
    match channel.receive()? {
        Message::Closed => Ok(()),
        Message::Failure(failure) => Err(CreateError::Init { source: failure }),
        _ => Err(CreateError::Order),
    }
}
