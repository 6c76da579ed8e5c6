//! The pack helper: knarrd, run once more for one tree. It is told a plan, shuts itself in, writes the tree as a tar, and
//! says how it went.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

use super::error::{PackFault, writing};
use super::message::{Plan, Report, Times, Tree};
use super::walk::Packer;
use crate::layers::confine::{self, ConfineError, Confinement};

/// As much as a pipe takes at once.
const BUFFER_BYTES: usize = 1 << 20;

/// Packs as `plan` says.
pub(crate) fn main(plan: &OsStr) -> ExitCode {
    let plan: Plan = match serde_json::from_slice(plan.as_encoded_bytes()) {
        Ok(plan) => plan,
        Err(error) => {
            eprintln!("knarrd: cannot understand the plan of a packing: {error}");
            return ExitCode::FAILURE;
        }
    };
    let report = match run(&plan) {
        Ok(()) => Report::Done,
        Err(fault) => Report::Failed(fault),
    };
    let told = serde_json::to_vec(&report).expect("a report is JSON");
    match std::io::stderr().write_all(&told) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn run(plan: &Plan) -> Result<(), PackFault> {
    let (root, view) = match &plan.tree {
        Tree::Changes { upper } => (upper, &[][..]),
        Tree::Differences { directory, below } => (directory, below.as_slice()),
        Tree::Whole { layers } => match layers.first() {
            Some(first) => (first, layers.as_slice()),
            None => return Err(ConfineError::Sandbox("there is no layer".to_owned()).into()),
        },
    };
    let confinement = Confinement { parent_pid: plan.parent_pid, mount: None, root, may_write: false, view };
    let out = std::io::stdout().as_fd().try_clone_to_owned().map_err(writing)?;
    let place = confine::enter(&confinement)?;
    let out = BufWriter::with_capacity(BUFFER_BYTES, File::from(out));
    write(&plan.tree, plan.times, (&place.root, place.view.as_ref()), out)
}

/// Writes the tree that is at `root`, or that `view` shows.
pub(super) fn write(
    tree: &Tree,
    times: Times,
    (root, view): (&OwnedFd, Option<&OwnedFd>),
    out: impl Write,
) -> Result<(), PackFault> {
    let mut packer = Packer::new(out, times, matches!(tree, Tree::Changes { .. }));
    match tree {
        Tree::Changes { .. } => packer.all(root.as_fd())?,
        Tree::Differences { .. } => packer.differences(root.as_fd(), view.map(AsFd::as_fd))?,
        Tree::Whole { .. } => packer.all(view.unwrap_or(root).as_fd())?,
    }
    packer.finish()
}
