//! `knarr top`

use knarr_proto::v1::TopContainerRequest;

use super::each::DONE;
use crate::args::container::TopArgs;
use crate::connect::{Address, Client};
use crate::error::Error;
use crate::format::table;
use crate::output;

/// Shows a container's processes.
pub(super) async fn run(args: TopArgs, address: &Address) -> Result<u8, Error> {
    let mut words = args.container_and_options.into_iter();
    let container = words.next().unwrap_or_default();
    let client = Client::connect(address).await?;
    let request = TopContainerRequest { container, ps_args: words.collect() };
    let found = client.containers().top(request).await?.into_inner();
    let rows = found.processes.into_iter().map(|process| process.cells);
    let lines: Vec<String> =
        std::iter::once(found.titles).chain(rows).map(|cells| cells.join("\t")).collect();
    output::print(&table::align(&lines))?;
    Ok(DONE)
}
