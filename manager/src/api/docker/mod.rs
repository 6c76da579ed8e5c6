//! Docker's Engine REST API beside gRPC: the same nouns and verbs, in docker's words. It only translates: JSON becomes the
//! API's own messages and back in `knarr_proto::docker`, those become what the nouns take in `api/grpc/translate`.

mod answers;
mod attach;
mod body;
mod build;
mod containers;
mod engine;
mod events;
mod exec;
mod failures;
mod frames;
mod hangup;
mod images;
mod lifecycle;
mod logs;
mod networks;
mod place;
mod query;
mod routes;
mod server;
mod streams;
mod system;
mod times;
mod transfers;
mod unavailable;
mod usage;
mod versions;
mod volumes;

pub(crate) use engine::Engine;
pub(crate) use server::serve;
