//! Tells containerd what happens, in the order in which it happened, over its ttrpc events service. Bounded in memory and
//! in retries; no caller waits for it. Without an address nothing is published.

use std::time::{Duration, SystemTime};

use containerd_shim_protos::api::ForwardRequest;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::protobuf::{Message, MessageField};
use containerd_shim_protos::shim::event::Envelope;
use containerd_shim_protos::shim_async::EventsClient;
use containerd_shim_protos::ttrpc;
use std::sync::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::journal;
use crate::timestamp;

/// Events that wait for containerd, as many as its own shims keep. An OOM storm is dropped, not the container.
const MAX_QUEUED: usize = 2048;
/// Attempts for one event before it is dropped: with the pauses between them, a restart of containerd fits in.
const MAX_ATTEMPTS: u32 = 5;
/// An answer from a process on the same machine.
const FORWARD_LIMIT: Duration = Duration::from_secs(5);
/// What is left may still go out when the shim ends.
const FLUSH_LIMIT: Duration = Duration::from_secs(2);

/// The queue to containerd.
#[derive(Debug)]
pub(crate) struct Publisher {
    namespace: String,
    queue: Mutex<Option<mpsc::Sender<Envelope>>>,
    worker: Mutex<Option<JoinHandle<()>>>,
}

impl Publisher {
    /// A publisher to `address`, if there is one.
    pub(crate) fn start(namespace: &str, address: Option<String>) -> Self {
        let (queue, worker) = match address {
            None => (None, None),
            Some(address) => {
                let (sender, receiver) = mpsc::channel(MAX_QUEUED);
                (Some(sender), Some(tokio::spawn(forward_all(address, receiver))))
            }
        };
        Self { namespace: namespace.to_owned(), queue: Mutex::new(queue), worker: Mutex::new(worker) }
    }

    /// Queues an event. `topic` is containerd's; its message is named in containerd.events.
    pub(crate) fn publish<M: Message>(&self, topic: &str, event: &M) {
        let Some(queue) = self.queue.lock().expect("nothing panics under this lock").clone() else { return };
        let any = Any {
            type_url: format!("containerd.events.{}", M::NAME),
            value: event.write_to_bytes().expect("events have no required fields"),
            ..Any::default()
        };
        let envelope = Envelope {
            timestamp: MessageField::some(timestamp::protobuf(SystemTime::now())),
            namespace: self.namespace.clone(),
            topic: topic.to_owned(),
            event: MessageField::some(any),
            ..Envelope::default()
        };
        if queue.try_send(envelope).is_err() {
            journal::warn(&format!("event {topic} is dropped: {MAX_QUEUED} are waiting for containerd"));
        }
    }

    /// Sends what is queued, for a while, and ends.
    pub(crate) async fn close(&self) {
        drop(self.queue.lock().expect("nothing panics under this lock").take());
        let worker = self.worker.lock().expect("nothing panics under this lock").take();
        if let Some(worker) = worker {
            let stop = worker.abort_handle();
            if timeout(FLUSH_LIMIT, worker).await.is_err() {
                journal::warn("containerd did not take the last events in time");
                stop.abort();
            }
        }
    }
}

async fn forward_all(address: String, mut queue: mpsc::Receiver<Envelope>) {
    let address = if address.contains("://") { address } else { format!("unix://{address}") };
    let mut client = None;
    while let Some(envelope) = queue.recv().await {
        let topic = envelope.topic.clone();
        let request = ForwardRequest { envelope: MessageField::some(envelope), ..ForwardRequest::default() };
        for attempt in 1..=MAX_ATTEMPTS {
            match forward(&address, &mut client, &request).await {
                Ok(()) => break,
                Err(error) if attempt == MAX_ATTEMPTS => {
                    journal::warn(&format!("event {topic} is dropped: containerd did not take it: {error}"));
                }
                Err(_) => {
                    client = None;
                    sleep(Duration::from_secs(attempt.into())).await;
                }
            }
        }
    }
}

async fn forward(
    address: &str,
    client: &mut Option<EventsClient>,
    request: &ForwardRequest,
) -> Result<(), ttrpc::Error> {
    let connected = match client.take() {
        Some(connected) => connected,
        None => EventsClient::new(ttrpc::r#async::Client::connect(address).await?),
    };
    let answer = connected.forward(ttrpc::context::with_duration(FORWARD_LIMIT), request).await;
    *client = Some(connected);
    answer.map(drop)
}
