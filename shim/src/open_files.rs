//! The limit of open files. knarrd raises its own; what its containers get is the limit that knarrd was started with, which
//! it passes on here, since a program with the larger one may loop over a million descriptors at its start.

use std::env;
use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The soft limit, in decimal; without it, the one that the shim has is right.
const VARIABLE: &str = "KNARR_SHIM_OPEN_FILES";

/// Sets this process's soft limit, for the server that it starts and all that this starts.
///
/// # Errors
/// When the kernel refuses, or the variable is no number.
pub(crate) fn restore() -> io::Result<()> {
    let Some(text) = env::var_os(VARIABLE) else { return Ok(()) };
    let soft = text.to_str().and_then(|text| text.parse().ok());
    let soft = soft.ok_or_else(|| io::Error::other(format!("{VARIABLE} is {text:?}, which is no number")))?;
    let maximum = getrlimit(Resource::Nofile).maximum;
    Ok(setrlimit(Resource::Nofile, Rlimit { current: Some(soft), maximum })?)
}
