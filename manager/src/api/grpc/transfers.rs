//! Pull, import and export: images on their way between a client and the noun. A client that leaves is noticed by its
//! closed channel, and what it asked for is given up.

use knarr_proto::v1;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::images::{message, platform};
use super::replies::{Replies, Sender, UNDER_WAY, replies};
use super::{pieces, sessions};
use crate::images::{Export, ImageError, Images, Input, Loaded, Phase, Progress, PullRequest, Pulled};

pub(super) fn pull(images: Images, request: PullRequest) -> Replies<v1::PullImageReply> {
    replies(async move |sender| {
        let (progress, told) = mpsc::channel(UNDER_WAY);
        let pulled = tokio::join!(images.pull(request, progress), forward(told, &sender)).0?;
        // A client that has left just now will not miss it.
        drop(sender.send(Ok(done(pulled))).await);
        Ok::<(), ImageError>(())
    })
}

/// Until the pull has said its last.
async fn forward(mut told: mpsc::Receiver<Progress>, sender: &Sender<v1::PullImageReply>) {
    while let Some(progress) = told.recv().await {
        let message = v1::pull_image_reply::Message::Progress(step(progress));
        // A client that has left ends the pull, not this.
        drop(sender.send(Ok(v1::PullImageReply { message: Some(message) })).await);
    }
}

fn step(progress: Progress) -> v1::PullProgress {
    let phase = match progress.phase {
        Phase::Resolving => v1::PullPhase::Resolving,
        Phase::Waiting => v1::PullPhase::Waiting,
        Phase::Downloading => v1::PullPhase::Downloading,
        Phase::Downloaded => v1::PullPhase::Downloaded,
        Phase::Unpacking => v1::PullPhase::Unpacking,
        Phase::Complete => v1::PullPhase::Complete,
        Phase::Exists => v1::PullPhase::Exists,
    };
    v1::PullProgress {
        digest: progress.digest,
        phase: phase.into(),
        current_bytes: progress.current_bytes,
        total_bytes: progress.total_bytes,
    }
}

fn done(pulled: Pulled) -> v1::PullImageReply {
    let done = v1::PullDone {
        image: Some(message(pulled.image)),
        digest: pulled.digest.to_string(),
        changed: pulled.changed,
    };
    v1::PullImageReply { message: Some(v1::pull_image_reply::Message::Done(done)) }
}

pub(super) async fn import(
    images: &Images,
    mut requests: Streaming<v1::ImportImagesRequest>,
) -> Result<Vec<Loaded>, Status> {
    let first = sessions::first(&mut requests).await?.and_then(|first| first.message);
    let Some(v1::import_images_request::Message::Open(open)) = first else {
        return Err(Status::invalid_argument("the first message must be `open`"));
    };
    let platform = platform(&open.platform)?;
    let (input, archive) = Input::channel();
    let (fed, imported) = tokio::join!(feed(requests, input), images.import(archive, platform));
    // What is wrong with the stream is the reason for what is wrong with the archive.
    fed?;
    Ok(imported?)
}

/// What the archive calls an image, in bounded pieces.
pub(super) fn loaded(loaded: &Loaded) -> Vec<v1::LoadedImage> {
    let image = |references: &[String]| v1::LoadedImage {
        id: loaded.id.to_string(),
        references: references.to_vec(),
    };
    match loaded.references.as_slice() {
        [] => vec![image(&[])],
        references => references.chunks(pieces::MAX_REFERENCES).map(image).collect(),
    }
}

async fn feed(mut requests: Streaming<v1::ImportImagesRequest>, input: Input) -> Result<(), Status> {
    while let Some(request) = requests.message().await? {
        let Some(v1::import_images_request::Message::Data(data)) = request.message else {
            return Err(Status::invalid_argument("after `open`, every message must be `data`"));
        };
        if !input.send(data).await {
            // The import has failed and says why.
            return Ok(());
        }
    }
    input.end().await;
    Ok(())
}

pub(super) fn export(mut export: Export) -> Replies<v1::ExportImagesReply> {
    let (sender, receiver) = mpsc::channel(UNDER_WAY);
    tokio::spawn(async move {
        while let Some(piece) = export.next().await {
            let reply = piece.map(|data| v1::ExportImagesReply { data }).map_err(Status::from);
            if sender.send(reply).await.is_err() {
                return;
            }
        }
    });
    Box::pin(ReceiverStream::new(receiver))
}
