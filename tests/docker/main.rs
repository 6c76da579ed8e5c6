//! Docker's Engine API, served by knarrd: driven by the docker CLI that is on PATH, and by requests written byte by byte.
#![forbid(unsafe_code)]

mod bad_requests;
mod connections;
mod engine;
mod health;
mod images;
mod inspect;
mod restarts;
mod run;
mod streams;
mod system;
mod volumes;
