//! `knarr wait`

use knarr_proto::v1::{WaitCondition, WaitContainerRequest};

use super::each::each;
use crate::args::container::WaitArgs;
use crate::connect::{Address, Client};
use crate::error::Error;

/// Waits until each container does not run, and prints its exit code.
pub(super) async fn run(args: WaitArgs, address: &Address) -> Result<u8, Error> {
    let client = Client::connect(address).await?;
    each(args.containers, |container| {
        let mut containers = client.containers();
        async move {
            let condition = WaitCondition::NotRunning.into();
            let request = WaitContainerRequest { container, condition };
            let reply = containers.wait(request).await?.into_inner().message().await?;
            let missing = Error::Contract { call: "wait", missing: "exit status" };
            Ok(format!("{}\n", reply.and_then(|reply| reply.exit).ok_or(missing)?.code))
        }
    })
    .await
}
