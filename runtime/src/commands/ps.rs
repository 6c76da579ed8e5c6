//! `ps`: a container's processes, as a list of pids or as the lines of ps(1) about them.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use knarr_proto::status::Status;

use super::error::CommandError;
use super::print::print;
use crate::args::command::{ListFormat, PsArgs};
use crate::cgroup::error::CgroupError;
use crate::cgroup::fence::Fence;
use crate::state::record::State;

/// Why ps(1) could not be asked.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub(crate) enum PsError {
    #[error("cannot run ps; install procps, or use --format json")]
    Start { source: std::io::Error },
    #[error("ps failed ({status}): {said}")]
    Failed { status: std::process::ExitStatus, said: String },
    #[error("couldn't find PID field in ps output")]
    NoPid,
    #[error("unable to parse pid: {0:?}")]
    Pid(String),
}

#[inline(never)]
pub(super) fn run(root: &Path, args: &PsArgs) -> Result<(), CommandError> {
    let state = State::load(root, &args.id)?;
    let pids = match Fence::open(&state.cgroups) {
        // systemd has removed a stopped container's.
        Err(CgroupError::Gone) if state.observe(root)?.status == Status::Stopped => BTreeSet::new(),
        fence => fence?.pids()?,
    };
    let text = match args.format {
        ListFormat::Json => {
            let mut text = serde_json::to_string(&pids).expect("plain data becomes JSON");
            text.push('\n');
            text
        }
        ListFormat::Table => {
            let listed = ask(&args.options)?;
            table(&listed, |pid| pids.contains(&pid))?
        }
    };
    print(text.as_bytes())
}

fn ask(options: &[String]) -> Result<String, PsError> {
    let mut ps = Command::new("ps");
    if options.is_empty() {
        ps.arg("-ef")
    } else {
        ps.args(options)
    };
    let output = ps.output().map_err(|source| PsError::Start { source })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim().to_owned();
        return Err(PsError::Failed { status: output.status, said });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The header and the lines whose PID column `is_ours`.
fn table(listed: &str, is_ours: impl Fn(u32) -> bool) -> Result<String, PsError> {
    let mut lines = listed.lines();
    let header = lines.next().unwrap_or_default();
    let column = header.split_whitespace().position(|title| title == "PID").ok_or(PsError::NoPid)?;
    let mut text = format!("{header}\n");
    for line in lines.filter(|line| !line.is_empty()) {
        let word = line.split_whitespace().nth(column).unwrap_or_default();
        let pid = word.parse().map_err(|_| PsError::Pid(word.to_owned()))?;
        if is_ours(pid) {
            text.push_str(line);
            text.push('\n');
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_containers_lines_are_shown() {
        let listed =
            "UID          PID    PPID CMD\nroot           1       0 init\nroot          22       1 sh -c x\n";
        let expected = "UID          PID    PPID CMD\nroot          22       1 sh -c x\n";
        assert_eq!(table(listed, |pid| pid == 22).expect("a table"), expected);
        assert!(matches!(table("COMMAND\nx\n", |_| true), Err(PsError::NoPid)));
        assert!(matches!(table("PID\nx\n", |_| true), Err(PsError::Pid(_))));
    }
}
