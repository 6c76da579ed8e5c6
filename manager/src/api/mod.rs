//! How the world speaks to the nouns. Adapters only translate; no decision lives here.

pub(crate) mod docker;
pub(crate) mod grpc;
