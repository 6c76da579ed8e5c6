//! `knarr kill`

use knarr_proto::v1::KillContainerRequest;

use super::each::each;
use crate::args::container::KillArgs;
use crate::connect::{Address, Client};
use crate::error::Error;

/// Sends a signal to each container, and prints its name.
pub(super) async fn run(args: KillArgs, address: &Address) -> Result<u8, Error> {
    let client = Client::connect(address).await?;
    each(args.containers, |container| {
        let (mut containers, signal) = (client.containers(), args.signal.clone());
        async move {
            containers.kill(KillContainerRequest { container: container.clone(), signal }).await?;
            Ok(format!("{container}\n"))
        }
    })
    .await
}
