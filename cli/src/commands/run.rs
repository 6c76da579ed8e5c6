//! `knarr run`: create, then start, joined with our streams or not.

use knarr_proto::v1::StartContainerRequest;

use super::attach::{self, Joining};
use super::{DONE, create};
use crate::args::container::RunArgs;
use crate::connect::{Address, Client};
use crate::error::Error;
use crate::options::config::Streams;
use crate::output;

/// Runs a new container; the exit code is its own.
pub(super) async fn run(args: RunArgs, address: &Address) -> Result<u8, Error> {
    let streams = Streams::resolve(&args.create.options, args.detach)?;
    let tty = args.create.options.streams.tty;
    attach::check_terminal(tty, streams)?;
    let wanted = create::Wanted::new(args.create, streams)?;
    let client = Client::connect(address).await?;
    let id = wanted.create(&client).await?;
    if args.detach {
        client.containers().start(StartContainerRequest { container: id.clone() }).await?;
        output::line(&id)?;
        return Ok(DONE);
    }
    if !streams.stdout && !streams.stderr {
        output::line(&id)?;
    }
    let joining = Joining {
        container: id,
        streams,
        tty,
        detach_keys: args.detach_keys,
        sig_proxy: args.sig_proxy,
        start: true,
    };
    attach::join(&client, joining).await
}
