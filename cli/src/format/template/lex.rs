//! Cuts a template into text and the tokens between `{{` and `}}`. It knows no grammar.

use super::TemplateError;

/// A piece of a template.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Piece {
    /// Copied to the output as it is.
    Text(String),
    /// The tokens of one `{{…}}`.
    Action(Vec<Token>),
}

/// What an action is made of.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// `.Name`, where `glued` says that no space stands before it (`$x.Name`, `(…).Name`).
    Field { name: String, glued: bool },
    /// `.` alone.
    Dot,
    /// `$name`; `$` alone has an empty name.
    Variable(String),
    /// A keyword, a function or `true`, `false`, `nil`.
    Word(String),
    /// `"…"` with escapes or `` `…` ``.
    Text(String),
    /// An integer.
    Integer(i64),
    /// A decimal fraction.
    Decimal(f64),
    /// `|`
    Pipe,
    /// `(`
    Open,
    /// `)`
    Close,
    /// `:=`
    Declare,
    /// `=`
    Assign,
    /// `,`
    Comma,
}

/// Cuts `source` into pieces.
pub(super) fn lex(source: &str) -> Result<Vec<Piece>, TemplateError> {
    let mut pieces = Vec::new();
    let mut rest = source;
    let mut trim_next = false;
    loop {
        let Some(start) = rest.find("{{") else {
            push_text(&mut pieces, if trim_next { rest.trim_start() } else { rest });
            return Ok(pieces);
        };
        let (text, tail) = (&rest[..start], &rest[start + 2..]);
        let text = if trim_next { text.trim_start() } else { text };
        let (text, tail) = match tail.strip_prefix("- ") {
            Some(inner) => (text.trim_end(), inner),
            None => (text, tail),
        };
        push_text(&mut pieces, text);
        if let Some(comment) = tail.trim_start().strip_prefix("/*") {
            let end =
                comment.find("*/").ok_or_else(|| TemplateError::Syntax("unclosed comment".to_owned()))?;
            let after = comment[end + 2..].trim_start();
            trim_next = after.starts_with("-}}");
            rest = after.trim_start_matches('-').strip_prefix("}}").ok_or_else(unclosed)?;
            continue;
        }
        let mut cutter = Cutter { rest: tail, tokens: Vec::new() };
        trim_next = cutter.run()?;
        pieces.push(Piece::Action(cutter.tokens));
        rest = cutter.rest;
    }
}

fn push_text(pieces: &mut Vec<Piece>, text: &str) {
    if !text.is_empty() {
        pieces.push(Piece::Text(text.to_owned()));
    }
}

fn unclosed() -> TemplateError {
    TemplateError::Syntax("unclosed action: \"{{\" without \"}}\"".to_owned())
}

struct Cutter<'a> {
    rest: &'a str,
    tokens: Vec<Token>,
}

impl Cutter<'_> {
    /// Reads up to and with `}}`; true when it was ` -}}`, which swallows the space after it.
    fn run(&mut self) -> Result<bool, TemplateError> {
        let mut glued = false;
        loop {
            let trimmed = self.rest.trim_start();
            if trimmed.len() != self.rest.len() {
                glued = false;
            }
            self.rest = trimmed;
            if let Some(rest) = self.rest.strip_prefix("}}") {
                self.rest = rest;
                return Ok(false);
            }
            if let Some(rest) = self.rest.strip_prefix("-}}") {
                self.rest = rest;
                return Ok(true);
            }
            let token = self.token(glued)?;
            glued = true;
            self.tokens.push(token);
        }
    }

    fn token(&mut self, glued: bool) -> Result<Token, TemplateError> {
        let first = self.rest.chars().next().ok_or_else(unclosed)?;
        match first {
            '|' => Ok(self.take(1, Token::Pipe)),
            '(' => Ok(self.take(1, Token::Open)),
            ')' => Ok(self.take(1, Token::Close)),
            ',' => Ok(self.take(1, Token::Comma)),
            ':' if self.rest.starts_with(":=") => Ok(self.take(2, Token::Declare)),
            '=' => Ok(self.take(1, Token::Assign)),
            '"' => self.quoted(),
            '`' => self.raw(),
            '.' => {
                self.rest = &self.rest[1..];
                let name = self.name();
                let glued = glued && matches!(self.tokens.last(), Some(token) if token.ends_a_value());
                Ok(if name.is_empty() { Token::Dot } else { Token::Field { name, glued } })
            }
            '$' => {
                self.rest = &self.rest[1..];
                Ok(Token::Variable(self.name()))
            }
            '-' | '0'..='9' => self.number(),
            _ if first.is_alphabetic() || first == '_' => Ok(Token::Word(self.name())),
            _ => Err(TemplateError::Syntax(format!("unexpected {first:?} in action"))),
        }
    }

    fn take(&mut self, bytes: usize, token: Token) -> Token {
        self.rest = &self.rest[bytes..];
        token
    }

    fn name(&mut self) -> String {
        let end = self
            .rest
            .find(|letter: char| !letter.is_alphanumeric() && letter != '_')
            .unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        name.to_owned()
    }

    fn raw(&mut self) -> Result<Token, TemplateError> {
        let body = &self.rest[1..];
        let end =
            body.find('`').ok_or_else(|| TemplateError::Syntax("unterminated raw string".to_owned()))?;
        self.rest = &body[end + 1..];
        Ok(Token::Text(body[..end].to_owned()))
    }

    fn quoted(&mut self) -> Result<Token, TemplateError> {
        let mut text = String::new();
        let mut letters = self.rest[1..].char_indices();
        while let Some((at, letter)) = letters.next() {
            match letter {
                '"' => {
                    self.rest = &self.rest[1 + at + 1..];
                    return Ok(Token::Text(text));
                }
                '\\' => match letters.next().map(|(_, escaped)| escaped) {
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    Some('r') => text.push('\r'),
                    Some(plain @ ('"' | '\\' | '\'')) => text.push(plain),
                    Some(other) => {
                        return Err(TemplateError::Syntax(format!("unknown escape \\{other} in string")));
                    }
                    None => break,
                },
                _ => text.push(letter),
            }
        }
        Err(TemplateError::Syntax("unterminated quoted string".to_owned()))
    }

    fn number(&mut self) -> Result<Token, TemplateError> {
        let end = self.rest[1..]
            .find(|letter: char| !letter.is_ascii_digit() && letter != '.')
            .map_or(self.rest.len(), |end| end + 1);
        let (digits, rest) = self.rest.split_at(end);
        self.rest = rest;
        if let Ok(number) = digits.parse() {
            return Ok(Token::Integer(number));
        }
        digits
            .parse()
            .map(Token::Decimal)
            .map_err(|_| TemplateError::Syntax(format!("bad number {digits:?} in action")))
    }
}

impl Token {
    /// After these a glued `.Name` selects from the value rather than from the dot.
    fn ends_a_value(&self) -> bool {
        matches!(self, Self::Field { .. } | Self::Variable(_) | Self::Close)
    }
}
