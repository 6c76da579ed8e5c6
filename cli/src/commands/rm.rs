//! `knarr rm`

use knarr_proto::v1::RemoveContainerRequest;

use super::each::each;
use crate::args::container::RmArgs;
use crate::connect::{Address, Client};
use crate::error::Error;

/// Removes each container, and prints its name.
pub(super) async fn run(args: RmArgs, address: &Address) -> Result<u8, Error> {
    let client = Client::connect(address).await?;
    each(args.containers, |container| {
        let (mut containers, force, volumes) = (client.containers(), args.force, args.volumes);
        async move {
            match containers
                .remove(RemoveContainerRequest { container: container.clone(), force, volumes })
                .await
            {
                // As docker's, and rm's: what is to be gone by force may be gone already.
                Err(status) if force && status.code() == tonic::Code::NotFound => Ok(String::new()),
                removed => {
                    removed?;
                    Ok(format!("{container}\n"))
                }
            }
        }
    })
    .await
}
