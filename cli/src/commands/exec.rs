//! `knarr exec`

use knarr_proto::v1::session_reply::Message as Reply;
use knarr_proto::v1::session_request::Message;
use knarr_proto::v1::{ExecConfig, ExecCreateRequest, ExecOpen};

use super::attach;
use super::each::DONE;
use crate::args::container::ExecArgs;
use crate::connect::{Address, Client};
use crate::error::Error;
use crate::options::config::Streams;
use crate::options::environment;
use crate::session::{self, Plan};
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
    let config = ExecConfig {
        args: command,
        env,
        working_dir: args.workdir,
        user: args.user,
        tty: args.tty,
        stdin: streams.stdin,
        privileged: args.privileged,
        ..ExecConfig::default()
    };
    let client = Client::connect(address).await?;
    let mut containers = client.containers();
    let created = containers.exec_create(ExecCreateRequest { container, config: Some(config) }).await?;
    let open = ExecOpen {
        exec_id: created.into_inner().exec_id,
        detach: args.detach,
        terminal_size: terminal::size().filter(|_| args.tty),
    };
    let (requests, stream) = session::requests(Message::Exec(open));
    if args.detach {
        let mut replies = containers.exec_start(stream).await?.into_inner();
        return match replies.message().await?.and_then(|reply| reply.message) {
            Some(Reply::Started(_)) => Ok(DONE),
            _ => Err(Error::Contract { call: "exec", missing: "start" }),
        };
    }
    let detach_keys = args.detach_keys.unwrap_or_default();
    let plan = Plan { streams, tty: args.tty, detach_keys, client: client.clone(), redraw: false };
    let ending = session::join(plan, requests, containers.exec_start(stream), None).await?;
    Ok(attach::exit_code(&ending))
}
