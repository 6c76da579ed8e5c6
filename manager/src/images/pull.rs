//! Pulling: what a caller says, what it is told meanwhile, and what it gets.

use super::{Image, Platform, Reference};
use crate::content::Digest;

/// What is to be pulled.
#[derive(Clone, Debug)]
pub(crate) struct PullRequest {
    /// What the registry calls it.
    pub(crate) reference: Reference,
    /// For which platform; this machine's when `None`.
    pub(crate) platform: Option<Platform>,
    /// For this pull only; otherwise docker's configuration is asked.
    pub(crate) auth: Option<Credentials>,
}

/// Who a registry is told that we are.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    /// The account.
    pub(crate) username: String,
    /// Its password or access token.
    pub(crate) password: String,
}

// A password is in no log.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// Where a pull is with one blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The blob, or the reference while it is not resolved.
    pub(crate) digest: String,
    /// What happens to it.
    pub(crate) phase: Phase,
    /// Of `total_bytes`; 0 where the phase does not count.
    pub(crate) current_bytes: u64,
    /// The blob's size; 0 when it is not known.
    pub(crate) total_bytes: u64,
}

/// What happens to a blob, in the order in which it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The reference is looked up.
    Resolving,
    /// Others are before it.
    Waiting,
    /// It comes.
    Downloading,
    /// It is here, and is what it should be.
    Downloaded,
    /// It becomes a snapshot.
    Unpacking,
    /// It is unpacked.
    Complete,
    /// It was here before.
    Exists,
}

/// What was pulled.
#[derive(Clone, Debug)]
pub(crate) struct Pulled {
    /// The image, unpacked.
    pub(crate) image: Image,
    /// What the reference named in the registry: a manifest or an index.
    pub(crate) digest: Digest,
    /// Whether anything is new here.
    pub(crate) changed: bool,
}
