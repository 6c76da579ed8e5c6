//! Which events a subscriber wants.

use knarr_proto::docker::reference::familiar;

use super::Event;
use crate::filters::{FilterKeys, Filters, Values, label_matches};

/// What events can be filtered by.
pub(crate) const FILTER_KEYS: FilterKeys = FilterKeys {
    things: "events",
    keys: &[
        ("type", Values::Any),
        ("event", Values::Any),
        ("container", Values::Any),
        ("image", Values::Any),
        ("volume", Values::Any),
        ("label", Values::Any),
    ],
};

impl Event {
    /// Whether a subscriber with these filters wants to see it. A marker of lost events is always shown.
    pub(crate) fn passes(&self, filters: &Filters) -> bool {
        self.action == "lagged" || filters.all_match(|key, value| matches(self, key, value))
    }
}

fn matches(event: &Event, key: &str, value: &str) -> bool {
    let attribute = |name: &str| event.attributes.get(name).map(String::as_str);
    let subject = event.subject.as_str();
    match key {
        "type" => subject == value,
        // As docker: what stands behind a colon need not be named.
        "event" => {
            event.action == value || event.action.split_once(':').is_some_and(|(action, _)| action == value)
        }
        "container" => {
            subject == "container"
                && (attribute("name") == Some(value)
                    || (!value.is_empty() && event.actor_id.starts_with(value)))
        }
        "image" => {
            let name = attribute(if subject == "image" { "name" } else { "image" });
            let is_image = subject == "image" && event.actor_id == value;
            is_image || name.is_some_and(|name| name == value || familiar(name).repository == value)
        }
        "volume" => subject == "volume" && event.actor_id == value,
        "label" => label_matches(value, attribute),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::SystemTime;

    use super::super::Subject;
    use super::*;

    fn matching(pairs: &[(&str, &str)]) -> bool {
        let event = Event {
            time: SystemTime::UNIX_EPOCH,
            subject: Subject::Container,
            action: "die",
            actor_id: "4f1c22".into(),
            attributes: BTreeMap::from([
                ("name".into(), "web".into()),
                ("image".into(), "alpine:3".into()),
                ("tier".into(), "front".into()),
            ]),
        };
        let pairs = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        event.passes(&Filters::parse(&FILTER_KEYS, pairs).expect("known keys"))
    }

    #[test]
    fn different_keys_must_all_match_and_values_of_one_are_alternatives() {
        assert!(matching(&[]));
        assert!(matching(&[("event", "start"), ("event", "die"), ("container", "web")]));
        assert!(matching(&[("container", "4f1c"), ("label", "tier"), ("image", "alpine:3")]));
        assert!(matching(&[("image", "alpine")]), "a name means all of its tags");
        assert!(!matching(&[("image", "alp")]));
        assert!(!matching(&[("event", "die"), ("type", "image")]));
        assert!(!matching(&[("label", "tier=back")]));
        assert!(!matching(&[("label", "tier"), ("label", "none")]), "all labels");
    }
}
