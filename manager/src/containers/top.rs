//! A container's processes as `ps` on the host shows them: the lines of those that are in the container.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::error::ContainerError;
use super::handle::Containers;

/// Docker's arguments of `ps`, when none are given.
const DEFAULT: &str = "-ef";
/// `ps` looks at every process of the host.
const LIMIT: Duration = Duration::from_secs(30);
/// The column that tells which lines are the container's.
const PID: &str = "PID";

/// A table of processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Processes {
    pub(crate) titles: Vec<String>,
    /// Each with as many cells as there are titles.
    pub(crate) rows: Vec<Vec<String>>,
}

/// The processes of a running container, by `ps` with these arguments.
///
/// # Errors
/// [`ContainerError::NotRunning`], or [`ContainerError::Ps`].
pub(crate) async fn top(
    containers: &Containers,
    text: &str,
    arguments: &[String],
) -> Result<Processes, ContainerError> {
    let container = containers.registry.find(text)?;
    let task = container.process_task()?;
    if let Some(argument) = arguments.iter().find(|argument| renames_pid(argument)) {
        return Err(ContainerError::Ps(format!("{argument:?} would give another column the title {PID}")));
    }
    let pids: BTreeSet<String> = task.pids().await?.into_iter().map(|pid| pid.to_string()).collect();
    let table = pick(&ps(arguments).await?, &pids)?;
    containers.records.publish(&container, "top", &[]);
    Ok(table)
}

/// `-o NAME=TITLE` with a title by which lines of other processes could be taken for the container's.
fn renames_pid(argument: &str) -> bool {
    argument.split(|letter: char| letter == ',' || letter.is_whitespace()).any(|part| {
        part.split_once('=')
            .is_some_and(|(name, title)| title.contains(PID) && name.trim_start_matches(['-', 'o']) != "pid")
    })
}

async fn ps(arguments: &[String]) -> Result<String, ContainerError> {
    let mut command = Command::new("ps");
    match arguments {
        [] => command.arg(DEFAULT),
        given => command.args(given),
    };
    command.stdin(Stdio::null()).kill_on_drop(true);
    let refused = |problem: String| ContainerError::Ps(problem);
    let output = tokio::time::timeout(LIMIT, command.output()).await;
    let output = output.map_err(|_| refused(format!("it took longer than {} s", LIMIT.as_secs())))?;
    let output = output.map_err(|error| refused(format!("it cannot be run: {error}")))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(refused(said.lines().next().unwrap_or("it failed without a word").trim().to_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The lines of `text`, which `ps` wrote, that are of these processes.
fn pick(text: &str, pids: &BTreeSet<String>) -> Result<Processes, ContainerError> {
    let mut lines = text.lines();
    let titles: Vec<String> =
        lines.next().unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    let column = titles.iter().position(|title| title == PID);
    let column = column.ok_or_else(|| ContainerError::Ps(format!("its output has no column {PID}")))?;
    let rows = lines.map(|line| cells(line, titles.len()));
    let is_ours = |row: &Vec<String>| row.get(column).is_some_and(|pid| pids.contains(pid));
    Ok(Processes { rows: rows.filter(is_ours).collect(), titles })
}

/// The last cell is the rest of the line: a command has spaces.
fn cells(line: &str, count: usize) -> Vec<String> {
    let mut words: Vec<&str> = line.split_whitespace().collect();
    let rest = words.split_off(count.saturating_sub(1).min(words.len())).join(" ");
    words.into_iter().map(str::to_owned).chain((!rest.is_empty()).then_some(rest)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_containers_lines_are_shown() {
        let text = "UID   PID CMD\nroot    1 init splash\nroot   12 sleep 1000\nroot  123 other 12\n";
        let table = pick(text, &["12".to_owned()].into()).expect("a table");
        assert_eq!(table.titles, ["UID", "PID", "CMD"]);
        assert_eq!(table.rows, [["root", "12", "sleep 1000"]]);
        assert!(pick("UID CMD\nroot 12\n", &["12".to_owned()].into()).is_err());
    }

    #[test]
    fn no_other_column_can_be_called_pid() {
        for argument in ["comm=PID", "-ocomm=PID", "user,comm=xPIDx"] {
            assert!(renames_pid(argument), "{argument}");
        }
        for argument in ["pid=PID", "-opid=PID", "pid,comm=NAME", "-ef"] {
            assert!(!renames_pid(argument), "{argument}");
        }
    }
}
