//! knarr-runtime: creates and runs OCI containers from bundles, with runc's command line. Keeps no daemon and nothing
//! but what is below `--root`.
#![no_main]
#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;

use knarr_proto::kind::Kind;
use knarr_runtime::args::{self, Command, Misuse, Request};
use knarr_runtime::output::{Facts, Log};
use knarr_runtime::sealed::SealError;
use knarr_runtime::sys::entry::Arguments;
use knarr_runtime::sys::heap::Heap;
use knarr_runtime::{commands, program, sealed};

#[global_allocator]
static HEAP: Heap = Heap::new();

program!(seal_and_run);

/// Seals before all else, which would be done twice.
fn seal_and_run(arguments: Arguments) -> u8 {
    match Command::may_enter_a_container(arguments.iter()) {
        true => run(arguments, sealed::ensure(arguments)),
        false => run(arguments, Ok(())),
    }
}

// Its frame is not for those who seal.
#[inline(never)]
fn run(arguments: Arguments, sealed: Result<(), SealError>) -> u8 {
    let texts = arguments.iter().map(|argument| OsStr::from_bytes(argument.to_bytes()).to_owned());
    let request = match args::parse(texts) {
        Ok(request) => request,
        Err(misuse) => return refuse(&misuse),
    };
    match request {
        Request::Print(text) => print(&text),
        Request::Invoke(invocation) => {
            let log = Log::new(&invocation.globals);
            match commands::run(&invocation, sealed, &log) {
                Ok(code) => code,
                Err(error) => {
                    log.error(&error, &error.facts());
                    error.exit_code()
                }
            }
        }
    }
}

fn print(text: &str) -> u8 {
    u8::from(std::io::stdout().write_all(text.as_bytes()).is_err())
}

/// As runc does it: the help that fits on stdout, the error in the log.
fn refuse(misuse: &Misuse) -> u8 {
    print(&misuse.help);
    let facts = Facts::of(&misuse.error, Some(Kind::InvalidArgument), None);
    Log::new(&misuse.globals).error(&misuse.error, &facts);
    misuse.error.exit_code()
}
