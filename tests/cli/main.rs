//! knarr as a person types it: flags, output, exit codes, terminals.
#![forbid(unsafe_code)]

mod help;
mod starting;
