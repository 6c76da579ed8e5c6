//! `knarr load` and `knarr image import`: images from an archive.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use knarr_proto::docker::reference::short;
use knarr_proto::v1::import_images_request::Message;
use knarr_proto::v1::{ImportImagesRequest, ImportOpen, LoadedImage};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::each::DONE;
use crate::args::image::{ImportArgs, LoadArgs};
use crate::connect::{Address, Client};
use crate::error::Error;
use crate::{output, terminal};

/// One message; well below what gRPC takes.
const CHUNK_BYTES: usize = 256 * 1024;
/// Messages read ahead.
const READ_AHEAD: usize = 4;

/// Where the archive comes from.
enum Source {
    Stdin,
    File(PathBuf, File),
}

/// Loads the images of an archive and prints their names.
pub(super) async fn run(args: LoadArgs, address: &Address) -> Result<u8, Error> {
    let source = match args.input {
        Some(path) => Source::open(path)?,
        None if terminal::stdin_is_terminal() => {
            let words = "requested load from stdin, but stdin is a terminal: name the archive with -i";
            return Err(Error::State(words.to_owned()));
        }
        None => Source::Stdin,
    };
    let images = send(source, args.platform, address).await?;
    for image in &images {
        for line in lines(image) {
            output::line(&line)?;
        }
    }
    Ok(DONE)
}

/// The same, and prints ids.
pub(super) async fn import(args: ImportArgs, address: &Address) -> Result<u8, Error> {
    let source = if args.file == Path::new("-") { Source::Stdin } else { Source::open(args.file)? };
    for image in send(source, args.platform, address).await? {
        output::line(&image.id)?;
    }
    Ok(DONE)
}

impl Source {
    fn open(path: PathBuf) -> Result<Self, Error> {
        match File::open(&path) {
            Ok(file) => Ok(Self::File(path, file)),
            Err(source) => Err(Error::File { action: "open", path, source }),
        }
    }

    /// Reads all of it into messages, until the daemon wants no more.
    fn pump(self, messages: &mpsc::Sender<ImportImagesRequest>) -> Result<(), Error> {
        match self {
            Self::Stdin => pump(std::io::stdin().lock(), messages)
                .map_err(|source| Error::Stream { action: "read standard input", source }),
            Self::File(path, file) => {
                pump(file, messages).map_err(|source| Error::File { action: "read", path, source })
            }
        }
    }
}

fn pump(mut reader: impl Read, messages: &mpsc::Sender<ImportImagesRequest>) -> std::io::Result<()> {
    loop {
        let mut data = Vec::with_capacity(CHUNK_BYTES);
        if reader.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut data)? == 0 {
            return Ok(());
        }
        let message = ImportImagesRequest { message: Some(Message::Data(data)) };
        // When it wants no more, its answer says why.
        if messages.blocking_send(message).is_err() {
            return Ok(());
        }
    }
}

async fn send(source: Source, platform: String, address: &Address) -> Result<Vec<LoadedImage>, Error> {
    let client = Client::connect(address).await?;
    let (sender, receiver) = mpsc::channel(READ_AHEAD);
    let open = ImportImagesRequest { message: Some(Message::Open(ImportOpen { platform })) };
    sender.try_send(open).expect("a new channel has room");
    // It ends with the archive or with the call, and is not awaited when the call fails: it may hang on standard input.
    let pump = tokio::task::spawn_blocking(move || source.pump(&sender));
    let mut images = client.images();
    let loaded = async {
        let mut replies = images.import(ReceiverStream::new(receiver)).await?.into_inner();
        let mut loaded = Vec::new();
        while let Some(reply) = replies.message().await? {
            loaded.extend(reply.images);
        }
        Ok::<_, tonic::Status>(loaded)
    };
    match loaded.await {
        Ok(loaded) => Ok(loaded),
        Err(status) if pump.is_finished() => {
            // An archive that could not be read is cut short for the daemon; the reason is ours.
            pump.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
            Err(status.into())
        }
        Err(status) => Err(status.into()),
    }
}

/// As docker has it, with --quiet and without: what the archive calls the image, or its id when it does not.
fn lines(image: &LoadedImage) -> Vec<String> {
    match image.references.as_slice() {
        [] => vec![format!("Loaded image ID: {}", image.id)],
        references => references.iter().map(|name| format!("Loaded image: {}", short(name))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_loaded_is_told_in_dockers_words() {
        let image = |references: &[&str]| LoadedImage {
            id: "sha256:00".to_owned(),
            references: references.iter().map(|name| (*name).to_owned()).collect(),
        };
        assert_eq!(
            lines(&image(&["docker.io/library/a:1", "quay.io/b/c:2"])),
            ["Loaded image: a:1", "Loaded image: quay.io/b/c:2"]
        );
        assert_eq!(lines(&image(&[])), ["Loaded image ID: sha256:00"]);
    }
}
