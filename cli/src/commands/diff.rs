//! `knarr diff`

use knarr_proto::v1::{DiffContainerRequest, FileChangeKind};

use super::each::DONE;
use crate::args::container::DiffArgs;
use crate::connect::{Address, Client};
use crate::error::Error;
use crate::output;

/// Prints what a container has changed of its image's files, one path a line, with docker's letters.
pub(super) async fn run(args: DiffArgs, address: &Address) -> Result<u8, Error> {
    let client = Client::connect(address).await?;
    let request = DiffContainerRequest { container: args.container };
    let mut replies = client.containers().diff(request).await?.into_inner();
    while let Some(reply) = replies.message().await? {
        let lines = reply.changes.iter().map(|change| {
            let letter = match change.kind() {
                FileChangeKind::Unspecified => '?',
                FileChangeKind::Modified => 'C',
                FileChangeKind::Added => 'A',
                FileChangeKind::Deleted => 'D',
            };
            // A newline in a name would look like another path.
            let path = String::from_utf8_lossy(&change.path).replace('\n', "\\n");
            format!("{letter} {path}\n")
        });
        output::print(&lines.collect::<String>())?;
    }
    Ok(DONE)
}
