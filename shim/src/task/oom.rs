//! Tells containerd when the kernel has killed a process of the container for want of memory. Each kill is told once.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use containerd_shim_protos::events::task::TaskOOM;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::cgroup::Cgroup;
use crate::cgroup::oom::OomCounter;
use crate::journal;
use crate::publisher::Publisher;

/// cgroup v1 wakes us when memory has run out, just before the kernel kills: so the count is looked at a few times, and
/// if nothing was killed by then, there was memory to be found after all.
const LOOKS: u32 = 5;
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Watches one container.
#[derive(Debug)]
pub(super) struct OomTeller {
    counter: OomCounter,
    container: String,
    publisher: Arc<Publisher>,
    /// Kills before the container's time, in a cgroup that was there before it.
    before: u64,
    told: Mutex<u64>,
    watching: Mutex<Option<JoinHandle<()>>>,
}

impl OomTeller {
    /// Begins to watch; `None` where the container's memory is not counted.
    pub(super) fn watch(cgroup: &Cgroup, container: &str, publisher: &Arc<Publisher>) -> Option<Arc<Self>> {
        let counter = OomCounter::open(cgroup)?;
        let watch = counter.watch().inspect_err(|error| {
            journal::warn(&format!("kills for want of memory are told only at the end: {error}"));
        });
        let before = counter.kills();
        let teller = Arc::new(Self {
            counter,
            container: container.to_owned(),
            publisher: Arc::clone(publisher),
            before,
            told: Mutex::new(before),
            watching: Mutex::default(),
        });
        let this = Arc::downgrade(&teller);
        let watching = watch.ok().map(|watch| {
            tokio::spawn(async move {
                while watch.woken().await.is_ok() {
                    let Some(this) = this.upgrade() else { return };
                    if !this.look().await {
                        return;
                    }
                }
            })
        });
        *teller.watching.lock().expect("nothing panics under this lock") = watching;
        Some(teller)
    }

    /// Tells what has not been told, and says whether there was a kill at all.
    pub(super) fn tell_and_check(&self) -> bool {
        self.tell();
        *self.told.lock().expect("nothing panics under this lock") > self.before
    }

    /// The container is being deleted.
    pub(super) fn stop(&self) {
        if let Some(watching) = self.watching.lock().expect("nothing panics under this lock").take() {
            watching.abort();
        }
    }

    /// Whether to go on: a cgroup that has gone wakes us, too.
    async fn look(&self) -> bool {
        for _ in 0..LOOKS {
            if self.tell() {
                return true;
            }
            sleep(PAUSE).await;
        }
        self.counter.is_there()
    }

    fn tell(&self) -> bool {
        let kills = self.counter.kills();
        let mut told = self.told.lock().expect("nothing panics under this lock");
        let is_news = kills > *told;
        if is_news {
            *told = kills;
            let event = TaskOOM { container_id: self.container.clone(), ..TaskOOM::default() };
            self.publisher.publish("/tasks/oom", &event);
        }
        is_news
    }
}
