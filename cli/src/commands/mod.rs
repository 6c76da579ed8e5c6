//! The commands: one file a verb or noun, and here the table of them, which no verb knows. Each looks at its arguments
//! first, so that a wrong one changes nothing, then asks knarrd and shows the answer. Which exit code an error has is
//! decided here, from who failed.

mod attach;
mod build;
mod completion;
mod create;
mod diff;
mod each;
mod events;
mod exec;
mod images;
mod info;
mod inspect;
mod kill;
mod load;
mod logs;
mod man;
mod network;
mod pause;
mod prune;
mod ps;
mod pull;
mod rename;
mod restart;
mod rm;
mod rmi;
mod run;
mod save;
mod start;
mod stats;
mod stop;
mod tag;
mod top;
mod update;
mod version;
mod volume;
mod wait;

use crate::args::build::BuilderCommand;
use crate::args::container::{ContainerCommand, ContainerVerb, InspectContainerArgs};
use crate::args::image::{ImageCommand, ImageVerb};
use crate::args::system::{SystemCommand, SystemVerb};
use crate::args::{Cli, Command};
use crate::connect::Address;
use crate::error::{Error, Verb};
use crate::output;

/// Does what was typed, and says how it ended.
pub(crate) async fn run(command_line: Cli) -> u8 {
    let verb = verb(&command_line.command);
    let ended = match Address::find(command_line.host) {
        Ok(address) => execute(command_line.command, &address).await,
        Err(error) => Err(error),
    };
    ended.unwrap_or_else(|error| {
        output::complain(&error);
        error.exit_code(verb)
    })
}

async fn execute(command: Command, address: &Address) -> Result<u8, Error> {
    match command {
        Command::ContainerVerb(verb) => container(*verb, address).await,
        Command::Ps(args) => ps::run(args, address).await,
        Command::ImageVerb(verb) => image(verb, address).await,
        Command::Images(args) => images::run(args, address).await,
        Command::Build(args) | Command::Image(ImageCommand::Build(args)) => build::run(*args, address).await,
        Command::Builder(BuilderCommand::Build(args)) => build::run(*args, address).await,
        Command::Builder(BuilderCommand::Prune(args)) => prune::builds(&args, address).await,
        Command::Rmi(args) => rmi::run(args, address).await,
        Command::Inspect(args) => inspect::run(args.objects, args.kind, address).await,
        Command::Port(args) => network::port::run(args, address).await,
        Command::Network(command) => network::run(command, address).await,
        Command::SystemVerb(verb) => system(verb, address).await,
        Command::Version(args) => version::run(&args, address).await,
        Command::Completion(args) => completion::run(&args),
        Command::Man(args) => man::run(&args),
        Command::Container(ContainerCommand::Verb(verb)) => container(*verb, address).await,
        Command::Container(ContainerCommand::Ls(args)) => ps::run(args, address).await,
        Command::Container(ContainerCommand::Inspect(args)) => {
            inspect::run(args, Some(inspect::ObjectType::Container), address).await
        }
        Command::Container(ContainerCommand::Prune(args)) => prune::containers(&args, address).await,
        Command::Image(ImageCommand::Verb(verb)) => image(verb, address).await,
        Command::Image(ImageCommand::Ls(args)) => images::run(args, address).await,
        Command::Image(ImageCommand::Rm(args)) => rmi::run(args, address).await,
        Command::Image(ImageCommand::Inspect(args)) => {
            let args = InspectContainerArgs { size: false, objects: args };
            inspect::run(args, Some(inspect::ObjectType::Image), address).await
        }
        Command::Image(ImageCommand::Prune(args)) => prune::images(&args, address).await,
        Command::Image(ImageCommand::Import(args)) => load::import(args, address).await,
        Command::Volume(command) => volume::run(command, address).await,
        Command::System(SystemCommand::Verb(verb)) => system(verb, address).await,
    }
}

async fn container(verb: ContainerVerb, address: &Address) -> Result<u8, Error> {
    match verb {
        ContainerVerb::Run(args) => run::run(*args, address).await,
        ContainerVerb::Create(args) => create::run(*args, address).await,
        ContainerVerb::Start(args) => start::run(args, address).await,
        ContainerVerb::Stop(args) => stop::run(args, address).await,
        ContainerVerb::Restart(args) => restart::run(args, address).await,
        ContainerVerb::Kill(args) => kill::run(args, address).await,
        ContainerVerb::Pause(args) => pause::pause(args, address).await,
        ContainerVerb::Unpause(args) => pause::unpause(args, address).await,
        ContainerVerb::Rename(args) => rename::run(args, address).await,
        ContainerVerb::Update(args) => update::run(args, address).await,
        ContainerVerb::Top(args) => top::run(args, address).await,
        ContainerVerb::Stats(args) => stats::run(args, address).await,
        ContainerVerb::Rm(args) => rm::run(args, address).await,
        ContainerVerb::Exec(args) => exec::run(args, address).await,
        ContainerVerb::Attach(args) => attach::run(args, address).await,
        ContainerVerb::Logs(args) => logs::run(args, address).await,
        ContainerVerb::Diff(args) => diff::run(args, address).await,
        ContainerVerb::Wait(args) => wait::run(args, address).await,
    }
}

async fn image(verb: ImageVerb, address: &Address) -> Result<u8, Error> {
    match verb {
        ImageVerb::Pull(args) => pull::run(args, address).await,
        ImageVerb::Tag(args) => tag::run(args, address).await,
        ImageVerb::Load(args) => load::run(args, address).await,
        ImageVerb::Save(args) => save::run(args, address).await,
    }
}

async fn system(verb: SystemVerb, address: &Address) -> Result<u8, Error> {
    match verb {
        SystemVerb::Events(args) => events::run(args, address).await,
        SystemVerb::Info(args) => info::run(&args, address).await,
    }
}

/// Whose exit code it is that `knarr` ends with.
fn verb(command: &Command) -> Verb {
    let (Command::ContainerVerb(verb) | Command::Container(ContainerCommand::Verb(verb))) = command else {
        return Verb::Other;
    };
    match **verb {
        ContainerVerb::Run(_) => Verb::Run,
        ContainerVerb::Exec(_) => Verb::Exec,
        _ => Verb::Other,
    }
}
