//! How far a pull or an import is, for the caller to show.

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
