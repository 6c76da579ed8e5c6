//! Waiting for a state of the world that sends us no event, with a deadline. Never used in place of a wait that exists.

use std::thread;
use std::time::{Duration, Instant};

/// The pause between two looks: short beside anything that a test waits for, long enough not to eat a core.
const PAUSE: Duration = Duration::from_millis(5);

/// Looks again and again until `look` sees something, and returns it.
///
/// # Panics
/// When `deadline` has passed without.
#[track_caller]
pub fn eventually<T>(deadline: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + deadline;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < end, "not seen within {deadline:?}");
        thread::sleep(PAUSE);
    }
}

/// As [`eventually`] for a condition; `false` when the deadline passed.
pub fn holds_within(deadline: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + deadline;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        thread::sleep(PAUSE);
    }
}
