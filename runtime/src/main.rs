//! knarr-runtime: creates and runs OCI containers from bundles, with runc's command line. Keeps no daemon and nothing
//! but what is below `--root`.
#![forbid(unsafe_code)]

use std::io::Write as _;
use std::process::ExitCode;

use knarr_proto::kind::Kind;
use knarr_runtime::args::{self, Misuse, Request};
use knarr_runtime::commands;
use knarr_runtime::output::{Facts, Log};
use knarr_runtime::sys::heap::Heap;

#[global_allocator]
static HEAP: Heap = Heap::new();

fn main() -> ExitCode {
    let request = match args::parse(std::env::args_os()) {
        Ok(request) => request,
        Err(misuse) => return refuse(&misuse),
    };
    match request {
        Request::Print(text) => print(&text),
        Request::Invoke(invocation) => {
            let log = Log::new(&invocation.globals);
            match commands::run(&invocation, &log) {
                Ok(code) => ExitCode::from(code),
                Err(error) => {
                    log.error(&error, &error.facts());
                    ExitCode::from(error.exit_code())
                }
            }
        }
    }
}

fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// As runc does it: the help that fits on stdout, the error in the log.
fn refuse(misuse: &Misuse) -> ExitCode {
    print(&misuse.help);
    let facts = Facts::of(&misuse.error, Some(Kind::InvalidArgument), None);
    Log::new(&misuse.globals).error(&misuse.error, &facts);
    ExitCode::from(misuse.error.exit_code())
}
