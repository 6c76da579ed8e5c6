//! `knarr run`: create, then start, joined with our streams or not.

use knarr_proto::v1::{KillContainerRequest, StartContainerRequest, WaitCondition, WaitContainerRequest};
use tonic::{Code, Status};

use super::attach::{self, Joining};
use super::create;
use super::each::DONE;
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
    let is_for_once = args.create.options.identity.rm;
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
        container: id.clone(),
        streams,
        tty,
        detach_keys: args.detach_keys,
        sig_proxy: args.sig_proxy,
        start: true,
    };
    match attach::join(&client, joining).await {
        // `run --rm … | head`: the reader has all it wants, and a container that is to leave nothing behind would run on
        // with nobody to see it. (Without --rm it runs on, as docker's; it is in `knarr ps`.)
        Err(Error::OutputClosed) if is_for_once => {
            end(&client, &id).await?;
            Err(Error::OutputClosed)
        }
        ended => ended,
    }
}

/// Kills a container that is removed when it ends, and returns when it is gone.
async fn end(client: &Client, container: &str) -> Result<(), Error> {
    let kill = KillContainerRequest { container: container.to_owned(), signal: "KILL".to_owned() };
    let condition = WaitCondition::Removed.into();
    let wait = WaitContainerRequest { container: container.to_owned(), condition };
    let mut containers = client.containers();
    // The wait is registered before the kill; a container that is gone before it cannot be waited for.
    let waiting = containers.wait(wait).await;
    let killed = containers.kill(kill).await;
    let waited = match waiting {
        Ok(waiting) => waiting.into_inner().message().await.map(drop),
        Err(status) => Err(status),
    };
    let is_gone = |status: &Status| matches!(status.code(), Code::NotFound | Code::FailedPrecondition);
    if let Some(failed) = [waited.err(), killed.err()].into_iter().flatten().find(|status| !is_gone(status)) {
        return Err(failed.into());
    }
    Ok(())
}
