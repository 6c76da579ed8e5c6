//! containerd-shim-knarr-v2: stays with one container, so that it outlives its manager. It owns the container's
//! streams, its log and its exit status, and calls an OCI runtime for everything else.
#![forbid(unsafe_code)]

mod args;
mod bootstrap;
mod cgroup;
mod chain;
mod cleanup;
mod connections;
mod console;
mod descriptor;
mod exit;
mod flag;
mod info;
mod inherited;
mod journal;
mod keep;
mod logs;
mod mounts;
mod open_files;
mod publisher;
mod reaper;
mod record;
mod runtime;
mod serve;
mod service;
mod settings;
mod sockets;
mod stdio;
mod task;
mod timestamp;

use std::error::Error;
use std::process::ExitCode;

use args::{Action, Args};
use settings::Settings;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            journal::fail(&chain::chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    inherited::settle();
    let args = Args::parse(std::env::args_os().skip(1))?;
    match args.action {
        Action::Version => info::print_version()?,
        Action::Info => info::print_info()?,
        Action::Start => {
            open_files::restore()?;
            bootstrap::start(&args, &Settings::resolve(&args)?)?;
        }
        Action::Serve => serve::serve(Settings::resolve(&args)?)?,
        Action::Delete => cleanup::clean_up(&Settings::resolve(&args)?)?,
    }
    Ok(())
}
