//! What happened to containers and images: remembered for a while, and told to subscribers. Publishing never
//! waits and never fails; a subscriber that does not keep up is told how much it missed.

mod filter;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::watch;

pub(crate) use filter::FILTER_KEYS;

/// How many events are remembered, and how far behind a subscriber may fall.
const REMEMBERED: usize = 1024;
/// And how many bytes they may have: attributes are what users chose, labels among them.
const REMEMBERED_BYTES: usize = 2 * 1024 * 1024;
/// The longest value of an attribute; a command line is cut here.
const MAX_VALUE_BYTES: usize = 4 * 1024;
/// All attributes of an event. Labels beyond it are left out, the longest first.
const MAX_EVENT_BYTES: usize = 32 * 1024;
/// What a pair costs in memory beside its letters.
const PAIR_BYTES: usize = 64;
/// Attributes that are not labels: never left out.
const OWN: [&str; 10] =
    ["name", "image", "exitCode", "signal", "execID", "command", "height", "width", "type", "container"];

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A container or its task.
    Container,
    /// An image or a reference to one.
    Image,
    /// A volume.
    Volume,
    /// A network, or a container's place in it.
    Network,
    /// knarrd itself.
    Daemon,
}

impl Subject {
    /// The word that clients see.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Image => "image",
            Self::Volume => "volume",
            Self::Network => "network",
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
    past: Mutex<Past>,
    /// The number of the event that comes next.
    next: watch::Sender<u64>,
}

/// What is remembered.
#[derive(Debug, Default)]
struct Past {
    events: VecDeque<Arc<Event>>,
    /// The number of the oldest one.
    first: u64,
    bytes: usize,
}

/// A listener: its place in the sequence of all events.
#[derive(Debug)]
pub(crate) struct Subscription {
    events: Arc<Events>,
    at: u64,
    next: watch::Receiver<u64>,
}

impl Events {
    /// Nothing has happened yet.
    pub(crate) fn new() -> Self {
        Self { past: Mutex::default(), next: watch::Sender::new(0) }
    }

    /// Tells that `action` happened to `actor_id` just now.
    pub(crate) fn publish(
        &self,
        subject: Subject,
        action: &'static str,
        actor_id: &str,
        attributes: BTreeMap<String, String>,
    ) {
        let (actor_id, attributes) = (actor_id.to_owned(), bounded(attributes));
        let mut past = self.past();
        past.push(Event { time: SystemTime::now(), subject, action, actor_id, attributes });
        self.next.send_replace(past.end());
    }

    /// Listens from now on, or to what is remembered since `since` as well.
    pub(crate) fn subscribe(self: &Arc<Self>, since: Option<SystemTime>) -> Subscription {
        let past = self.past();
        let is_wanted = |event: &Arc<Event>| since.is_some_and(|since| event.time >= since);
        let skipped = past.events.iter().position(is_wanted).unwrap_or(past.events.len());
        let at = past.first + skipped as u64;
        Subscription { events: Arc::clone(self), at, next: self.next.subscribe() }
    }

    fn past(&self) -> MutexGuard<'_, Past> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Past {
    fn push(&mut self, event: Event) {
        self.bytes += event.size();
        self.events.push_back(Arc::new(event));
        while self.events.len() > REMEMBERED || self.bytes > REMEMBERED_BYTES {
            let Some(oldest) = self.events.pop_front() else { return };
            self.bytes -= oldest.size();
            self.first += 1;
        }
    }

    /// The number of the event that comes next.
    fn end(&self) -> u64 {
        self.first + self.events.len() as u64
    }
}

impl Event {
    /// About how much memory it takes.
    fn size(&self) -> usize {
        self.actor_id.len() + self.attributes.iter().map(pair_size).sum::<usize>() + size_of::<Self>()
    }

    /// Stands for events that are not remembered any more.
    fn lagged(missed: u64) -> Self {
        Self {
            time: SystemTime::now(),
            subject: Subject::Daemon,
            action: "lagged",
            actor_id: String::new(),
            attributes: BTreeMap::from([("missed".to_owned(), missed.to_string())]),
        }
    }
}

fn pair_size((key, value): (&String, &String)) -> usize {
    key.len() + value.len() + PAIR_BYTES
}

/// As much of the attributes as an event may have.
fn bounded(attributes: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut pairs: Vec<(String, String)> =
        attributes.into_iter().map(|(key, value)| (key, shortened(value))).collect();
    pairs.sort_by_key(|(key, value)| (!OWN.contains(&key.as_str()), key.len() + value.len()));
    let mut left = MAX_EVENT_BYTES;
    let fits = |(key, value): &(String, String)| {
        let rest = left.checked_sub(pair_size((key, value)));
        left = rest.unwrap_or(0);
        rest.is_some()
    };
    pairs.into_iter().take_while(fits).collect()
}

