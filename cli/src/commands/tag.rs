//! `knarr tag`

use knarr_proto::v1::TagImageRequest;

use super::each::DONE;
use crate::args::image::TagArgs;
use crate::connect::{Address, Client};
use crate::error::Error;

/// Gives an image one more name.
pub(super) async fn run(args: TagArgs, address: &Address) -> Result<u8, Error> {
    let client = Client::connect(address).await?;
    client.images().tag(TagImageRequest { source: args.source, target: args.target }).await?;
    Ok(DONE)
}
