//! Conditions on what is listed or told, in docker's words: pairs of key and value. Different keys must all match, and all
//! labels; values of any other key are alternatives. Which keys there are, and what they mean, the noun says.

use std::collections::BTreeMap;
use std::time::SystemTime;

use knarr_proto::kind::Kind;

use crate::failure::Failure;
use crate::time::moment;

/// The keys whose values must all match: labels, and those that must not be there.
const LABEL: &str = "label";
const NO_LABEL: &str = "label!";

/// Which values a key may have.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Values {
    /// Every text.
    Any,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A whole number that is not negative.
    Number,
    /// A moment: see [`moment`](crate::time::moment).
    Moment,
}

impl Values {
    fn allow(self, value: &str) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(words) => words.contains(&value),
            Self::Number => value.parse::<u32>().is_ok(),
            Self::Moment => moment(value, SystemTime::now()).is_some(),
        }
    }
}

/// The keys that a noun's things can be filtered by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FilterKeys {
    /// The things, for messages: "images".
    pub(crate) things: &'static str,
    /// Each key with its values.
    pub(crate) keys: &'static [(&'static str, Values)],
}

/// A condition that cannot be.
#[derive(Debug, thiserror::Error)]
#[error("invalid filter {key}={value}: {allowed}")]
pub(crate) struct InvalidFilter {
    key: String,
    value: String,
    /// What there is instead.
    allowed: String,
}

impl Failure for InvalidFilter {
    fn kind(&self) -> Kind {
        Kind::InvalidArgument
    }
}

impl FilterKeys {
    fn check(&self, key: &str, value: &str) -> Result<(), InvalidFilter> {
        let allowed = match self.keys.iter().find(|(known, _)| *known == key) {
            Some((_, values)) if values.allow(value) => return Ok(()),
            Some((_, Values::OneOf(words))) => format!("{key} is {}", list_of(words, "or")),
            Some((_, Values::Moment)) => {
                format!("{key} is a time such as 2026-01-02T15:04:05Z, or how long ago, such as 24h")
            }
            Some(_) => format!("{key} is a number"),
            None => {
                let keys: Vec<&str> = self.keys.iter().map(|(key, _)| *key).collect();
                format!("{} are filtered by {}", self.things, list_of(&keys, "and"))
            }
        };
        Err(InvalidFilter { key: key.to_owned(), value: value.to_owned(), allowed })
    }
}

/// "a, b or c".
fn list_of(words: &[&str], last: &str) -> String {
    match words {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., end] => format!("{} {last} {end}", first.join(", ")),
    }
}

/// A set of conditions; the empty one lets everything through.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filters {
    values_by_key: BTreeMap<String, Vec<String>>,
}

impl Filters {
    /// Reads key and value pairs.
    ///
    /// # Errors
    /// [`InvalidFilter`] for a key that is not in `keys`, or a value that it cannot have.
    pub(crate) fn parse(
        keys: &FilterKeys,
        pairs: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, InvalidFilter> {
        let mut filters = Self::default();
        for (key, value) in pairs {
            keys.check(&key, &value)?;
            filters.values_by_key.entry(key).or_default().push(value);
        }
        Ok(filters)
    }

    /// The one condition that `key` is `value`.
    pub(crate) fn only(key: &str, value: &str) -> Self {
        Self { values_by_key: BTreeMap::from([(key.to_owned(), vec![value.to_owned()])]) }
    }

    /// Whether for each key one of its values matches; of labels all have to.
    pub(crate) fn all_match(&self, matches: impl Fn(&str, &str) -> bool) -> bool {
        self.values_by_key.iter().all(|(key, values)| {
            let mut values = values.iter();
            match key.as_str() {
                LABEL | NO_LABEL => values.all(|value| matches(key, value)),
                _ => values.any(|value| matches(key, value)),
            }
        })
    }

    /// The alternatives of one key; `None` when there is no condition on it.
    pub(crate) fn values(&self, key: &str) -> Option<&[String]> {
        self.values_by_key.get(key).map(Vec::as_slice)
    }
}

/// Whether a condition `NAME` or `NAME=VALUE` holds, where `label` gives the value of a label.
pub(crate) fn label_matches<'a>(condition: &str, label: impl Fn(&str) -> Option<&'a str>) -> bool {
    match condition.split_once('=') {
        Some((name, value)) => label(name) == Some(value),
        None => label(condition).is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: FilterKeys = FilterKeys {
        things: "birds",
        keys: &[
            ("name", Values::Any),
            ("flies", Values::OneOf(&["true", "false", "seldom"])),
            ("eggs", Values::Number),
        ],
    };

    fn parse(pairs: &[(&str, &str)]) -> Result<Filters, InvalidFilter> {
        Filters::parse(&KEYS, pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn different_keys_must_all_match_and_values_of_one_are_alternatives() {
        let duck = |key: &str, value: &str| [("name", "duck"), ("eggs", "9")].contains(&(key, value));
        for (pairs, is_duck) in [
            (&[][..], true),
            (&[("name", "duck")], true),
            (&[("name", "goose"), ("name", "duck"), ("eggs", "9")], true),
            (&[("name", "duck"), ("eggs", "8")], false),
            (&[("name", "goose"), ("name", "swan")], false),
        ] {
            assert_eq!(parse(pairs).expect("known keys").all_match(duck), is_duck, "{pairs:?}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_can() {
        for (key, value, text) in [
            ("colour", "red", "invalid filter colour=red: birds are filtered by name, flies and eggs"),
            ("", "", "invalid filter =: birds are filtered by name, flies and eggs"),
            ("flies", "yes", "invalid filter flies=yes: flies is true, false or seldom"),
            ("eggs", "-1", "invalid filter eggs=-1: eggs is a number"),
            ("eggs", "", "invalid filter eggs=: eggs is a number"),
        ] {
            assert_eq!(parse(&[(key, value)]).expect_err(text).to_string(), text);
        }
        for (key, value) in [("name", ""), ("flies", "seldom"), ("eggs", "4294967295")] {
            assert_eq!(parse(&[(key, value)]).expect(key).values(key), Some(&[value.to_owned()][..]));
        }
    }

    #[test]
    fn a_label_is_there_or_has_a_value() {
        let labels = BTreeMap::from([("tier", "front=1"), ("empty", "")]);
        let label = |name: &str| labels.get(name).copied();
        for (condition, matches) in [
            ("tier", true),
            ("tier=front=1", true),
            ("tier=front", false),
            ("empty", true),
            ("empty=", true),
            ("tier=", false),
            ("none", false),
            ("", false),
        ] {
            assert_eq!(label_matches(condition, label), matches, "{condition}");
        }
    }
}
