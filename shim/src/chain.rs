//! An error with its causes as one line, for the edges: a caller's status, the journal, stderr.

use std::error::Error;

/// The error's text and its causes', joined with colons.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
