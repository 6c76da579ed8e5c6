//! Heredocs: which words of an instruction begin one, as a shell would read them.

use super::expand::{Expander, NoVariables};

/// Text that follows an instruction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Heredoc {
    pub(crate) name: String,
    pub(crate) body: String,
    /// No part of its word was quoted: variables in the body are expanded.
    pub(crate) expands: bool,
    /// `<<-`: tabs before its lines are not part of it.
    pub(crate) chomps: bool,
}

/// The heredocs that a line begins.
pub(super) fn heredocs(line: &str) -> Vec<Heredoc> {
    let raw = Expander { keeps_quotes: true, keeps_unset: true, ..Expander::new('\\') };
    // A line that cannot be read as words has none; what is wrong with it is told elsewhere.
    let words = raw.words(line, &NoVariables).unwrap_or_default();
    words.iter().filter_map(|word| heredoc(word)).collect()
}

/// `<<NAME`, `3<<-"NAME"`.
pub(crate) fn heredoc(word: &str) -> Option<Heredoc> {
    let rest = word.trim_start_matches(|letter: char| letter.is_ascii_digit()).strip_prefix("<<")?;
    let (chomps, rest) = rest.strip_prefix('-').map_or((false, rest), |rest| (true, rest));
    if rest.is_empty() || rest.contains('<') {
        return None;
    }
    let plain = Expander { keeps_unset: true, ..Expander::new('\\') };
    let raw = Expander { keeps_quotes: true, ..plain };
    let (plain, raw) = (plain.words(rest, &NoVariables).ok()?, raw.words(rest, &NoVariables).ok()?);
    let ([name], [quoted]) = (plain.as_slice(), raw.as_slice()) else { return None };
    Some(Heredoc { name: name.clone(), body: String::new(), expands: name == quoted, chomps })
}

/// Takes the tabs from the beginning of each line.
pub(super) fn chomp(body: &str) -> String {
    body.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect()
}
