//! `org.systemd.property.NAME` annotations: properties of the unit that the configuration's author wants, with values
//! in GVariant's text format, as far as unit properties need it. Pure.

use std::collections::BTreeMap;

use super::message::{Property, Value};
use crate::cgroup::error::CgroupError;

const PREFIX: &str = "org.systemd.property.";

/// The properties that the annotations ask for.
pub(super) fn properties(annotations: &BTreeMap<String, String>) -> Result<Vec<Property>, CgroupError> {
    let mut properties = Vec::new();
    for (key, text) in annotations {
        let Some(name) = key.strip_prefix(PREFIX) else { continue };
        let bad = |problem: &str| CgroupError::BadLimit {
            what: format!("annotation {key}={text:?}"),
            problem: problem.to_owned(),
        };
        if name.len() < 3 || !name.chars().all(|letter| letter.is_ascii_alphabetic()) {
            return Err(bad("a property's name has three letters or more, and nothing else"));
        }
        let value = value(text.trim())
            .ok_or_else(|| bad("it is no value such as 'text', true, uint64 5 or ['a', 'b']"))?;
        properties.push(match name.strip_suffix("Sec") {
            // TimeoutStopSec is known to D-Bus as TimeoutStopUSec; names such as CPUQuotaPerSecUSec are not meant.
            Some(rest) if rest.ends_with(|letter: char| letter.is_ascii_lowercase()) => {
                let value = microseconds(&value).ok_or_else(|| bad("a time is a number of seconds"))?;
                (format!("{rest}USec"), value)
            }
            _ => (name.to_owned(), value),
        });
    }
    Ok(properties)
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "as casts saturate, below as well as above"
)]
fn microseconds(value: &Value) -> Option<Value> {
    let whole = match value {
        Value::Uint64(seconds) => *seconds,
        Value::Uint32(seconds) => u64::from(*seconds),
        Value::Int32(seconds) => u64::try_from(*seconds).ok()?,
        Value::Int64(seconds) => u64::try_from(*seconds).ok()?,
        Value::Double(seconds) => return Some(Value::Uint64((seconds * 1e6) as u64)),
        _ => return None,
    };
    Some(Value::Uint64(whole.saturating_mul(1_000_000)))
}

fn value(text: &str) -> Option<Value> {
    if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return texts(inner.trim()).map(Value::Texts);
    }
    if let Some((value, "")) = quoted(text) {
        return Some(Value::Text(value));
    }
    match text.split_once(' ').map(|(kind, value)| (kind, value.trim())) {
        Some(("uint64" | "@t", value)) => value.parse().ok().map(Value::Uint64),
        Some(("uint32" | "@u", value)) => value.parse().ok().map(Value::Uint32),
        Some(("int64" | "@x", value)) => value.parse().ok().map(Value::Int64),
        Some(("int32" | "@i", value)) => value.parse().ok().map(Value::Int32),
        Some(("double" | "@d", value)) => value.parse().ok().map(Value::Double),
        Some(("boolean" | "@b", value)) => value.parse().ok().map(Value::Boolean),
        Some(("string" | "@s", value)) => match quoted(value)? {
            (value, "") => Some(Value::Text(value)),
            _ => None,
        },
        Some(("@as", value)) => texts(value.strip_prefix('[')?.strip_suffix(']')?.trim()).map(Value::Texts),
        Some(_) => None,
        None => match text {
            "true" => Some(Value::Boolean(true)),
            "false" => Some(Value::Boolean(false)),
            _ if text.contains(['.', 'e']) => text.parse().ok().map(Value::Double),
            _ => text.parse().ok().map(Value::Int32),
        },
    }
}

fn texts(inner: &str) -> Option<Vec<String>> {
    let mut texts = Vec::new();
    let mut rest = inner;
    while !rest.is_empty() {
        let (text, after) = quoted(rest)?;
        texts.push(text);
        rest = match after.trim_start() {
            "" => "",
            after => after.strip_prefix(',')?.trim_start(),
        };
    }
    Some(texts)
}

/// A quoted text at the beginning, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|first| matches!(first, '\'' | '"'))?;
    let mut value = String::new();
    let mut letters = text.char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => value.push(letters.next()?.1),
            _ if letter == quote => return Some((value, &text[at + 1..])),
            _ => value.push(letter),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(key: &str, text: &str) -> Result<Property, CgroupError> {
        let annotations = [(format!("org.systemd.property.{key}"), text.to_owned())].into();
        properties(&annotations).map(|mut properties| properties.remove(0))
    }

    #[test]
    fn values_have_the_types_that_are_written() {
        for (text, value) in [
            ("'a b'", Value::Text("a b".into())),
            ("\"a\\\"b\"", Value::Text("a\"b".into())),
            ("true", Value::Boolean(true)),
            ("uint64 5", Value::Uint64(5)),
            ("@t 5", Value::Uint64(5)),
            ("7", Value::Int32(7)),
            ("1.5", Value::Double(1.5)),
            ("['a.service', \"b\"]", Value::Texts(vec!["a.service".into(), "b".into()])),
            ("@as []", Value::Texts(Vec::new())),
        ] {
            assert_eq!(one("Wants", text).expect(text), ("Wants".to_owned(), value));
        }
        for text in ["", "'a", "uint64 x", "nothing", "['a' 'b']", "'a' b"] {
            assert!(one("Wants", text).is_err(), "{text}");
        }
    }

    #[test]
    fn seconds_become_microseconds() {
        assert_eq!(one("TimeoutStopSec", "uint64 2").expect("a time").0, "TimeoutStopUSec");
        assert_eq!(one("TimeoutStopSec", "1.5").expect("a time").1, Value::Uint64(1_500_000));
        assert_eq!(one("CPUQuotaPerSecUSec", "uint64 2").expect("no time").1, Value::Uint64(2));
        assert!(one("TimeoutStopSec", "'x'").is_err());
    }

    #[test]
    fn names_are_letters() {
        for name in ["A", "A-b", "Ab1", ""] {
            assert!(one(name, "true").is_err(), "{name}");
        }
    }
}
