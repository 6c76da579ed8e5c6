//! What one object (a manifest, a token, a blob) may cost: requests, and time waited for the registry, summed over all
//! of its connections. A limit on each attempt alone limits nothing, because the registry decides how many there are.

use std::future::Future;
use std::time::Duration;

/// Requests for a document: five tries, each of which may be challenged twice.
const DOCUMENT_REQUESTS: u32 = 16;
/// Waiting for a document of at most 4 MiB.
const DOCUMENT_TIME: Duration = Duration::from_secs(60);
/// Requests for a blob of any size: broken connections, challenges, busy answers.
const BLOB_REQUESTS: u32 = 32;
/// A blob may have one request more for each of these.
const BYTES_PER_REQUEST: u64 = 16 << 20;
/// The slowest registry that is still waited for: 32 KiB a minute. Three silent connections fit into a minute.
const BLOB_TIME: Duration = Duration::from_secs(60);
const BLOB_RENEWAL_BYTES: u64 = 32 << 10;

/// What is left for one object.
#[derive(Debug)]
pub(super) struct Budget {
    requests_left: u32,
    requests: u32,
    limit: Duration,
    waited: Duration,
    /// New bytes since the time was renewed.
    new_bytes: u64,
    /// So many new bytes renew the time; never where `None`.
    renewal_bytes: Option<u64>,
}

/// Which part of a budget is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Exhausted {
    /// All requests were made.
    #[error("it was asked {0} times for one object")]
    Requests(u32),
    /// All the time was waited.
    #[error("it sent too little in {} seconds", .0.as_secs())]
    Time(Duration),
}

impl Budget {
    /// For a manifest or an index, with the tokens that it needs.
    pub(super) fn document() -> Self {
        Self::new(DOCUMENT_REQUESTS, DOCUMENT_TIME, None)
    }

    /// For a blob of so many bytes.
    pub(super) fn blob(size_bytes: u64) -> Self {
        let more = u32::try_from(size_bytes / BYTES_PER_REQUEST).unwrap_or(u32::MAX);
        Self::new(BLOB_REQUESTS.saturating_add(more), BLOB_TIME, Some(BLOB_RENEWAL_BYTES))
    }

    fn new(requests: u32, limit: Duration, renewal_bytes: Option<u64>) -> Self {
        let (waited, new_bytes) = (Duration::ZERO, 0);
        Self { requests_left: requests, requests, limit, waited, new_bytes, renewal_bytes }
    }

    /// Takes one request.
    pub(super) fn take_request(&mut self) -> Result<(), Exhausted> {
        self.requests_left = self.requests_left.checked_sub(1).ok_or(Exhausted::Requests(self.requests))?;
        Ok(())
    }

    /// Waits for the registry, no longer than there is time left. The time between two waits (the disk's) is not counted.
    pub(super) async fn wait<T>(&mut self, awaited: impl Future<Output = T>) -> Result<T, Exhausted> {
        let began = tokio::time::Instant::now();
        let left = self.limit.saturating_sub(self.waited);
        let result = tokio::time::timeout(left, awaited).await;
        self.waited += began.elapsed();
        result.map_err(|_| Exhausted::Time(self.limit))
    }

    /// Counts bytes that the object did not have before; enough of them renew the time.
    pub(super) fn progress(&mut self, new_bytes: u64) {
        self.new_bytes += new_bytes;
        if self.renewal_bytes.is_some_and(|renewal| self.new_bytes >= renewal) {
            (self.new_bytes, self.waited) = (0, Duration::ZERO);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waiting_adds_up_and_only_enough_new_bytes_renew_it() {
        let limit = Duration::from_millis(400);
        let wait = || tokio::time::sleep(Duration::from_millis(150));
        let mut blob = Budget::new(1, limit, Some(1000));
        for _ in 0..5 {
            blob.wait(wait()).await.expect("in time");
            blob.progress(1000);
        }
        for _ in 0..2 {
            blob.wait(wait()).await.expect("in time");
            blob.progress(499);
        }
        assert_eq!(blob.wait(wait()).await, Err(Exhausted::Time(limit)));
        let mut document = Budget::new(1, limit, None);
        for _ in 0..2 {
            document.wait(wait()).await.expect("in time");
            document.progress(1 << 20);
        }
        assert_eq!(document.wait(wait()).await, Err(Exhausted::Time(limit)));
    }

    #[test]
    fn requests_are_counted_and_large_blobs_have_more() {
        for (mut budget, requests) in [
            (Budget::document(), DOCUMENT_REQUESTS),
            (Budget::blob(0), BLOB_REQUESTS),
            (Budget::blob(64 << 30), BLOB_REQUESTS + 4096),
            (Budget::blob(u64::MAX), u32::MAX),
        ] {
            budget.requests_left -= requests - 1;
            budget.take_request().expect("one is left");
            assert_eq!(budget.take_request(), Err(Exhausted::Requests(requests)));
        }
    }
}
