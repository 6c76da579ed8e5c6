//! `knarr container prune`, `knarr image prune` and `knarr volume prune`: what nobody uses is removed, once the person has agreed.

use std::io::Write;

use knarr_proto::v1::{
    PruneBuildCacheRequest, PruneContainersRequest, PruneImagesReply, PruneImagesRequest,
    PruneVolumesRequest, RemoveImageReply,
};

use super::each::DONE;
use super::rmi;
use crate::args::build::BuilderPruneArgs;
use crate::args::container::PruneArgs;
use crate::args::image::PruneImagesArgs;
use crate::args::volume::PruneVolumesArgs;
use crate::connect::{Address, Client};
use crate::error::Error;
use crate::format::units::decimal_size;
use crate::{options, output};

/// Removes all containers that do not run, and prints their ids.
pub(super) async fn containers(args: &PruneArgs, address: &Address) -> Result<u8, Error> {
    let filters = options::filters(&args.filters)?;
    if !args.force && !agrees("This will remove all stopped containers.")? {
        return Ok(DONE);
    }
    let client = Client::connect(address).await?;
    let pruned = client.containers().prune(PruneContainersRequest { filters }).await?.into_inner();
    if !pruned.deleted.is_empty() {
        output::print(&format!("Deleted Containers:\n{}\n\n", pruned.deleted.join("\n")))?;
    }
    output::line(&format!("Total reclaimed space: {}", decimal_size(pruned.freed_bytes)))?;
    Ok(DONE)
}

/// Removes images that no container uses, and prints what is gone.
pub(super) async fn images(args: &PruneImagesArgs, address: &Address) -> Result<u8, Error> {
    let warning = match args.all {
        true => "This will remove all images without at least one container associated to them.",
        false => "This will remove all dangling images.",
    };
    if !args.force && !agrees(warning)? {
        return Ok(DONE);
    }
    let client = Client::connect(address).await?;
    let PruneImagesReply { untagged, deleted } =
        client.images().prune(PruneImagesRequest { all: args.all }).await?.into_inner();
    let text = rmi::text(&RemoveImageReply { untagged, deleted });
    if !text.is_empty() {
        output::print(&format!("Deleted Images:\n{text}"))?;
    }
    Ok(DONE)
}

/// Forgets what builds have made, and prints what is gone.
pub(super) async fn builds(args: &BuilderPruneArgs, address: &Address) -> Result<u8, Error> {
    let warning = match args.all {
        true => "This will remove all build cache.",
        false => "This will remove all dangling build cache.",
    };
    if !args.force && !agrees(warning)? {
        return Ok(DONE);
    }
    let client = Client::connect(address).await?;
    let pruned = client.builds().prune(PruneBuildCacheRequest {}).await?.into_inner();
    if !pruned.deleted.is_empty() {
        output::print(&format!("Deleted build cache objects:\n{}\n\n", pruned.deleted.join("\n")))?;
    }
    output::line(&format!("Total reclaimed space: {}", decimal_size(pruned.reclaimed_bytes)))?;
    Ok(DONE)
}

/// Removes volumes that no container uses, and prints their names.
pub(super) async fn volumes(args: &PruneVolumesArgs, address: &Address) -> Result<u8, Error> {
    let filters = options::filters(&args.filters)?;
    let warning = match args.all {
        true => "This will remove all volumes not used by at least one container.",
        false => "This will remove anonymous local volumes not used by at least one container.",
    };
    if !args.force && !agrees(warning)? {
        return Ok(DONE);
    }
    let client = Client::connect(address).await?;
    let request = PruneVolumesRequest { all: args.all, filters };
    let pruned = client.volumes().prune(request).await?.into_inner();
    if !pruned.deleted.is_empty() {
        output::print(&format!("Deleted Volumes:\n{}\n\n", pruned.deleted.join("\n")))?;
    }
    output::line(&format!("Total reclaimed space: {}", decimal_size(pruned.freed_bytes)))?;
    Ok(DONE)
}

pub(super) fn agrees(warning: &str) -> Result<bool, Error> {
    output::print(&format!("WARNING! {warning}\nAre you sure you want to continue? [y/N] "))?;
    let mut answer = String::new();
    std::io::stdin()
        .read_line(&mut answer)
        .map_err(|source| Error::Stream { action: "read standard input", source })?;
    // The prompt's line ends with what is typed; a pipe types nothing.
    if !crate::terminal::stdin_is_terminal() {
        std::io::stdout().write_all(b"\n").map_err(output::written)?;
    }
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
