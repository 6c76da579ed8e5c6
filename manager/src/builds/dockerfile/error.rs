//! What is wrong with a Dockerfile, with the place to look at.

use std::fmt;

/// A mistake in a Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DockerfileError {
    /// Counted from 1; 0 for the whole file.
    pub(crate) line: usize,
    /// Counted from 1, in characters; 0 for the whole line.
    pub(crate) column: usize,
    /// The line itself.
    pub(crate) shown: String,
    /// One sentence without an end.
    pub(crate) what: String,
}

/// So much of a line is shown.
const MAX_SHOWN_CHARS: usize = 200;

impl DockerfileError {
    /// A mistake at a place.
    pub(crate) fn new(at: &Place, what: impl Into<String>) -> Self {
        let shown = at.shown.chars().take(MAX_SHOWN_CHARS).collect();
        Self { line: at.line, column: at.column, shown, what: what.into() }
    }

    /// A mistake of the whole file.
    pub(crate) fn of_file(what: impl Into<String>) -> Self {
        Self { line: 0, column: 0, shown: String::new(), what: what.into() }
    }
}

impl fmt::Display for DockerfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            return f.write_str(&self.what);
        }
        write!(f, "line {}: {}", self.line, self.what)?;
        match self.column {
            0 => write!(f, " (in: {})", self.shown),
            column => write!(f, " (column {column} of: {})", self.shown),
        }
    }
}

impl std::error::Error for DockerfileError {}

/// Where something stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// Counted from 1.
    pub(crate) line: usize,
    /// Counted from 1, in characters; 0 for the whole line.
    pub(crate) column: usize,
    /// The line's text.
    pub(crate) shown: String,
}

impl Place {
    /// The place of `part` in this line, if it can be found there.
    pub(crate) fn of(&self, part: &str) -> Self {
        let column = match self.shown.find(part) {
            Some(at) if !part.is_empty() => self.shown[..at].chars().count() + 1,
            _ => 0,
        };
        Self { column, ..self.clone() }
    }
}
