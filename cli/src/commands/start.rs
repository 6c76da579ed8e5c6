//! `knarr start`

use knarr_proto::v1::StartContainerRequest;

use super::attach::{self, Joining};
use super::each::DONE;
use crate::args::container::StartArgs;
use crate::connect::{Address, Client};
use crate::error::Error;
use crate::options::config::Streams;
use crate::output;

/// Starts the containers one after the other, and prints their names; or starts one and joins its streams.
pub(super) async fn run(args: StartArgs, address: &Address) -> Result<u8, Error> {
    let attach = args.attach || args.interactive;
    if attach && args.containers.len() > 1 {
        return Err(Error::State("cannot start and attach several containers at once".to_owned()));
    }
    let client = Client::connect(address).await?;
    match args.containers.as_slice() {
        [container] if attach => attached(&client, container, &args).await,
        containers => detached(&client, containers).await,
    }
}

async fn detached(client: &Client, names: &[String]) -> Result<u8, Error> {
    let mut containers = client.containers();
    let mut failed = false;
    for name in names {
        match containers.start(StartContainerRequest { container: name.clone() }).await {
            Ok(_) => output::line(name)?,
            Err(status) => {
                output::complain(&status.into());
                failed = true;
            }
        }
    }
    if failed { Err(Error::Reported) } else { Ok(DONE) }
}

async fn attached(client: &Client, name: &str, args: &StartArgs) -> Result<u8, Error> {
    let container = attach::inspect(client, name, false).await?;
    let config = container.config.unwrap_or_default();
    let streams = Streams { stdin: args.interactive && config.open_stdin, stdout: true, stderr: true };
    attach::check_terminal(config.tty, streams)?;
    let joining = Joining {
        container: container.id,
        streams,
        tty: config.tty,
        detach_keys: args.detach_keys.clone(),
        sig_proxy: true,
        start: true,
    };
    attach::join(client, joining).await
}
