//! Adds to an error which peer the exchange was with and how far it had come. Every error that leaves this layer names the
//! server, or the proxy where the failure is the proxy's.

use std::io;

use super::Settings;
use super::exchange::{Exchange, Phase};
use crate::error::Error;
use crate::status::Status;

/// The error with the peer that its message does not yet name.
#[cold]
pub(crate) fn with_peer(error: Error, settings: &Settings, exchange: &Exchange) -> Error {
    let message = &error.detail().message;
    let peer = peer(settings, exchange);
    let message = match error.status() {
        Status::VSESSION_E_CLOSED | Status::VSESSION_E_CANCELLED => return error,
        Status::VSESSION_E_TIMEOUT => late(&doing(settings, exchange), &peer),
        _ if message.contains(&settings.server()) => return error,
        _ if settings.proxy.as_ref().is_some_and(|proxy| message.contains(&proxy.address())) => return error,
        _ => format!("{peer}: {message}"),
    };
    error.with(|d| d.message = message)
}

/// The error of a call whose deadline passed while all the connections that it may use were in use: as many as `option` says.
#[cold]
pub(crate) fn no_free_connection(error: Error, settings: &Settings, option: &str) -> Error {
    if error.status() != Status::VSESSION_E_TIMEOUT {
        return error;
    }
    let which = if option == "max_long_polls" { "all connections for long polls" } else { "all connections" };
    let doing = format!("{which} to {} were in use ('{option}')", settings.server());
    let message =
        format!("the deadline passed while {doing}; give the call a larger timeout_ms, or raise that option");
    error.with(|d| d.message = message)
}

fn late(doing: &str, peer: &str) -> String {
    format!(
        "the deadline passed while {doing}; give the call a larger timeout_ms, or check whether {peer} answers at all"
    )
}

/// Whose answer the call waited for.
fn peer(settings: &Settings, exchange: &Exchange) -> String {
    match (&settings.proxy, exchange.phase) {
        (Some(proxy), Phase::Lookup | Phase::Connect | Phase::Tunnel) => {
            format!("the proxy {}", proxy.address())
        }
        _ => settings.server(),
    }
}

fn doing(settings: &Settings, exchange: &Exchange) -> String {
    let peer = peer(settings, exchange);
    match exchange.phase {
        Phase::Lookup => format!("the address of {peer} was looked up"),
        Phase::Connect => format!("a connection to {peer} was made"),
        Phase::Tunnel => format!("{peer} was asked for a connection to {}", settings.server()),
        Phase::Handshake => format!("the TLS handshake with {peer} was under way"),
        Phase::Exchange if exchange.answered => format!("the reply of {peer} arrived"),
        Phase::Exchange if exchange.sent => format!("{peer} had not answered"),
        Phase::Exchange => format!("the request was to be sent to {peer}"),
    }
}

/// The error of a system call that failed because the process or the system lacks something. `doing` says what could not be done.
pub(crate) fn shortage(doing: &str, error: &io::Error) -> Error {
    Error::new(
        Status::VSESSION_E_RESOURCE,
        format!(
            "{doing}: this process or system lacks descriptors, ports or memory ({error}); close some files, raise the limit \
             (ulimit -n) or lower 'max_connections' and 'max_long_polls'"
        ),
    )
    .with(|d| d.os_error = error.raw_os_error().unwrap_or(0))
}
