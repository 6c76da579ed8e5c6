//! The calls beside containerd's that knarr's shims answer ([`knarr_proto::keep`]).

use knarr_proto::keep::{Kept, RELOAD, SERVICE, WATCH, WatchRequest};
use ttrpc::proto::Request;

use super::ShimError;
use super::task::{SHORT_LIMIT, Task, failed};

impl Task {
    /// What the shim has done for its container, as soon as that is another than `seen`; takes as long as that takes.
    ///
    /// # Errors
    /// [`ShimError::Lost`]; [`ShimError::Task`] by a shim that leaves restarts to its manager.
    pub(crate) async fn watch(&self, seen: u64) -> Result<Kept, ShimError> {
        let payload = serde_json::to_vec(&WatchRequest { seen }).expect("a number is JSON");
        self.ask_keeper("tell what it has done", WATCH, payload).await
    }

    /// Tells the shim to read again what it is to do. When it has answered, no run follows that is not to.
    ///
    /// # Errors
    /// [`ShimError`].
    pub(crate) async fn reload(&self) -> Result<Kept, ShimError> {
        let doing = "read again what it is to do";
        let asked = tokio::time::timeout(SHORT_LIMIT, self.ask_keeper(doing, RELOAD, Vec::new())).await;
        asked.unwrap_or(Err(ShimError::Silent { doing, limit: SHORT_LIMIT }))
    }

    async fn ask_keeper(
        &self,
        doing: &'static str,
        method: &str,
        payload: Vec<u8>,
    ) -> Result<Kept, ShimError> {
        let (service, method) = (SERVICE.to_owned(), method.to_owned());
        let request = Request { service, method, payload, ..Request::default() };
        let reply = self.wire.request(request).await.map_err(|error| failed(doing, error))?;
        let unreadable = || ttrpc::Error::Others("its answer is not of this version".to_owned());
        Kept::parse(&reply.payload).ok_or_else(|| ShimError::Lost { doing, source: unreadable() })
    }
}
