//! `knarr create`, and the first half of `knarr run`: a container from an image that is fetched when it is not here.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use knarr_proto::v1::{ContainerConfig, CreateContainerReply, CreateContainerRequest};

use super::each::DONE;
use super::pull;
use crate::args::container::CreateArgs;
use crate::args::container_options::PullPolicy;
use crate::connect::{Address, Client};
use crate::error::Error;
use crate::options::config::{self, Streams};
use crate::{output, terminal};

/// Makes a container and prints its id.
pub(super) async fn run(args: CreateArgs, address: &Address) -> Result<u8, Error> {
    // As docker: the container is made for one who attaches to all of it.
    let streams = Streams { stdin: args.options.streams.interactive, stdout: true, stderr: true };
    let wanted = Wanted::new(args, streams)?;
    let client = Client::connect(address).await?;
    output::line(&wanted.create(&client).await?)?;
    Ok(DONE)
}

/// A container that can be asked for: everything that is wrong with the arguments alone has been found.
pub(super) struct Wanted {
    request: CreateContainerRequest,
    pull: PullPolicy,
    platform: String,
    quiet: bool,
    id_file: Option<PathBuf>,
}

impl Wanted {
    /// From the arguments.
    pub(super) fn new(args: CreateArgs, streams: Streams) -> Result<Self, Error> {
        let config = config::build(&args.options, &args.image_and_command, streams, terminal::size())?;
        let name = args.options.identity.name;
        let platform = args.options.image.platform.clone();
        Ok(Self {
            request: CreateContainerRequest { name, config: Some(config), platform },
            pull: args.options.image.pull,
            platform: args.options.image.platform,
            quiet: args.options.image.quiet,
            id_file: args.options.identity.cidfile,
        })
    }

    /// Asks for it, and returns its id. Images are fetched and warnings shown on standard error.
    pub(super) async fn create(self, client: &Client) -> Result<String, Error> {
        let id_file = self.id_file.clone().map(IdFile::make).transpose()?;
        let created = match self.ask(client).await {
            Ok(created) => created,
            Err(error) => {
                if let Some(file) = id_file {
                    file.take_back();
                }
                return Err(error);
            }
        };
        for warning in &created.warnings {
            output::note(&format!("WARNING: {warning}"));
        }
        if let Some(mut file) = id_file {
            file.write(&created.id)?;
        }
        Ok(created.id)
    }

    async fn ask(&self, client: &Client) -> Result<CreateContainerReply, Error> {
        let image = self.request.config.as_ref().map_or("", |config: &ContainerConfig| config.image.as_str());
        // What only an id names is nowhere to be had.
        let can_be_pulled = !image.starts_with("sha256:");
        if self.pull == PullPolicy::Always {
            self.fetch(client, image, false).await?;
        }
        match client.containers().create(self.request.clone()).await {
            Err(status)
                if status.code() == tonic::Code::NotFound
                    && self.pull == PullPolicy::Missing
                    && can_be_pulled =>
            {
                self.fetch(client, image, true).await?;
                Ok(client.containers().create(self.request.clone()).await?.into_inner())
            }
            answer => Ok(answer?.into_inner()),
        }
    }

    async fn fetch(&self, client: &Client, image: &str, is_missing: bool) -> Result<(), Error> {
        let wanted = pull::Wanted { reference: image, platform: &self.platform, is_missing };
        pull::fetch(client, wanted, pull::View::of_stderr(self.quiet)).await.map(drop)
    }
}

/// `--cidfile`: taken before the container is made, so that two do not write the same one.
struct IdFile {
    path: PathBuf,
    file: File,
}

impl IdFile {
    fn make(path: PathBuf) -> Result<Self, Error> {
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => Ok(Self { path, file }),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(Error::State(format!(
                "container ID file {} exists already: remove it, or choose another",
                path.display()
            ))),
            Err(source) => Err(Error::File { action: "make", path, source }),
        }
    }

    fn write(&mut self, id: &str) -> Result<(), Error> {
        let path = &self.path;
        self.file.write_all(id.as_bytes()).map_err(|source| Error::File {
            action: "write",
            path: path.clone(),
            source,
        })
    }

    fn take_back(self) {
        // The error that is told is why there is no container; an empty file says the same.
        let _left = std::fs::remove_file(&self.path);
    }
}
