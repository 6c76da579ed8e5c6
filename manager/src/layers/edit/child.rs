//! The edit helper: knarrd, run once more for one snapshot. It is told a plan, shuts itself in with the snapshot mounted
//! as its root, changes it, and says how it went.

use std::io::{Read, Write};
use std::process::ExitCode;

use super::copy;
use super::error::EditFault;
use super::message::{Edit, Plan, Report};
use super::place;
use crate::layers::confine::{self, ConfineError, Confinement};

/// Heredocs are in it.
const MAX_PLAN_BYTES: u64 = 64 << 20;

/// Edits as the plan on stdin says.
pub(crate) fn main() -> ExitCode {
    let mut text = Vec::new();
    let read = std::io::stdin().lock().take(MAX_PLAN_BYTES).read_to_end(&mut text);
    let report = match read.map_err(serde_json::Error::io).and_then(|_| serde_json::from_slice(&text)) {
        Ok(plan) => match run(&plan) {
            Ok(()) => Report::Done,
            Err(fault) => Report::Failed(fault),
        },
        Err(error) => {
            eprintln!("knarrd: cannot understand the plan of an edit: {error}");
            return ExitCode::FAILURE;
        }
    };
    let told = serde_json::to_vec(&report).expect("a report is JSON");
    match std::io::stdout().write_all(&told) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn run(plan: &Plan) -> Result<(), EditFault> {
    let confinement = Confinement {
        parent_pid: plan.parent_pid,
        mount: plan.mount.as_ref(),
        root: &plan.place,
        may_write: true,
        view: &plan.sources,
    };
    let confined = confine::enter(&confinement)?;
    for edit in &plan.edits {
        match edit {
            Edit::Directory { path, owner } => {
                place::directories(&confined.root, path.as_bytes(), *owner)?;
            }
            Edit::File { path, text, mode, owner } => {
                place::file(&confined.root, path, text, (*mode, *owner))?;
            }
            Edit::Copy(edit) => match &confined.view {
                Some(sources) => copy::copy(edit, sources, &confined.root)?,
                None => return Err(ConfineError::Sandbox("there is no source".to_owned()).into()),
            },
        }
    }
    Ok(())
}
