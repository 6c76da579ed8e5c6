//! `--log-driver` and `--log-opt`: what is recorded of a container's output.

use knarr_proto::v1::Log;

use super::{BadOption, size};
use crate::args::container_options::{LogDriver, LogOptions};

/// What the options ask for; nothing is the daemon's choice.
///
/// # Errors
/// An option that is unknown, or means nothing without a log.
pub(crate) fn parse(options: &LogOptions) -> Result<Option<Log>, BadOption> {
    let is_none = options.log_driver == Some(LogDriver::None);
    let mut log = Log { none: is_none, ..Log::default() };
    for (key, value) in &options.log_opt {
        let text = format!("{key}={value}");
        if is_none {
            return Err(BadOption::unsupported(&text, "the driver none has no options"));
        }
        match key.as_str() {
            "max-size" => {
                let bytes = size::parse(value).ok().and_then(|bytes| u64::try_from(bytes).ok());
                log.max_size_bytes = bytes
                    .filter(|bytes| *bytes > 0)
                    .ok_or_else(|| BadOption::part(value, &text, "is no size, as in 10m"))?;
            }
            "max-file" => {
                let files = value.parse().ok().filter(|files| (1..=1000).contains(files));
                log.max_files =
                    files.ok_or_else(|| BadOption::part(value, &text, "is not a number of 1 to 1000"))?;
            }
            // The records are in one form, whatever this says; docker keeps those of `local` compressed.
            "compress" | "mode" | "max-buffer-size" => {}
            _ => return Err(BadOption::unsupported(&text, "log options are max-size and max-file")),
        }
    }
    Ok((log != Log::default()).then_some(log))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(driver: Option<LogDriver>, options: &[(&str, &str)]) -> Result<Option<Log>, BadOption> {
        let log_opt = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        parse(&LogOptions { log_driver: driver, log_opt })
    }

    #[test]
    fn bounds_and_no_log_are_asked_for() {
        assert_eq!(parsed(Some(LogDriver::JsonFile), &[]).expect("ok"), None);
        let bounded = parsed(None, &[("max-size", "1m"), ("max-file", "3")]).expect("ok").expect("bounds");
        assert_eq!((bounded.max_size_bytes, bounded.max_files), (1 << 20, 3));
        assert!(parsed(Some(LogDriver::None), &[]).expect("ok").expect("none").none);
        for options in [[("max-size", "0")], [("max-file", "0")], [("tag", "x")]] {
            assert!(parsed(None, &options).is_err(), "{options:?}");
        }
        assert!(parsed(Some(LogDriver::None), &[("max-size", "1m")]).is_err());
    }
}
