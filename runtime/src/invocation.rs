//! One invocation of the program: sealed, parsed, carried out; its error told once.
#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;

use knarr_proto::kind::Kind;

use crate::args::command::Command;
use crate::args::invocation::{Misuse, Request};
use crate::output::facts::Facts;
use crate::output::log::Log;
use crate::sealed::{self, SealError};
use crate::sys::entry::Arguments;
use crate::{args, caretaker, commands};

/// Does what the arguments ask for, and returns the exit code. Seals first: all that comes before is done twice.
#[must_use]
pub fn run(arguments: Arguments) -> u8 {
    if caretaker::is_called(arguments) {
        return caretaker::run(arguments);
    }
    match Command::may_enter_a_container(arguments.iter()) {
        true => invoke(arguments, sealed::ensure(arguments)),
        false => invoke(arguments, Ok(())),
    }
}

// Not inlined: its frame would be touched before sealing, too.
#[inline(never)]
fn invoke(arguments: Arguments, sealed: Result<(), SealError>) -> u8 {
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
    let facts = Facts::from_error(&misuse.error, Some(Kind::InvalidArgument), None);
    Log::new(&misuse.globals).error(&misuse.error, &facts);
    misuse.error.exit_code()
}
