//! A request's place among the calls that are under way.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::hangup::HangUp;
use crate::connections::Call;

/// A request's place among the calls that are under way, until its answer is sent, and the client that it is of.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) hang_up: Arc<HangUp>,
    _held: Arc<(Call, OwnedSemaphorePermit)>,
}

impl Place {
    pub(super) fn new(hang_up: Arc<HangUp>, call: Call, permit: OwnedSemaphorePermit) -> Self {
        Self { hang_up, _held: Arc::new((call, permit)) }
    }
}
