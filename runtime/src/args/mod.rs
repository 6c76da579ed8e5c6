//! The command line, exactly as runc has it: what can be asked, and the one place where text becomes a [`Command`].
//! Never looks at the host.
//!
//! - [`flags`]: how flags are written
//! - [`verbs`]: which flags and operands each command has, and `build`: what they become, a [`Command`]
//! - [`help`]: the text for people

#![forbid(unsafe_code)]

pub(crate) mod build;
pub(crate) mod command;
pub(crate) mod duration;
pub(crate) mod error;
pub(crate) mod flags;
pub(crate) mod globals;
pub(crate) mod help;
pub(crate) mod invocation;
pub(crate) mod verbs;

use error::UsageError;
use globals::Globals;
use invocation::{Misuse, Request, misuse};

/// Understands a command line; `arguments` begins with the program's name.
///
/// # Errors
/// [`Misuse`], with the text to show on stdout.
pub(crate) fn parse(arguments: impl Iterator<Item = std::ffi::OsString>) -> Result<Request, Box<Misuse>> {
    let mut texts = Vec::new();
    for (index, argument) in arguments.enumerate() {
        let text = argument.into_string();
        texts.push(text.map_err(|_| misuse(UsageError::NotUtf8(index), String::new(), Globals::default()))?);
    }
    let mut texts = texts.into_iter();
    let path = texts.next().unwrap_or_default();
    let program =
        path.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("knarr-runtime").to_owned();
    verbs::parse(program, texts)
}
