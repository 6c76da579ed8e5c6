//! How the world speaks to the nouns. Adapters only translate; no decision lives here.

mod authority;
pub(crate) mod grpc;

pub(crate) use authority::AuthorityFilter;
