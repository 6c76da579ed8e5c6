//! `knarr update`

use knarr_proto::v1::{BlockIo, Resources, UpdateContainerRequest};

use super::each::each;
use crate::args::container::UpdateArgs;
use crate::connect::{Address, Client};
use crate::error::Error;

/// Changes the limits of each container, and prints its name.
pub(super) async fn run(args: UpdateArgs, address: &Address) -> Result<u8, Error> {
    let change = resources(&args);
    if change == Resources::default() {
        return Err(Error::State("you must provide one or more flags when using this command".to_owned()));
    }
    let client = Client::connect(address).await?;
    each(args.containers, |container| {
        let mut containers = client.containers();
        let request =
            UpdateContainerRequest { container: container.clone(), resources: Some(change.clone()) };
        async move {
            containers.update(request).await?;
            Ok(format!("{container}\n"))
        }
    })
    .await
}

fn resources(args: &UpdateArgs) -> Resources {
    let block_io = BlockIo { weight: args.blkio_weight, ..BlockIo::default() };
    Resources {
        memory_bytes: args.memory.unwrap_or(0),
        memory_swap_bytes: args.memory_swap.unwrap_or(0),
        memory_reservation_bytes: args.memory_reservation.unwrap_or(0),
        nano_cpus: args.cpu.cpus.unwrap_or(0),
        cpu_shares: args.cpu.cpu_shares.unwrap_or(0),
        cpu_period_us: args.cpu.cpu_period,
        cpu_quota_us: args.cpu.cpu_quota,
        cpu_rt_period_us: args.cpu.cpu_rt_period,
        cpu_rt_runtime_us: args.cpu.cpu_rt_runtime,
        cpuset_cpus: args.cpu.cpuset_cpus.clone(),
        cpuset_mems: args.cpu.cpuset_mems.clone(),
        pids_limit: args.pids_limit.unwrap_or(0),
        block_io: (args.blkio_weight != 0).then_some(block_io),
        ..Resources::default()
    }
}
