//! The functions that a template can use: Go's builtins and docker's.

use std::cmp::Ordering;

use knarr_proto::escape;
use serde_json::Value;

use super::TemplateError;
use super::print::{is_true, printf, text};

/// All of them, for the message about one that is not there.
const NAMES: [&str; 21] = [
    "and", "eq", "ge", "gt", "index", "join", "json", "le", "len", "lower", "lt", "ne", "not", "or", "pad",
    "print", "printf", "println", "split", "title", "upper",
];

/// Calls `name` on evaluated arguments.
pub(super) fn call(name: &str, arguments: &[Value]) -> Result<Value, TemplateError> {
    match (name, arguments) {
        ("json", [value]) => Ok(Value::from(escape::json(&value.to_string()))),
        ("upper", [value]) => Ok(Value::from(text(value).to_uppercase())),
        ("lower", [value]) => Ok(Value::from(text(value).to_lowercase())),
        ("title", [value]) => Ok(Value::from(title(&text(value)))),
        ("join", [items, separator]) => join(items, &text(separator)),
        ("split", [whole, separator]) => Ok(split(&text(whole), &text(separator))),
        ("pad", [value, before, after]) => pad(&text(value), before, after),
        ("truncate", [value, length]) => truncate(&text(value), length),
        ("print", _) => Ok(Value::from(print(arguments))),
        ("println", _) => Ok(Value::from(println(arguments))),
        ("printf", [format, rest @ ..]) => printf(&text(format), rest).map(Value::from),
        ("len", [value]) => length(value),
        ("index", [value, path @ ..]) => index(value, path),
        ("not", [value]) => Ok(Value::Bool(!is_true(value))),
        // The evaluator has already returned what decides them; what is left is the last argument.
        ("and" | "or", [.., last]) => Ok(last.clone()),
        ("eq", [left, rights @ ..]) if !rights.is_empty() => {
            Ok(Value::Bool(rights.iter().any(|right| compare(left, right) == Some(Ordering::Equal))))
        }
        ("ne", [left, right]) => Ok(Value::Bool(compare(left, right) != Some(Ordering::Equal))),
        ("lt", [left, right]) => ordered(name, left, right, Ordering::is_lt),
        ("le", [left, right]) => ordered(name, left, right, Ordering::is_le),
        ("gt", [left, right]) => ordered(name, left, right, Ordering::is_gt),
        ("ge", [left, right]) => ordered(name, left, right, Ordering::is_ge),
        _ if NAMES.contains(&name) || name == "truncate" => Err(TemplateError::Evaluation(format!(
            "wrong number of arguments for {name}: {}",
            arguments.len()
        ))),
        _ => Err(TemplateError::Evaluation(format!(
            "function {name:?} is not defined (there are {})",
            NAMES.join(", ")
        ))),
    }
}

/// Over a table's titles, what changes a value leaves it alone.
pub(super) fn call_on_headers(name: &str, mut arguments: Vec<Value>) -> Result<Value, TemplateError> {
    match name {
        "json" | "upper" | "lower" | "title" | "join" | "split" | "pad" | "truncate" | "index"
            if !arguments.is_empty() =>
        {
            Ok(arguments.swap_remove(0))
        }
        _ => call(name, &arguments),
    }
}

fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at_start = true;
    for letter in text.chars() {
        if at_start {
            out.extend(letter.to_uppercase());
        } else {
            out.push(letter);
        }
        at_start = !letter.is_alphanumeric() && letter != '_' && letter != '\'';
    }
    out
}

fn join(items: &Value, separator: &str) -> Result<Value, TemplateError> {
    match items {
        Value::Null => Ok(Value::from("")),
        Value::Array(items) => Ok(Value::from(items.iter().map(text).collect::<Vec<_>>().join(separator))),
        _ => Err(TemplateError::Evaluation(format!("join needs a list, not {}", text(items)))),
    }
}

fn split(whole: &str, separator: &str) -> Value {
    whole.split(separator).filter(|part| !separator.is_empty() || !part.is_empty()).map(Value::from).collect()
}

fn pad(value: &str, before: &Value, after: &Value) -> Result<Value, TemplateError> {
    let spaces = |count: &Value| match count.as_u64() {
        Some(count @ 0..=4096) => Ok(" ".repeat(usize::try_from(count).unwrap_or(0))),
        _ => Err(TemplateError::Evaluation(format!("pad needs two counts up to 4096, not {count}"))),
    };
    Ok(Value::from(format!("{}{value}{}", spaces(before)?, spaces(after)?)))
}

fn truncate(value: &str, length: &Value) -> Result<Value, TemplateError> {
    let length = length
        .as_u64()
        .and_then(|length| usize::try_from(length).ok())
        .ok_or_else(|| TemplateError::Evaluation(format!("truncate needs a length, not {}", text(length))))?;
    Ok(Value::from(value.chars().take(length).collect::<String>()))
}

/// Go's Print: a space between two that are no strings.
fn print(arguments: &[Value]) -> String {
    let mut out = String::new();
    for (at, value) in arguments.iter().enumerate() {
        if at > 0 && !value.is_string() && !arguments[at - 1].is_string() {
            out.push(' ');
        }
        out.push_str(&text(value));
    }
    out
}

fn println(arguments: &[Value]) -> String {
    let mut out = arguments.iter().map(text).collect::<Vec<_>>().join(" ");
    out.push('\n');
    out
}

fn length(value: &Value) -> Result<Value, TemplateError> {
    Ok(Value::from(match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.len(),
        Value::Object(fields) => fields.len(),
        Value::Null => 0,
        _ => return Err(TemplateError::Evaluation(format!("len of {}", text(value)))),
    }))
}

fn index(value: &Value, path: &[Value]) -> Result<Value, TemplateError> {
    let mut at = value;
    for step in path {
        at = match (at, step) {
            (Value::Array(items), Value::Number(number)) => {
                let position = number.as_u64().and_then(|position| usize::try_from(position).ok());
                position.and_then(|position| items.get(position)).ok_or_else(|| {
                    TemplateError::Evaluation(format!(
                        "index {number} is out of range: {} items",
                        items.len()
                    ))
                })?
            }
            // As in Go, a map's missing key is its zero value.
            (Value::Object(fields), Value::String(key)) => match fields.get(key) {
                Some(field) => field,
                None => return Ok(Value::from("")),
            },
            (Value::Null, _) => return Ok(Value::from("")),
            _ => {
                return Err(TemplateError::Evaluation(format!("cannot index {} with {step}", text(at))));
            }
        };
    }
    Ok(at.clone())
}

fn ordered(
    name: &str,
    left: &Value,
    right: &Value,
    holds: fn(Ordering) -> bool,
) -> Result<Value, TemplateError> {
    match compare(left, right) {
        Some(ordering) => Ok(Value::Bool(holds(ordering))),
        None => Err(TemplateError::Evaluation(format!(
            "{name}: {} and {} cannot be compared",
            text(left),
            text(right)
        ))),
    }
}

fn compare(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64()?.partial_cmp(&right.as_f64()?),
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (left, right) if left == right => Some(Ordering::Equal),
        _ => None,
    }
}
