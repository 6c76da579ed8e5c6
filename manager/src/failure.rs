//! What an adapter has to know of any noun's error: which kind it is, and the reason that programs act upon.

use std::error::Error;

use knarr_proto::kind::Kind;
use knarr_proto::reason::Reason;

/// An error that ends at a client.
pub(crate) trait Failure: Error {
    /// What kind of failure it is; codes derive from it.
    fn kind(&self) -> Kind;

    /// The reason as data, if there is one. What is exhausted is the disk, unless the error says otherwise.
    fn reason(&self) -> Option<Reason> {
        no_space(self.kind())
    }
}

/// The reason of a failure of this kind that knows no other.
pub(crate) fn no_space(kind: Kind) -> Option<Reason> {
    (kind == Kind::ResourceExhausted).then_some(Reason::NoSpace)
}
