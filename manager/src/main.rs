//! knarrd, knarr's manager: reads what it was told, starts the daemon, and prints the one error that ends it.
#![forbid(unsafe_code)]

mod api;
mod apparmor;
mod authority;
mod builds;
mod cgroups;
mod collect;
mod connections;
mod containers;
mod content;
mod daemon;
mod error;
mod events;
mod failure;
mod files;
mod filters;
mod held;
mod host;
mod images;
mod inherited;
mod layers;
mod limits;
mod logging;
mod lost;
mod manual;
mod networks;
mod notify;
mod random;
mod recovery;
mod schema;
mod settings;
mod snapshots;
mod store;
mod tasks;
mod time;
mod trees;
mod untrusted;
mod verbs;
mod volumes;

use std::path::Path;
use std::process::ExitCode;

use knarr_proto::escape;

use layers::{edit, pack, unpack};

/// The daemon waits most of its time; what blocks has its own threads.
const WORKERS: usize = 2;

fn main() -> ExitCode {
    inherited::settle();
    // Not for people: knarrd calls itself so for one layer or one copy at a time, and packages ask for its manual page.
    let mut arguments = std::env::args_os().skip(1);
    if let (Some(word), Some(argument)) = (arguments.next(), arguments.next()) {
        if word == unpack::COMMAND {
            return unpack::main(&argument);
        }
        if word == pack::COMMAND {
            return pack::main(&argument);
        }
        if word == edit::COMMAND {
            return edit::main();
        }
        if word == networks::keeper::COMMAND {
            return networks::keeper::main(&argument);
        }
        if word == manual::COMMAND {
            return manual::main(Path::new(&argument));
        }
    }
    let ended = settings::Settings::read().map_err(Failure::Settings).and_then(run);
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("knarrd: {}", escape::line(&error::Chain(&failure).to_string()));
            ExitCode::FAILURE
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Settings(settings::SettingsError),
    #[error("cannot start the daemon's threads")]
    Runtime(#[source] std::io::Error),
    #[error(transparent)]
    Daemon(Box<daemon::DaemonError>),
}

fn run(settings: settings::Settings) -> Result<(), Failure> {
    logging::start(&settings.log_level);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build();
    let runtime = runtime
        .and_then(|runtime| inherited::handle_signals(&runtime).map(|()| runtime))
        .map_err(Failure::Runtime)?;
    let ended = runtime.block_on(daemon::run(settings));
    // A thread that looks at a directory of the host may never come back.
    runtime.shutdown_background();
    ended.map_err(|error| Failure::Daemon(Box::new(error)))
}
