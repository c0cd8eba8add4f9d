//! Adds to an error which peer the exchange was with and how far it had come. Every error that leaves this layer names the
//! server, or the proxy where the failure is the proxy's.

use std::io;

use super::Settings;
use super::exchange::Exchange;
use crate::error::Error;
use crate::runtime::phase::Phase;
use crate::status::Status;

/// The error with the peer that its message does not yet name.
#[cold]
pub(crate) fn with_peer(error: Error, settings: &Settings, exchange: &Exchange) -> Error {
    let message = &error.detail().message;
    let peer = peer(settings, exchange.phase());
    let message = match error.status() {
        Status::VSESSION_E_CLOSED | Status::VSESSION_E_CANCELLED => return error,
        Status::VSESSION_E_TIMEOUT => late(settings, exchange.phase(), ""),
        _ if message.contains(&settings.server()) => return error,
        _ if settings.proxy.as_ref().is_some_and(|proxy| message.contains(&proxy.address())) => return error,
        _ => format!("{peer}: {message}"),
    };
    error.reworded(|_| message)
}

/// The message about a deadline that passed in this phase. `occasion` says what for, if not for the call itself, and ends in a comma.
#[cold]
pub(crate) fn late(settings: &Settings, phase: Phase, occasion: &str) -> String {
    let (doing, peer) = (doing(settings, phase), peer(settings, phase));
    let advice = match phase {
        Phase::Thread => "see which functions of the program keep the library's threads".to_string(),
        Phase::Start => "make fewer calls at a time".to_string(),
        Phase::Credentials => "see what the credentials function or 'password_file' waits for".to_string(),
        Phase::OtherLogin => "see why the other service does not answer".to_string(),
        Phase::Permit | Phase::LongPollPermit => "raise that option".to_string(),
        _ => format!("check whether {peer} answers at all"),
    };
    format!("the deadline passed{occasion} while {doing}; give the call a larger timeout_ms, or {advice}")
}

/// Whose answer the call waited for.
fn peer(settings: &Settings, phase: Phase) -> String {
    match (&settings.proxy, phase) {
        (Some(proxy), Phase::Lookup | Phase::Connect | Phase::Tunnel) => {
            format!("the proxy {}", proxy.address())
        }
        _ => settings.server(),
    }
}

fn doing(settings: &Settings, phase: Phase) -> String {
    let peer = peer(settings, phase);
    match phase {
        Phase::Thread => format!("a thread of the library was waited for, and nothing was sent to {peer}"),
        Phase::Start => format!("nothing had been sent to {peer} yet"),
        Phase::Credentials => format!("the credentials for {peer} were read"),
        Phase::OtherLogin => format!("the login to the other service of {peer} was waited for"),
        Phase::LongPollPermit => {
            format!("all connections for long polls to {peer} were in use ('max_long_polls')")
        }
        Phase::Permit => format!("all connections to {peer} were in use ('max_connections')"),
        Phase::Lookup => format!("the address of {peer} was looked up"),
        Phase::Connect => format!("a connection to {peer} was made"),
        Phase::Tunnel => format!("{peer} was asked for a connection to {}", settings.server()),
        Phase::Handshake => format!("the TLS handshake with {peer} was under way"),
        Phase::Request => format!("the request was being sent to {peer}"),
        Phase::Silence => format!("{peer} had not answered"),
        Phase::Reply => format!("the reply of {peer} arrived"),
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
    .caused_by(error)
}
