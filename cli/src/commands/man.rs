//! `knarr man`: for packages, which bring the pages.

use clap::CommandFactory;

use super::each::DONE;
use crate::args::Cli;
use crate::args::system::ManArgs;
use crate::error::Error;

/// Writes a page for knarr and for each of its commands.
pub(super) fn run(args: &ManArgs) -> Result<u8, Error> {
    let path = args.directory.clone();
    clap_mangen::generate_to(Cli::command(), &args.directory).map_err(|source| Error::File {
        action: "write manual pages into",
        path,
        source,
    })?;
    Ok(DONE)
}
