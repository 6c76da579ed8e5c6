//! knarrd, knarr's manager: reads what it was told, starts the daemon, and prints the one error that ends it.
#![forbid(unsafe_code)]
#![allow(
    dead_code,
    reason = "the nouns land before the daemon that calls them; goes with the first API service"
)]

mod content;
mod events;
mod images;
mod settings;
mod snapshots;
mod store;
mod unpack;

use std::process::ExitCode;

fn main() -> ExitCode {
    match settings::Settings::read() {
        Ok(_) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
