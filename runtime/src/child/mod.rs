//! A child of this program between its fork and the user's program: what `create`, `exec` and `restore` have in common.
//!
//! - `process`: the child; `options`: the flags; `inherited`: descriptors that are passed on
//! - `pid_namespace`: where it is born; `intermediate`: by a process in between, where rights are not enough otherwise
//! - `serve`: answers to its requests; `sources`: mount sources that it cannot open itself
//! - `setup`: what is done for it from outside; `id_maps`: the maps of its user namespace
#![forbid(unsafe_code)]

pub(crate) mod error;
pub(crate) mod id_maps;
pub(crate) mod inherited;
pub(crate) mod intermediate;
pub(crate) mod options;
pub(crate) mod pid_namespace;
pub(crate) mod process;
pub(crate) mod serve;
pub(crate) mod setup;
pub(crate) mod sources;
