//! With whom an exchange was, and how far it had come: added to an error when it leaves this layer, so that every message names
//! the server, or the proxy where it is the proxy's.

use std::io;

use super::Settings;
use super::exchange::{Exchange, Phase};
use crate::error::Error;
use crate::status::Status;

/// The error with the names that it lacks.
#[cold]
pub(crate) fn named(error: Error, settings: &Settings, exchange: &Exchange) -> Error {
    let message = &error.detail().message;
    let whom = whom(settings, exchange);
    let message = match error.status() {
        Status::VSESSION_E_CLOSED | Status::VSESSION_E_CANCELLED => return error,
        Status::VSESSION_E_TIMEOUT => late(&doing(settings, exchange), &whom),
        _ if message.contains(&settings.server()) => return error,
        _ if settings.proxy.as_ref().is_some_and(|proxy| message.contains(&proxy.address())) => return error,
        _ => format!("{whom}: {message}"),
    };
    error.with(|d| d.message = message)
}

/// A deadline that passed before one of the permitted connections was free.
#[cold]
pub(crate) fn no_permit(error: Error, settings: &Settings) -> Error {
    if error.status() != Status::VSESSION_E_TIMEOUT {
        return error;
    }
    let doing = format!("all connections to {} were in use ('max_connections')", settings.server());
    let message =
        format!("the deadline passed while {doing}; give the call a larger timeout_ms, or raise that option");
    error.with(|d| d.message = message)
}

fn late(doing: &str, whom: &str) -> String {
    format!(
        "the deadline passed while {doing}; give the call a larger timeout_ms, or see whether {whom} answers at all"
    )
}

/// Whose answer was waited for.
fn whom(settings: &Settings, exchange: &Exchange) -> String {
    match (&settings.proxy, exchange.phase.get()) {
        (Some(proxy), Phase::Lookup | Phase::Connect | Phase::Tunnel) => {
            format!("the proxy {}", proxy.address())
        }
        _ => settings.server(),
    }
}

fn doing(settings: &Settings, exchange: &Exchange) -> String {
    let whom = whom(settings, exchange);
    match exchange.phase.get() {
        Phase::Lookup => format!("the address of {whom} was looked up"),
        Phase::Connect => format!("a connection to {whom} was made"),
        Phase::Tunnel => format!("{whom} was asked for a connection to {}", settings.server()),
        Phase::Handshake => format!("the TLS handshake with {whom} was under way"),
        Phase::Exchange if exchange.answered.get() => format!("the reply of {whom} arrived"),
        Phase::Exchange if exchange.sent.get() => format!("{whom} had not answered"),
        Phase::Exchange => format!("the request was to be sent to {whom}"),
    }
}

/// The failure of a system call that the system had no room for, `doing` something.
pub(crate) fn shortage(doing: &str, error: &io::Error) -> Error {
    Error::new(
        Status::VSESSION_E_RESOURCE,
        format!(
            "{doing}: this process or system lacks descriptors, ports or memory ({error}); close some files, raise the limit \
             (ulimit -n) or lower 'max_connections'"
        ),
    )
    .with(|d| d.os_error = error.raw_os_error().unwrap_or(0))
}
