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
use crate::runtime::wait::{Signal, Watch};
use crate::runtime::workers::{self, NoThread};
use crate::status::Status;
use crate::sync::{Arc, Instant, Mutex, rank};
use crate::sys;

#[derive(Default)]
struct Lookup {
    done: Signal,
    result: OnceCell<io::Result<Vec<SocketAddr>>>,
    /// No thread could be started for it.
    no_thread: OnceCell<NoThread>,
}

/// Lookups by host and port.
type Lookups = HashMap<(String, u16), Arc<Lookup>>;

static UNDER_WAY: PerProcess<Mutex<Lookups, rank::Lookups>> = PerProcess::new();

/// In a forked child: forgets the parent's lookups.
pub(crate) fn renew_after_fork() {
    UNDER_WAY.renew();
}

/// The addresses of `host`, at least one. Waits no longer than `until`. `option` named the host.
pub(crate) fn addresses(
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
    if !watch.wait_for_until(&lookup.done, until)? {
        return Err(unknown(host, option, "the name service did not answer within connect_timeout_ms"));
    }
    if let Some(none) = lookup.no_thread.get() {
        return Err((*none).into());
    }
    match lookup.result.get() {
        // unreached: needs a defect in ring, rustls or this library
        Some(Ok(addresses)) if addresses.is_empty() => Err(unknown(host, option, "no address")),
        Some(Ok(addresses)) => Ok(addresses.clone()),
        Some(Err(error)) if sys::is_shortage(error) => {
            Err(shortage(&format!("the host name '{host}' could not be looked up"), error))
        }
        Some(Err(error)) => Err(unknown(host, option, &error.to_string())),
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
    let running = lookup.clone();
    let name = key.clone();
    let started = workers::pools().names.run(move |thread| {
        if let Err(none) = thread {
            return running.give_up(&key, none);
        }
        let _ = running.result.set(sys::addresses(&key.0, key.1));
        UNDER_WAY.get().lock().remove(&key);
        running.done.fire();
    });
    if let Err(none) = started {
        // This thread cannot look the name up instead: nothing could end the wait.
        lookup.give_up(&name, none);
    }
    lookup
}

impl Lookup {
    /// Ends a lookup for which there is no thread.
    fn give_up(&self, key: &(String, u16), none: NoThread) {
        let _ = self.no_thread.set(none);
        UNDER_WAY.get().lock().remove(key);
        self.done.fire();
    }
}
