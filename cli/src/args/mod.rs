//! The command line, as it is typed: one file a noun. Names, spelling and defaults are docker's. Nothing is decided here.

mod absent;
pub(crate) mod build;
pub(crate) mod container;
pub(crate) mod container_options;
pub(crate) mod image;
pub(crate) mod keep_options;
pub(crate) mod network;
pub(crate) mod network_options;
pub(crate) mod system;
pub(crate) mod usage;
pub(crate) mod volume;

use clap::{Parser, Subcommand};

use build::{BuildArgs, BuilderCommand};
use container::{ContainerCommand, ContainerVerb, InspectArgs, PsArgs};
use image::{ImageCommand, ImageVerb, ImagesArgs, RmiArgs};
use network::{NetworkCommand, PortArgs};
use system::{CompletionArgs, ManArgs, SystemCommand, SystemVerb, VersionArgs};
use volume::VolumeCommand;

/// Runs containers
#[derive(Debug, Parser)]
#[command(
    name = "knarr",
    version,
    disable_version_flag = true,
    args_override_self = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    /// Where knarrd listens [default: $KNARR_HOST, or knarrd.sock in $KNARR_STATE or /run/knarr]
    #[arg(short = 'H', long, global = true, value_name = "unix://PATH", help_heading = "Global options")]
    pub(crate) host: Option<String>,
    /// Print version
    #[arg(short = 'v', long, action = clap::ArgAction::Version)]
    version: (),
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    ContainerVerb(Box<ContainerVerb>),
    /// List containers
    Ps(PsArgs),
    #[command(flatten)]
    ImageVerb(ImageVerb),
    /// Build an image from a Dockerfile
    Build(Box<BuildArgs>),
    /// List images
    Images(ImagesArgs),
    /// Remove one or more images
    Rmi(RmiArgs),
    /// Return low-level information on containers, images and volumes
    Inspect(InspectArgs),
    #[command(flatten)]
    SystemVerb(SystemVerb),
    /// Show the version of knarr and knarrd
    Version(VersionArgs),
    /// Print a completion script for a shell
    Completion(CompletionArgs),
    /// Write the manual pages into a directory
    #[command(hide = true)]
    Man(ManArgs),
    /// Manage containers
    #[command(subcommand, arg_required_else_help = true)]
    Container(ContainerCommand),
    /// Manage images
    #[command(subcommand, arg_required_else_help = true)]
    Image(ImageCommand),
    /// Manage builds
    #[command(subcommand, arg_required_else_help = true)]
    Builder(BuilderCommand),
    /// Manage volumes
    #[command(subcommand, arg_required_else_help = true)]
    Volume(VolumeCommand),
    /// List port mappings or a specific mapping for the container
    Port(PortArgs),
    /// Manage networks
    #[command(subcommand, arg_required_else_help = true)]
    Network(NetworkCommand),
    /// Manage knarrd
    #[command(subcommand, arg_required_else_help = true)]
    System(SystemCommand),
}
