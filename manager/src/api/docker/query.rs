//! What a request says in its path and behind the question mark, as docker reads it.

use std::collections::BTreeMap;

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use serde_json::Value;

use super::failures::Refusal;
use crate::filters::{FilterKeys, Filters};

/// The name in the path: of a container, an exec, a network.
pub(super) struct Name(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let Path(name) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| Refusal::bad("the name in the path is no text"))?;
        // Docker's own lists have names with a slash.
        Ok(Self(name.strip_prefix('/').map(str::to_owned).unwrap_or(name)))
    }
}

/// The parameters of a request.
#[derive(Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        Self::parse(parts.uri.query().unwrap_or_default())
    }
}

impl Query {
    fn parse(text: &str) -> Result<Self, Refusal> {
        if let Some(escape) = wrong_escape(text) {
            return Err(Refusal::bad(format!("invalid URL escape {escape:?}")));
        }
        Ok(Self(form_urlencoded::parse(text.as_bytes()).into_owned().collect()))
    }

    fn find(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The first value, or nothing.
    pub(super) fn text(&self, name: &str) -> &str {
        self.find(name).unwrap_or_default()
    }

    /// All values.
    pub(super) fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Docker's idea of true: everything but the words for false.
    pub(super) fn is_set(&self, name: &str) -> bool {
        let value = self.text(name).trim().to_ascii_lowercase();
        !matches!(value.as_str(), "" | "0" | "no" | "false" | "none")
    }

    /// A whole number, if there is one.
    ///
    /// # Errors
    /// [`Refusal`] for something else.
    pub(super) fn number(&self, name: &str) -> Result<Option<i64>, Refusal> {
        match self.text(name) {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| {
                Refusal::bad(format!("invalid value {text:?} for {name}: it must be a whole number"))
            }),
        }
    }

    /// The `filters`, in both of the forms that clients write: `{"a": {"b": true}}` and `{"a": ["b"]}`.
    ///
    /// # Errors
    /// [`Refusal`] for what is neither.
    pub(super) fn filter_pairs(&self) -> Result<Vec<(String, String)>, Refusal> {
        let text = self.text("filters");
        if text.is_empty() {
            return Ok(Vec::new());
        }
        let wrong = || Refusal::bad("invalid filter");
        let object: BTreeMap<String, Value> = serde_json::from_str(text).map_err(|_| wrong())?;
        let mut pairs = Vec::new();
        for (key, values) in object {
            match values {
                Value::Object(values) => {
                    pairs.extend(values.into_iter().map(|(value, _)| (key.clone(), value)));
                }
                Value::Array(values) => {
                    for value in values {
                        let text = match value {
                            Value::String(text) => text,
                            Value::Number(number) => number.to_string(),
                            Value::Bool(flag) => flag.to_string(),
                            Value::Null | Value::Array(_) | Value::Object(_) => return Err(wrong()),
                        };
                        pairs.push((key.clone(), text));
                    }
                }
                Value::Null => {}
                Value::Bool(_) | Value::Number(_) | Value::String(_) => return Err(wrong()),
            }
        }
        Ok(pairs)
    }

    /// The `filters` of a list.
    ///
    /// # Errors
    /// [`Refusal`] for a key that the things in the list do not have.
    pub(super) fn filters(&self, keys: &FilterKeys) -> Result<Filters, Refusal> {
        Ok(Filters::parse(keys, self.filter_pairs()?)?)
    }
}

/// A percent sign that no two digits follow, with what does.
fn wrong_escape(text: &str) -> Option<&str> {
    text.match_indices('%').map(|(at, _)| &text[at..]).find_map(|rest| {
        let digits = rest.as_bytes().get(1..3);
        let is_right = digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        (!is_right).then(|| &rest[..rest.floor_char_boundary(3)])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_true_unless_it_says_otherwise() {
        let query = Query::parse("a=1&b=0&c=False&d=&e&f=+No+&g=yes&h=none&a=0").expect("well-formed");
        let set: Vec<&str> = ["a", "b", "c", "d", "e", "f", "g", "h", "i"]
            .into_iter()
            .filter(|name| query.is_set(name))
            .collect();
        assert_eq!(set, ["a", "g"]);
        assert_eq!(query.texts("a").collect::<Vec<_>>(), ["1", "0"]);
        for text in ["a=%", "a=%4", "a=%zz", "%ü"] {
            assert!(Query::parse(text).is_err(), "{text}");
        }
        assert_eq!(Query::parse("n=%2D5").expect("well-formed").number("n"), Ok(Some(-5)));
        assert!(Query::parse("n=5s").expect("well-formed").number("n").is_err());
    }

    #[test]
    fn filters_are_read_in_both_forms() {
        let pairs = |text: &str| {
            let query = Query(vec![("filters".to_owned(), text.to_owned())]);
            query.filter_pairs()
        };
        let expected = vec![("label".to_owned(), "a=b".to_owned())];
        assert_eq!(pairs(r#"{"label":{"a=b":true}}"#).as_ref(), Ok(&expected));
        assert_eq!(pairs(r#"{"label": ["a=b"]}"#).as_ref(), Ok(&expected));
        assert_eq!(pairs(r#"{"dangling":[true]}"#).expect("a flag")[0].1, "true");
        assert_eq!(pairs("{}"), Ok(Vec::new()));
        assert!(pairs("null").is_err());
        for text in ["[]", "{", r#"{"a":1}"#, r#"{"a":[[]]}"#, "x"] {
            assert!(pairs(text).is_err(), "{text}");
        }
    }
}
