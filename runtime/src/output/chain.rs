//! An error and its causes as one text.

use std::error::Error;
use std::fmt;

use rustix::io::Errno;

/// An error followed by its causes, `a: b: c`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chain<'a>(pub(crate) &'a (dyn Error + 'static));

impl Chain<'_> {
    /// The text of each.
    #[must_use]
    pub(crate) fn texts(self) -> Vec<String> {
        std::iter::successors(Some(self.0), |&error| error.source())
            .map(|error| Reworded(error).to_string())
            .collect()
    }
}

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.texts().join(": "))
    }
}

/// An errno in the words of Go's programs, lower case and without "(os error 2)": callers of runc look for "no such
/// file or directory" and "permission denied". musl, which we are linked with, words some of them otherwise.
pub(crate) struct Reworded<'a>(&'a (dyn Error + 'static));

impl fmt::Display for Reworded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(number) = errno_of(self.0) else { return write!(f, "{}", self.0) };
        match Errno::from_raw_os_error(number) {
            Errno::BUSY => f.write_str("device or resource busy"),
            Errno::IO => f.write_str("input/output error"),
            Errno::LOOP => f.write_str("too many levels of symbolic links"),
            Errno::OPNOTSUPP => f.write_str("operation not supported"),
            Errno::NOTEMPTY => f.write_str("directory not empty"),
            Errno::NXIO => f.write_str("no such device or address"),
            Errno::DQUOT => f.write_str("disk quota exceeded"),
            errno => f.write_str(&decapitalised(&errno.to_string())),
        }
    }
}

pub(crate) fn decapitalised(text: &str) -> String {
    let words = text.split_once(" (os error ").map_or(text, |(words, _)| words);
    let mut letters = words.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_lowercase().collect::<String>() + letters.as_str())
}

/// The errno that this link of a chain is.
pub(crate) fn errno_of(error: &(dyn Error + 'static)) -> Option<i32> {
    match (error.downcast_ref::<Errno>(), error.downcast_ref::<std::io::Error>()) {
        (Some(errno), _) => Some(errno.raw_os_error()),
        (None, Some(error)) => error.raw_os_error(),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot open {path}")]
    struct Open {
        path: &'static str,
        source: Errno,
    }

    #[test]
    fn causes_are_told_in_the_words_that_callers_look_for() {
        for (source, words) in [
            (Errno::NOENT, "cannot open /x: no such file or directory"),
            (Errno::ACCESS, "cannot open /x: permission denied"),
            (Errno::PERM, "cannot open /x: operation not permitted"),
            (Errno::BUSY, "cannot open /x: device or resource busy"),
        ] {
            assert_eq!(Chain(&Open { path: "/x", source }).to_string(), words);
        }
    }
}
