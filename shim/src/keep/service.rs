//! The calls of [`knarr_proto::keep`] over ttrpc. Their payloads are JSON, as the files are.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use containerd_shim_protos::ttrpc::r#async::{MethodHandler, Service, TtrpcContext};
use containerd_shim_protos::ttrpc::proto::{Request, Response};
use containerd_shim_protos::ttrpc::{self, Code, get_status};
use knarr_proto::keep::{Kept, RELOAD, WATCH, WatchRequest};

use crate::task::Tasks;

/// The service.
pub(crate) fn service(tasks: &Arc<Tasks>) -> Service {
    let watch: Box<dyn MethodHandler + Send + Sync> = Box::new(Watch(Arc::clone(tasks)));
    let reload: Box<dyn MethodHandler + Send + Sync> = Box::new(Reload(Arc::clone(tasks)));
    let methods = [(WATCH.to_owned(), watch), (RELOAD.to_owned(), reload)];
    Service { methods: HashMap::from(methods), streams: HashMap::new() }
}

struct Watch(Arc<Tasks>);
struct Reload(Arc<Tasks>);

#[async_trait]
impl MethodHandler for Watch {
    async fn handler(&self, _: TtrpcContext, request: Request) -> ttrpc::Result<Response> {
        let Ok(WatchRequest { seen }) = serde_json::from_slice(&request.payload) else {
            return Ok(failure(
                Code::INVALID_ARGUMENT,
                "the request is no JSON with the number that was seen",
            ));
        };
        let Ok(container) = self.0.container("") else {
            return Ok(failure(Code::NOT_FOUND, "there is no container"));
        };
        match container.keeper() {
            Some(keeper) => Ok(reply(&keeper.watch(seen).await)),
            None => Ok(unkept()),
        }
    }
}

#[async_trait]
impl MethodHandler for Reload {
    async fn handler(&self, _: TtrpcContext, _: Request) -> ttrpc::Result<Response> {
        let Ok(container) = self.0.container("") else {
            return Ok(failure(Code::NOT_FOUND, "there is no container"));
        };
        match container.keeper() {
            Some(keeper) => Ok(reply(&keeper.reload().await)),
            None => Ok(unkept()),
        }
    }
}

fn reply(kept: &Kept) -> Response {
    let payload = serde_json::to_vec(kept).expect("it has no map with odd keys");
    let status = Some(get_status(Code::OK, String::new())).into();
    Response { status, payload, ..Response::default() }
}

fn unkept() -> Response {
    failure(Code::UNIMPLEMENTED, "restarts and health are the manager's own here")
}

fn failure(code: Code, message: &str) -> Response {
    Response { status: Some(get_status(code, message.to_owned())).into(), ..Response::default() }
}
