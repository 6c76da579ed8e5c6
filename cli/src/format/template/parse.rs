//! Tokens to a tree: the grammar of Go's text/template, without template definitions and `break`.

use std::vec::IntoIter;

use serde_json::Value;

use super::TemplateError;
use super::lex::{Piece, Token};

/// How deep blocks and parentheses may nest; a template is typed by a person, and the evaluator recurses.
const MAX_DEPTH: usize = 64;

/// A part of a template.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    /// Literal output.
    Text(String),
    /// `{{pipeline}}`; declarations print nothing.
    Print(Pipeline),
    /// `{{if}}…{{else if}}…{{else}}…{{end}}`
    If { branches: Vec<(Pipeline, Vec<Node>)>, otherwise: Vec<Node> },
    /// `{{with}}…{{else}}…{{end}}`
    With { over: Pipeline, body: Vec<Node>, otherwise: Vec<Node> },
    /// `{{range $index, $item := pipeline}}…{{else}}…{{end}}`
    Range { names: Vec<String>, over: Pipeline, body: Vec<Node>, otherwise: Vec<Node> },
}

/// `$x := command | command`
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pipeline {
    /// The variable that takes the value.
    pub(super) variable: Option<Binding>,
    /// Each takes the value of the one before as its last argument.
    pub(super) commands: Vec<Vec<Operand>>,
}

/// A variable that a pipeline sets.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Binding {
    /// Without `$`.
    pub(super) name: String,
    /// `:=`, a new one in this block; else `=`.
    pub(super) is_new: bool,
}

/// A value or a function's name.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operand {
    /// `.` or `.A.B`
    Field(Vec<String>),
    /// `$x.A.B`
    Variable(String, Vec<String>),
    /// A constant.
    Literal(Value),
    /// `json`, `join` …
    Function(String),
    /// `(pipeline).A.B`
    Group(Box<Pipeline>, Vec<String>),
}

/// Builds the tree of a whole template.
pub(super) fn parse(pieces: Vec<Piece>) -> Result<Vec<Node>, TemplateError> {
    let mut parser = Parser { pieces: pieces.into_iter(), depth: 0 };
    let (nodes, stop) = parser.block()?;
    match stop {
        Stop::EndOfText => Ok(nodes),
        Stop::End => Err(TemplateError::Syntax("unexpected {{end}}".to_owned())),
        Stop::Else(_) => Err(TemplateError::Syntax("unexpected {{else}}".to_owned())),
    }
}

struct Parser {
    pieces: IntoIter<Piece>,
    depth: usize,
}

/// What ended a block; `else` carries the tokens behind it.
enum Stop {
    EndOfText,
    End,
    Else(Vec<Token>),
}

impl Parser {
    fn block(&mut self) -> Result<(Vec<Node>, Stop), TemplateError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(TemplateError::Syntax(format!("blocks nest deeper than {MAX_DEPTH}")));
        }
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.next() {
            let tokens = match piece {
                Piece::Text(text) => {
                    nodes.push(Node::Text(text));
                    continue;
                }
                Piece::Action(tokens) => tokens,
            };
            let Some((head, tail)) = tokens.split_first() else {
                return Err(TemplateError::Syntax("missing value for command".to_owned()));
            };
            let keyword = match head {
                Token::Word(word) => word.as_str(),
                _ => "",
            };
            match keyword {
                "end" => return Ok(self.leave(nodes, Stop::End)),
                "else" => return Ok(self.leave(nodes, Stop::Else(tail.to_vec()))),
                "if" => nodes.push(self.conditional(tail)?),
                "with" => nodes.push(self.with(tail)?),
                "range" => nodes.push(self.range(tail)?),
                "define" | "template" | "block" | "break" | "continue" => {
                    return Err(TemplateError::Syntax(format!("{{{{{keyword}}}}} is not supported")));
                }
                _ => nodes.push(Node::Print(pipeline(&tokens)?)),
            }
        }
        Ok(self.leave(nodes, Stop::EndOfText))
    }

    fn leave(&mut self, nodes: Vec<Node>, stop: Stop) -> (Vec<Node>, Stop) {
        self.depth -= 1;
        (nodes, stop)
    }

    fn conditional(&mut self, condition: &[Token]) -> Result<Node, TemplateError> {
        let mut branches = Vec::new();
        let mut condition = pipeline(condition)?;
        loop {
            let (body, stop) = self.block()?;
            branches.push((condition, body));
            match stop {
                Stop::EndOfText => return Err(without_end("if")),
                Stop::End => return Ok(Node::If { branches, otherwise: Vec::new() }),
                Stop::Else(tokens) if tokens.is_empty() => {
                    let otherwise = self.last_block("if")?;
                    return Ok(Node::If { branches, otherwise });
                }
                Stop::Else(tokens) => match tokens.split_first() {
                    Some((Token::Word(word), rest)) if word == "if" => condition = pipeline(rest)?,
                    _ => return Err(TemplateError::Syntax("unexpected tokens behind {{else".to_owned())),
                },
            }
        }
    }

    fn with(&mut self, tokens: &[Token]) -> Result<Node, TemplateError> {
        let over = pipeline(tokens)?;
        let (body, otherwise) = self.body_and_else("with")?;
        Ok(Node::With { over, body, otherwise })
    }

    fn range(&mut self, tokens: &[Token]) -> Result<Node, TemplateError> {
        let (names, rest) = match tokens {
            [Token::Variable(index), Token::Comma, Token::Variable(item), Token::Declare, rest @ ..] => {
                (vec![index.clone(), item.clone()], rest)
            }
            [Token::Variable(item), Token::Declare, rest @ ..] => (vec![item.clone()], rest),
            _ => (Vec::new(), tokens),
        };
        let over = pipeline(rest)?;
        let (body, otherwise) = self.body_and_else("range")?;
        Ok(Node::Range { names, over, body, otherwise })
    }

    fn body_and_else(&mut self, keyword: &str) -> Result<(Vec<Node>, Vec<Node>), TemplateError> {
        let (body, stop) = self.block()?;
        match stop {
            Stop::End => Ok((body, Vec::new())),
            Stop::Else(tokens) if tokens.is_empty() => Ok((body, self.last_block(keyword)?)),
            Stop::Else(_) => Err(TemplateError::Syntax("unexpected tokens behind {{else".to_owned())),
            Stop::EndOfText => Err(without_end(keyword)),
        }
    }

    fn last_block(&mut self, keyword: &str) -> Result<Vec<Node>, TemplateError> {
        match self.block()? {
            (nodes, Stop::End) => Ok(nodes),
            (_, Stop::Else(_)) => Err(TemplateError::Syntax("expected {{end}}, found {{else}}".to_owned())),
            (_, Stop::EndOfText) => Err(without_end(keyword)),
        }
    }
}

