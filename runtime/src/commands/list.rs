//! `list`: every container below `--root`, as a table, as JSON or as bare ids.

use std::fmt::Write as _;

use super::error::CommandError;
use super::print::print;
use super::state::StateOutput;
use crate::args::command::{ListArgs, ListFormat};
use crate::args::globals::Globals;
use crate::output::chain::Chain;
use crate::output::log::Log;
use crate::state::record::State;
use crate::state::status::{Observed, list};

#[inline(never)]
pub(super) fn run(globals: &Globals, args: ListArgs, log: &Log) -> Result<(), CommandError> {
    let root = globals.root.as_path();
    if globals.has_own_root {
        std::fs::metadata(root).map_err(|source| CommandError::Root { path: root.to_owned(), source })?;
    }
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut rows = Vec::new();
    for id in list(root)? {
        let loaded = State::load(root, &id).and_then(|state| Ok((state.observe(root)?, state)));
        match loaded {
            Ok((observed, state)) => rows.push(Row { owner: owner(&passwd, state.owner), state, observed }),
            // One broken container does not hide the others.
            Err(error) => log.warning(&format!("load container {id}: {}", Chain(&error))),
        }
    }
    let text = match (args.quiet, args.format) {
        (true, _) => rows.iter().map(|row| format!("{}\n", row.state.id)).collect(),
        (false, ListFormat::Json) => json(&rows),
        (false, ListFormat::Table) => table(&rows),
    };
    print(text.as_bytes())
}

struct Row {
    owner: String,
    state: State,
    observed: Observed,
}

/// runc prints `null` for no container: Go's encoding of a slice that was never filled.
fn json(rows: &[Row]) -> String {
    let shown: Vec<_> =
        rows.iter().map(|row| StateOutput::new(&row.state, row.observed, &row.owner)).collect();
    let shown = Some(shown).filter(|shown| !shown.is_empty());
    format!("{}\n", serde_json::to_string(&shown).expect("plain data becomes JSON"))
}

/// Columns are at least 12 wide and 3 apart, as Go's tabwriter is set up in runc.
fn table(rows: &[Row]) -> String {
    let mut lines = vec![["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned)];
    for Row { owner, state, observed } in rows {
        lines.push([
            state.id.to_string(),
            observed.pid.to_string(),
            observed.status.to_string(),
            state.bundle.clone(),
            state.created.clone(),
            owner.clone(),
        ]);
    }
    let mut out = String::new();
    let widths: Vec<usize> = (0..5)
        .map(|column| lines.iter().map(|cells| cells[column].chars().count() + 3).fold(12, usize::max))
        .collect();
    for cells in &lines {
        for (cell, width) in cells.iter().zip(&widths) {
            write!(out, "{cell:<width$}").expect("writing to a String cannot fail");
        }
        out.push_str(&cells[5]);
        out.push('\n');
    }
    out
}

/// A user's name, or `#<uid>` without one. From /etc/passwd only: a static binary has no NSS.
fn owner(passwd: &str, uid: u32) -> String {
    let uid = uid.to_string();
    let named = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| format!("#{uid}"))
}
