//! Images that come to a test's knarrd as archives: no registry, no network.

use knarr_proto::v1::{self, import_images_request::Message};
use knarr_tests::{Grpc, Image, Scratch};
use tonic::Status;

/// Of one message; a real client's are larger, but seams are to be found here.
const PIECE_BYTES: usize = 100_000;

/// Sends an archive.
pub(crate) fn archive(grpc: &Grpc, bytes: &[u8]) -> Result<Vec<v1::LoadedImage>, Status> {
    archive_for(grpc, bytes, "")
}

/// As [`archive`], for one platform.
pub(crate) fn archive_for(grpc: &Grpc, bytes: &[u8], platform: &str) -> Result<Vec<v1::LoadedImage>, Status> {
    let open = Message::Open(v1::ImportOpen { platform: platform.to_owned() });
    let data = bytes.chunks(PIECE_BYTES).map(|piece| Message::Data(piece.to_vec()));
    send(grpc, std::iter::once(open).chain(data).collect())
}

/// Sends these messages and no others.
pub(crate) fn send(grpc: &Grpc, messages: Vec<Message>) -> Result<Vec<v1::LoadedImage>, Status> {
    let requests = messages.into_iter().map(|message| v1::ImportImagesRequest { message: Some(message) });
    let requests: Vec<_> = requests.collect();
    let mut images = grpc.images();
    let replies = grpc.gather(images.import(tokio_stream::iter(requests)))?;
    Ok(replies.into_iter().flat_map(|reply| reply.images).collect())
}

/// Brings an image in under these names.
#[track_caller]
pub(crate) fn image(scratch: &Scratch, grpc: &Grpc, image: &Image, names: &[&str]) -> v1::Image {
    let path = scratch.join("imported.tar");
    image.write_docker_archive(&path, names);
    let bytes = std::fs::read(&path).expect("the archive");
    let loaded = archive(grpc, &bytes).expect("imported");
    let [loaded] = loaded.as_slice() else { panic!("one image: {loaded:?}") };
    inspect(grpc, &loaded.id)
}

/// Everything about an image that is here.
#[track_caller]
pub(crate) fn inspect(grpc: &Grpc, image: &str) -> v1::Image {
    let request = v1::InspectImageRequest { image: image.to_owned(), platform: String::new() };
    grpc.wait(grpc.images().inspect(request)).expect("there").into_inner().image.expect("an image")
}
