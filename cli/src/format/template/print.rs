//! Values as text, as Go's fmt prints them, and printf.

use serde_json::Value;

use super::TemplateError;

/// A width or precision beyond this is a slip; it would only fill memory with spaces.
const MAX_WIDTH: usize = 4096;

/// `%v`
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Array(items) => format!("[{}]", items.iter().map(text).collect::<Vec<_>>().join(" ")),
        Value::Object(fields) => {
            let mut pairs: Vec<_> = fields.iter().collect();
            pairs.sort_by_key(|(key, _)| key.as_str());
            let pairs: Vec<_> = pairs.iter().map(|(key, value)| format!("{key}:{}", text(value))).collect();
            format!("map[{}]", pairs.join(" "))
        }
    }
}

/// Go's truth: not zero and not empty.
pub(super) fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64().is_some_and(|number| number != 0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

/// `printf`: `%s %v %q %d %x %f %t %%` with `-`, `0`, width and precision.
pub(super) fn printf(format: &str, arguments: &[Value]) -> Result<String, TemplateError> {
    let mut out = String::new();
    let mut arguments = arguments.iter();
    let mut letters = format.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            out.push(letter);
            continue;
        }
        let mut left = false;
        let mut zero = false;
        while let Some(flag) = letters.next_if(|next| "-0+ #".contains(*next)) {
            left |= flag == '-';
            zero |= flag == '0';
        }
        let width = number(&mut letters)?;
        let precision = match letters.next_if_eq(&'.') {
            Some(_) => Some(number(&mut letters)?.unwrap_or(0)),
            None => None,
        };
        let Some(verb) = letters.next() else {
            return Err(TemplateError::Evaluation("printf: nothing behind the last %".to_owned()));
        };
        if verb == '%' {
            out.push('%');
            continue;
        }
        let value = arguments.next().ok_or_else(|| {
            TemplateError::Evaluation(format!("printf: there is no argument for %{verb} in {format:?}"))
        })?;
        let shown = verb_text(verb, precision, value)?;
        let padding = width.unwrap_or(0).saturating_sub(shown.chars().count());
        match (left, zero && value.is_number()) {
            (true, _) => out.extend([shown.as_str(), &" ".repeat(padding)]),
            (false, true) => out.extend([&"0".repeat(padding), shown.as_str()]),
            (false, false) => out.extend([&" ".repeat(padding), shown.as_str()]),
        }
    }
    Ok(out)
}

fn number(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Option<usize>, TemplateError> {
    let mut digits = String::new();
    while let Some(digit) = letters.next_if(char::is_ascii_digit) {
        digits.push(digit);
    }
    if digits.is_empty() {
        return Ok(None);
    }
    match digits.parse() {
        Ok(width) if width <= MAX_WIDTH => Ok(Some(width)),
        _ => Err(TemplateError::Evaluation(format!("printf: width {digits} is more than {MAX_WIDTH}"))),
    }
}

fn verb_text(verb: char, precision: Option<usize>, value: &Value) -> Result<String, TemplateError> {
    let wrong = || TemplateError::Evaluation(format!("printf: %{verb} does not fit {}", text(value)));
    Ok(match verb {
        's' | 'v' => match precision {
            Some(length) => text(value).chars().take(length).collect(),
            None => text(value),
        },
        'q' => Value::from(text(value)).to_string(),
        'd' => value.as_i64().map(|number| number.to_string()).ok_or_else(wrong)?,
        'x' => match value {
            Value::String(text) => text.bytes().map(|byte| format!("{byte:02x}")).collect(),
            _ => value.as_u64().map(|number| format!("{number:x}")).ok_or_else(wrong)?,
        },
        'f' => {
            value.as_f64().map(|number| format!("{number:.*}", precision.unwrap_or(6))).ok_or_else(wrong)?
        }
        't' => value.as_bool().map(|flag| flag.to_string()).ok_or_else(wrong)?,
        _ => return Err(TemplateError::Evaluation(format!("printf: %{verb} is not supported"))),
    })
}
