//! A file's lines, put together into instructions: directives, comments, continued lines, and the bodies of heredocs.

use super::error::{DockerfileError, Place};
use super::heredoc::{Heredoc, chomp, heredocs};

/// As BuildKit's scanner has it.
const MAX_LINE_BYTES: usize = 64 << 10;
/// Instructions that take heredocs.
const WITH_HEREDOCS: [&str; 3] = ["add", "copy", "run"];

/// The file's own settings, from its first comments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Directives {
    /// A backslash or a backtick.
    pub(crate) escape: char,
    /// The front end that was asked for.
    pub(crate) syntax: Option<String>,
}

/// One instruction as it stands in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Logical {
    /// Without continuations and comments.
    pub(crate) text: String,
    pub(crate) heredocs: Vec<Heredoc>,
    /// Where it begins.
    pub(crate) place: Place,
}

/// Reads the directives and the instructions of a file.
///
/// # Errors
/// [`DockerfileError`].
pub(crate) fn read(text: &str) -> Result<(Directives, Vec<Logical>), DockerfileError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = Lines { rest: text, number: 0 };
    let directives = directives(lines.clone())?;
    let mut instructions = Vec::new();
    while let Some(first) = lines.next()? {
        let trimmed = first.trim_start();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        let place = Place { line: lines.number, column: 0, shown: first.trim_end().to_owned() };
        let (part, mut goes_on) = continued(trimmed, directives.escape);
        let mut text = part.to_owned();
        while goes_on {
            let Some(line) = lines.next()? else { break };
            let trimmed = line.trim_start();
            if trimmed.is_empty() || trimmed.starts_with('#') {
                continue;
            }
            let part;
            (part, goes_on) = continued(line, directives.escape);
            text.push_str(part);
        }
        let text = text.trim_end().to_owned();
        if text.is_empty() {
            continue;
        }
        let heredocs = bodies(&text, &place, &mut lines)?;
        instructions.push(Logical { text, heredocs, place });
    }
    Ok((directives, instructions))
}

#[derive(Clone)]
struct Lines<'a> {
    rest: &'a str,
    number: usize,
}

impl<'a> Lines<'a> {
    /// The next line with its end, as heredocs keep it.
    fn raw(&mut self) -> Result<Option<&'a str>, DockerfileError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let end = self.rest.find('\n').map_or(self.rest.len(), |at| at + 1);
        let (line, rest) = self.rest.split_at(end);
        (self.rest, self.number) = (rest, self.number + 1);
        if line.len() > MAX_LINE_BYTES {
            let place = Place { line: self.number, column: 0, shown: line.chars().take(40).collect() };
            return Err(DockerfileError::new(
                &place,
                format!("the line is longer than {MAX_LINE_BYTES} bytes"),
            ));
        }
        Ok(Some(line))
    }

    fn next(&mut self) -> Result<Option<&'a str>, DockerfileError> {
        Ok(self.raw()?.map(|line| line.trim_end_matches(['\n', '\r'])))
    }
}

/// The line without its continuation mark, and whether it has one: an escape token at its end that no other stands before.
fn continued(line: &str, escape: char) -> (&str, bool) {
    let Some(before) = line.trim_end_matches([' ', '\t']).strip_suffix(escape) else { return (line, false) };
    if before.ends_with(escape) { (line, false) } else { (before, true) }
}

fn directives(mut lines: Lines<'_>) -> Result<Directives, DockerfileError> {
    let (mut escape, mut syntax, mut check) = (None, None, None);
    while let Some(line) = lines.next()? {
        let Some((key, value)) = directive(line) else { break };
        let place = Place { line: lines.number, column: 0, shown: line.to_owned() };
        let slot = match key.as_str() {
            "escape" => &mut escape,
            "syntax" => &mut syntax,
            "check" => &mut check,
            _ => break,
        };
        if slot.replace(value.to_owned()).is_some() {
            return Err(DockerfileError::new(&place, format!("only one {key} parser directive can be used")));
        }
        if key == "escape" && !matches!(value, "\\" | "`") {
            let what = format!("invalid escape token {value:?}: it must be ` or \\");
            return Err(DockerfileError::new(&place, what));
        }
    }
    let escape = escape.and_then(|text| text.chars().next()).unwrap_or('\\');
    Ok(Directives { escape, syntax })
}

/// `# name = value`.
fn directive(line: &str) -> Option<(String, &str)> {
    let (key, value) = line.trim_start().strip_prefix('#')?.split_once('=')?;
    let (key, value) = (key.trim(), value.trim());
    let is_word = key.starts_with(|first: char| first.is_ascii_alphabetic())
        && key.chars().all(|letter| letter.is_ascii_alphanumeric());
    (is_word && !value.is_empty()).then(|| (key.to_ascii_lowercase(), value))
}

/// Takes the bodies of the instruction's heredocs from the lines behind it.
fn bodies(text: &str, place: &Place, lines: &mut Lines<'_>) -> Result<Vec<Heredoc>, DockerfileError> {
    let mut words = text.split_whitespace().map(str::to_ascii_lowercase);
    let mut first = words.next().unwrap_or_default();
    if first == "onbuild" {
        first = words.next().unwrap_or_default();
    }
    if !WITH_HEREDOCS.contains(&first.as_str()) || !text.contains("<<") {
        return Ok(Vec::new());
    }
    let mut found = heredocs(text);
    for heredoc in &mut found {
        loop {
            let Some(line) = lines.raw()? else {
                let what = format!("unterminated heredoc: no line is {:?} alone", heredoc.name);
                return Err(DockerfileError::new(&place.of(&heredoc.name), what));
            };
            let end = line.trim_end_matches(['\n', '\r']);
            let end = if heredoc.chomps { end.trim_start_matches('\t') } else { end };
            if end == heredoc.name {
                break;
            }
            heredoc.body.push_str(line);
        }
        if heredoc.chomps {
            heredoc.body = chomp(&heredoc.body);
        }
    }
    Ok(found)
}
