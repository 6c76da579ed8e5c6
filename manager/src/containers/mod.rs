//! Containers: made from images, started under shims, watched until they end, removed. This noun orchestrates images,
//! snapshots and tasks; none of them calls it back. Every change that takes several steps is first recorded as an
//! intent (a [`Phase`]), so that [`crate::recovery`] can finish or undo it after a kill -9 at any point.
//!
//! What is known of a container lives in memory (`container.rs`) and is written through to the table; readers never wait
//! for the disk.
//!
//! A verb is a function in a file of its own, whose first argument is [`Containers`]; this page only lists them. It takes
//! what it needs of the parts:
//!
//! | part | for what |
//! |---|---|
//! | `registry` | which containers there are: find one, reserve a name |
//! | `records` | what happens to one: to the disk, to readers, as an event |
//! | `storage` | what one is made of: image, snapshot, bundle |
//! | `execution` | what runs one: tasks, log bounds, this boot |
//! | `execs` | the execs that are known |
//! | `work` | verbs and watchers under way |

mod attach;
mod bring_back;
mod census;
mod contact;
mod container;
mod copy;
mod create;
mod diff;
mod end;
mod error;
pub(crate) mod exec;
mod execs;
mod execution;
mod follow;
mod handle;
mod health;
mod hold_back;
mod keep;
mod life;
mod list;
mod logs;
mod name;
mod network;
mod outcome;
mod partners;
mod pause;
mod pending;
mod process;
mod prune;
mod reconcile;
mod records;
mod recover;
mod registry;
mod remove;
mod rename;
mod request;
mod resize;
mod restart;
mod served;
mod session;
mod signal;
mod silent;
mod size;
mod spec;
mod start;
mod stats;
mod stop;
mod storage;
mod tail;
mod top;
mod update;
mod upgrade;
mod volumes;
mod wait;
mod work;

pub(crate) use attach::attach;
pub(crate) use container::View;
pub(crate) use create::create;
pub(crate) use diff::diff;
pub(crate) use error::ContainerError;
pub(crate) use exec::{ExecStart, ExecView};
#[cfg(test)]
pub(crate) use execs::TooManyExecs;
pub(crate) use execs::{ExecOptions, ExecState};
pub(crate) use execution::Execution;
pub(crate) use handle::Containers;
pub(crate) use life::{Exit, Phase};
pub(crate) use list::{FILTER_KEYS, inspect, list, users_of};
pub(crate) use logs::{LogOptions, LogPiece, LogReader, logs};
pub(crate) use network::{connect, disconnect};
pub(crate) use pause::{pause, unpause};
pub(crate) use prune::{PRUNE_KEYS, prune};
pub(crate) use records::SCHEMA_1;
pub(crate) use recover::recover;
pub(crate) use remove::{Removal, remove};
pub(crate) use rename::rename;
pub(crate) use request::{CreateRequest, HealthRequest, PolicyRequest, ProcessRequest};
pub(crate) use resize::resize;
pub(crate) use restart::restart;
pub(crate) use session::{AttachOptions, Input, InputSink, Session};
pub(crate) use size::{Size, size};
#[cfg(test)]
pub(crate) use spec::ImageRef;
pub(crate) use spec::{HealthSpec, Settings, Spec};
pub(crate) use start::start;
pub(crate) use stats::{Sample, stats};
pub(crate) use stop::{kill, stop};
pub(crate) use storage::Storage;
pub(crate) use top::top;
pub(crate) use update::update;
pub(crate) use upgrade::SCHEMA_2;
pub(crate) use wait::{WaitCondition, wait};
