//! The values of options: text that a person typed, turned into what the daemon is asked for, or a reason why not.
//! Apart from the files that `--env-file` and `--label-file` name and `-e KEY`'s environment, nothing outside is read.

pub(crate) mod config;
pub(crate) mod device;
pub(crate) mod environment;
pub(crate) mod keep;
pub(crate) mod log;
pub(crate) mod mount;
pub(crate) mod namespace;
pub(crate) mod network;
pub(crate) mod port;
pub(crate) mod security;
pub(crate) mod size;
pub(crate) mod time;
pub(crate) mod tmpfs;
pub(crate) mod ulimit;
pub(crate) mod volume;

use std::path::PathBuf;
use std::str::FromStr;

use knarr_proto::v1::Filter;

/// Why an option's value cannot be used. The message follows "invalid argument … for …: ".
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadOption {
    /// The value is not of the form that the option takes.
    #[error("{value:?} is not {expected}")]
    Form { value: String, expected: &'static str },
    /// A part of the value is unknown or wrong.
    #[error("{part:?} in {value:?} {problem}")]
    Part { part: String, value: String, problem: &'static str },
    /// What docker has, and knarr has not.
    #[error("{value:?} is not supported: {remedy}")]
    Unsupported { value: String, remedy: &'static str },
    /// A file that an option names.
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: std::io::Error },
    /// A line of such a file.
    #[error("{path}, line {line}: {problem}")]
    Line { path: PathBuf, line: usize, problem: &'static str },
    /// Two options that exclude each other.
    #[error("conflicting options: {0}")]
    Conflict(&'static str),
}

impl BadOption {
    fn form(value: &str, expected: &'static str) -> Self {
        Self::Form { value: value.to_owned(), expected }
    }

    fn part(part: &str, value: &str, problem: &'static str) -> Self {
        Self::Part { part: part.to_owned(), value: value.to_owned(), problem }
    }

    fn unsupported(value: &str, remedy: &'static str) -> Self {
        Self::Unsupported { value: value.to_owned(), remedy }
    }
}

/// A time to wait; -1 is for ever, which is 136 years.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seconds(pub(crate) u32);

impl FromStr for Seconds {
    type Err = BadOption;

    fn from_str(text: &str) -> Result<Self, BadOption> {
        match text {
            "-1" => Ok(Self(u32::MAX)),
            _ => text
                .parse()
                .map(Self)
                .map_err(|_| BadOption::form(text, "a number of seconds, or -1 to wait for ever")),
        }
    }
}

/// `--pids-limit`; 0 and -1 are no limit.
pub(crate) fn pids_limit(text: &str) -> Result<i64, BadOption> {
    text.parse()
        .ok()
        .filter(|limit| *limit >= -1)
        .ok_or_else(|| BadOption::form(text, "a number of processes, or -1 for no limit"))
}

/// `KEY=VALUE`
pub(crate) fn key_value(text: &str) -> Result<(String, String), BadOption> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(BadOption::form(text, "KEY=VALUE")),
    }
}

/// `--filter KEY=VALUE`, for all of them. What keys there are is the daemon's to say.
pub(crate) fn filters(texts: &[String]) -> Result<Vec<Filter>, BadOption> {
    texts.iter().map(|text| key_value(text).map(|(key, value)| Filter { key, value })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_values_are_understood() {
        assert_eq!("30".parse::<Seconds>().expect("seconds"), Seconds(30));
        assert_eq!("-1".parse::<Seconds>().expect("for ever"), Seconds(u32::MAX));
        assert_eq!(pids_limit("-1").expect("a limit"), -1);
        assert_eq!(key_value("a=b=c").expect("a pair"), ("a".to_owned(), "b=c".to_owned()));
    }

    #[test]
    fn small_values_are_refused() {
        assert!("-2".parse::<Seconds>().is_err());
        assert!(pids_limit("-2").is_err());
        assert!(key_value("=b").is_err());
        assert!(filters(&["status".to_owned()]).is_err());
    }
}
