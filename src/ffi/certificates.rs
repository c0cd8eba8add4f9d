//! `vsession_certificates`: the certificates that a server sends in the TLS handshake.

use std::ffi::c_char;

use super::call::{self, vsession_call_options};
use super::config::vsession_config;
use super::error::vsession_error;
use super::guard::guard;
use super::handles;
use super::strings::{borrowed, optional};
use crate::config::Config;
use crate::error::Error;
use crate::net::{self, Certificate};
use crate::runtime::wait::Watch;
use crate::session::Timeout;
use crate::status::vsession_status;
use crate::text::Text;

/// The certificates of a server, its own first. Owned by the caller and freed with `vsession_certificates_free`. It never
/// changes, so any thread may read it. For NULL, and for an index beyond the end, the accessors return NULL or 0.
pub struct vsession_certificates {
    all: Vec<Certificate>,
}

/// Asks the server at `url` for its certificates without trusting them. Nothing is sent except the TLS handshake. The
/// server must hold the key of its certificate; a certificate whose key cannot be checked here is returned all the
/// same, and no session will trust it. A program can show the certificates to its user and then set `tls.thumbprint`.
///
/// With `config`, the connection is made with its options (proxy, TLS version, client certificate, timeouts), and `url`
/// may be NULL for the server that the configuration names. The null handle stands for the defaults.
///
/// Threads: safe from any thread. Blocks: until the handshake is done, the deadline passes or the token fires.
/// Owner: the caller frees the result with `vsession_certificates_free`.
/// Errors: VSESSION_E_INVALID_ARGUMENT; VSESSION_E_INVALID_HANDLE; VSESSION_E_CLOSED for the configuration;
/// VSESSION_E_CONFIG; errors of the network.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_probe_certificate(
    url: *const c_char,
    config: vsession_config,
    options: *const vsession_call_options,
    out: *mut *mut vsession_certificates,
    err: *mut *mut vsession_error,
) -> vsession_status {
    guard!(status(err) -> out, || {
        // SAFETY: by contract NULL or a NUL-terminated string, and NULL or valid call options.
        let (url, options) = unsafe { (optional(url, "url")?, call::options(options)?) };
        let config = match (config.id, url) {
            (0, None) => {
                return Err(Error::invalid_argument(
                    "url",
                    "NULL; pass a URL, or a configuration that names a server",
                ));
            }
            (0, Some(url)) => Config::new(url)?,
            (id, url) => {
                let mut config = Config::clone(&*handles::get::<handles::SharedConfig>(id, "config")?.lock());
                if let Some(url) = url {
                    config.set("url", url)?;
                }
                config
            }
        };
        let watch = Watch::new(Timeout::bounds(options.timeout, &config, options.cancel))?;
        let chain = net::peer_certificates(&config.net()?, &watch)?;
        let all = chain.iter().map(|der| Certificate::describe(der)).collect();
        Ok(Box::into_raw(Box::new(vsession_certificates { all })))
    })
}

fn of_one<T>(
    certificates: &vsession_certificates,
    index: usize,
    otherwise: T,
    field: impl FnOnce(&Certificate) -> T,
) -> T {
    certificates.all.get(index).map_or(otherwise, field)
}

fn text_of_one(
    certificates: &vsession_certificates,
    index: usize,
    field: fn(&Certificate) -> &Text,
) -> *const c_char {
    of_one(certificates, index, std::ptr::null(), |certificate| borrowed(field(certificate)))
}

/// Returns how many certificates the server sent.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_certificates_count(certificates: *const vsession_certificates) -> usize {
    guard!(read(certificates, 0), |c| c.all.len())
}

/// Returns the subject of a certificate (RFC 4514), for example `CN=vc.example.com,O=Example`.
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the result is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_certificates_subject(
    certificates: *const vsession_certificates,
    index: usize,
) -> *const c_char {
    guard!(read(certificates, std::ptr::null()), |all| text_of_one(all, index, |one| &one.subject))
}

/// Returns the issuer of a certificate (RFC 4514).
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the result is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_certificates_issuer(
    certificates: *const vsession_certificates,
    index: usize,
) -> *const c_char {
    guard!(read(certificates, std::ptr::null()), |all| text_of_one(all, index, |one| &one.issuer))
}

/// Returns the start of the validity of a certificate: milliseconds since 1970, UTC.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_certificates_not_before_ms(
    certificates: *const vsession_certificates,
    index: usize,
) -> i64 {
    guard!(read(certificates, 0), |all| of_one(all, index, 0, |one| one.not_before_ms))
}

/// Returns the end of the validity of a certificate: milliseconds since 1970, UTC.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_certificates_not_after_ms(
    certificates: *const vsession_certificates,
    index: usize,
) -> i64 {
    guard!(read(certificates, 0), |all| of_one(all, index, 0, |one| one.not_after_ms))
}

/// Returns the SHA-256 thumbprint of a certificate, in the form that `tls.thumbprint` takes: `AB:CD:...`.
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the result is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_certificates_thumbprint_sha256(
    certificates: *const vsession_certificates,
    index: usize,
) -> *const c_char {
    guard!(read(certificates, std::ptr::null()), |all| text_of_one(all, index, |one| &one.sha256))
}

/// Returns the SHA-1 thumbprint of a certificate, to compare with what older tools show.
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the result is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_certificates_thumbprint_sha1(
    certificates: *const vsession_certificates,
    index: usize,
) -> *const c_char {
    guard!(read(certificates, std::ptr::null()), |all| text_of_one(all, index, |one| &one.sha1))
}

/// Frees certificates. NULL is allowed and does nothing.
///
/// Threads: safe from any thread, once for each object. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_certificates_free(certificates: *mut vsession_certificates) {
    guard!(free(certificates))
}
