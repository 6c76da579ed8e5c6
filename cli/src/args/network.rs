//! Arguments of the commands on networks.

use clap::{Args, Subcommand};

use super::container::InspectOneTypeArgs;
use crate::options::key_value;

/// Below `knarr network`.
#[derive(Debug, Subcommand)]
pub(crate) enum NetworkCommand {
    /// Create a network
    Create(Box<CreateNetworkArgs>),
    /// Connect a container to a network
    Connect(Box<ConnectArgs>),
    /// Disconnect a container from a network
    Disconnect(DisconnectArgs),
    /// List networks
    #[command(alias = "list")]
    Ls(NetworksArgs),
    /// Display detailed information on one or more networks
    Inspect(InspectOneTypeArgs),
    /// Remove one or more networks
    #[command(alias = "remove")]
    Rm(NetworkRmArgs),
    /// Remove all unused networks
    Prune(PruneNetworksArgs),
}

/// `knarr network create`
#[derive(Debug, Args)]
pub(crate) struct CreateNetworkArgs {
    /// Enable manual container attachment; containers may be connected to any network
    #[arg(long)]
    pub(crate) attachable: bool,
    /// Auxiliary addresses that no container gets
    #[arg(long, value_name = "NAME=ADDRESS", value_parser = key_value)]
    pub(crate) aux_address: Vec<(String, String)>,
    /// Driver to manage the network: bridge
    #[arg(short, long, default_value = "bridge")]
    pub(crate) driver: String,
    /// IPv4 or IPv6 gateway for the subnet
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) gateway: Vec<String>,
    /// Restrict external access to the network
    #[arg(long)]
    pub(crate) internal: bool,
    /// Allocate container addresses from a sub-range
    #[arg(long, value_name = "SUBNET")]
    pub(crate) ip_range: Vec<String>,
    /// Enable IPv6 address assignment
    #[arg(long)]
    pub(crate) ipv6: bool,
    /// Set metadata on a network
    #[arg(long, value_name = "KEY[=VALUE]")]
    pub(crate) label: Vec<String>,
    /// Set driver specific options: com.docker.network.bridge.enable_icc, …
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) opt: Vec<(String, String)>,
    /// Subnet in CIDR format that represents a network segment
    #[arg(long, value_name = "SUBNET")]
    pub(crate) subnet: Vec<String>,
    /// Its name
    #[arg(value_name = "NETWORK")]
    pub(crate) name: String,
}

/// `knarr network connect`
#[derive(Debug, Args)]
pub(crate) struct ConnectArgs {
    /// Add network-scoped alias for the container
    #[arg(long, value_name = "NAME")]
    pub(crate) alias: Vec<String>,
    /// Highest gw-priority provides the default gateway
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        hide_default_value = true,
        allow_negative_numbers = true
    )]
    pub(crate) gw_priority: i32,
    /// IPv4 address
    #[arg(long, value_name = "ADDRESS", default_value = "", hide_default_value = true)]
    pub(crate) ip: String,
    /// IPv6 address
    #[arg(long, value_name = "ADDRESS", default_value = "", hide_default_value = true)]
    pub(crate) ip6: String,
    /// Add link to another container
    #[arg(long, value_name = "CONTAINER[:ALIAS]")]
    pub(crate) link: Vec<String>,
    /// Its name or id
    #[arg(value_name = "NETWORK")]
    pub(crate) network: String,
    /// Its name or id
    #[arg(value_name = "CONTAINER")]
    pub(crate) container: String,
}

/// `knarr network disconnect`
#[derive(Debug, Args)]
pub(crate) struct DisconnectArgs {
    /// Force the container to disconnect from a network
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Its name or id
    #[arg(value_name = "NETWORK")]
    pub(crate) network: String,
    /// Its name or id
    #[arg(value_name = "CONTAINER")]
    pub(crate) container: String,
}

/// `knarr network ls`
#[derive(Debug, Args)]
pub(crate) struct NetworksArgs {
    /// Filter output: id, name, label, driver, scope, type or dangling, as KEY=VALUE
    #[arg(short, long = "filter", value_name = "KEY=VALUE")]
    pub(crate) filters: Vec<String>,
    /// 'table', 'table TEMPLATE', 'json' or a Go template
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) format: String,
    /// Don't truncate output
    #[arg(long)]
    pub(crate) no_trunc: bool,
    /// Only display network IDs
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// `knarr network rm`
#[derive(Debug, Args)]
pub(crate) struct NetworkRmArgs {
    /// Do not error if the network does not exist
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Their names or ids
    #[arg(required = true, value_name = "NETWORK")]
    pub(crate) networks: Vec<String>,
}

/// `knarr network prune`
#[derive(Debug, Args)]
pub(crate) struct PruneNetworksArgs {
    /// Filter what is removed: label, as KEY=VALUE
    #[arg(long = "filter", value_name = "KEY=VALUE")]
    pub(crate) filters: Vec<String>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    pub(crate) force: bool,
}

/// `knarr port`
#[derive(Debug, Args)]
pub(crate) struct PortArgs {
    /// Its name or id
    #[arg(value_name = "CONTAINER")]
    pub(crate) container: String,
    /// Only where this one is published
    #[arg(value_name = "PRIVATE_PORT[/PROTOCOL]")]
    pub(crate) port: Option<String>,
}
