//! The unpack helper: knarrd, run once more for one layer. It is told a plan, shuts itself in, places the layer's
//! entries and says how it went. It knows nothing of images, records or other snapshots.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::process::ExitCode;

use super::archive::Archive;
use super::budget::Budget;
use super::error::LayerError;
use super::message::{Plan, Removal, Report};
use super::path::EntryPath;
use super::place::Placer;
use super::remove::Remover;
use super::stream;
use super::tree::{MAX_OPEN, Tree};
use crate::content::{Algorithm, Digest};
use crate::layers::confine::{self, ConfineError, Confinement};

/// So many compressed bytes are worth a word.
const REPORT_BYTES: u64 = 1 << 20;

/// Unpacks the layer on stdin as `plan` says.
pub(crate) fn main(plan: &OsStr) -> ExitCode {
    let plan: Plan = match serde_json::from_slice(plan.as_encoded_bytes()) {
        Ok(plan) => plan,
        Err(error) => {
            eprintln!("knarrd: cannot understand the plan of an unpacking: {error}");
            return ExitCode::FAILURE;
        }
    };
    tell(&match run(&plan) {
        Ok(()) => Report::Done,
        Err(error) => Report::Failed(error),
    });
    ExitCode::SUCCESS
}

fn run(plan: &Plan) -> Result<(), LayerError> {
    let expected: Option<Digest> = match plan.diff_id.as_str() {
        "" => None,
        text => Some(text.parse().map_err(|_| no_layer(format!("{text} is no digest")))?),
    };
    let blob = std::io::stdin().as_fd().try_clone_to_owned().map(File::from);
    let blob = blob.map_err(|error| no_layer(format!("there is no layer: {error}")))?;
    let blob_bytes = blob.metadata().map(|metadata| metadata.len());
    let blob_bytes = blob_bytes.map_err(|error| no_layer(format!("there is no layer: {error}")))?;
    let view = match &plan.removal {
        Removal::Whiteouts(lower) => lower.as_slice(),
        Removal::Deletion => &[],
    };
    let confinement =
        Confinement { parent_pid: plan.parent_pid, mount: None, root: &plan.root, may_write: true, view };
    let place = confine::enter(&confinement)?;
    let mut told = 0;
    let algorithm = expected.as_ref().map_or(Algorithm::Sha256, Digest::algorithm);
    let (stream, workers) = stream::start(blob, algorithm, plan.limits, move |read| {
        if read - told >= REPORT_BYTES {
            told = read;
            tell(&Report::Read(read));
        }
    })?;
    let mut archive = Archive::new(stream, plan.limits);
    let remover = match plan.removal {
        Removal::Whiteouts(_) => Remover::Whiteouts,
        Removal::Deletion => Remover::deletion(),
    };
    let tree = Tree::new(place.root, place.view, Budget::new(plan.limits, blob_bytes), MAX_OPEN)?;
    let mut placer = Placer::new(tree, remover);
    if plan.is_plain {
        placer = placer.plain(EntryPath::parse(format!("/{}", plan.prefix).as_bytes())?);
    }
    placer.place_all(&mut archive)?;
    let found = workers.finish(archive.finish()?);
    match expected {
        Some(expected) if found != expected => Err(LayerError::wrong_digest(&expected, &found)),
        _ => Ok(()),
    }
}

fn no_layer(why: String) -> LayerError {
    ConfineError::Sandbox(why).into()
}

/// When nobody listens any more, nobody wants the layer.
fn tell(report: &Report) {
    let mut line = serde_json::to_vec(report).expect("a report is JSON");
    line.push(b'\n');
    if std::io::stdout().lock().write_all(&line).is_err() {
        std::process::exit(1);
    }
}
