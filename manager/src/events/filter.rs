//! Which events a subscriber wants, in docker's words. Different keys must all match; values of one key are alternatives.

use std::collections::BTreeMap;

use super::Event;

/// The keys that can be filtered by.
const KEYS: [&str; 5] = ["type", "event", "container", "image", "label"];

/// A set of conditions on events; the empty one lets everything through.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    values_by_key: BTreeMap<String, Vec<String>>,
}

/// A filter key that events do not have.
#[derive(Debug, thiserror::Error)]
#[error("invalid filter {key:?}; events are filtered by type, event, container, image and label")]
pub(crate) struct InvalidFilter {
    key: String,
}

impl Filter {
    /// Reads key and value pairs.
    ///
    /// # Errors
    /// [`InvalidFilter`] for a key that is not known.
    pub(crate) fn parse(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self, InvalidFilter> {
        let mut values_by_key = BTreeMap::<_, Vec<_>>::new();
        for (key, value) in pairs {
            if !KEYS.contains(&key.as_str()) {
                return Err(InvalidFilter { key });
            }
            values_by_key.entry(key).or_default().push(value);
        }
        Ok(Self { values_by_key })
    }

    /// Whether the subscriber wants to see `event`. A marker of lost events is always shown.
    pub(crate) fn matches(&self, event: &Event) -> bool {
        event.action == "lagged"
            || self
                .values_by_key
                .iter()
                .all(|(key, values)| values.iter().any(|value| matches(event, key, value)))
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
        "label" => match value.split_once('=') {
            Some((name, wanted)) => attribute(name) == Some(wanted),
            None => attribute(value).is_some(),
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
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
        Filter::parse(pairs).expect("known keys").matches(&event)
    }

    #[test]
    fn different_keys_must_all_match_and_values_of_one_are_alternatives() {
        assert!(matching(&[]));
        assert!(matching(&[("event", "start"), ("event", "die"), ("container", "web")]));
        assert!(matching(&[("container", "4f1c"), ("label", "tier"), ("label", "x=y"), ("image", "alpine")]));
        assert!(!matching(&[("event", "die"), ("type", "image")]));
        assert!(!matching(&[("label", "tier=back")]));
    }

    #[test]
    fn an_unknown_key_is_refused() {
        assert!(Filter::parse([("colour".to_owned(), "red".to_owned())]).is_err());
    }
}
