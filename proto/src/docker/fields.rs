//! An object of a request, read as Go's decoder reads it: the names of fields in any letter case, `null` for what is not
//! there. What has the wrong type is an error that names the field.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// A request that cannot be understood, or asks for what knarr has not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBody {
    /// Another type of value.
    #[error("invalid JSON: {field} must be {expected}")]
    Type {
        /// Its path from the outermost object.
        field: String,
        /// What it has to be.
        expected: &'static str,
    },
    /// A value that makes no sense.
    #[error("invalid value {value:?} for {field}: {expected}")]
    Value {
        /// As above.
        field: String,
        /// The value.
        value: String,
        /// What there is instead.
        expected: &'static str,
    },
    /// Something that docker has and knarr has not, or not yet.
    #[error("{field} is not supported yet{hint}")]
    Unsupported {
        /// As above.
        field: String,
        /// What to do instead, if there is something.
        hint: &'static str,
    },
}

/// An object, and how it is called in messages.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    object: Map<String, Value>,
    path: String,
}

impl Fields {
    /// The outermost object.
    #[must_use]
    pub fn new(object: Map<String, Value>) -> Self {
        Self { object, path: String::new() }
    }

    /// A field's path from the outermost object.
    #[must_use]
    pub fn path(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// A field's value, unless it is `null`. Exactly this name comes before another letter case.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&Value> {
        let exact = self.object.get(name);
        let found = exact.or_else(|| {
            let other = self.object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
            other.map(|(_, value)| value)
        });
        found.filter(|value| !value.is_null())
    }

    fn wrong(&self, name: &str, expected: &'static str) -> InvalidBody {
        InvalidBody::Type { field: self.path(name), expected }
    }

    /// A text, or the empty one.
    ///
    /// # Errors
    /// [`InvalidBody::Type`], as for all that follow.
    pub fn text(&self, name: &str) -> Result<String, InvalidBody> {
        match self.value(name) {
            None => Ok(String::new()),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(_) => Err(self.wrong(name, "a text")),
        }
    }

    /// A yes or no; no, when it is not there.
    pub fn flag(&self, name: &str) -> Result<bool, InvalidBody> {
        Ok(self.flag_if_any(name)?.unwrap_or(false))
    }

    /// A yes or no, if there is one.
    pub fn flag_if_any(&self, name: &str) -> Result<Option<bool>, InvalidBody> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => Err(self.wrong(name, "true or false")),
        }
    }

    /// A whole number, or 0.
    pub fn number(&self, name: &str) -> Result<i64, InvalidBody> {
        Ok(self.number_if_any(name)?.unwrap_or(0))
    }

    /// A whole number, if there is one.
    pub fn number_if_any(&self, name: &str) -> Result<Option<i64>, InvalidBody> {
        match self.value(name) {
            None => Ok(None),
            Some(value) => value.as_i64().map(Some).ok_or_else(|| self.wrong(name, "a whole number")),
        }
    }

    /// A whole number that is not negative, or 0.
    pub fn count<N: TryFrom<i64> + Default>(&self, name: &str) -> Result<N, InvalidBody> {
        Ok(self.count_if_any(name)?.unwrap_or_default())
    }

    /// A whole number that is not negative, if there is one.
    pub fn count_if_any<N: TryFrom<i64>>(&self, name: &str) -> Result<Option<N>, InvalidBody> {
        let Some(number) = self.number_if_any(name)? else { return Ok(None) };
        let count = N::try_from(number).ok().filter(|_| number >= 0);
        count.map(Some).ok_or_else(|| self.wrong(name, "a whole number that is not negative"))
    }

    /// A list of texts, or the empty one.
    pub fn texts(&self, name: &str) -> Result<Vec<String>, InvalidBody> {
        Ok(self.texts_if_any(name)?.unwrap_or_default())
    }

    /// A list of texts, if there is one. A single text is a list of one, as docker has it for commands.
    pub fn texts_if_any(&self, name: &str) -> Result<Option<Vec<String>>, InvalidBody> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(vec![text.clone()])),
            Some(Value::Array(values)) => {
                let texts: Option<Vec<String>> = values.iter().map(text).collect();
                texts.map(Some).ok_or_else(|| self.wrong(name, "a list of texts"))
            }
            Some(_) => Err(self.wrong(name, "a list of texts")),
        }
    }

    /// A map of texts, whose keys are as they were written.
    pub fn map(&self, name: &str) -> Result<BTreeMap<String, String>, InvalidBody> {
        let wrong = || self.wrong(name, "an object of texts");
        match self.value(name) {
            None => Ok(BTreeMap::new()),
            Some(Value::Object(object)) => object
                .iter()
                .map(|(key, value)| Ok((key.clone(), value.as_str().ok_or_else(wrong)?.to_owned())))
                .collect(),
            Some(_) => Err(wrong()),
        }
    }

    /// An object; one without fields, when it is not there.
    pub fn object(&self, name: &str) -> Result<Self, InvalidBody> {
        match self.value(name) {
            None => Ok(Self { object: Map::new(), path: self.path(name) }),
            Some(Value::Object(object)) => Ok(Self { object: object.clone(), path: self.path(name) }),
            Some(_) => Err(self.wrong(name, "an object")),
        }
    }

    /// A list of objects.
    pub fn objects(&self, name: &str) -> Result<Vec<Self>, InvalidBody> {
        let wrong = || self.wrong(name, "a list of objects");
        let path = self.path(name);
        match self.value(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(values)) => values
                .iter()
                .map(|value| {
                    let object = value.as_object().ok_or_else(wrong)?.clone();
                    Ok(Self { object, path: path.clone() })
                })
                .collect(),
            Some(_) => Err(wrong()),
        }
    }

    /// Refuses the first of `names` that says something.
    ///
    /// # Errors
    /// [`InvalidBody::Unsupported`].
    pub fn refuse(&self, names: &[(&str, &'static str)]) -> Result<(), InvalidBody> {
        for (name, hint) in names {
            if self.value(name).is_some_and(says_something) {
                return Err(InvalidBody::Unsupported { field: self.path(name), hint });
            }
        }
        Ok(())
    }

    /// Whether any field says something.
    #[must_use]
    pub fn says_something(&self) -> bool {
        self.object.values().any(says_something)
    }

    /// The names of the fields.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.object.keys().map(String::as_str)
    }
}

