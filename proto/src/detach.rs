//! The keys that leave a container running: how they are written, and how they are found in what is typed.

use std::fmt;
use std::str::FromStr;

/// A sequence of bytes; empty never detaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetachKeys(Vec<u8>);

/// A part of the text that names no key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidKeys {
    key: String,
    text: String,
}

impl fmt::Display for InvalidKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, text } = self;
        write!(f, "{key:?} in {text:?} is neither one character nor a key such as ctrl-p")
    }
}

impl std::error::Error for InvalidKeys {}

impl DetachKeys {
    /// Keys that nobody can type: input is passed on as it comes.
    #[must_use]
    pub fn none() -> Self {
        Self(Vec::new())
    }
}

impl Default for DetachKeys {
    /// `ctrl-p,ctrl-q`
    fn default() -> Self {
        Self(vec![0x10, 0x11])
    }
}

impl FromStr for DetachKeys {
    type Err = InvalidKeys;

    /// `ctrl-p,ctrl-q`, `a,b,ctrl-@`: single characters or `ctrl-` with a letter or one of `@[\]^_`.
    fn from_str(text: &str) -> Result<Self, InvalidKeys> {
        if text.is_empty() {
            return Ok(Self::none());
        }
        let keys = text
            .split(',')
            .map(|key| number(key).ok_or_else(|| InvalidKeys { key: key.to_owned(), text: text.to_owned() }));
        keys.collect::<Result<_, _>>().map(Self)
    }
}

/// What a key sends.
fn number(key: &str) -> Option<u8> {
    match (key.strip_prefix("ctrl-").map(str::as_bytes), key.as_bytes()) {
        (Some([letter @ b'a'..=b'z']), _) => Some(letter - b'a' + 1),
        (Some([sign @ (b'@' | b'[' | b'\\' | b']' | b'^' | b'_')]), _) => Some(sign - b'@'),
        (None, [byte]) => Some(*byte),
        _ => None,
    }
}

/// Looks for the keys in a stream of input. Typed keys that may be the beginning of the sequence are kept back until
/// the next one shows that they were not.
#[derive(Debug)]
pub struct Watcher {
    keys: Vec<u8>,
    matched: usize,
}

/// What is left of a piece of input.
#[derive(Debug, PartialEq, Eq)]
pub struct Watched {
    /// For the container.
    pub input: Vec<u8>,
    /// The sequence was complete; what was typed behind it is dropped.
    pub detach: bool,
}

impl Watcher {
    /// Watches from the beginning of the input.
    #[must_use]
    pub fn new(keys: DetachKeys) -> Self {
        Self { keys: keys.0, matched: 0 }
    }

    /// Takes the next piece of input.
    pub fn watch(&mut self, typed: &[u8]) -> Watched {
        if self.keys.is_empty() {
            return Watched { input: typed.to_vec(), detach: false };
        }
        let mut input = Vec::with_capacity(typed.len() + self.matched);
        for byte in typed {
            self.step(*byte, &mut input);
            if self.matched == self.keys.len() {
                self.matched = 0;
                return Watched { input, detach: true };
            }
        }
        Watched { input, detach: false }
    }

    /// What was kept back when the input ended.
    pub fn finish(&mut self) -> Vec<u8> {
        let kept = self.keys[..self.matched].to_vec();
        self.matched = 0;
        kept
    }

    /// Extends the match by `byte`, or gives up as few kept keys as possible until it fits again.
    fn step(&mut self, byte: u8, input: &mut Vec<u8>) {
        loop {
            if byte == self.keys[self.matched] {
                self.matched += 1;
                return;
            }
            if self.matched == 0 {
                input.push(byte);
                return;
            }
            let kept = &self.keys[..self.matched];
            let shorter =
                (0..self.matched).rev().find(|length| kept.ends_with(&kept[..*length])).unwrap_or(0);
            input.extend_from_slice(&kept[..self.matched - shorter]);
            self.matched = shorter;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> Watcher {
        Watcher::new(text.parse().expect(text))
    }

    #[test]
    fn keys_are_written_as_in_docker() {
        for (text, bytes) in [
            ("ctrl-p,ctrl-q", vec![0x10, 0x11]),
            ("ctrl-@,a,ctrl-[,ctrl-_", vec![0, b'a', 0x1b, 0x1f]),
            ("a", vec![b'a']),
            ("", vec![]),
        ] {
            assert_eq!(text.parse::<DetachKeys>().expect(text), DetachKeys(bytes));
        }
        for text in ["ctrl-", "ctrl-A", "ab", "a,,b", "ctrl-p ctrl-q", "ctrl-1"] {
            assert!(text.parse::<DetachKeys>().is_err(), "{text}");
        }
        assert_eq!("ctrl-p,ctrl-q".parse::<DetachKeys>().expect("keys"), DetachKeys::default());
    }

    #[test]
    fn the_sequence_is_found_wherever_reads_cut_it() {
        for pieces in
            [vec![&b"ls\n\x10\x11more"[..]], vec![b"ls\n\x10", b"\x11"], vec![b"l", b"s\n", b"\x10", b"\x11"]]
        {
            let mut watcher = keys("ctrl-p,ctrl-q");
            let mut input = Vec::new();
            let mut detached = false;
            for piece in pieces {
                let watched = watcher.watch(piece);
                input.extend(watched.input);
                detached |= watched.detach;
            }
            assert!(detached);
            assert_eq!(input, b"ls\n");
        }
    }

    #[test]
    fn what_was_not_the_sequence_is_not_lost() {
        let mut watcher = keys("ctrl-p,ctrl-q");
        assert_eq!(watcher.watch(b"\x10").input, b"");
        assert_eq!(watcher.watch(b"x").input, b"\x10x");
        assert_eq!(watcher.watch(b"\x10\x10").input, b"\x10");
        assert!(watcher.watch(b"\x11").detach);
        let mut watcher = keys("a,a,b");
        assert_eq!(watcher.watch(b"aaab"), Watched { input: b"a".to_vec(), detach: true });
        let mut watcher = keys("a,b,a,c");
        assert_eq!(watcher.watch(b"ababac"), Watched { input: b"ab".to_vec(), detach: true });
        assert_eq!(watcher.watch(b"ab").input, b"");
        assert_eq!(watcher.finish(), b"ab");
        assert_eq!(keys("").watch(b"\x10\x11"), Watched { input: b"\x10\x11".to_vec(), detach: false });
    }
}
