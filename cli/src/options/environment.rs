//! `-e`, `--env-file`, `--label` and `--label-file`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::BadOption;

/// What `-e KEY` without a value looks up.
pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// This process's environment; a value that is not UTF-8 counts as unset, for the contract carries text.
pub(crate) fn own(key: &str) -> Option<String> {
    std::env::var(key).ok()
}

/// The container's variables: the files' first, then the flags'. A bare `KEY` takes this process's value, and removes
/// the image's when there is none.
///
/// # Errors
/// A file that cannot be read or has a bad line, or a flag without a name.
pub(crate) fn variables(
    flags: &[String],
    files: &[PathBuf],
    lookup: Lookup<'_>,
) -> Result<Vec<String>, BadOption> {
    let mut variables = Vec::new();
    for path in files {
        for (line, text) in lines(path)? {
            let key = text.split_once('=').map_or(text.as_str(), |(key, _)| key);
            if key.is_empty() {
                return Err(BadOption::Line {
                    path: path.clone(),
                    line,
                    problem: "no variable name before =",
                });
            }
            if key.contains(char::is_whitespace) {
                return Err(BadOption::Line {
                    path: path.clone(),
                    line,
                    problem: "variable name has a space",
                });
            }
            // In a file, a bare name that is not set is left out.
            if text.contains('=') {
                variables.push(text);
            } else if let Some(value) = lookup(&text) {
                variables.push(format!("{text}={value}"));
            }
        }
    }
    for text in flags {
        if text.is_empty() || text.starts_with('=') {
            return Err(BadOption::form(text, "KEY=VALUE or KEY"));
        }
        match (text.contains('='), lookup(text)) {
            (false, Some(value)) => variables.push(format!("{text}={value}")),
            _ => variables.push(text.clone()),
        }
    }
    Ok(variables)
}

/// The container's labels: the files' first, then the flags'. A bare `KEY` is empty.
///
/// # Errors
/// As [`variables`].
pub(crate) fn labels(flags: &[String], files: &[PathBuf]) -> Result<HashMap<String, String>, BadOption> {
    let mut labels = HashMap::new();
    let mut add = |text: &str| {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        if key.is_empty() {
            return Err(BadOption::form(text, "KEY=VALUE or KEY"));
        }
        labels.insert(key.to_owned(), value.to_owned());
        Ok(())
    };
    for path in files {
        for (_, text) in lines(path)? {
            add(&text)?;
        }
    }
    for text in flags {
        add(text)?;
    }
    Ok(labels)
}

/// Numbered lines without empty ones and comments; leading space does not count.
fn lines(path: &Path) -> Result<Vec<(usize, String)>, BadOption> {
    let text =
        std::fs::read_to_string(path).map_err(|source| BadOption::Read { path: path.to_owned(), source })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    Ok(text
        .lines()
        .enumerate()
        .map(|(at, line)| (at + 1, line.trim_start().to_owned()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(key: &str) -> Option<String> {
        (key == "HOME").then(|| "/root".to_owned())
    }

    fn file(name: &str, text: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("knarr-cli-{}-{name}", std::process::id()));
        std::fs::write(&path, text).expect("a file");
        path
    }

    #[test]
    fn files_come_before_flags_and_bare_names_are_looked_up() {
        let path = file("env", "# comment\n\n  A=1 # kept\nHOME\nNOT_SET\nB=\n");
        let flags = ["C=3", "HOME", "GONE", "D=a=b"].map(str::to_owned);
        let variables = variables(&flags, std::slice::from_ref(&path), &lookup).expect("variables");
        assert_eq!(variables, ["A=1 # kept", "HOME=/root", "B=", "C=3", "HOME=/root", "GONE", "D=a=b"]);
        std::fs::remove_file(path).expect("removed");
    }

    #[test]
    fn bad_lines_are_named() {
        for (name, text) in [("empty", "A=1\n=2\n"), ("space", "A=1\nB C=2\n")] {
            let path = file(name, text);
            let error = variables(&[], std::slice::from_ref(&path), &lookup).expect_err("a bad line");
            assert!(error.to_string().contains("line 2"), "{error}");
            std::fs::remove_file(path).expect("removed");
        }
        assert!(variables(&["=1".to_owned()], &[], &lookup).is_err());
        assert!(variables(&[], &["/nonexistent/env".into()], &lookup).is_err());
    }

    #[test]
    fn labels_are_pairs_and_the_last_one_counts() {
        let path = file("labels", "a=1\nb\n");
        let labels = labels(&["a=2".to_owned()], std::slice::from_ref(&path)).expect("labels");
        assert_eq!(labels, HashMap::from([("a".into(), "2".into()), ("b".into(), String::new())]));
        std::fs::remove_file(path).expect("removed");
    }
}
