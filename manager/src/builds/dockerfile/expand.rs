//! Variables in words: `$n`, `${n}` and its modifiers, within quotes as a shell has them.

use std::iter::Peekable;
use std::str::Chars;

use super::pattern::Pattern;

/// Where variables have their values.
pub(crate) trait Variables {
    /// `None` for one that is not set.
    fn get(&self, name: &str) -> Option<String>;
}

/// No variable is set.
pub(crate) struct NoVariables;

impl Variables for NoVariables {
    fn get(&self, _: &str) -> Option<String> {
        None
    }
}

/// `NAME=value`, later ones count more.
impl Variables for Vec<String> {
    fn get(&self, name: &str) -> Option<String> {
        let value = |pair: &String| Some(pair.strip_prefix(name)?.strip_prefix('=')?.to_owned());
        self.iter().rev().find_map(value)
    }
}

/// How words are read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expander {
    pub(crate) escape: char,
    /// Quotes and escapes stay in the words.
    pub(crate) keeps_quotes: bool,
    /// Variables that are not set stay as they are written.
    pub(crate) keeps_unset: bool,
}

/// Modifiers in modifiers; each is a step of recursion.
const MAX_DEPTH: usize = 64;
/// What a word may become: variables of variables grow fast.
const MAX_WORD_BYTES: usize = 1 << 20;

impl Expander {
    pub(crate) fn new(escape: char) -> Self {
        Self { escape, keeps_quotes: false, keeps_unset: false }
    }

    /// The text with its variables replaced and its quotes taken away.
    ///
    /// # Errors
    /// What is wrong with it, in one sentence.
    pub(crate) fn word(&self, text: &str, variables: &dyn Variables) -> Result<String, String> {
        Ok(self.run(text, variables)?.0)
    }

    /// The text as words; a variable's value that is not quoted may be several.
    ///
    /// # Errors
    /// What is wrong with it, in one sentence.
    pub(crate) fn words(&self, text: &str, variables: &dyn Variables) -> Result<Vec<String>, String> {
        Ok(self.run(text, variables)?.1)
    }

    fn run(&self, text: &str, variables: &dyn Variables) -> Result<(String, Vec<String>), String> {
        let mut reader =
            Reader { rest: text.chars().peekable(), how: self, variables, words: Words::default(), depth: 0 };
        let word = reader.until(None, false)?;
        Ok((word, reader.words.finish()))
    }
}

/// Words as they come, letter by letter.
#[derive(Default)]
struct Words {
    done: Vec<String>,
    current: String,
    is_in_word: bool,
}

impl Words {
    fn letter(&mut self, letter: char) {
        if letter.is_whitespace() {
            if self.is_in_word {
                self.done.push(std::mem::take(&mut self.current));
                self.is_in_word = false;
            }
        } else {
            self.quoted(letter);
        }
    }

    fn quoted(&mut self, letter: char) {
        self.is_in_word = true;
        self.current.push(letter);
    }

    fn finish(mut self) -> Vec<String> {
        if self.is_in_word {
            self.done.push(self.current);
        }
        self.done
    }
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
    how: &'a Expander,
    variables: &'a dyn Variables,
    words: Words,
    depth: usize,
}

