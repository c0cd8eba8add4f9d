//! Asks a server for its certificates without trusting them. Nothing is sent but the handshake.

use super::Settings;
use super::dial::Dialer;
use super::error_context;
use super::exchange::Exchange;
use super::stream::Stream;
use super::tls_config::TlsConfig;
use crate::error::{Error, Result};
use crate::runtime::task::on_this_thread;
use crate::runtime::wait::Watch;
use crate::status::Status;

/// The certificate chain that the server presents, in DER, its own certificate first. `watch` is that of this thread.
pub(crate) fn peer_certificates(settings: &Settings, watch: &Watch) -> Result<Vec<Vec<u8>>> {
    let Some(tls) = &settings.tls else {
        return Err(Error::config("'url' is http://, where there is no certificate; write https://"));
    };
    watch.check().map_err(|stop| Error::from(stop).not_run())?;
    let tls = TlsConfig::for_inspection(tls, &settings.server())?;
    let dialer = Dialer { settings: settings.clone(), tls: Some(tls) };
    let mut exchange = Exchange::new(watch, false, u64::MAX);
    match on_this_thread(dialer.dial(&mut exchange)) {
        Ok(Stream::Tls(tls)) => Ok(tls.peer_certificates().iter().map(|c| c.to_vec()).collect()),
        // unreached: needs a defect in ring, rustls or this library
        Ok(Stream::Plain(_)) => Err(Error::new(Status::VSESSION_E_INTERNAL, "a connection without TLS")),
        Err(error) => Err(error_context::with_peer(exchange.reason(error), settings, &exchange).not_run()),
    }
}
