//! `knarr container prune` and `knarr image prune`: what nobody uses is removed, once the person has agreed.

use std::collections::HashSet;
use std::io::Write;

use knarr_proto::v1::{
    Container, Filter, Image, ListContainersRequest, ListImagesRequest, RemoveContainerRequest,
    RemoveImageRequest,
};

use super::{DONE, rmi};
use crate::args::container::PruneArgs;
use crate::args::image::PruneImagesArgs;
use crate::connect::{Address, Client};
use crate::error::Error;
use crate::output;

/// The states of containers that do not run and are not about to.
const ENDED: [&str; 2] = ["created", "exited"];

/// Removes all containers that do not run, and prints their ids.
pub(super) async fn containers(args: &PruneArgs, address: &Address) -> Result<u8, Error> {
    if !args.force && !agrees("This will remove all stopped containers.")? {
        return Ok(DONE);
    }
    let client = Client::connect(address).await?;
    let ended = ENDED.map(|state| Filter { key: "status".to_owned(), value: state.to_owned() });
    let mut removed = Vec::new();
    for container in list(&client, ended.to_vec()).await? {
        let request = RemoveContainerRequest { container: container.id, force: false };
        match client.containers().remove(request).await {
            Ok(reply) => removed.push(reply.into_inner().id),
            // Somebody else has removed or started it meanwhile.
            Err(status)
                if matches!(status.code(), tonic::Code::NotFound | tonic::Code::FailedPrecondition) => {}
            Err(status) => return Err(status.into()),
        }
    }
    if !removed.is_empty() {
        output::print(&format!("Deleted Containers:\n{}\n", removed.join("\n")))?;
    }
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
    let dangling = Filter { key: "dangling".to_owned(), value: "true".to_owned() };
    let filters = if args.all { Vec::new() } else { vec![dangling] };
    let images = client.images().list(ListImagesRequest { filters }).await?.into_inner().images;
    let containers = list(&client, Vec::new()).await?;
    let used: HashSet<&str> = containers.iter().map(|container| container.image_id.as_str()).collect();
    let mut text = String::new();
    for image in images.iter().filter(|image| !used.contains(image.id.as_str())) {
        for name in names(image) {
            match client.images().remove(RemoveImageRequest { image: name, force: false }).await {
                Ok(reply) => text.push_str(&rmi::text(&reply.into_inner())),
                Err(status)
                    if matches!(status.code(), tonic::Code::NotFound | tonic::Code::FailedPrecondition) => {}
                Err(status) => return Err(status.into()),
            }
        }
    }
    if !text.is_empty() {
        output::print(&format!("Deleted Images:\n{text}"))?;
    }
    Ok(DONE)
}

async fn list(client: &Client, filters: Vec<Filter>) -> Result<Vec<Container>, Error> {
    let request = ListContainersRequest { all: true, filters };
    Ok(client.containers().list(request).await?.into_inner().containers)
}

/// What is to be removed for an image to be gone: each of its names, or its id when it has none.
fn names(image: &Image) -> Vec<String> {
    match image.references.is_empty() {
        true => vec![image.id.clone()],
        false => image.references.clone(),
    }
}

fn agrees(warning: &str) -> Result<bool, Error> {
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
