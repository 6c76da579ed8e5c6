//! `knarr port`

use knarr_proto::v1::PublishedPort;

use super::super::attach;
use super::super::each::DONE;
use crate::args::network::PortArgs;
use crate::connect::{Address, Client};
use crate::error::Error;
use crate::output;

/// Lists where a container's ports are published, all or one.
pub(in crate::commands) async fn run(args: PortArgs, address: &Address) -> Result<u8, Error> {
    let client = Client::connect(address).await?;
    let container = attach::inspect(&client, &args.container, false).await?;
    let Some(wanted) = &args.port else {
        let lines = container
            .ports
            .iter()
            .map(|port| format!("{}/{} -> {}\n", port.container_port, port.protocol, host(port)));
        output::print(&lines.collect::<String>())?;
        return Ok(DONE);
    };
    let full = if wanted.contains('/') { wanted.clone() } else { format!("{wanted}/tcp") };
    let found: Vec<String> = container
        .ports
        .iter()
        .filter(|port| format!("{}/{}", port.container_port, port.protocol) == full)
        .map(|port| format!("{}\n", host(port)))
        .collect();
    if found.is_empty() {
        return Err(Error::State(format!("no public port {full:?} published for {}", args.container)));
    }
    output::print(&found.concat())?;
    Ok(DONE)
}

fn host(port: &PublishedPort) -> String {
    match port.host_address.contains(':') {
        true => format!("[{}]:{}", port.host_address, port.host_port),
        false => format!("{}:{}", port.host_address, port.host_port),
    }
}
