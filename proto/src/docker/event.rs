//! An event as docker's `GET /events` has it, with what programs older than 1.52 read.

use serde_json::{Value, json};

use super::words::sorted;
use crate::v1::Event;

/// One object of the stream of events.
#[must_use]
pub fn event(event: &Event) -> Value {
    let time = event.time.unwrap_or_default();
    let action = match (event.action.as_str(), event.attributes.get("command")) {
        // Docker tells the command behind the action.
        ("exec_create" | "exec_start", Some(command)) => format!("{}: {command}", event.action),
        (action, _) => action.to_owned(),
    };
    let mut object = json!({
        "Type": event.r#type,
        "Action": action,
        "Actor": {"ID": event.actor_id, "Attributes": sorted(&event.attributes)},
        "scope": "local",
        "time": time.seconds,
        "timeNano": time.seconds.saturating_mul(1_000_000_000).saturating_add(time.nanos.into()),
    });
    if let Value::Object(fields) = &mut object
        && ["container", "image"].contains(&event.r#type.as_str())
    {
        fields.insert("status".to_owned(), Value::from(action));
        fields.insert("id".to_owned(), Value::from(event.actor_id.as_str()));
        if let Some(image) = event.attributes.get("image").filter(|_| event.r#type == "container") {
            fields.insert("from".to_owned(), Value::from(image.as_str()));
        }
    }
    object
}

#[cfg(test)]
mod tests {
    use prost_types::Timestamp;

    use super::*;

    #[test]
    fn an_event_has_what_old_and_new_programs_read() {
        let attributes = [("image", "alpine"), ("name", "web"), ("command", "ls /")];
        let made = Event {
            time: Some(Timestamp { seconds: 5, nanos: 7 }),
            r#type: "container".to_owned(),
            action: "exec_create".to_owned(),
            actor_id: "4f".to_owned(),
            attributes: attributes.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        };
        let object = event(&made);
        for (pointer, expected) in [
            ("/Action", json!("exec_create: ls /")),
            ("/status", json!("exec_create: ls /")),
            ("/id", json!("4f")),
            ("/from", json!("alpine")),
            ("/Actor/Attributes/name", json!("web")),
            ("/time", json!(5)),
            ("/timeNano", json!(5_000_000_007_u64)),
        ] {
            assert_eq!(object.pointer(pointer), Some(&expected), "{pointer}");
        }
        let daemon = event(&Event { r#type: "daemon".to_owned(), ..made });
        assert_eq!(daemon.get("status"), None);
    }
}