/// Whether a value is more than Go's zero: clients send all fields that they have.
fn says_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(values) => !values.is_empty(),
        Value::Object(object) => object.values().any(says_something),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(value: Value) -> Fields {
        match value {
            Value::Object(object) => Fields::new(object),
            other => panic!("{other} is no object"),
        }
    }

    #[test]
    fn names_are_read_in_any_letter_case_and_null_is_nothing() {
        let fields = fields(json!({"image": "a", "Image": "b", "TTY": true, "cmd": "sh", "Env": null}));
        assert_eq!(fields.text("Image").as_deref(), Ok("b"));
        assert_eq!(fields.flag("Tty"), Ok(true));
        assert_eq!(fields.texts_if_any("Cmd"), Ok(Some(vec!["sh".to_owned()])));
        assert_eq!(fields.texts_if_any("Env"), Ok(None));
    }

    #[test]
    fn a_wrong_type_names_the_field() {
        let fields =
            fields(json!({"HostConfig": {"Memory": "1g", "Binds": [1], "ShmSize": -1}, "Labels": {"a": 1}}));
        let host = fields.object("HostConfig").expect("an object");
        for (error, text) in [
            (host.number("Memory").expect_err("no number"), "HostConfig.Memory must be a whole number"),
            (host.texts("Binds").expect_err("no texts"), "HostConfig.Binds must be a list of texts"),
            (host.count::<u64>("ShmSize").expect_err("negative"), "not negative"),
            (fields.map("Labels").expect_err("no text"), "Labels must be an object of texts"),
            (fields.object("Labels").and_then(|labels| labels.text("a")).expect_err("no text"), "Labels.a"),
        ] {
            assert!(error.to_string().contains(text), "{error}");
        }
    }

    #[test]
    fn what_is_not_supported_is_refused_only_when_it_says_something() {
        let fields =
            fields(json!({"a": 0, "b": "", "c": [], "d": {"e": {}}, "f": false, "g": null, "h": [0]}));
        for name in ["a", "b", "c", "d", "f", "g", "none"] {
            assert_eq!(fields.refuse(&[(name, "")]), Ok(()), "{name}");
        }
        let refused = fields.refuse(&[("a", ""), ("h", ": use i")]).expect_err("it says something");
        assert_eq!(refused.to_string(), "h is not supported yet: use i");
    }
}
