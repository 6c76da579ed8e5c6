//! `checkpoint` and `restore`, done by criu(8), which is started for each of them and spoken to over a socket.
//!
//! - [`protocol`]: what is said, as bytes
//! - [`criu`]: the conversation: start, ask, answer notifications, end
//! - [`dump`]: a running container becomes files
//! - [`restore`]: files become a running container
//! - `external`: the mounts that belong to the host, which criu is told of by name both times
//!
//! What is ours stays ours: cgroups, state and hooks are handled here as in [`crate::create`]; criu gets processes,
//! namespaces and mounts. A restore prepares the root in mounts of its own, so that none is left on the host whatever
//! ends it.
#![forbid(unsafe_code)]

pub(crate) mod criu;
pub(crate) mod dump;
pub(crate) mod error;
pub(crate) mod external;
pub(crate) mod options;
pub(crate) mod protocol;
pub(crate) mod request;
pub(crate) mod restore;
