//! Rules about what people read: README, docs, scripts.

use std::fs;

use knarr_tests::programs;

use crate::{files, none};

const MAX_COLUMNS: usize = 120;

fn read(path: &str) -> String {
    fs::read_to_string(programs::workspace().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn every_make_command_in_the_documents_exists() {
    let makefile = read("Makefile");
    let mut offenders = Vec::new();
    for file in files(&["md"]) {
        let mut words = file.text.split_whitespace().peekable();
        while let Some(word) = words.next() {
            let target: String = words
                .peek()
                .map(|next| next.chars().take_while(char::is_ascii_lowercase).collect())
                .unwrap_or_default();
            if word.trim_start_matches(['`', '(']) == "make" && word.starts_with('`') && !target.is_empty() {
                let rule = format!("\n{target}:");
                if !makefile.contains(&rule) {
                    offenders.push(format!("{}: make {target}", file.path));
                }
            }
        }
    }
    none("commands that the Makefile does not have", &offenders);
}

#[test]
fn ci_runs_what_the_readme_says() {
    assert!(read(".ci/run").lines().any(|line| line == "exec make test"), ".ci/run calls make test");
    let readme = read("README.md");
    for command in ["make demo", "make test"] {
        assert!(readme.contains(command), "README.md names `{command}`");
    }
}

#[test]
fn nothing_depends_on_a_place_outside_the_repository() {
    // Assembled, so that this file does not name them.
    let outside = [["/wo", "rk/"].concat(), ["/ho", "me/"].concat(), ["/ro", "ot/."].concat()];
    let mut offenders = Vec::new();
    for file in files(&["rs", "md", "toml", "sh", "proto", "service", "socket"]) {
        for (number, line) in file.text.lines().enumerate() {
            if outside.iter().any(|place| line.contains(place.as_str())) && !line.contains("PATH=") {
                offenders.push(format!("{}:{}: {}", file.path, number + 1, line.trim()));
            }
        }
    }
    none("names of places outside", &offenders);
}

/// Tables cannot be wrapped, and neither can what has no blank, as an address.
#[test]
fn lines_fit_a_screen() {
    let is_long = |line: &str| line.chars().count() > MAX_COLUMNS && line.trim().contains(' ');
    let mut offenders = Vec::new();
    for file in files(&["md"]) {
        let lines = (1..).zip(file.text.lines()).filter(|(_, line)| is_long(line) && !line.starts_with('|'));
        offenders.extend(lines.map(|(number, _)| format!("{}:{number}", file.path)));
    }
    none(&format!("lines over {MAX_COLUMNS} columns"), &offenders);
}

#[test]
fn decisions_are_listed_by_number_and_have_their_parts() {
    let mut offenders = Vec::new();
    for file in files(&["md"]).into_iter().filter(|file| file.path.starts_with("docs/decisions/0")) {
        for part in ["Context", "Options", "Choice", "Downsides"] {
            if !file.text.contains(part) {
                offenders.push(format!("{}: no {part}", file.path));
            }
        }
    }
    none("decisions that are not whole", &offenders);
}
