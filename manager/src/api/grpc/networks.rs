//! The Networks service: request → noun → reply.

use knarr_proto::v1;
use knarr_proto::v1::networks_server::Networks as Service;
use tonic::{Request, Response, Status};

use super::replies::Replies;
use super::{networking, pieces, translate};
use crate::containers::{self, Containers};
use crate::filters::Filters;
use crate::networks::{FILTER_KEYS, Listed, NetworkRequest, Networks, PoolRequest};

/// The service, on the noun and on the containers that are in networks.
pub(crate) struct NetworksService {
    pub(crate) networks: Networks,
    pub(crate) containers: Containers,
}

#[tonic::async_trait]
impl Service for NetworksService {
    type ListStream = Replies<v1::ListNetworksReply>;

    async fn create(
        &self,
        request: Request<v1::CreateNetworkRequest>,
    ) -> Result<Response<v1::CreateNetworkReply>, Status> {
        let network = self.networks.create(create_request(request.into_inner())).await?;
        Ok(Response::new(v1::CreateNetworkReply { id: network.id }))
    }

    async fn list(
        &self,
        request: Request<v1::ListNetworksRequest>,
    ) -> Result<Response<Self::ListStream>, Status> {
        let filters = Filters::parse(&FILTER_KEYS, translate::filters(request.into_inner().filters))?;
        let listed = self.networks.list(filters).await?;
        let containers = self.containers.clone();
        let messages = listed.into_iter().map(move |listed| message(&containers, listed));
        let replies = pieces::replies(messages, |networks| v1::ListNetworksReply { networks });
        Ok(Response::new(Box::pin(replies)))
    }

    async fn inspect(
        &self,
        request: Request<v1::InspectNetworkRequest>,
    ) -> Result<Response<v1::InspectNetworkReply>, Status> {
        let listed = self.networks.inspect(&request.into_inner().network).await?;
        let network = Some(message(&self.containers, listed));
        Ok(Response::new(v1::InspectNetworkReply { network }))
    }

    async fn remove(
        &self,
        request: Request<v1::RemoveNetworkRequest>,
    ) -> Result<Response<v1::RemoveNetworkReply>, Status> {
        let network = self.networks.remove(&request.into_inner().network).await?;
        Ok(Response::new(v1::RemoveNetworkReply { name: network.name }))
    }

    async fn prune(
        &self,
        request: Request<v1::PruneNetworksRequest>,
    ) -> Result<Response<v1::PruneNetworksReply>, Status> {
        let filters = Filters::parse(&FILTER_KEYS, translate::filters(request.into_inner().filters))?;
        let deleted = self.networks.prune(filters).await?;
        Ok(Response::new(v1::PruneNetworksReply { deleted }))
    }

    async fn connect_container(
        &self,
        request: Request<v1::ConnectNetworkRequest>,
    ) -> Result<Response<v1::ConnectNetworkReply>, Status> {
        let request = request.into_inner();
        let endpoint = networking::endpoint(request.endpoint.unwrap_or_default());
        containers::connect(&self.containers, &request.container, endpoint).await?;
        Ok(Response::new(v1::ConnectNetworkReply {}))
    }

    async fn disconnect_container(
        &self,
        request: Request<v1::DisconnectNetworkRequest>,
    ) -> Result<Response<v1::DisconnectNetworkReply>, Status> {
        let request = request.into_inner();
        containers::disconnect(&self.containers, &request.container, &request.network).await?;
        Ok(Response::new(v1::DisconnectNetworkReply {}))
    }
}

pub(in crate::api) fn create_request(request: v1::CreateNetworkRequest) -> NetworkRequest {
    let pool = |pool: v1::NetworkPool| PoolRequest {
        subnet: pool.subnet,
        gateway: pool.gateway,
        range: pool.ip_range,
        reserved: pool.reserved.into_iter().collect(),
    };
    NetworkRequest {
        name: request.name,
        driver: request.driver,
        labels: request.labels.into_iter().collect(),
        options: request.options.into_iter().collect(),
        is_internal: request.internal,
        is_attachable: request.attachable,
        has_ipv6: request.ipv6,
        pools: request.pools.into_iter().map(pool).collect(),
    }
}

/// A network as clients see it, with the names of the containers that run in it.
pub(in crate::api) fn message(containers: &Containers, listed: Listed) -> v1::Network {
    let (network, endpoints) = listed;
    let with_prefix = |address: Option<std::net::IpAddr>| {
        let pool = address.and_then(|address| {
            network.pools.iter().find(|pool| pool.subnet.contains(address)).map(|pool| (address, pool))
        });
        pool.map(|(address, pool)| format!("{address}/{}", pool.subnet.prefix())).unwrap_or_default()
    };
    let member = |endpoint: &crate::networks::Endpoint| {
        let named = containers::inspect(containers, endpoint.owner.as_str());
        v1::NetworkMember {
            container: endpoint.owner.to_string(),
            name: named.map(|view| view.settings.name.clone()).unwrap_or_default(),
            endpoint_id: endpoint.id.clone(),
            mac_address: endpoint.mac.to_string(),
            ipv4: with_prefix(endpoint.ipv4.map(Into::into)),
            ipv6: with_prefix(endpoint.ipv6.map(Into::into)),
        }
    };
    let members = endpoints.iter().filter(|endpoint| endpoint.is_joined()).map(member).collect();
    let pools = network.pools.iter().map(|pool| v1::NetworkPool {
        subnet: pool.subnet.to_string(),
        gateway: pool.gateway.to_string(),
        ip_range: pool.range.map(|range| range.to_string()).unwrap_or_default(),
        reserved: pool.reserved.iter().map(|(key, address)| (key.clone(), address.to_string())).collect(),
    });
    v1::Network {
        pools: pools.collect(),
        created_at: Some(translate::unix(network.spec.created_at)),
        id: network.id,
        name: network.name,
        driver: network.spec.driver,
        internal: network.spec.is_internal,
        attachable: network.spec.is_attachable,
        ipv6: network.spec.has_ipv6,
        options: network.spec.options.into_iter().collect(),
        labels: pieces::labels(&network.spec.labels),
        interface: network.spec.bridge,
        members,
    }
}
