//! `knarr rename`

use knarr_proto::v1::RenameContainerRequest;

use super::each::DONE;
use crate::args::container::RenameArgs;
use crate::connect::{Address, Client};
use crate::error::Error;

/// Gives a container another name; prints nothing, as docker.
pub(super) async fn run(args: RenameArgs, address: &Address) -> Result<u8, Error> {
    let client = Client::connect(address).await?;
    let request = RenameContainerRequest { container: args.container, new_name: args.new_name };
    client.containers().rename(request).await?;
    Ok(DONE)
}
