//! What happened to containers and images: remembered for a while, and told to whoever listens. Publishing never
//! waits and never fails; a subscriber that does not keep up is told how much it missed.

mod filter;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use tokio::sync::broadcast;

pub(crate) use filter::Filter;

/// How many events are remembered, and how far behind a subscriber may fall.
const REMEMBERED: usize = 1024;

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A container or its task.
    Container,
    /// An image or a reference to one.
    Image,
    /// knarrd itself.
    Daemon,
}

impl Subject {
    /// The word that clients see.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Image => "image",
            Self::Daemon => "daemon",
        }
    }
}

/// One thing that happened. Actions and attributes are docker's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) time: SystemTime,
    pub(crate) subject: Subject,
    /// For example `start`; `lagged` stands for events that were lost.
    pub(crate) action: &'static str,
    /// Container id, or reference or id of the image.
    pub(crate) actor_id: String,
    pub(crate) attributes: BTreeMap<String, String>,
}

/// The one place that events go to and come from.
#[derive(Debug)]
pub(crate) struct Events {
    past: Mutex<VecDeque<Arc<Event>>>,
    sender: broadcast::Sender<Arc<Event>>,
}

/// A listener: first what is remembered, then what comes.
#[derive(Debug)]
pub(crate) struct Subscription {
    past: VecDeque<Arc<Event>>,
    receiver: broadcast::Receiver<Arc<Event>>,
}

impl Events {
    /// Nothing has happened yet.
    pub(crate) fn new() -> Self {
        let (sender, _) = broadcast::channel(REMEMBERED);
        Self { past: Mutex::default(), sender }
    }

    /// Tells that `action` happened to `actor_id` just now.
    pub(crate) fn publish(
        &self,
        subject: Subject,
        action: &'static str,
        actor_id: &str,
        attributes: BTreeMap<String, String>,
    ) {
        let actor_id = actor_id.to_owned();
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        let event = Arc::new(Event { time: SystemTime::now(), subject, action, actor_id, attributes });
        if past.len() == REMEMBERED {
            past.pop_front();
        }
        past.push_back(Arc::clone(&event));
        // An error only says that nobody listens. Sent under the lock, so that a new subscriber sees each event once.
        drop(self.sender.send(event));
    }

    /// Listens from now on, or to what is remembered since `since` as well.
    pub(crate) fn subscribe(&self, since: Option<SystemTime>) -> Subscription {
        let past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        let receiver = self.sender.subscribe();
        let past = match since {
            Some(since) => past.iter().filter(|event| event.time >= since).cloned().collect(),
            None => VecDeque::new(),
        };
        Subscription { past, receiver }
    }
}

impl Subscription {
    /// The next event. `None` when knarrd is about to end.
    pub(crate) async fn next(&mut self) -> Option<Arc<Event>> {
        if let Some(event) = self.past.pop_front() {
            return Some(event);
        }
        match self.receiver.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Closed) => None,
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(Arc::new(Event {
                time: SystemTime::now(),
                subject: Subject::Daemon,
                action: "lagged",
                actor_id: String::new(),
                attributes: BTreeMap::from([("missed".to_owned(), missed.to_string())]),
            })),
        }
    }

    /// The next remembered event, without waiting for new ones.
    pub(crate) fn next_past(&mut self) -> Option<Arc<Event>> {
        self.past.pop_front().or_else(|| self.receiver.try_recv().ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(events: &Events, count: usize) {
        for number in 0..count {
            events.publish(Subject::Container, "start", &number.to_string(), BTreeMap::new());
        }
    }

    #[tokio::test]
    async fn a_subscriber_sees_the_past_it_asked_for_and_then_the_present_once() {
        let events = Events::new();
        publish(&events, 2);
        let mut subscription = events.subscribe(Some(SystemTime::UNIX_EPOCH));
        events.publish(Subject::Image, "pull", "alpine", BTreeMap::new());
        let mut seen = Vec::new();
        for _ in 0..3 {
            seen.push(subscription.next().await.expect("three events").actor_id.clone());
        }
        assert_eq!(seen, ["0", "1", "alpine"]);
        assert_eq!(subscription.next_past(), None);
    }

    #[tokio::test]
    async fn a_subscriber_that_does_not_read_is_told_how_much_it_missed() {
        let events = Events::new();
        let mut subscription = events.subscribe(None);
        publish(&events, REMEMBERED + 10);
        let first = subscription.next().await.expect("a marker");
        assert_eq!((first.action, first.attributes["missed"].as_str()), ("lagged", "10"));
        assert_eq!(subscription.next().await.expect("the oldest kept").actor_id, "10");
    }

    #[test]
    fn the_past_is_bounded() {
        let events = Events::new();
        publish(&events, REMEMBERED + 1);
        let mut subscription = events.subscribe(Some(SystemTime::UNIX_EPOCH));
        assert_eq!(subscription.next_past().expect("remembered").actor_id, "1");
    }
}