fn without_end(keyword: &str) -> TemplateError {
    TemplateError::Syntax(format!("{{{{{keyword}}}}} without {{{{end}}}}"))
}

fn pipeline(tokens: &[Token]) -> Result<Pipeline, TemplateError> {
    let mut reader = Reader { tokens, depth: 0 };
    let pipeline = reader.pipeline()?;
    match reader.tokens {
        [] => Ok(pipeline),
        [Token::Close, ..] => Err(TemplateError::Syntax("unexpected right paren".to_owned())),
        _ => Err(TemplateError::Syntax("unexpected token in command".to_owned())),
    }
}

/// Reads one action's tokens from the left.
struct Reader<'a> {
    tokens: &'a [Token],
    depth: usize,
}

impl Reader<'_> {
    fn pipeline(&mut self) -> Result<Pipeline, TemplateError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(TemplateError::Syntax(format!("parentheses nest deeper than {MAX_DEPTH}")));
        }
        let variable = match self.tokens {
            [Token::Variable(name), sign @ (Token::Declare | Token::Assign), rest @ ..] => {
                self.tokens = rest;
                Some(Binding { name: name.clone(), is_new: *sign == Token::Declare })
            }
            _ => None,
        };
        let mut commands = Vec::new();
        loop {
            let command = self.command()?;
            if command.is_empty() {
                return Err(TemplateError::Syntax("missing value for command".to_owned()));
            }
            commands.push(command);
            match self.tokens {
                [Token::Pipe, rest @ ..] => self.tokens = rest,
                _ => break,
            }
        }
        self.depth -= 1;
        Ok(Pipeline { variable, commands })
    }

    fn command(&mut self) -> Result<Vec<Operand>, TemplateError> {
        let mut operands = Vec::new();
        while let Some(operand) = self.operand()? {
            operands.push(operand);
        }
        Ok(operands)
    }

    fn operand(&mut self) -> Result<Option<Operand>, TemplateError> {
        let Some((token, rest)) = self.tokens.split_first() else { return Ok(None) };
        let operand = match token {
            Token::Pipe | Token::Close => return Ok(None),
            Token::Comma | Token::Declare | Token::Assign => {
                return Err(TemplateError::Syntax("unexpected token in command".to_owned()));
            }
            Token::Open => {
                self.tokens = rest;
                let inner = self.pipeline()?;
                let [Token::Close, rest @ ..] = self.tokens else {
                    return Err(TemplateError::Syntax("unclosed left paren".to_owned()));
                };
                self.tokens = rest;
                return Ok(Some(Operand::Group(Box::new(inner), self.glued_fields())));
            }
            Token::Dot => Operand::Field(Vec::new()),
            Token::Field { name, .. } => {
                self.tokens = rest;
                let mut path = vec![name.clone()];
                path.extend(self.glued_fields());
                return Ok(Some(Operand::Field(path)));
            }
            Token::Variable(name) => {
                self.tokens = rest;
                return Ok(Some(Operand::Variable(name.clone(), self.glued_fields())));
            }
            Token::Word(word) => match word.as_str() {
                "true" => Operand::Literal(Value::Bool(true)),
                "false" => Operand::Literal(Value::Bool(false)),
                "nil" => Operand::Literal(Value::Null),
                _ => Operand::Function(word.clone()),
            },
            Token::Text(text) => Operand::Literal(Value::from(text.as_str())),
            Token::Integer(number) => Operand::Literal(Value::from(*number)),
            Token::Decimal(number) => Operand::Literal(Value::from(*number)),
        };
        self.tokens = rest;
        Ok(Some(operand))
    }

    fn glued_fields(&mut self) -> Vec<String> {
        let mut path = Vec::new();
        while let [Token::Field { name, glued: true }, rest @ ..] = self.tokens {
            path.push(name.clone());
            self.tokens = rest;
        }
        path
    }
}
