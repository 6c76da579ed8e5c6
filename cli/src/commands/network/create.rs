//! `knarr network create`

use std::collections::HashMap;

use knarr_proto::v1::{CreateNetworkRequest, NetworkPool};

use super::super::each::DONE;
use crate::args::network::CreateNetworkArgs;
use crate::connect::{Address, Client};
use crate::error::Error;
use crate::options::BadOption;
use crate::options::environment;
use crate::output;

/// Makes a network and prints its id.
pub(super) async fn run(args: CreateNetworkArgs, address: &Address) -> Result<u8, Error> {
    let pools = pools(&args)?;
    let request = CreateNetworkRequest {
        name: args.name,
        driver: args.driver,
        internal: args.internal,
        attachable: args.attachable,
        ipv6: args.ipv6,
        pools,
        options: args.opt.into_iter().collect(),
        labels: environment::labels(&args.label, &[])?.into_iter().collect(),
    };
    let client = Client::connect(address).await?;
    output::line(&client.networks().create(request).await?.into_inner().id)?;
    Ok(DONE)
}

/// Gateways, ranges and auxiliary addresses go to the subnet that has them.
fn pools(args: &CreateNetworkArgs) -> Result<Vec<NetworkPool>, BadOption> {
    let mut pools: Vec<NetworkPool> = args
        .subnet
        .iter()
        .map(|subnet| NetworkPool { subnet: subnet.clone(), ..NetworkPool::default() })
        .collect();
    if pools.is_empty()
        && !(args.gateway.is_empty() && args.ip_range.is_empty() && args.aux_address.is_empty())
    {
        return Err(BadOption::Conflict("--gateway, --ip-range and --aux-address need a --subnet"));
    }
    let conflict = || BadOption::Conflict("a --subnet has one --gateway and one --ip-range");
    for gateway in &args.gateway {
        let pool = of_family(&mut pools, gateway, |pool| pool.gateway.is_empty()).ok_or_else(conflict)?;
        pool.gateway.clone_from(gateway);
    }
    for range in &args.ip_range {
        let pool = of_family(&mut pools, range, |pool| pool.ip_range.is_empty()).ok_or_else(conflict)?;
        pool.ip_range.clone_from(range);
    }
    for (name, reserved) in &args.aux_address {
        let pool = of_family(&mut pools, reserved, |_| true).ok_or_else(conflict)?;
        let mut all: HashMap<String, String> = std::mem::take(&mut pool.reserved);
        all.insert(name.clone(), reserved.clone());
        pool.reserved = all;
    }
    Ok(pools)
}

/// The first subnet of an address's family that has room for it. Whether it is in it is knarrd's to say.
fn of_family<'a>(
    pools: &'a mut [NetworkPool],
    address: &str,
    has_room: impl Fn(&NetworkPool) -> bool,
) -> Option<&'a mut NetworkPool> {
    let is_v6 = address.contains(':');
    pools.iter_mut().find(|pool| pool.subnet.contains(':') == is_v6 && has_room(pool))
}
