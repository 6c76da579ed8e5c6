//! Maps in the order of their keys, as Go prints them.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

/// A map in the order of its keys: what is printed twice is the same twice.
pub(super) fn sorted(map: &HashMap<String, String>) -> Value {
    let ordered: BTreeMap<&String, &String> = map.iter().collect();
    let pairs = ordered.into_iter().map(|(key, value)| (key.clone(), Value::from(value.as_str())));
    Value::Object(pairs.collect::<Map<_, _>>())
}
