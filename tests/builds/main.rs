//! Images built from Dockerfiles: by knarr as a person types it, by docker's classic API, and beside Debian's dockerd.
#![forbid(unsafe_code)]

mod api;
mod bed;
mod cache;
mod corpus;
mod differential;
mod flatten;
mod hostile;
mod killed;
mod mounts;
mod newer;
mod outcome;
