//! The patterns of `${n#p}` and its kin: `*`, `?` and escapes; all else is itself.

/// A replaced value may not grow beyond it.
const MAX_VALUE_BYTES: usize = 1 << 20;
/// Matching takes the square of a value's length.
const MAX_MATCHED_BYTES: usize = 8 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Any,
    One,
    Letter(char),
}

#[derive(Clone, Debug)]
pub(super) struct Pattern(Vec<Part>);

impl Pattern {
    /// Reads a pattern for `value`.
    pub(super) fn parse(text: &str, escape: char, value: &str) -> Result<Self, String> {
        if value.len() + text.len() > MAX_MATCHED_BYTES {
            return Err(format!(
                "a value of more than {MAX_MATCHED_BYTES} bytes is not matched with patterns"
            ));
        }
        let mut parts = Vec::new();
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            parts.push(match letter {
                '*' => Part::Any,
                '?' => Part::One,
                letter if letter == escape => {
                    Part::Letter(letters.next().ok_or("invalid escape at the end of a pattern")?)
                }
                letter => Part::Letter(letter),
            });
        }
        Ok(Self(parts))
    }

    /// Where matches of the whole pattern that begin at `start` end, in bytes, shortest first.
    fn ends(&self, value: &str, start: usize) -> Vec<usize> {
        let letters: Vec<(usize, char)> = value[start..].char_indices().collect();
        let count = letters.len();
        let mut reached = vec![false; count + 1];
        reached[0] = true;
        for part in &self.0 {
            let mut next = vec![false; count + 1];
            match part {
                Part::Any => {
                    let mut is_open = false;
                    for at in 0..=count {
                        is_open |= reached[at];
                        next[at] = is_open;
                    }
                }
                Part::One => next[1..].copy_from_slice(&reached[..count]),
                Part::Letter(letter) => {
                    for at in 0..count {
                        next[at + 1] = reached[at] && letters[at].1 == *letter;
                    }
                }
            }
            reached = next;
        }
        let place = |at: usize| letters.get(at).map_or(value.len(), |(offset, _)| start + offset);
        (0..=count).filter(|at| reached[*at]).map(place).collect()
    }

    /// Where a match at the beginning ends.
    pub(super) fn prefix(&self, value: &str, longest: bool) -> Option<usize> {
        let ends = self.ends(value, 0);
        if longest { ends.last().copied() } else { ends.first().copied() }
    }

    /// Where a match at the end begins.
    pub(super) fn suffix(&self, value: &str, longest: bool) -> Option<usize> {
        let mut starts = value.char_indices().map(|(at, _)| at).chain([value.len()]);
        let reaches_end = |start: &usize| self.ends(value, *start).last() == Some(&value.len());
        if longest { starts.find(reaches_end) } else { starts.rfind(reaches_end) }
    }

    /// Puts `by` in place of the first match, or of all; each is as long as can be.
    pub(super) fn replace(&self, value: &str, by: &str, all: bool) -> Result<String, String> {
        let (mut result, mut at) = (String::new(), 0);
        while at <= value.len() {
            if result.len() > MAX_VALUE_BYTES {
                return Err(format!("a replacement grows beyond {MAX_VALUE_BYTES} bytes"));
            }
            let Some(letter) = value[at..].chars().next() else { break };
            match self.ends(value, at).last() {
                Some(&end) if end > at => {
                    result.push_str(by);
                    at = end;
                    if !all {
                        break;
                    }
                }
                _ => {
                    result.push(letter);
                    at += letter.len_utf8();
                }
            }
        }
        result.push_str(&value[at.min(value.len())..]);
        Ok(result)
    }
}
