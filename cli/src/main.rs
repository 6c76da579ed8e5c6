//! knarr: the command line of the container engine. It understands what was typed, asks knarrd, and shows what that says;
//! it never touches a container or an image itself.
#![forbid(unsafe_code)]

mod args;
mod commands;
mod connect;
mod daemon;
mod error;
mod format;
mod inherited;
mod options;
mod output;
mod session;
mod terminal;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    if arguments.get(1).is_some_and(|first| first == daemon::STAGE_TWO) {
        return daemon::stage_two(&arguments[2..]);
    }
    let command_line = match args::usage::parse(&arguments) {
        Ok(command_line) => command_line,
        Err(refused) => return refused.show(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime.and_then(|runtime| inherited::settle(&runtime).map(|()| runtime)) {
        Ok(runtime) => runtime,
        Err(error) => {
            output::note(&format!("knarr: cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(commands::run(command_line));
    // A thread may still wait for a key; it must not hold us up.
    runtime.shutdown_background();
    ExitCode::from(code)
}
