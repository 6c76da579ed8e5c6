//! `knarr rmi`

use std::fmt::Write as _;

use knarr_proto::docker::reference::short;
use knarr_proto::v1::{RemoveImageReply, RemoveImageRequest};

use super::each::each;
use crate::args::image::RmiArgs;
use crate::connect::{Address, Client};
use crate::error::Error;

/// Removes each reference or image, and prints what is gone.
pub(super) async fn run(args: RmiArgs, address: &Address) -> Result<u8, Error> {
    let client = Client::connect(address).await?;
    each(args.images, |image| {
        let (mut images, force) = (client.images(), args.force);
        async move { Ok(text(&images.remove(RemoveImageRequest { image, force }).await?.into_inner())) }
    })
    .await
}

/// `Untagged: alpine:latest`, `Deleted: sha256:…`
pub(super) fn text(removed: &RemoveImageReply) -> String {
    let mut text = String::new();
    for reference in &removed.untagged {
        // Writing to a String cannot fail.
        let _infallible = writeln!(text, "Untagged: {}", short(reference));
    }
    for digest in &removed.deleted {
        let _infallible = writeln!(text, "Deleted: {digest}");
    }
    text
}
