//! What every layer above stands on and what knows nothing of vSphere: waiting, threads, events, log, secrets.

pub(crate) mod event;
pub(crate) mod fork;
pub(crate) mod log;
#[cfg(all(test, vsession_model))]
pub(crate) mod models;
pub(crate) mod numbered;
pub(crate) mod process;
pub(crate) mod secret;
pub(crate) mod timer;
pub(crate) mod wait;
pub(crate) mod workers;
