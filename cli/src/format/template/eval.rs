//! Walks a template's tree over a subject. It only reads; its output is text.

use knarr_proto::escape;
use serde_json::Value;

use super::functions;
use super::parse::{Node, Operand, Pipeline};
use super::print::{is_true, text};
use super::{Mode, Subject, TemplateError};

/// A template may loop within loops over what the daemon said; a terminal has no use for more.
const MAX_OUTPUT_BYTES: usize = 64 << 20;

/// Objects whose keys are data: a missing one is `<no value>` there, and an error elsewhere.
const DATA_KEYED: [&str; 7] =
    ["Labels", "Sysctls", "Volumes", "ExposedPorts", "Networks", "Attributes", "Tmpfs"];

/// Writes `nodes` for `subject`.
pub(super) fn render(nodes: &[Node], subject: &Subject, mode: Mode) -> Result<String, TemplateError> {
    let root = &subject.fields;
    let mut scope =
        Scope { subject, mode, variables: vec![(String::new(), root.clone())], out: String::new() };
    scope.run(nodes, root)?;
    Ok(scope.out)
}

struct Scope<'a> {
    subject: &'a Subject,
    mode: Mode,
    /// Innermost last; `$` has an empty name.
    variables: Vec<(String, Value)>,
    out: String,
}

impl Scope<'_> {
    /// Runs a block: variables that it declares end with it.
    fn run(&mut self, nodes: &[Node], dot: &Value) -> Result<(), TemplateError> {
        let outer = self.variables.len();
        for node in nodes {
            self.node(node, dot)?;
            if self.out.len() > MAX_OUTPUT_BYTES {
                return Err(TemplateError::Evaluation(format!(
                    "output is longer than {MAX_OUTPUT_BYTES} bytes"
                )));
            }
        }
        self.variables.truncate(outer);
        Ok(())
    }

    fn node(&mut self, node: &Node, dot: &Value) -> Result<(), TemplateError> {
        match node {
            Node::Text(literal) => self.out.push_str(literal),
            Node::Print(pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                if pipeline.variable.is_none() {
                    let text = text(&value);
                    self.out.push_str(&match self.mode {
                        Mode::Row => escape::line(&text),
                        Mode::Values | Mode::Headers => escape::lines(&text),
                    });
                }
            }
            Node::If { branches, otherwise } => {
                let outer = self.variables.len();
                for (condition, body) in branches {
                    if is_true(&self.pipeline(condition, dot)?) {
                        self.run(body, dot)?;
                        self.variables.truncate(outer);
                        return Ok(());
                    }
                }
                self.run(otherwise, dot)?;
                self.variables.truncate(outer);
            }
            Node::With { over, body, otherwise } => {
                let outer = self.variables.len();
                let value = self.pipeline(over, dot)?;
                if is_true(&value) {
                    self.run(body, &value)?;
                } else {
                    self.run(otherwise, dot)?;
                }
                self.variables.truncate(outer);
            }
            Node::Range { names, over, body, otherwise } => {
                let over = self.pipeline(over, dot)?;
                let items = items(&over)?;
                if items.is_empty() {
                    return self.run(otherwise, dot);
                }
                for (key, item) in items {
                    let outer = self.variables.len();
                    match names.as_slice() {
                        [item_name] => self.variables.push((item_name.clone(), item.clone())),
                        [key_name, item_name] => {
                            self.variables.push((key_name.clone(), key));
                            self.variables.push((item_name.clone(), item.clone()));
                        }
                        _ => {}
                    }
                    self.run(body, &item)?;
                    self.variables.truncate(outer);
                }
            }
        }
        Ok(())
    }

    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, TemplateError> {
        let mut piped = None;
        for command in &pipeline.commands {
            piped = Some(self.command(command, piped, dot)?);
        }
        let value = piped.unwrap_or(Value::Null);
        if let Some(binding) = &pipeline.variable {
            self.bind(&binding.name, binding.is_new, value.clone())?;
        }
        Ok(value)
    }

    fn bind(&mut self, name: &str, is_new: bool, value: Value) -> Result<(), TemplateError> {
        if is_new {
            self.variables.push((name.to_owned(), value));
            return Ok(());
        }
        let found = self.variables.iter_mut().rev().find(|(known, _)| known == name);
        let (_, slot) =
            found.ok_or_else(|| TemplateError::Evaluation(format!("undefined variable ${name}")))?;
        *slot = value;
        Ok(())
    }

    fn command(
        &mut self,
        command: &[Operand],
        piped: Option<Value>,
        dot: &Value,
    ) -> Result<Value, TemplateError> {
        let Some((head, rest)) = command.split_first() else { return Ok(Value::Null) };
        if let Operand::Function(name) = head {
            return self.call(name, rest, piped, dot);
        }
        if let Operand::Field(path) = head
            && matches!(path.as_slice(), [method] if method == "Label")
        {
            return self.label(rest, piped, dot);
        }
        if !rest.is_empty() || piped.is_some() {
            return Err(TemplateError::Evaluation(format!("{} is no function", describe(head))));
        }
        self.operand(head, dot)
    }

    /// `and` and `or` leave alone what need not be looked at, as Go's do.
    fn call(
        &mut self,
        name: &str,
        operands: &[Operand],
        piped: Option<Value>,
        dot: &Value,
    ) -> Result<Value, TemplateError> {
        let mut arguments = Vec::with_capacity(operands.len() + 1);
        for operand in operands {
            let value = self.operand(operand, dot)?;
            let decided = match name {
                "and" => !is_true(&value),
                "or" => is_true(&value),
                _ => false,
            };
            if decided {
                return Ok(value);
            }
            arguments.push(value);
        }
        arguments.extend(piped);
        match self.mode {
            Mode::Values | Mode::Row => functions::call(name, &arguments),
            Mode::Headers => functions::call_on_headers(name, arguments),
        }
    }

    /// `.Label "key"`: one label's value, or its title.
    fn label(&mut self, rest: &[Operand], piped: Option<Value>, dot: &Value) -> Result<Value, TemplateError> {
        let key = match (rest, piped) {
            ([key], None) => self.operand(key, dot)?,
            ([], Some(key)) => key,
            _ => return Err(TemplateError::Evaluation("Label takes one argument: the key".to_owned())),
        };
        let key = text(&key);
        Ok(Value::from(match self.mode {
            Mode::Values | Mode::Row => self.subject.labels.get(&key).cloned().unwrap_or_default(),
            Mode::Headers => key.rsplit('.').next().unwrap_or_default().replace(['-', '_'], " "),
        }))
    }

    fn operand(&mut self, operand: &Operand, dot: &Value) -> Result<Value, TemplateError> {
        match operand {
            Operand::Literal(value) => Ok(value.clone()),
            Operand::Field(path) => select(dot, path),
            Operand::Variable(name, path) => {
                let found = self.variables.iter().rev().find(|(known, _)| known == name);
                let (_, value) =
                    found.ok_or_else(|| TemplateError::Evaluation(format!("undefined variable ${name}")))?;
                select(value, path)
            }
            Operand::Group(pipeline, path) => {
                let value = self.pipeline(pipeline, dot)?;
                select(&value, path)
            }
            Operand::Function(name) => self.call(name, &[], None, dot),
        }
    }
}

