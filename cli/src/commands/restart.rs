//! `knarr restart`

use knarr_proto::v1::RestartContainerRequest;

use super::each::each;
use crate::args::container::StopArgs;
use crate::connect::{Address, Client};
use crate::error::Error;

/// Stops and starts each container, and prints its name.
pub(super) async fn run(args: StopArgs, address: &Address) -> Result<u8, Error> {
    let client = Client::connect(address).await?;
    each(args.containers, |container| {
        let mut containers = client.containers();
        let request = RestartContainerRequest {
            container: container.clone(),
            timeout_seconds: args.timeout.map(|seconds| seconds.0),
            signal: args.signal.clone(),
        };
        async move {
            containers.restart(request).await?;
            Ok(format!("{container}\n"))
        }
    })
    .await
}
