//! Arguments of the commands on images.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::container::InspectOneTypeArgs;

/// Verbs that stand alone (`knarr pull`) and below `image` (`knarr image pull`).
#[derive(Debug, Subcommand)]
pub(crate) enum ImageVerb {
    /// Download an image from a registry
    Pull(PullArgs),
    /// Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE
    Tag(TagArgs),
    /// Load images from a tar archive or STDIN
    Load(LoadArgs),
    /// Save one or more images to a tar archive (streamed to STDOUT by default)
    Save(SaveArgs),
}

/// Below `knarr image`.
#[derive(Debug, Subcommand)]
pub(crate) enum ImageCommand {
    #[command(flatten)]
    Verb(ImageVerb),
    /// Build an image from a Dockerfile
    Build(Box<super::build::BuildArgs>),
    /// List images
    #[command(alias = "list")]
    Ls(ImagesArgs),
    /// Remove one or more images
    #[command(alias = "remove")]
    Rm(RmiArgs),
    /// Return low-level information on images
    Inspect(InspectOneTypeArgs),
    /// Remove unused images
    Prune(PruneImagesArgs),
    /// Load images from an OCI or docker archive
    Import(ImportArgs),
}

/// `knarr pull`
#[derive(Debug, Args)]
pub(crate) struct PullArgs {
    /// Set platform if the image has several: OS/ARCHITECTURE[/VARIANT]
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) platform: String,
    /// Suppress verbose output
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// As in docker: alpine, ghcr.io/owner/name:1.2, localhost:5000/name@sha256:…
    #[arg(value_name = "NAME[:TAG|@DIGEST]")]
    pub(crate) image: String,
}

/// `knarr images`
#[derive(Debug, Args)]
pub(crate) struct ImagesArgs {
    /// Show all images; knarr keeps no intermediate ones
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Show digests
    #[arg(long)]
    pub(crate) digests: bool,
    /// Filter output: reference, label or dangling, as KEY=VALUE
    #[arg(short, long = "filter", value_name = "KEY=VALUE")]
    pub(crate) filters: Vec<String>,
    /// 'table', 'table TEMPLATE', 'json' or a Go template
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) format: String,
    /// Don't truncate output
    #[arg(long)]
    pub(crate) no_trunc: bool,
    /// Only show image IDs
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Only these; may hold * and ?
    #[arg(value_name = "REPOSITORY[:TAG]")]
    pub(crate) reference: Option<String>,
}

/// `knarr rmi`
#[derive(Debug, Args)]
pub(crate) struct RmiArgs {
    /// Force removal of the image
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Their names or ids
    #[arg(required = true, value_name = "IMAGE")]
    pub(crate) images: Vec<String>,
}

/// `knarr image prune`
#[derive(Debug, Args)]
pub(crate) struct PruneImagesArgs {
    /// Remove all images that no container uses, not just dangling ones
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    pub(crate) force: bool,
}

/// `knarr tag`
#[derive(Debug, Args)]
pub(crate) struct TagArgs {
    /// An image that is here, by name or id
    #[arg(value_name = "SOURCE_IMAGE[:TAG]")]
    pub(crate) source: String,
    /// Its further name
    #[arg(value_name = "TARGET_IMAGE[:TAG]")]
    pub(crate) target: String,
}

/// `knarr load`
#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    /// Read from tar archive file, instead of STDIN
    #[arg(short, long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
    /// Load only the given platform
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) platform: String,
    /// Print nothing but the images' names
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// `knarr image import`
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// Load only the given platform
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) platform: String,
    /// The archive; - is STDIN
    #[arg(value_name = "FILE|-")]
    pub(crate) file: PathBuf,
}

/// `knarr save`
#[derive(Debug, Args)]
pub(crate) struct SaveArgs {
    /// Write to a file, instead of STDOUT
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Their names or ids
    #[arg(required = true, value_name = "IMAGE")]
    pub(crate) images: Vec<String>,
}