/// Follows `.A.B` from `value`.
fn select(value: &Value, path: &[String]) -> Result<Value, TemplateError> {
    let mut at = value;
    let mut holder = "";
    for name in path {
        at = match at {
            Value::Object(fields) => match fields.get(name) {
                Some(field) => field,
                None if DATA_KEYED.contains(&holder) => &Value::Null,
                None => return Err(no_such_field(name, fields)),
            },
            Value::Null => {
                return Err(TemplateError::Evaluation(format!(
                    "there is no .{name}: .{holder} is empty here"
                )));
            }
            _ => return Err(TemplateError::Evaluation(format!("there is no .{name} in a plain value"))),
        };
        holder = name;
    }
    Ok(at.clone())
}

fn no_such_field(name: &str, fields: &serde_json::Map<String, Value>) -> TemplateError {
    let nearest = fields.keys().find(|known| known.eq_ignore_ascii_case(name));
    TemplateError::Evaluation(match nearest {
        Some(known) => format!("there is no field .{name}, did you mean .{known}?"),
        None => {
            let known: Vec<&str> = fields.keys().map(String::as_str).collect();
            format!("there is no field .{name} (there are {})", known.join(", "))
        }
    })
}

/// What `range` goes over, with index or key; maps in the order of their keys.
fn items(over: &Value) -> Result<Vec<(Value, Value)>, TemplateError> {
    match over {
        Value::Null => Ok(Vec::new()),
        Value::Array(items) => {
            Ok(items.iter().enumerate().map(|(at, item)| (Value::from(at), item.clone())).collect())
        }
        Value::Object(fields) => {
            let mut pairs: Vec<_> =
                fields.iter().map(|(key, item)| (Value::from(key.as_str()), item.clone())).collect();
            pairs.sort_by(|(left, _), (right, _)| left.as_str().cmp(&right.as_str()));
            Ok(pairs)
        }
        _ => Err(TemplateError::Evaluation(format!("range can't iterate over {}", text(over)))),
    }
}

fn describe(operand: &Operand) -> String {
    match operand {
        Operand::Field(path) => format!(".{}", path.join(".")),
        Operand::Variable(name, _) => format!("${name}"),
        Operand::Literal(value) => value.to_string(),
        Operand::Function(name) => name.clone(),
        Operand::Group(..) => "what stands in parentheses".to_owned(),
    }
}
