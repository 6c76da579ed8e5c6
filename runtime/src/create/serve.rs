//! Answering the child's requests until it is ready; the same for a container's first process and for `exec`.

use std::os::fd::{AsFd, OwnedFd};

use super::{CreateError, Options, outside};
use crate::handshake::{CreatorEnd, Message};
use crate::hooks::{self, HookKind};
use crate::security::seccomp::Program;
use crate::spec::Hooks;
use crate::state::State;

/// Whom the answers are about.
#[derive(Debug)]
pub(crate) struct Served<'a> {
    pub(crate) options: &'a Options,
    /// Hooks of the creation; `exec` has none.
    pub(crate) hooks: Option<&'a Hooks>,
    pub(crate) seccomp: Option<&'a Program>,
    pub(crate) state: &'a State,
    pub(crate) pid: u32,
    pub(crate) pidfd: &'a OwnedFd,
}

impl Served<'_> {
    /// Answers the child until it is ready. Returns the terminal's master when it stays with us.
    pub(crate) fn serve(&self, channel: &CreatorEnd) -> Result<Option<OwnedFd>, CreateError> {
        let mut master = None;
        loop {
            match (channel.receive()?, self.hooks) {
                (Message::Hooks, Some(hooks)) => {
                    let text = self.state.oci("creating", self.pid);
                    hooks::run(HookKind::Prestart, hooks, &text)?;
                    hooks::run(HookKind::CreateRuntime, hooks, &text)?;
                    channel.go()?;
                }
                (Message::Hooks, None) => return Err(CreateError::Order),
                (Message::Console(terminal), _) => match &self.options.console_socket {
                    Some(socket) => outside::send(socket, terminal.as_fd(), b"/dev/ptmx")?,
                    None => master = Some(terminal),
                },
                (Message::Listener(number), _) => {
                    outside::deliver_listener(self, number)?;
                    channel.go()?;
                }
                (Message::Ready, _) => return Ok(master),
                (Message::Failure(failure), _) => return Err(CreateError::Init { source: failure }),
                (Message::Closed, _) => return Err(CreateError::Died),
            }
        }
    }
}
