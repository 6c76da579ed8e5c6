//! A list of many short texts in one piece of memory: the names of a seccomp profile are hundreds, and each by itself
//! would be a block of its own.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};

/// The texts, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Words {
    text: String,
    /// Where each ends in `text`, and the next begins.
    ends: Vec<usize>,
}

impl Words {
    /// Each text.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        let mut start = 0;
        self.ends.iter().map(move |end| &self.text[std::mem::replace(&mut start, *end)..*end])
    }

    /// How many there are.
    #[must_use]
    pub(crate) fn count(&self) -> usize {
        self.ends.len()
    }

    fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.ends.push(self.text.len());
    }
}

impl<'a> FromIterator<&'a str> for Words {
    fn from_iter<I: IntoIterator<Item = &'a str>>(texts: I) -> Self {
        let mut words = Self::default();
        texts.into_iter().for_each(|text| words.push(text));
        words
    }
}

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(List)
    }
}

struct List;

impl<'de> Visitor<'de> for List {
    type Value = Words;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sequence")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Words, A::Error> {
        let mut words = Words::default();
        while list.next_element_seed(Word(&mut words))?.is_some() {}
        Ok(words)
    }
}

/// Puts one text behind the others.
struct Word<'a>(&'a mut Words);

impl<'de> DeserializeSeed<'de> for Word<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Word<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.0.push(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::spec::words::Words;

    #[test]
    fn texts_come_back_in_order_and_empty_ones_too() {
        for texts in [&[][..], &[""], &["a"], &["", "b", ""], &["read", "\u{e9}\"", "write"]] {
            let json = serde_json::to_string(texts).expect("texts");
            let words: Words = serde_json::from_str(&json).expect(&json);
            assert_eq!(words.iter().collect::<Vec<_>>(), texts, "{json}");
            assert_eq!(words.count(), texts.len(), "{json}");
            assert_eq!(texts.iter().copied().collect::<Words>(), words, "{json}");
        }
    }

    #[test]
    fn what_is_no_list_of_texts_is_refused() {
        for json in ["null", "{}", "\"read\"", "[1]", "[null]", "[[\"read\"]]"] {
            assert!(serde_json::from_str::<Words>(json).is_err(), "{json}");
        }
    }
}
