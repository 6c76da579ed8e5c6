//! `knarr update`

use knarr_proto::v1::{BlockIo, Resources, UpdateContainerRequest};

use super::each::each;
use crate::args::container::UpdateArgs;
use crate::connect::{Address, Client};
use crate::error::Error;
use crate::options::config;

/// Changes the limits or the restart policy of each container, and prints its name.
pub(super) async fn run(args: UpdateArgs, address: &Address) -> Result<u8, Error> {
    let (change, restart) = (resources(&args), args.restart);
    if change == Resources::default() && restart.is_none() {
        return Err(Error::State("you must provide one or more flags when using this command".to_owned()));
    }
    let client = Client::connect(address).await?;
    each(args.containers, |container| {
        let mut containers = client.containers();
        let request = UpdateContainerRequest {
            container: container.clone(),
            resources: Some(change.clone()),
            restart: restart.clone(),
        };
        async move {
            containers.update(request).await?;
            Ok(format!("{container}\n"))
        }
    })
    .await
}

fn resources(args: &UpdateArgs) -> Resources {
    let block_io = BlockIo { weight: args.blkio_weight, ..BlockIo::default() };
    Resources {
        block_io: (args.blkio_weight != 0).then_some(block_io),
        ..config::limits(&args.memory, &args.cpu, args.pids_limit)
    }
}
