//! What an adapter has to know of any noun's error: which kind it is, and the reason that programs act upon.

use std::error::Error;

use knarr_proto::kind::Kind;
use knarr_proto::reason::Reason;

/// An error that ends at a client.
pub(crate) trait Failure: Error {
    /// What kind of failure it is; codes derive from it.
    fn kind(&self) -> Kind;

    /// The reason as data, if there is one.
    fn reason(&self) -> Option<Reason> {
        None
    }
}
