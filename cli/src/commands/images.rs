//! `knarr images`

use jiff::Timestamp;
use jiff::tz::TimeZone;
use knarr_proto::v1::{Filter, ListImagesRequest};

use super::each::DONE;
use crate::args::image::ImagesArgs;
use crate::connect::{Address, Client};
use crate::error::Error;
use crate::format::Format;
use crate::format::container::View;
use crate::format::image::{COLUMNS, WITH_DIGESTS, rows};
use crate::{options, output};

/// Lists images.
pub(super) async fn run(args: ImagesArgs, address: &Address) -> Result<u8, Error> {
    let mut filters = options::filters(&args.filters)?;
    filters.extend(args.reference.map(|value| Filter { key: "reference".to_owned(), value }));
    let default = if args.digests { WITH_DIGESTS } else { COLUMNS.default };
    let format = Format::parse(if args.quiet { "{{.ID}}" } else { &args.format }, default)?;
    let client = Client::connect(address).await?;
    let mut replies = client.images().list(ListImagesRequest { filters }).await?.into_inner();
    let mut images = Vec::new();
    while let Some(reply) = replies.message().await? {
        images.extend(reply.images);
    }
    let view = View { now: Timestamp::now(), zone: TimeZone::system(), truncate: !args.no_trunc };
    let mut shown: Vec<_> = images.iter().flat_map(|image| rows(image, &view)).collect();
    if args.quiet {
        shown.dedup_by(|one, other| one.fields["ID"] == other.fields["ID"]);
    }
    output::print(&format.render(COLUMNS, &shown)?)?;
    Ok(DONE)
}
