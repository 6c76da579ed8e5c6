//! `knarr network ls`

use jiff::tz::TimeZone;
use knarr_proto::v1::ListNetworksRequest;

use super::super::each::DONE;
use crate::args::network::NetworksArgs;
use crate::connect::{Address, Client};
use crate::error::Error;
use crate::format::Format;
use crate::format::network::{COLUMNS, row};
use crate::{options, output};

/// Lists networks.
pub(super) async fn run(args: NetworksArgs, address: &Address) -> Result<u8, Error> {
    let filters = options::filters(&args.filters)?;
    let format = Format::parse(if args.quiet { "{{.ID}}" } else { &args.format }, COLUMNS.default)?;
    let client = Client::connect(address).await?;
    let mut replies = client.networks().list(ListNetworksRequest { filters }).await?.into_inner();
    let mut networks = Vec::new();
    while let Some(reply) = replies.message().await? {
        networks.extend(reply.networks);
    }
    let zone = TimeZone::system();
    let rows: Vec<_> = networks.iter().map(|network| row(network, &zone, !args.no_trunc)).collect();
    output::print(&format.render(COLUMNS, &rows)?)?;
    Ok(DONE)
}
