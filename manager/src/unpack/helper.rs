//! The unpack helper: knarrd, run once more for one layer. It is told a plan, shuts itself in, places the layer's
//! entries and says how it went. It knows nothing of images, records or other snapshots.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::process::ExitCode;

use super::archive::Archive;
use super::confine;
use super::error::LayerError;
use super::message::{Plan, Removal, Report};
use super::place::Placer;
use super::remove::Remover;
use super::stream;
use super::tree::Tree;
use crate::content::Digest;

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
    let expected: Digest =
        plan.diff_id.parse().map_err(|_| LayerError::Sandbox(format!("{} is no digest", plan.diff_id)))?;
    let blob = std::io::stdin().as_fd().try_clone_to_owned().map(File::from);
    let blob = blob.map_err(|error| LayerError::Sandbox(format!("there is no layer: {error}")))?;
    let place = confine::enter(plan)?;
    let mut told = 0;
    let (stream, workers) = stream::start(blob, expected.algorithm(), plan.limits, move |read| {
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
    Placer::new(Tree::new(place.root, place.lower)?, remover).place_all(&mut archive)?;
    let found = workers.finish(archive.finish()?);
    if found == expected { Ok(()) } else { Err(LayerError::wrong_digest(&expected, &found)) }
}

/// Whoever does not listen any more will end us.
fn tell(report: &Report) {
    let mut line = serde_json::to_vec(report).expect("a report is JSON");
    line.push(b'\n');
    drop(std::io::stdout().lock().write_all(&line));
}
