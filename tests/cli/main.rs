//! knarr as a person types it: flags, output, exit codes, terminals.
#![forbid(unsafe_code)]

mod busybox;
mod contradictions;
mod diff;
mod exec;
mod health;
mod help;
mod images;
mod init;
mod isolation;
mod lifecycle;
mod listing;
mod logs;
mod restarts;
mod run;
mod signals;
mod starting;
mod streams;
mod terminal;
mod verbs;
mod volumes;
