//! `knarr pause` and `knarr unpause`

use knarr_proto::v1::{PauseContainerRequest, UnpauseContainerRequest};

use super::each::each;
use crate::args::container::NamesArgs;
use crate::connect::{Address, Client};
use crate::error::Error;

/// Freezes each container, and prints its name.
pub(super) async fn pause(args: NamesArgs, address: &Address) -> Result<u8, Error> {
    let client = Client::connect(address).await?;
    each(args.containers, |container| {
        let mut containers = client.containers();
        async move {
            containers.pause(PauseContainerRequest { container: container.clone() }).await?;
            Ok(format!("{container}\n"))
        }
    })
    .await
}

/// Thaws each container, and prints its name.
pub(super) async fn unpause(args: NamesArgs, address: &Address) -> Result<u8, Error> {
    let client = Client::connect(address).await?;
    each(args.containers, |container| {
        let mut containers = client.containers();
        async move {
            containers.unpause(UnpauseContainerRequest { container: container.clone() }).await?;
            Ok(format!("{container}\n"))
        }
    })
    .await
}
