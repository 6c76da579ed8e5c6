//! knarr: the command line of the container engine. Not wired yet: the modules below stand and are tested by themselves;
//! the commands that join them are still to be written, so the program refuses to run.
#![forbid(unsafe_code)]
#![allow(dead_code, reason = "the commands are not written yet")]

mod args;
mod connect;
mod daemon;
mod error;
mod format;
mod options;
mod output;
mod session;
mod terminal;

fn main() -> std::process::ExitCode {
    eprintln!("knarr: the commands are not built yet");
    std::process::ExitCode::FAILURE
}
