//! `knarr build`: an image from a Dockerfile and a context.

mod context;
mod lines;
mod secret;

use knarr_proto::v1::build_reply::Message as Reply;
use knarr_proto::v1::build_request::Message;
use knarr_proto::v1::{BuildArgument, BuildOpen, BuildRequest, Image};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::each::DONE;
use crate::args::build::{BuildArgs, ProgressForm};
use crate::connect::{Address, Client};
use crate::error::Error;
use crate::options::environment;
use crate::output;
use context::Context;
use lines::Lines;

/// Messages read ahead.
const READ_AHEAD: usize = 4;

/// Builds an image, and prints its id when quiet.
pub(super) async fn run(args: BuildArgs, address: &Address) -> Result<u8, Error> {
    let is_quiet = args.quiet || args.progress == ProgressForm::Quiet;
    let context = Context::find(&args.context, &args.file)?;
    let open = open(&args, &context)?;
    let tags = open.tags.clone();
    let client = Client::connect(address).await?;
    let image = send(context, open, &client, Lines::new(is_quiet)).await?;
    if let Some(path) = args.iidfile {
        std::fs::write(&path, &image.id).map_err(|source| Error::File { action: "write", path, source })?;
    }
    match is_quiet {
        true => output::line(&image.id)?,
        false => lines::built(&image.id, &tags),
    }
    Ok(DONE)
}

fn open(args: &BuildArgs, context: &Context) -> Result<BuildOpen, Error> {
    let argument = |text: &String| match text.split_once('=') {
        Some((name, value)) => BuildArgument { name: name.to_owned(), value: Some(value.to_owned()) },
        None => BuildArgument { name: text.clone(), value: environment::own(text) },
    };
    let mut build_args: Vec<BuildArgument> = args.build_args.iter().map(argument).collect();
    // As docker does: a build can be made to be the same each time from outside.
    let epoch = "SOURCE_DATE_EPOCH";
    if build_args.iter().all(|given| given.name != epoch)
        && let Some(value) = environment::own(epoch)
    {
        build_args.push(BuildArgument { name: epoch.to_owned(), value: Some(value) });
    }
    Ok(BuildOpen {
        dockerfile: context.dockerfile.clone(),
        dockerfile_text: context.dockerfile_text.clone(),
        tags: args.tags.clone(),
        build_args,
        labels: environment::labels(&args.labels, &[])?,
        target: args.target.clone(),
        no_cache: args.no_cache,
        pull: args.pull,
        platform: args.platform.clone(),
        network: args.network.clone(),
        shm_size_bytes: args.shm_size.unwrap_or_default().unsigned_abs(),
        ulimits: args.ulimits.clone(),
        secrets: args.secrets.iter().map(|text| secret::read(text)).collect::<Result<_, _>>()?,
        cgroup_parent: args.cgroup_parent.clone(),
    })
}

async fn send(context: Context, open: BuildOpen, client: &Client, mut lines: Lines) -> Result<Image, Error> {
    let (sender, receiver) = mpsc::channel(READ_AHEAD);
    let first = BuildRequest { message: Some(Message::Open(open)) };
    sender.try_send(first).expect("a new channel has room");
    // It ends with the context or with the call, and is not awaited when the call fails: it may hang on standard input.
    let pump = tokio::task::spawn_blocking(move || context.send(&sender));
    let mut builds = client.builds();
    let built = async {
        let mut replies = builds.build(ReceiverStream::new(receiver)).await?.into_inner();
        let mut built = None;
        while let Some(reply) = replies.message().await? {
            match reply.message {
                Some(Reply::Built(image)) => built = Some(image),
                Some(message) => lines.tell(message),
                None => {}
            }
        }
        Ok::<_, tonic::Status>(built)
    };
    match built.await {
        Ok(Some(image)) => Ok(image),
        Ok(None) => Err(Error::Contract { call: "build", missing: "image" }),
        Err(status) if pump.is_finished() => {
            // A context that could not be read is cut short for the daemon; the reason is ours.
            pump.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
            Err(status.into())
        }
        Err(status) => Err(status.into()),
    }
}
