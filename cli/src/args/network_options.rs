//! What `run` and `create` can say of networks, with docker's spelling. Values are understood in [`crate::options`].

use clap::Args;

/// How the container is reached, and what it knows of others.
#[derive(Debug, Args)]
pub(crate) struct NetworkOptions {
    /// Connect a container to a network: its name, none, host or container:NAME; a network may have options,
    /// as name=NAME,alias=A,ip=ADDRESS [default: bridge]
    #[arg(long, visible_alias = "net", value_name = "NETWORK")]
    pub(crate) network: Vec<String>,
    /// Publish a container's port(s) to the host
    #[arg(short, long, value_name = "[[ADDRESS:]HOST_PORT:]PORT[/PROTOCOL]")]
    pub(crate) publish: Vec<String>,
    /// Publish all exposed ports to random ports
    #[arg(short = 'P', long)]
    pub(crate) publish_all: bool,
    /// Expose a port or a range of ports
    #[arg(long, value_name = "PORT[/PROTOCOL]")]
    pub(crate) expose: Vec<String>,
    /// Add network-scoped alias for the container
    #[arg(long, visible_alias = "net-alias", value_name = "NAME")]
    pub(crate) network_alias: Vec<String>,
    /// IPv4 address
    #[arg(long, value_name = "ADDRESS", default_value = "", hide_default_value = true)]
    pub(crate) ip: String,
    /// IPv6 address
    #[arg(long, value_name = "ADDRESS", default_value = "", hide_default_value = true)]
    pub(crate) ip6: String,
    /// Container MAC address
    #[arg(long, value_name = "ADDRESS", default_value = "", hide_default_value = true)]
    pub(crate) mac_address: String,
    /// Add link to another container
    #[arg(long, value_name = "CONTAINER[:ALIAS]")]
    pub(crate) link: Vec<String>,
    /// Set custom DNS servers
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) dns: Vec<String>,
    /// Set DNS options
    #[arg(long, visible_alias = "dns-opt", value_name = "OPTION")]
    pub(crate) dns_option: Vec<String>,
    /// Set custom DNS search domains
    #[arg(long, value_name = "DOMAIN")]
    pub(crate) dns_search: Vec<String>,
    /// Add a custom host-to-IP mapping; host-gateway is the host's address
    #[arg(long, value_name = "NAME:ADDRESS")]
    pub(crate) add_host: Vec<String>,
}
