//! `knarr inspect`, `knarr container inspect`, `knarr image inspect`, `knarr network inspect`

use knarr_proto::v1::{InspectImageRequest, InspectVolumeRequest};
use knarr_proto::{docker, escape};
use serde::Serialize;
use serde_json::Value;
use serde_json::ser::PrettyFormatter;

use super::attach;
use super::each::DONE;
use crate::args::container::InspectContainerArgs;
pub(super) use crate::args::container::ObjectType;
use crate::connect::{Address, Client};
use crate::error::Error;
use crate::format::template::{Subject, Template};
use crate::output;

/// Shows everything that is known of containers and images. What is not found does not keep the others from being shown.
pub(super) async fn run(
    args: InspectContainerArgs,
    kind: Option<ObjectType>,
    address: &Address,
) -> Result<u8, Error> {
    let InspectContainerArgs { size, objects: args } = args;
    let template = Template::of_format(&args.format)?;
    let client = Client::connect(address).await?;
    let mut found = Vec::new();
    let mut failed = false;
    for name in &args.names {
        match object(&client, name, kind, size).await {
            Ok(object) => found.push(object),
            Err(error) => {
                output::complain(&error);
                failed = true;
            }
        }
    }
    match template {
        Some(template) => {
            for object in found {
                output::line(&template.render(&Subject::from(object))?)?;
            }
        }
        None if found.is_empty() => {}
        None => output::line(&escape::json(&pretty(&Value::Array(found))))?,
    }
    if failed { Err(Error::Reported) } else { Ok(DONE) }
}

async fn object(client: &Client, name: &str, kind: Option<ObjectType>, size: bool) -> Result<Value, Error> {
    match kind {
        Some(ObjectType::Container) => container(client, name, size).await,
        Some(ObjectType::Image) => image(client, name).await,
        Some(ObjectType::Network) => network(client, name).await,
        Some(ObjectType::Volume) => volume(client, name).await,
        None => match container(client, name, size).await {
            Err(error) if error.is_not_found() => match image(client, name).await {
                Err(error) if error.is_not_found() => other(client, name).await,
                found => found,
            },
            found => found,
        },
    }
}

/// What is neither a container nor an image.
async fn other(client: &Client, name: &str) -> Result<Value, Error> {
    match network(client, name).await {
        Err(error) if error.is_not_found() => match volume(client, name).await {
            Err(error) if error.is_not_found() => Err(Error::NoSuchObject(name.to_owned())),
            found => found,
        },
        found => found,
    }
}

async fn container(client: &Client, name: &str, size: bool) -> Result<Value, Error> {
    attach::inspect(client, name, size).await.map(|container| docker::container(&container))
}

async fn network(client: &Client, name: &str) -> Result<Value, Error> {
    super::network::inspect(client, name).await.map(|network| docker::network(&network, false))
}

async fn image(client: &Client, name: &str) -> Result<Value, Error> {
    let request = InspectImageRequest { image: name.to_owned(), platform: String::new() };
    let reply = client.images().inspect(request).await?.into_inner();
    let image = reply.image.ok_or(Error::Contract { call: "inspect", missing: "image" })?;
    Ok(docker::image(&image))
}

async fn volume(client: &Client, name: &str) -> Result<Value, Error> {
    let reply = client.volumes().inspect(InspectVolumeRequest { name: name.to_owned() }).await?.into_inner();
    let volume = reply.volume.ok_or(Error::Contract { call: "inspect", missing: "volume" })?;
    Ok(docker::volume(&volume))
}

/// Indented by four, as docker's.
fn pretty(value: &Value) -> String {
    let mut text = Vec::new();
    let mut serializer =
        serde_json::Serializer::with_formatter(&mut text, PrettyFormatter::with_indent(b"    "));
    value.serialize(&mut serializer).expect("a JSON value goes into memory");
    String::from_utf8(text).expect("JSON is UTF-8")
}
