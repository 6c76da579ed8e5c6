//! HEALTHCHECK: its probe and its times.

use super::instruction::Command;

/// As an image's configuration has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Healthcheck {
    /// `NONE`, or `CMD` or `CMD-SHELL` and the probe.
    pub(crate) test: Vec<String>,
    pub(crate) interval_ns: i64,
    pub(crate) timeout_ns: i64,
    pub(crate) start_period_ns: i64,
    pub(crate) start_interval_ns: i64,
    pub(crate) retries: i64,
}

/// The flags, as given.
pub(super) struct Settings {
    pub(super) interval: Option<String>,
    pub(super) timeout: Option<String>,
    pub(super) start_period: Option<String>,
    pub(super) start_interval: Option<String>,
    pub(super) retries: Option<String>,
}

/// Docker runs nothing more often.
const MIN_NS: i64 = 1_000_000;

pub(super) fn read(form: &str, command: Command, settings: &Settings) -> Result<Healthcheck, String> {
    let is_empty = matches!(&command, Command::Exec(words) if words.is_empty());
    let test = match (form.to_ascii_uppercase().as_str(), command) {
        ("", _) => return Err("HEALTHCHECK requires at least one argument".to_owned()),
        ("NONE", _) if is_empty => {
            return Ok(Healthcheck { test: vec!["NONE".to_owned()], ..Healthcheck::default() });
        }
        ("NONE", _) => return Err("HEALTHCHECK NONE takes no arguments".to_owned()),
        ("CMD", _) if is_empty => return Err("missing command after HEALTHCHECK CMD".to_owned()),
        ("CMD", Command::Exec(words)) => [vec!["CMD".to_owned()], words].concat(),
        ("CMD", Command::Shell(text)) => vec!["CMD-SHELL".to_owned(), text],
        (other, _) => return Err(format!("unknown type {other:?} in HEALTHCHECK (try CMD)")),
    };
    let retries = match &settings.retries {
        None => 0,
        Some(text) => match text.parse::<i64>() {
            Ok(retries) if retries >= 0 => retries,
            _ => return Err(format!("--retries must be at least 0, not {text:?}")),
        },
    };
    Ok(Healthcheck {
        test,
        interval_ns: time("interval", settings.interval.as_deref())?,
        timeout_ns: time("timeout", settings.timeout.as_deref())?,
        start_period_ns: time("start-period", settings.start_period.as_deref())?,
        start_interval_ns: time("start-interval", settings.start_interval.as_deref())?,
        retries,
    })
}

fn time(flag: &str, text: Option<&str>) -> Result<i64, String> {
    let Some(text) = text else { return Ok(0) };
    let ns = duration(text).ok_or_else(|| format!("--{flag} is no duration: {text:?} (as 1m30s)"))?;
    match ns {
        0 => Ok(0),
        MIN_NS.. => Ok(ns),
        _ => Err(format!("interval {flag:?} cannot be less than 1ms")),
    }
}

/// As Go writes it: numbers with units, one after the other.
fn duration(text: &str) -> Option<i64> {
    if text == "0" {
        return Some(0);
    }
    let (mut rest, mut total) = (text, 0_f64);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let (unit, ns) =
            [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9)]
                .into_iter()
                .find(|(unit, _)| rest.starts_with(unit) && !(*unit == "m" && rest.starts_with("ms")))?;
        rest = &rest[unit.len()..];
        total += number * ns;
    }
    (total < 9e18).then_some(total as i64)
}
