//! What all layers above use and what knows nothing of vSphere: waiting, tasks, worker threads, the reactor, event queues, the log,
//! secrets, fork.

pub(crate) mod event;
pub(crate) mod fork;
pub(crate) mod handle;
mod jobs;
pub(crate) mod log;
#[cfg(all(test, vsession_model))]
pub(crate) mod models;
pub(crate) mod phase;
pub(crate) mod process;
pub(crate) mod reactor;
pub(crate) mod redact;
pub(crate) mod secret;
pub(crate) mod shared;
pub(crate) mod signal;
pub(crate) mod task;
pub(crate) mod thread_number;
pub(crate) mod wait;
pub(crate) mod workers;
