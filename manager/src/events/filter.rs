//! Which events a subscriber wants.

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
        "event" => event.action == value,
        "container" => {
            subject == "container"
                && (attribute("name") == Some(value)
                    || (!value.is_empty() && event.actor_id.starts_with(value)))
        }
        "image" if subject == "image" => event.actor_id == value || attribute("name") == Some(value),
        "image" => attribute("image") == Some(value),
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
                ("image".into(), "alpine".into()),
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
        assert!(matching(&[("container", "4f1c"), ("label", "tier"), ("image", "alpine")]));
        assert!(!matching(&[("event", "die"), ("type", "image")]));
        assert!(!matching(&[("label", "tier=back")]));
        assert!(!matching(&[("label", "tier"), ("label", "none")]), "all labels");
    }
}
