//! DNS: host names to addresses. The system's resolver can be neither cancelled nor bounded, so it runs on its own worker threads,
//! and callers wait for it as for anything else. Concurrent calls for one name share one lookup, so that a name server that does
//! not answer holds one thread for each name and not one for each caller.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};

use once_cell::sync::OnceCell;

use super::error_context::shortage;
use crate::error::{Error, Result};
use crate::runtime::process::PerProcess;
use crate::runtime::signal::Signal;
use crate::runtime::wait::Watch;
use crate::runtime::workers::{self, NoThread};
use crate::status::Status;
use crate::sync::{Arc, Instant, Mutex, rank};
use crate::sys;

#[derive(Default)]
struct Lookup {
    done: Signal,
    outcome: OnceCell<Outcome>,
}

/// The system's answer, or why there was no thread to ask for it.
type Outcome = std::result::Result<io::Result<Vec<SocketAddr>>, NoThread>;

/// Lookups by host and port.
type Lookups = HashMap<(String, u16), Arc<Lookup>>;

static UNDER_WAY: PerProcess<Mutex<Lookups, rank::Lookups>> = PerProcess::new();

/// In a forked child: forgets the parent's lookups.
pub(super) fn renew_after_fork() {
    UNDER_WAY.renew();
}

/// The addresses of `host`, at least one. Waits no longer than `until`. `option` named the host.
pub(crate) async fn addresses(
    host: &str,
    port: u16,
    option: &str,
    until: Option<Instant>,
    watch: &Watch,
) -> Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let lookup = join_or_start(host, port);
    if !watch.wait_for_until(&lookup.done, until).await? {
        return Err(unknown(host, option, "the name service did not answer within connect_timeout_ms"));
    }
    match lookup.outcome.get() {
        // unreached: needs a defect in ring, rustls or this library
        Some(Ok(Ok(addresses))) if addresses.is_empty() => Err(unknown(host, option, "no address")),
        Some(Ok(Ok(addresses))) => Ok(addresses.clone()),
        Some(Ok(Err(error))) if sys::is_shortage(error) => {
            Err(shortage(&format!("the host name '{host}' could not be looked up"), error))
        }
        Some(Ok(Err(error))) => Err(unknown(host, option, &error.to_string())),
        Some(Err(none)) => Err((*none).into()),
        // unreached: needs a defect in ring, rustls or this library
        None => Err(unknown(host, option, "the lookup failed")),
    }
}

fn unknown(host: &str, option: &str, reason: &str) -> Error {
    Error::new(
        Status::VSESSION_E_RESOLVE,
        format!(
            "the host name '{host}' has no address ({reason}); check the spelling in '{option}' and the name service"
        ),
    )
}

fn join_or_start(host: &str, port: u16) -> Arc<Lookup> {
    let key = (host.to_string(), port);
    let lookup = {
        let all = UNDER_WAY.get();
        let mut under_way = all.lock();
        if let Some(lookup) = under_way.get(&key) {
            return lookup.clone();
        }
        let lookup = Arc::new(Lookup::default());
        under_way.insert(key.clone(), lookup.clone());
        lookup
    };
    let (running, name) = (lookup.clone(), key.clone());
    let started = workers::pools().names.run(move |thread| {
        if thread.is_ok() && running.is_abandoned(&name) {
            return;
        }
        running.finish(&name, thread.map(|()| sys::addresses(&name.0, name.1)));
    });
    if let Err(none) = started {
        // This thread cannot look the name up instead: nothing could end the wait.
        lookup.finish(&key, Err(none));
    }
    lookup
}

impl Lookup {
    /// Whether all who wanted the addresses have left while it waited for a worker. Then the name is not looked up, so that a worker
    /// is free for others.
    fn is_abandoned(self: &Arc<Self>, key: &(String, u16)) -> bool {
        let all = UNDER_WAY.get();
        let mut under_way = all.lock();
        // The worker's and the map's; nobody joins while the map is locked.
        let abandoned = Arc::strong_count(self) <= 2;
        if abandoned {
            under_way.remove(key);
        }
        abandoned
    }

    fn finish(&self, key: &(String, u16), outcome: Outcome) {
        let _ = self.outcome.set(outcome);
        UNDER_WAY.get().lock().remove(key);
        self.done.fire();
    }
}
