//! A child's failure as data, so that the creator can show it as if it had happened there.

use std::error::Error;
use std::fmt;

use knarr_proto::reason::Reason;
use serde::{Deserialize, Serialize};

use super::error::ChannelError;
use crate::output::chain::{self, Chain};

/// What the child was at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Phase {
    /// Namespaces and cgroups.
    Isolate,
    /// Mounts, devices, kernel settings, pivot_root.
    Root,
    /// Names, keyring, terminal, scheduling.
    Settle,
    /// Labels, limits, user, capabilities, seccomp.
    Confine,
    /// The start gate.
    Wait,
    /// The user's program.
    Exec,
}

/// An error chain that crossed a process border.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    /// What the child was at.
    pub(crate) phase: Phase,
    /// Messages from the outermost to the cause.
    pub(crate) chain: Vec<String>,
    /// The kernel's error number, if that is the cause.
    pub(crate) errno: Option<i32>,
    /// What it is about: a path in the container, mostly.
    pub(crate) path: Option<String>,
    /// Why the program cannot be executed, if that is what failed.
    pub(crate) reason: Option<Reason>,
}

impl Failure {
    /// Describes `error` and its causes.
    #[must_use]
    pub(crate) fn new(phase: Phase, error: &(dyn Error + 'static), path: Option<String>) -> Self {
        let mut errno = None;
        let mut next = Some(error);
        while let Some(link) = next {
            errno = chain::errno_of(link).or(errno);
            next = link.source();
        }
        Self { phase, chain: Chain(error).texts(), errno, path, reason: None }
    }

    /// The one that a message carries, if it is such a message.
    pub(crate) fn of_message(bytes: &[u8]) -> Option<Result<Self, ChannelError>> {
        let text = bytes.strip_prefix(&[super::tag::FAILURE])?;
        Some(serde_json::from_slice(text).map_err(|_| ChannelError::Malformed))
    }

    /// The message that carries it.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![super::tag::FAILURE];
        serde_json::to_writer(&mut bytes, self).expect("plain data becomes JSON");
        bytes
    }
}

impl fmt::Display for Failure {
    /// The whole chain: its source is in another process.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.chain.join(": "))
    }
}

impl Error for Failure {}
