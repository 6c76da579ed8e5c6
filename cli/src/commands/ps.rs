//! `knarr ps`

use jiff::Timestamp;
use jiff::tz::TimeZone;
use knarr_proto::v1::ListContainersRequest;

use super::each::DONE;
use crate::args::container::PsArgs;
use crate::connect::{Address, Client};
use crate::error::Error;
use crate::format::Format;
use crate::format::container::{COLUMNS, View, row};
use crate::{options, output};

/// Lists containers.
pub(super) async fn run(args: PsArgs, address: &Address) -> Result<u8, Error> {
    let filters = options::filters(&args.filters)?;
    let usual =
        if args.size { format!("{}\t{{{{.Size}}}}", COLUMNS.default) } else { COLUMNS.default.to_owned() };
    let format = Format::parse(if args.quiet { "{{.ID}}" } else { &args.format }, &usual)?;
    // Docker counts when a template names the size, too.
    let sizes = args.size || (!args.quiet && args.format.contains("Size"));
    let last = match (args.latest, args.last.map(usize::try_from)) {
        (true, _) => Some(1),
        // Docker's -1, and 0: all.
        (false, Some(Ok(0) | Err(_)) | None) => None,
        (false, Some(Ok(number))) => Some(number),
    };
    // Whoever asks for a state wants to see those that have it.
    let names_state = filters.iter().any(|filter| matches!(filter.key.as_str(), "status" | "exited"));
    let all = args.all || last.is_some() || names_state;
    let request = ListContainersRequest { all, sizes, filters };
    let client = Client::connect(address).await?;
    let mut replies = client.containers().list(request).await?.into_inner();
    let mut containers = Vec::new();
    while let Some(reply) = replies.message().await? {
        containers.extend(reply.containers);
    }
    let view = View { now: Timestamp::now(), zone: TimeZone::system(), truncate: !args.no_trunc };
    let shown = containers.iter().take(last.unwrap_or(usize::MAX));
    let rows: Vec<_> = shown.map(|container| row(container, &view)).collect();
    output::print(&format.render(COLUMNS, &rows)?)?;
    Ok(DONE)
}
