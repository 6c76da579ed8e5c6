//! `knarr volume`

use knarr_proto::v1::{CreateVolumeRequest, ListVolumesRequest, RemoveVolumeRequest, Volume};

use super::each::{DONE, each};
use super::{inspect, prune};
use crate::args::container::InspectContainerArgs;
use crate::args::volume::{CreateVolumeArgs, RemoveVolumesArgs, VolumeCommand, VolumesArgs};
use crate::connect::{Address, Client};
use crate::error::Error;
use crate::format::Format;
use crate::format::volume::{COLUMNS, row};
use crate::{options, output};

/// Does what was typed behind `volume`.
pub(super) async fn run(command: VolumeCommand, address: &Address) -> Result<u8, Error> {
    match command {
        VolumeCommand::Create(args) => create(args, address).await,
        VolumeCommand::Ls(args) => list(args, address).await,
        VolumeCommand::Inspect(objects) => {
            let args = InspectContainerArgs { size: false, objects };
            inspect::run(args, Some(inspect::ObjectType::Volume), address).await
        }
        VolumeCommand::Rm(args) => remove(args, address).await,
        VolumeCommand::Prune(args) => prune::volumes(&args, address).await,
    }
}

async fn create(args: CreateVolumeArgs, address: &Address) -> Result<u8, Error> {
    let pairs = |texts: &[String]| {
        let pair = |text: &String| match text.split_once('=') {
            Some((key, value)) => (key.to_owned(), value.to_owned()),
            None => (text.clone(), String::new()),
        };
        texts.iter().map(pair).collect()
    };
    let request = CreateVolumeRequest {
        name: args.name.unwrap_or_default(),
        driver: args.driver,
        options: pairs(&args.opt),
        labels: pairs(&args.label),
    };
    let client = Client::connect(address).await?;
    let reply = client.volumes().create(request).await?.into_inner();
    output::line(&reply.volume.unwrap_or_default().name)?;
    Ok(DONE)
}

async fn list(args: VolumesArgs, address: &Address) -> Result<u8, Error> {
    let filters = options::filters(&args.filters)?;
    let format = Format::parse(if args.quiet { "{{.Name}}" } else { &args.format }, COLUMNS.default)?;
    let client = Client::connect(address).await?;
    let mut replies = client.volumes().list(ListVolumesRequest { filters }).await?.into_inner();
    let mut volumes: Vec<Volume> = Vec::new();
    while let Some(reply) = replies.message().await? {
        volumes.extend(reply.volumes);
    }
    let rows: Vec<_> = volumes.iter().map(row).collect();
    output::print(&format.render(COLUMNS, &rows)?)?;
    Ok(DONE)
}

async fn remove(args: RemoveVolumesArgs, address: &Address) -> Result<u8, Error> {
    let client = Client::connect(address).await?;
    each(args.volumes, |name| {
        let (mut volumes, force) = (client.volumes(), args.force);
        async move {
            volumes.remove(RemoveVolumeRequest { name: name.clone(), force }).await?;
            Ok(format!("{name}\n"))
        }
    })
    .await
}
