//! `list`: every container below `--root`, as a table, as JSON or as bare ids.

use std::fmt::Write as _;
use std::io::Write as _;

use super::CommandError;
use super::state::Shown;
use crate::args::{Globals, ListArgs, ListFormat};
use crate::output::{Chain, Log};
use crate::state::{Observed, State, list};

pub(super) fn run(globals: &Globals, args: ListArgs, log: &Log) -> Result<(), CommandError> {
    let root = globals.root.as_path();
    if globals.has_own_root {
        std::fs::metadata(root).map_err(|source| CommandError::Root { path: root.to_owned(), source })?;
    }
    let mut containers = Vec::new();
    for (id, state) in list(root)? {
        let observed = state.and_then(|state| state.observe(root).map(|observed| (state, observed)));
        match observed {
            Ok((state, observed)) => containers.push((owner(state.owner), state, observed)),
            // One broken container does not hide the others.
            Err(error) => log.warning(&format!("load container {id}: {}", Chain(&error))),
        }
    }
    let text = match (args.quiet, args.format) {
        (true, _) => containers.iter().map(|(_, state, _)| format!("{}\n", state.id)).collect(),
        (false, ListFormat::Json) => json(&containers),
        (false, ListFormat::Table) => table(&containers),
    };
    std::io::stdout().write_all(text.as_bytes()).map_err(|source| CommandError::Print { source })
}

type Listed = (String, State, Observed);

/// runc prints `null` for no container: Go's encoding of a slice that was never filled.
fn json(containers: &[Listed]) -> String {
    let shown: Vec<_> =
        containers.iter().map(|(owner, state, observed)| Shown::new(state, *observed, owner)).collect();
    let shown = if shown.is_empty() { None } else { Some(shown) };
    format!("{}\n", serde_json::to_string(&shown).expect("plain data becomes JSON"))
}

/// Columns are at least 12 wide and 3 apart, as Go's tabwriter is set up in runc.
fn table(containers: &[Listed]) -> String {
    let mut rows = vec![["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned)];
    for (owner, state, observed) in containers {
        rows.push([
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
        .map(|column| rows.iter().map(|row| row[column].chars().count() + 3).fold(12, usize::max))
        .collect();
    for row in &rows {
        for (cell, width) in row.iter().zip(&widths) {
            write!(out, "{cell:<width$}").expect("writing to a String cannot fail");
        }
        out.push_str(&row[5]);
        out.push('\n');
    }
    out
}

/// A user's name, or `#<uid>` without one. Read from /etc/passwd only: a static binary has no NSS.
fn owner(uid: u32) -> String {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let uid = uid.to_string();
    let named = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| format!("#{uid}"))
}
