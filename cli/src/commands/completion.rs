//! `knarr completion`

use clap::CommandFactory;

use super::each::DONE;
use crate::args::Cli;
use crate::args::system::CompletionArgs;
use crate::error::Error;
use crate::output;

/// Prints the script that completes knarr's commands and flags in a shell.
pub(super) fn run(args: &CompletionArgs) -> Result<u8, Error> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "knarr", &mut script);
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(DONE)
}