fn shortened(mut value: String) -> String {
    if value.len() > MAX_VALUE_BYTES {
        value.truncate(value.floor_char_boundary(MAX_VALUE_BYTES));
        value.push('…');
    }
    value
}

impl Subscription {
    /// The next event, as soon as there is one.
    pub(crate) async fn next(&mut self) -> Arc<Event> {
        loop {
            self.next.borrow_and_update();
            if let Some(event) = self.next_past() {
                return event;
            }
            // It cannot be closed: its sender is in our own `events`.
            drop(self.next.changed().await);
        }
    }

    /// The next event that happens until then, as soon as there is one; without an end, as [`Self::next`].
    pub(crate) async fn next_until(&mut self, until: Option<SystemTime>) -> Option<Arc<Event>> {
        let event = match until.map(|until| until.duration_since(SystemTime::now())) {
            None => Some(self.next().await),
            Some(Err(_)) => self.next_past(),
            Some(Ok(left)) => tokio::time::timeout(left, self.next()).await.ok(),
        };
        event.filter(|event| until.is_none_or(|until| event.time <= until))
    }

    /// The next remembered event, without waiting for new ones.
    pub(crate) fn next_past(&mut self) -> Option<Arc<Event>> {
        let past = self.events.past();
        if self.at < past.first {
            let missed = past.first - self.at;
            self.at = past.first;
            return Some(Arc::new(Event::lagged(missed)));
        }
        let index = usize::try_from(self.at - past.first).ok()?;
        let event = past.events.get(index).cloned()?;
        self.at += 1;
        Some(event)
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
        let events = Arc::new(Events::new());
        publish(&events, 2);
        let mut subscription = events.subscribe(Some(SystemTime::UNIX_EPOCH));
        events.publish(Subject::Image, "pull", "alpine", BTreeMap::new());
        let mut seen = Vec::new();
        for _ in 0..3 {
            seen.push(subscription.next().await.actor_id.clone());
        }
        assert_eq!(seen, ["0", "1", "alpine"]);
        assert_eq!(subscription.next_past(), None);
        assert_eq!(events.subscribe(None).next_past(), None);
    }

    #[tokio::test]
    async fn a_subscriber_that_does_not_read_is_told_how_much_it_missed() {
        let events = Arc::new(Events::new());
        let mut subscription = events.subscribe(None);
        publish(&events, REMEMBERED + 10);
        let first = subscription.next().await;
        assert_eq!((first.action, first.attributes["missed"].as_str()), ("lagged", "10"));
        assert_eq!(subscription.next().await.actor_id, "10");
    }

    #[tokio::test]
    async fn a_subscriber_that_waits_is_woken() {
        let events = Arc::new(Events::new());
        let mut subscription = events.subscribe(None);
        let (heard, ()) = tokio::join!(subscription.next(), async { publish(&events, 1) });
        assert_eq!(heard.actor_id, "0");
    }

    #[test]
    fn the_past_is_bounded_in_number_and_in_bytes() {
        let events = Arc::new(Events::new());
        publish(&events, REMEMBERED + 1);
        let mut all = events.subscribe(Some(SystemTime::UNIX_EPOCH));
        assert_eq!(all.next_past().expect("remembered").actor_id, "1");
        for (count, length) in [(1, 1 << 20), (30, 30_000), (5000, 1), (200, 20_000)] {
            let labels: BTreeMap<_, _> =
                (0..count).map(|number| (format!("label-{number}"), "x".repeat(length))).collect();
            for _ in 0..REMEMBERED {
                events.publish(Subject::Container, "attach", "c", labels.clone());
            }
            let past = events.past();
            let held: usize = past.events.iter().map(|event| event.size()).sum();
            assert_eq!(held, past.bytes);
            assert!(held <= REMEMBERED_BYTES, "{held} bytes of {count} labels of {length}");
            assert!(!past.events.is_empty());
        }
    }

    #[test]
    fn what_knarr_itself_says_is_kept_beside_any_labels() {
        let events = Arc::new(Events::new());
        let mut attributes: BTreeMap<_, _> =
            (0..10_000).map(|number| (format!("{number}"), String::new())).collect();
        attributes.insert("name".into(), "web".into());
        attributes.insert("command".into(), "ü".repeat(100_000));
        attributes.insert("image".into(), "alpine".into());
        events.publish(Subject::Container, "exec_create", "c", attributes);
        let event = events.subscribe(Some(SystemTime::UNIX_EPOCH)).next_past().expect("remembered");
        assert_eq!(
            (event.attributes["name"].as_str(), event.attributes["image"].as_str()),
            ("web", "alpine")
        );
        assert!(event.attributes["command"].len() <= MAX_VALUE_BYTES + 3);
        assert!(event.attributes.len() > 100 && event.size() < MAX_EVENT_BYTES + 1024);
    }
}
