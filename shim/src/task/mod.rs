//! The container's processes as the task service sees them. `process` is one of them, `options` how the runtime is to be
//! called, `error` why a request failed.

mod error;
mod options;
mod process;
