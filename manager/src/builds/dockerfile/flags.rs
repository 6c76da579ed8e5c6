//! The flags of an instruction: words that begin with `--`, before anything else.

use super::error::{DockerfileError, Place};

/// `--name=value` words, as they were given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags(Vec<(String, Option<String>)>);

impl Flags {
    /// Takes the flags from the beginning of `line`; returns the rest.
    pub(super) fn take(line: &str, escape: char) -> (Self, &str) {
        let mut flags = Vec::new();
        let mut rest = line.trim_start();
        while rest.starts_with("--") {
            let (word, after) = first_word(rest, escape);
            rest = after.trim_start();
            if word == "--" {
                break;
            }
            let word = word.trim_start_matches("--");
            flags.push(match word.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (word.to_owned(), None),
            });
        }
        (Self(flags), rest)
    }

    /// Fails for a flag that is none of `known`.
    pub(super) fn check(
        &self,
        instruction: &str,
        known: &[&str],
        place: &Place,
    ) -> Result<(), DockerfileError> {
        match self.0.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some((name, _)) => {
                let has = match known {
                    [] => "it has none".to_owned(),
                    known => format!("it has --{}", known.join(", --")),
                };
                let what = format!("unknown flag of {instruction}: --{name} ({has})");
                Err(DockerfileError::new(&place.of(&format!("--{name}")), what))
            }
        }
    }

    /// The value of a flag that is given once at most.
    pub(super) fn one(&self, name: &str, place: &Place) -> Result<Option<String>, DockerfileError> {
        let mut found = self.0.iter().filter(|(given, _)| given == name);
        let at = || place.of(&format!("--{name}"));
        match (found.next(), found.next()) {
            (_, Some(_)) => Err(DockerfileError::new(&at(), format!("duplicate flag specified: --{name}"))),
            (Some((_, None)), None) => {
                Err(DockerfileError::new(&at(), format!("missing a value on flag: --{name}")))
            }
            (Some((_, value)), None) => Ok(value.clone()),
            (None, None) => Ok(None),
        }
    }

    /// Every value of a flag that may be repeated.
    pub(super) fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(given, _)| given == name).filter_map(|(_, value)| value.clone()).collect()
    }

    /// A flag that is on when it has no value.
    pub(super) fn boolean(&self, name: &str, place: &Place) -> Result<Option<bool>, DockerfileError> {
        let Some((_, value)) = self.0.iter().rev().find(|(given, _)| given == name) else { return Ok(None) };
        match value.as_deref().map(str::to_ascii_lowercase).as_deref() {
            None | Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(other) => {
                let what = format!("expecting boolean value for flag --{name}, not: {other}");
                Err(DockerfileError::new(&place.of(&format!("--{name}")), what))
            }
        }
    }
}

/// The first word without its quotes and escapes, and what follows it.
fn first_word(line: &str, escape: char) -> (String, &str) {
    let (mut word, mut quote) = (String::new(), None);
    let mut letters = line.char_indices();
    while let Some((at, letter)) = letters.next() {
        match (quote, letter) {
            (None, letter) if letter.is_whitespace() => return (word, &line[at..]),
            (None, '\'' | '"') => quote = Some(letter),
            (Some(open), letter) if letter == open => quote = None,
            (open, letter) if letter == escape && open != Some('\'') => {
                word.extend(letters.next().map(|(_, escaped)| escaped));
            }
            (_, letter) => word.push(letter),
        }
    }
    (word, "")
}
