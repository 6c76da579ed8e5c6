//! One object under two names that differ in case, as `cpu` and `CPU`: Go puts both into the same struct, the later over
//! the earlier. Done only when the parser has refused it, so that the ordinary parse pays nothing for it. Anything else
//! that is there twice stays refused.

use serde_json::{Map, Value};

use super::locate::{Step, steps_at};

/// The text with the object at `offset`, which was refused as a duplicate, put over the one that it repeats; `None` when
/// it was refused for something else.
pub(super) fn merged(text: &[u8], refusal: &serde_json::Error, offset: usize) -> Option<Vec<u8>> {
    if !refusal.to_string().starts_with("duplicate field") {
        return None;
    }
    let mut document: Value = serde_json::from_slice(text).ok()?;
    let mut steps = steps_at(text, offset);
    let Some(Step::Object { key: Some(name) }) = steps.pop() else { return None };
    let object = steps.iter().try_fold(&mut document, below)?.as_object_mut()?;
    let earlier = object.keys().find(|key| **key != name && key.eq_ignore_ascii_case(&name))?.clone();
    let (Value::Object(later), Some(Value::Object(earlier))) =
        (object.remove(&name)?, object.get_mut(&earlier))
    else {
        return None;
    };
    put_over(earlier, later);
    serde_json::to_vec(&document).ok()
}

fn below<'a>(value: &'a mut Value, step: &Step) -> Option<&'a mut Value> {
    match step {
        Step::Object { key } => value.get_mut(key.as_ref()?),
        Step::Array { index } => value.get_mut(index),
    }
}

fn put_over(object: &mut Map<String, Value>, later: Map<String, Value>) {
    for (key, value) in later {
        match (object.get_mut(&key), value) {
            (Some(Value::Object(object)), Value::Object(later)) => put_over(object, later),
            (Some(present), value) => *present = value,
            (None, value) => drop(object.insert(key, value)),
        }
    }
}
