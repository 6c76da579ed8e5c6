//! The layout's rules, held by tests: docs/architecture.md lists them. It reads the workspace's files and
//! `cargo metadata`, and builds nothing.
#![forbid(unsafe_code)]

mod circles;
mod code;
mod crates;
mod documents;
mod modules;
mod sources;
mod types;

use std::fs;
use std::path::{Path, PathBuf};

use knarr_tests::programs;

/// A file of the workspace: its path from the root, and its text.
struct File {
    path: String,
    text: String,
}

/// Every file with one of these extensions, outside of target/ and hidden directories, by path.
fn files(extensions: &[&str]) -> Vec<File> {
    let root = programs::workspace();
    let mut found = Vec::new();
    collect(root, extensions, &mut found);
    found.sort();
    assert!(!found.is_empty(), "no {extensions:?} files below {}", root.display());
    let read = |path: PathBuf| {
        let name = path.strip_prefix(root).expect("it was found below the root");
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        File { path: name.to_string_lossy().into_owned(), text }
    };
    found.into_iter().map(read).collect()
}

fn collect(directory: &Path, extensions: &[&str], found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("the workspace can be read") {
        let path = entry.expect("the workspace can be read").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            if !name.starts_with('.') && !matches!(name, "target" | "corpus") {
                collect(&path, extensions, found);
            }
        } else if path.extension().is_some_and(|is| extensions.iter().any(|extension| is == *extension)) {
            found.push(path);
        }
    }
}

/// Fails with all offenders at once.
#[track_caller]
fn none(rule: &str, offenders: &[String]) {
    assert!(offenders.is_empty(), "{rule}:\n  {}", offenders.join("\n  "));
}
