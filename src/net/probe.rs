//! Looks at a server's certificates without trusting them: nothing is sent but the handshake.

use super::Settings;
use super::context;
use super::dial::Dialer;
use super::exchange::Exchange;
use super::stream::Stream;
use super::trust::Trust;
use crate::error::{Error, Result};
use crate::runtime::wait::Watch;
use crate::status::Status;

/// The certificates that the server shows, as DER, its own first.
pub(crate) fn certificates(settings: &Settings, watch: &Watch) -> Result<Vec<Vec<u8>>> {
    let Some(tls) = &settings.tls else {
        return Err(Error::new(
            Status::VSESSION_E_CONFIG,
            "the address is http://, where there is no certificate; use https://",
        ));
    };
    watch.check().map_err(|stop| Error::from(stop).not_run())?;
    let trust = Trust::to_look(tls, &settings.server())?;
    let dialer = Dialer { settings: settings.clone(), trust: Some(trust) };
    let exchange = Exchange::new(watch, false, u64::MAX);
    match dialer.dial(&exchange) {
        Ok(Stream::Tls(tls)) => Ok(tls.peer_certificates().iter().map(|c| c.to_vec()).collect()),
        Ok(Stream::Plain(_)) => Err(Error::new(Status::VSESSION_E_INTERNAL, "a connection without TLS")),
        Err(error) => Err(context::named(exchange.reason(error), settings, &exchange).not_run()),
    }
}
