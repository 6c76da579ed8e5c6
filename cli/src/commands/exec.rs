//! `knarr exec`

use knarr_proto::v1::exec_request::Message;
use knarr_proto::v1::{ExecOpen, ExecReply, ExecRequest};

use super::{DONE, attach};
use crate::args::container::ExecArgs;
use crate::connect::{Address, Client};
use crate::error::Error;
use crate::options::config::Streams;
use crate::options::environment;
use crate::session::{self, Plan, Reply};
use crate::terminal;

/// Runs one more process in a container; the exit code is the process's own.
pub(super) async fn run(args: ExecArgs, address: &Address) -> Result<u8, Error> {
    let env = environment::variables(&args.env, &args.env_file, &environment::own)?;
    let mut words = args.container_and_command.into_iter();
    let container = words.next().unwrap_or_default();
    let command: Vec<String> = words.collect();
    if command.is_empty() {
        return Err(Error::State(format!("no command: write knarr exec {container} COMMAND [ARG...]")));
    }
    let streams =
        Streams { stdin: args.interactive && !args.detach, stdout: !args.detach, stderr: !args.detach };
    attach::check_terminal(args.tty, streams)?;
    let open = ExecOpen {
        container,
        args: command,
        env,
        working_dir: args.workdir,
        user: args.user,
        tty: args.tty,
        stdin: streams.stdin,
        privileged: args.privileged,
        detach: args.detach,
        terminal_size: terminal::size().filter(|_| args.tty),
    };
    let client = Client::connect(address).await?;
    if args.detach {
        return detached(&client, open).await;
    }
    let detach_keys = args.detach_keys.unwrap_or_default();
    let plan = Plan { streams, tty: args.tty, detach_keys, client: client.clone(), redraw: false };
    let (requests, stream) = session::requests(request(open));
    let mut containers = client.containers();
    let ending = session::join(plan, requests, containers.exec(stream), None).await?;
    Ok(attach::exit_code(&ending))
}

async fn detached(client: &Client, open: ExecOpen) -> Result<u8, Error> {
    let (_requests, stream) = session::requests(request(open));
    let mut replies = client.containers().exec(stream).await?.into_inner();
    match replies.message().await?.map(|reply: ExecReply| Reply::from(reply)) {
        Some(Reply::Started) => Ok(DONE),
        _ => Err(Error::Contract { call: "exec", missing: "start" }),
    }
}

fn request(open: ExecOpen) -> ExecRequest {
    ExecRequest { message: Some(Message::Open(open)) }
}
