//! `knarr network …`, and `knarr port`: one file a verb where it has more than a request.

mod create;
mod ls;
pub(super) mod port;

use knarr_proto::v1::{
    ConnectNetworkRequest, DisconnectNetworkRequest, EndpointConfig, InspectNetworkRequest, Network,
    PruneNetworksRequest, RemoveNetworkRequest,
};

use super::each::{DONE, each};
use super::prune::agrees;
use crate::args::container::InspectContainerArgs;
use crate::args::network::{ConnectArgs, DisconnectArgs, NetworkCommand, NetworkRmArgs, PruneNetworksArgs};
use crate::connect::{Address, Client};
use crate::error::Error;
use crate::{options, output};

pub(super) async fn run(command: NetworkCommand, address: &Address) -> Result<u8, Error> {
    match command {
        NetworkCommand::Create(args) => create::run(*args, address).await,
        NetworkCommand::Connect(args) => connect(*args, address).await,
        NetworkCommand::Disconnect(args) => disconnect(args, address).await,
        NetworkCommand::Ls(args) => ls::run(args, address).await,
        NetworkCommand::Inspect(args) => {
            let args = InspectContainerArgs { size: false, objects: args };
            super::inspect::run(args, Some(super::inspect::ObjectType::Network), address).await
        }
        NetworkCommand::Rm(args) => remove(args, address).await,
        NetworkCommand::Prune(args) => prune(&args, address).await,
    }
}

async fn connect(args: ConnectArgs, address: &Address) -> Result<u8, Error> {
    let endpoint = EndpointConfig {
        network: args.network,
        aliases: args.alias,
        ipv4: args.ip,
        ipv6: args.ip6,
        links: args.link,
        gateway_priority: args.gw_priority,
        ..EndpointConfig::default()
    };
    let client = Client::connect(address).await?;
    let request = ConnectNetworkRequest { container: args.container, endpoint: Some(endpoint) };
    client.networks().connect_container(request).await?;
    Ok(DONE)
}

async fn disconnect(args: DisconnectArgs, address: &Address) -> Result<u8, Error> {
    let client = Client::connect(address).await?;
    let DisconnectArgs { force, network, container } = args;
    client.networks().disconnect_container(DisconnectNetworkRequest { container, network, force }).await?;
    Ok(DONE)
}

async fn remove(args: NetworkRmArgs, address: &Address) -> Result<u8, Error> {
    let client = Client::connect(address).await?;
    let force = args.force;
    each(args.networks, |network| {
        let mut networks = client.networks();
        async move {
            match networks.remove(RemoveNetworkRequest { network: network.clone() }).await {
                Ok(reply) => Ok(format!("{}\n", reply.into_inner().name)),
                Err(status) if force && status.code() == tonic::Code::NotFound => Ok(String::new()),
                Err(status) => Err(status.into()),
            }
        }
    })
    .await
}

async fn prune(args: &PruneNetworksArgs, address: &Address) -> Result<u8, Error> {
    let filters = options::filters(&args.filters)?;
    if !args.force && !agrees("This will remove all custom networks not used by at least one container.")? {
        return Ok(DONE);
    }
    let client = Client::connect(address).await?;
    let deleted = client.networks().prune(PruneNetworksRequest { filters }).await?.into_inner().deleted;
    if !deleted.is_empty() {
        output::print(&format!("Deleted Networks:\n{}\n", deleted.join("\n")))?;
    }
    Ok(DONE)
}

/// One network, as knarrd knows it.
pub(super) async fn inspect(client: &Client, network: &str) -> Result<Network, Error> {
    let request = InspectNetworkRequest { network: network.to_owned() };
    let reply = client.networks().inspect(request).await?.into_inner();
    reply.network.ok_or(Error::Contract { call: "inspect", missing: "network" })
}
