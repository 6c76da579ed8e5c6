//! What the program says besides its results: the log, as logrus writes it, and the one place where an error and its
//! causes become text.
//!
//! - [`log`]: `--log`, `--log-format`, `--debug`
//! - [`facts`]: what programs want to know of an error;  `refusals`: which system call it was that is missing
//! - [`time`]: RFC 3339
#![forbid(unsafe_code)]

pub(crate) mod chain;
pub(crate) mod facts;
pub(crate) mod log;
pub(crate) mod refusals;
pub(crate) mod time;
