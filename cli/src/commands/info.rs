//! `knarr info`

use knarr_proto::v1::{InfoReply, InfoRequest};
use serde_json::{Value, json};

use super::each::DONE;
use crate::args::system::InfoArgs;
use crate::connect::{Address, Client};
use crate::error::Error;
use crate::format::template::{Subject, Template};
use crate::format::units::binary_size;
use crate::output;

/// Shows what knarrd has and where it runs.
pub(super) async fn run(args: &InfoArgs, address: &Address) -> Result<u8, Error> {
    let template = Template::of_format(&args.format)?;
    let client = Client::connect(address).await?;
    let info = client.system().info(InfoRequest {}).await?.into_inner();
    match template {
        Some(template) => output::line(&template.render(&Subject::from(object(&info)))?)?,
        None => {
            output::print(&text(&info))?;
            for warning in &info.warnings {
                output::note(&format!("WARNING: {warning}"));
            }
        }
    }
    Ok(DONE)
}

fn text(info: &InfoReply) -> String {
    let mut lines = vec![
        "Client: knarr".to_owned(),
        format!(" Version:    {}", env!("CARGO_PKG_VERSION")),
        String::new(),
        "Server:".to_owned(),
        format!(" Containers: {}", info.containers),
        format!("  Running: {}", info.containers_running),
        format!("  Paused: {}", info.containers_paused),
        format!("  Stopped: {}", info.containers_stopped),
        format!(" Images: {}", info.images),
        format!(" Server Version: {}", info.server_version),
        format!(" Storage Driver: {}", info.snapshotter),
        format!(" Cgroup Driver: {}", info.cgroup_driver),
        format!(" Cgroup Version: {}", info.cgroup_version),
        format!(" Default Runtime: {}", info.default_runtime),
    ];
    if !info.security_options.is_empty() {
        lines.push(" Security Options:".to_owned());
        lines.extend(info.security_options.iter().map(|option| format!("  {option}")));
    }
    lines.extend([
        format!(" Kernel Version: {}", info.kernel_version),
        format!(" Operating System: {}", info.operating_system),
        " OSType: linux".to_owned(),
        format!(" Architecture: {}", info.architecture),
        format!(" CPUs: {}", info.cpus),
        format!(" Total Memory: {}", binary_size(info.memory_bytes)),
        format!(" Name: {}", info.hostname),
        format!(" Root Dir: {}", info.root_path),
        format!(" State Dir: {}", info.state_path),
    ]);
    lines.join("\n") + "\n"
}

fn object(info: &InfoReply) -> Value {
    json!({
        "Containers": info.containers,
        "ContainersRunning": info.containers_running,
        "ContainersPaused": info.containers_paused,
        "ContainersStopped": info.containers_stopped,
        "Images": info.images,
        "Driver": info.snapshotter,
        "CgroupDriver": info.cgroup_driver,
        "CgroupVersion": info.cgroup_version,
        "KernelVersion": info.kernel_version,
        "OperatingSystem": info.operating_system,
        "OSType": "linux",
        "Architecture": info.architecture,
        "NCPU": info.cpus,
        "MemTotal": info.memory_bytes,
        "RootDir": info.root_path,
        "StateDir": info.state_path,
        "Name": info.hostname,
        "ServerVersion": info.server_version,
        "DefaultRuntime": info.default_runtime,
        "SecurityOptions": info.security_options,
        "Warnings": info.warnings,
        "ClientInfo": { "Version": env!("CARGO_PKG_VERSION") },
    })
}
