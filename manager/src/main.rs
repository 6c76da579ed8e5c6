//! knarrd, knarr's manager: reads what it was told, starts the daemon, and prints the one error that ends it.
#![forbid(unsafe_code)]

mod events;
mod settings;

use std::process::ExitCode;

fn main() -> ExitCode {
    match settings::Settings::read() {
        Ok(_) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
