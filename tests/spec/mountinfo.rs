//! /proc/self/mountinfo, parsed: what is mounted where in a container, with which options.

use std::collections::BTreeMap;

/// One line of it.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Options of the mount.
    pub(crate) options: Vec<String>,
    /// `shared:N`, `master:N`, `unbindable`.
    pub(crate) propagation: String,
    /// Type of the filesystem.
    pub(crate) kind: String,
    /// Its source.
    pub(crate) source: String,
    /// Options of the filesystem.
    pub(crate) data: Vec<String>,
    /// What of the filesystem is mounted.
    pub(crate) root: String,
}

/// Mounts by mount point; of several at one the last, which is the visible one.
pub(crate) fn parse(text: &str) -> BTreeMap<String, Entry> {
    text.lines()
        .map(|line| {
            let (mount, filesystem) =
                line.split_once(" - ").unwrap_or_else(|| panic!("no mountinfo: {line:?}"));
            let words: Vec<&str> = mount.split(' ').collect();
            let rest: Vec<&str> = filesystem.split(' ').collect();
            let list = |text: &str| text.split(',').map(str::to_owned).collect();
            let entry = Entry {
                options: list(words[5]),
                propagation: words[6..].join(" "),
                kind: rest[0].to_owned(),
                source: rest[1].to_owned(),
                data: list(rest[2]),
                root: words[3].to_owned(),
            };
            (words[4].to_owned(), entry)
        })
        .collect()
}

impl Entry {
    /// Whether all of the words in `wanted` are among the mount's options; those with `!` in front must not be.
    pub(crate) fn has(&self, wanted: &str) -> bool {
        wanted.split(',').filter(|word| !word.is_empty()).all(|word| match word.strip_prefix('!') {
            Some(word) => !self.options.iter().any(|option| option == word),
            None => self.options.iter().any(|option| option == word),
        })
    }
}
