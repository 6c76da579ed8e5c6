//! `knarr events`

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use knarr_proto::escape;
use knarr_proto::v1::{Event, SubscribeRequest};
use serde_json::{Value, json};

use super::each::DONE;
use crate::args::system::EventsArgs;
use crate::connect::{Address, Client};
use crate::error::Error;
use crate::format::template::{Subject, Template};
use crate::format::units::{rfc3339_fixed, timestamp, to_proto};
use crate::options::time;
use crate::{options, output};

/// Prints events as they come.
pub(super) async fn run(args: EventsArgs, address: &Address) -> Result<u8, Error> {
    let template = Template::of_format(&args.format)?;
    let (now, zone) = (Timestamp::now(), TimeZone::system());
    let moment = |text: &Option<String>| {
        let parsed = text.as_deref().map(|text| time::parse(text, now, &zone)).transpose();
        parsed.map(|time| time.map(to_proto))
    };
    let request = SubscribeRequest {
        since: moment(&args.since)?,
        until: moment(&args.until)?,
        filters: options::filters(&args.filters)?,
    };
    let client = Client::connect(address).await?;
    let mut events = client.events().subscribe(request).await?.into_inner();
    while let Some(event) = events.message().await? {
        output::line(&match &template {
            Some(template) => template.render_row(&Subject::from(object(&event)))?,
            None => escape::line(&line(&event, &zone)).into_owned(),
        })?;
    }
    Ok(DONE)
}

/// `2026-11-23T23:59:06.120000000Z container start 4f1c… (image=alpine, name=web)`
fn line(event: &Event, zone: &TimeZone) -> String {
    let time = timestamp(event.time.as_ref()).unwrap_or_default();
    let mut line =
        format!("{} {} {} {}", rfc3339_fixed(time, zone), event.r#type, event.action, event.actor_id);
    let attributes = sorted(event);
    if !attributes.is_empty() {
        let pairs: Vec<String> = attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
        line.push_str(&format!(" ({})", pairs.join(", ")));
    }
    line
}

/// The event as docker's JSON has it.
fn object(event: &Event) -> Value {
    let time = timestamp(event.time.as_ref()).unwrap_or_default();
    let attributes = sorted(event);
    json!({
        "status": event.action,
        "id": event.actor_id,
        "from": attributes.get("image"),
        "Type": event.r#type,
        "Action": event.action,
        "Actor": { "ID": event.actor_id, "Attributes": attributes },
        "scope": "local",
        "time": time.as_second(),
        "timeNano": i64::try_from(time.as_nanosecond()).unwrap_or(i64::MAX),
    })
}

fn sorted(event: &Event) -> BTreeMap<&str, &str> {
    event.attributes.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_line_and_an_object_as_dockers() {
        let event = Event {
            time: Timestamp::new(1_795_478_346, 120_000_000).ok().map(to_proto),
            r#type: "container".to_owned(),
            action: "start".to_owned(),
            actor_id: "4f1c".to_owned(),
            attributes: [("name", "web"), ("image", "alpine")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
        };
        assert_eq!(
            line(&event, &TimeZone::UTC),
            "2026-11-23T23:59:06.120000000Z container start 4f1c (image=alpine, name=web)"
        );
        assert_eq!(
            object(&event).to_string(),
            r#"{"status":"start","id":"4f1c","from":"alpine","Type":"container","Action":"start","Actor":{"ID":"4f1c","Attributes":{"image":"alpine","name":"web"}},"scope":"local","time":1795478346,"timeNano":1795478346120000000}"#
        );
    }
}