impl Reader<'_> {
    /// Reads up to `stop`, or to the end. `raw` keeps escapes, for patterns.
    fn until(&mut self, stop: Option<char>, raw: bool) -> Result<String, String> {
        let mut text = String::new();
        while let Some(&next) = self.rest.peek() {
            if text.len() > MAX_WORD_BYTES {
                return Err(format!("it expands to more than {MAX_WORD_BYTES} bytes"));
            }
            if Some(next) == stop {
                self.rest.next();
                return Ok(text);
            }
            match next {
                '\'' => {
                    let quoted = self.single()?;
                    self.add_quoted(&mut text, &quoted);
                }
                '"' => {
                    let quoted = self.double()?;
                    self.add_quoted(&mut text, &quoted);
                }
                '$' => {
                    let value = self.dollar()?;
                    if self.depth == 0 {
                        value.chars().for_each(|letter| self.words.letter(letter));
                    }
                    text.push_str(&value);
                }
                _ => {
                    self.rest.next();
                    if next != self.how.escape {
                        text.push(next);
                        if self.depth == 0 {
                            self.words.letter(next);
                        }
                        continue;
                    }
                    if self.how.keeps_quotes || raw {
                        text.push(next);
                        if self.depth == 0 {
                            self.words.quoted(next);
                        }
                    }
                    let Some(escaped) = self.rest.next() else { break };
                    text.push(escaped);
                    if self.depth == 0 {
                        self.words.quoted(escaped);
                    }
                }
            }
        }
        match stop {
            Some(stop) => Err(format!("syntax error: missing {stop:?}")),
            None => Ok(text),
        }
    }

    fn add_quoted(&mut self, text: &mut String, quoted: &str) {
        text.push_str(quoted);
        if self.depth == 0 {
            self.words.is_in_word = true;
            self.words.current.push_str(quoted);
        }
    }

    fn single(&mut self) -> Result<String, String> {
        let mut text = String::new();
        let quote = self.rest.next();
        if self.how.keeps_quotes {
            text.extend(quote);
        }
        for letter in self.rest.by_ref() {
            if letter == '\'' {
                if self.how.keeps_quotes {
                    text.push(letter);
                }
                return Ok(text);
            }
            text.push(letter);
        }
        Err("unexpected end of statement while looking for matching single-quote".to_owned())
    }

    fn double(&mut self) -> Result<String, String> {
        let mut text = String::new();
        let quote = self.rest.next();
        if self.how.keeps_quotes {
            text.extend(quote);
        }
        loop {
            let Some(&next) = self.rest.peek() else {
                return Err("unexpected end of statement while looking for matching double-quote".to_owned());
            };
            if next == '$' {
                self.depth += 1;
                let value = self.dollar();
                self.depth -= 1;
                text.push_str(&value?);
                continue;
            }
            self.rest.next();
            if next == '"' {
                if self.how.keeps_quotes {
                    text.push(next);
                }
                return Ok(text);
            }
            if next != self.how.escape {
                text.push(next);
                continue;
            }
            if self.how.keeps_quotes {
                text.push(next);
            }
            match self.rest.peek().copied() {
                None => {}
                Some(escaped) if escaped == '"' || escaped == '$' || escaped == self.how.escape => {
                    self.rest.next();
                    text.push(escaped);
                }
                Some(_) if self.how.keeps_quotes => {}
                Some(_) => text.push(next),
            }
        }
    }

    fn dollar(&mut self) -> Result<String, String> {
        self.rest.next();
        if self.rest.peek() == Some(&'{') {
            self.rest.next();
            if self.depth >= MAX_DEPTH {
                return Err("its variables are nested too deeply".to_owned());
            }
            self.depth += 1;
            let value = self.braces();
            self.depth -= 1;
            return value;
        }
        let name = self.name();
        if name.is_empty() {
            return Ok("$".to_owned());
        }
        Ok(self.value(&name).unwrap_or_else(|| self.unset(format!("${name}"))))
    }

    fn value(&self, name: &str) -> Option<String> {
        self.variables.get(name)
    }

    fn unset(&self, written: String) -> String {
        if self.how.keeps_unset { written } else { String::new() }
    }

    /// A name, a number, or one of the shell's own parameters.
    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(&next) = self.rest.peek() {
            let is_number = name.starts_with(|first: char| first.is_numeric());
            let fits = match name.is_empty() {
                true if "@*#!?-$".contains(next) => {
                    self.rest.next();
                    return next.to_string();
                }
                true => next.is_alphanumeric() || next == '_',
                false if is_number => next.is_numeric(),
                false => next.is_alphanumeric() || next == '_',
            };
            if !fits {
                break;
            }
            self.rest.next();
            name.push(next);
        }
        name
    }

    /// What stands behind `${`.
    fn braces(&mut self) -> Result<String, String> {
        let name = self.name();
        let missing = || "syntax error: missing '}'".to_owned();
        if name.is_empty() {
            return Err(if self.rest.peek().is_some() { "bad substitution".to_owned() } else { missing() });
        }
        let modifier = self.rest.next().ok_or_else(missing)?;
        match modifier {
            '}' => Ok(self.value(&name).unwrap_or_else(|| self.unset(format!("${{{name}}}")))),
            '/' => self.replacement(&name),
            ':' => {
                let modifier = self.rest.next().ok_or_else(missing)?;
                if !matches!(modifier, '+' | '-' | '?') {
                    return Err(format!("unsupported modifier (:{modifier}) in substitution"));
                }
                self.alternative(&name, modifier, true)
            }
            '+' | '-' | '?' => self.alternative(&name, modifier, false),
            '#' | '%' => self.trimmed(&name, modifier),
            other => Err(format!("unsupported modifier ({other}) in substitution")),
        }
    }

    fn alternative(&mut self, name: &str, modifier: char, empty_is_unset: bool) -> Result<String, String> {
        let word = self.until(Some('}'), false)?;
        let value = self.value(name).filter(|value| !empty_is_unset || !value.is_empty());
        match (modifier, value) {
            ('-', None) => Ok(word),
            ('-' | '?', Some(value)) => Ok(value),
            ('+', Some(_)) => Ok(word),
            ('?', None) => {
                let why = match (word.is_empty(), empty_is_unset) {
                    (false, _) => word.as_str(),
                    (true, true) => "is not allowed to be empty or unset",
                    (true, false) => "is not allowed to be unset",
                };
                Err(format!("{name}: {why}"))
            }
            _ => Ok(String::new()),
        }
    }

    fn trimmed(&mut self, name: &str, modifier: char) -> Result<String, String> {
        let word = self.until(Some('}'), true)?;
        let Some(value) = self.value(name) else {
            return Ok(self.unset(format!("${{{name}{modifier}{word}}}")));
        };
        let (longest, word) = match word.strip_prefix(modifier) {
            Some(word) => (true, word),
            None => (false, word.as_str()),
        };
        let pattern = Pattern::parse(word, self.how.escape, &value)?;
        let cut = match modifier {
            '#' => pattern.prefix(&value, longest).map(|end| value[end..].to_owned()),
            _ => pattern.suffix(&value, longest).map(|start| value[..start].to_owned()),
        };
        Ok(cut.unwrap_or(value))
    }

    fn replacement(&mut self, name: &str) -> Result<String, String> {
        let all = self.rest.peek() == Some(&'/');
        if all {
            self.rest.next();
        }
        let pattern = self.until(Some('/'), true)?;
        let replacement = self.until(Some('}'), false)?;
        let Some(value) = self.value(name) else {
            let slashes = if all { "//" } else { "/" };
            return Ok(self.unset(format!("${{{name}{slashes}{pattern}/{replacement}}}")));
        };
        Pattern::parse(&pattern, self.how.escape, &value)?.replace(&value, &replacement, all)
    }
}
