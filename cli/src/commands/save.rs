//! `knarr save`: images as one archive.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use knarr_proto::v1::{ExportImagesReply, ExportImagesRequest};
use tonic::Streaming;

use super::each::DONE;
use crate::args::image::SaveArgs;
use crate::connect::{Address, Client};
use crate::error::Error;
use crate::{output, terminal};

/// Writes the archive to a file or to standard output.
pub(super) async fn run(args: SaveArgs, address: &Address) -> Result<u8, Error> {
    if args.output.is_none() && terminal::stdout_is_terminal() {
        let words = "cowardly refusing to save to a terminal: use the -o flag or redirect";
        return Err(Error::State(words.to_owned()));
    }
    let client = Client::connect(address).await?;
    let request = ExportImagesRequest { images: args.images };
    let archive = client.images().export(request).await?.into_inner();
    match args.output {
        None => copy(archive, &mut std::io::stdout().lock(), output::written).await?,
        Some(path) if is_special(&path) => {
            let failed = |source| Error::File { action: "write", path: path.clone(), source };
            let mut file = File::options().write(true).open(&path).map_err(failed)?;
            copy(archive, &mut file, failed).await?;
        }
        Some(path) => replace(archive, &path).await?,
    }
    Ok(DONE)
}

/// A device or pipe: it is written to, never replaced.
fn is_special(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file())
}

/// Writes beside `path` and renames, so that half an archive never has the name.
async fn replace(archive: Streaming<ExportImagesReply>, path: &Path) -> Result<(), Error> {
    let partial = partial(path);
    let failed = |source| Error::File { action: "write", path: path.to_owned(), source };
    let file = File::create(&partial).map_err(failed)?;
    let mut writer = BufWriter::new(&file);
    let written = match copy(archive, &mut writer, failed).await {
        Ok(()) => {
            drop(writer);
            file.sync_all().and_then(|()| std::fs::rename(&partial, path)).map_err(failed)
        }
        Err(error) => Err(error),
    };
    if written.is_err() {
        // The error that is told is the one that came first.
        let _left = std::fs::remove_file(&partial);
    }
    written
}

fn partial(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}", std::process::id()));
    path.with_file_name(name)
}

async fn copy(
    mut archive: Streaming<ExportImagesReply>,
    out: &mut dyn Write,
    failed: impl Fn(std::io::Error) -> Error,
) -> Result<(), Error> {
    while let Some(piece) = archive.message().await? {
        out.write_all(&piece.data).map_err(&failed)?;
    }
    out.flush().map_err(failed)
}
