//! `knarr version`

use knarr_proto::v1::{VersionReply, VersionRequest};
use serde_json::{Value, json};

use super::each::DONE;
use crate::args::system::VersionArgs;
use crate::connect::{Address, Client};
use crate::error::Error;
use crate::format::template::{Subject, Template};
use crate::output;

/// The version of the contract that this program speaks.
const API_VERSION: &str = "v1";

/// Shows the versions of this program and of knarrd. Ours is shown even when knarrd cannot be asked.
pub(super) async fn run(args: &VersionArgs, address: &Address) -> Result<u8, Error> {
    let template = Template::of_format(&args.format)?;
    let Some(template) = template else {
        output::print(&client_text())?;
        let server = server(address).await?;
        output::print(&server_text(&server))?;
        return Ok(DONE);
    };
    let object = object(&server(address).await?);
    output::line(&template.render(&Subject::from(object))?)?;
    Ok(DONE)
}

async fn server(address: &Address) -> Result<VersionReply, Error> {
    let client = Client::connect(address).await?;
    Ok(client.system().version(VersionRequest {}).await?.into_inner())
}

/// The names that images use for architectures.
fn architecture(name: &str) -> &str {
    match name {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        name => name,
    }
}

fn client_text() -> String {
    format!(
        "Client: knarr\n Version:           {}\n API version:       {API_VERSION}\n OS/Arch:           {}/{}\n",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        architecture(std::env::consts::ARCH),
    )
}

fn server_text(server: &VersionReply) -> String {
    let mut lines = vec![
        String::new(),
        "Server: knarrd".to_owned(),
        format!(" Version:           {}", server.version),
        format!(" API version:       {}", server.api_version),
    ];
    if !server.git_commit.is_empty() {
        lines.push(format!(" Git commit:        {}", server.git_commit));
    }
    lines.push(format!(" OS/Arch:           {}/{}", server.os, architecture(&server.architecture)));
    lines.push(format!(" Kernel:            {}", server.kernel_version));
    for component in &server.components {
        lines.push(format!(" {}:", component.name));
        lines.push(format!("  Version:          {}", component.version));
        lines.push(format!("  Path:             {}", component.path));
    }
    lines.join("\n") + "\n"
}

fn object(server: &VersionReply) -> Value {
    let components: Vec<Value> = server
        .components
        .iter()
        .map(
            |component| json!({"Name": component.name, "Version": component.version, "Path": component.path}),
        )
        .collect();
    json!({
        "Client": {
            "Version": env!("CARGO_PKG_VERSION"),
            "ApiVersion": API_VERSION,
            "Os": std::env::consts::OS,
            "Arch": architecture(std::env::consts::ARCH),
        },
        "Server": {
            "Version": server.version,
            "ApiVersion": server.api_version,
            "GitCommit": server.git_commit,
            "Os": server.os,
            "Arch": architecture(&server.architecture),
            "KernelVersion": server.kernel_version,
            "Components": components,
        },
    })
}
