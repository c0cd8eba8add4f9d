//! `vsession_config`: what a session is to be like.

use std::ffi::c_char;

use super::error::vsession_error;
use super::queue::vsession_queue;
use super::strings::{place, required};
use super::{guard, handles};
use crate::config::{self, Config};
use crate::runtime::event::Queue;
use crate::status::vsession_status;
use crate::sync::{Arc, Mutex};

/// A configuration: a server and options. A handle, passed by value; `{0}` is the null handle. One configuration may open
/// any number of sessions, each of which takes a copy of how it is at that moment.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vsession_config {
    /// Opaque.
    pub id: u64,
}

fn insert(config: Config) -> crate::error::Result<vsession_config> {
    handles::insert::<Mutex<Config>>(|_, _| Ok(Arc::new(Mutex::new(config)))).map(|id| vsession_config { id })
}

/// Makes a configuration for the server at `url`: `[https://][user[:password]@]host[:port][/sdk]`; `http://` is taken
/// too, for servers that speak nothing better. All options have their defaults; see docs/options.md.
///
/// Threads: safe from any thread. Blocks: never. Owner: the caller frees it with `vsession_config_free`.
/// Errors: VSESSION_E_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_config_new(
    url: *const c_char,
    out: *mut vsession_config,
    err: *mut *mut vsession_error,
) -> vsession_status {
    guard::status(err, || {
        let out = place(out, "out")?;
        // SAFETY: by contract NULL or a NUL-terminated string.
        let url = unsafe { required(url, "url") }?;
        out.put(insert(Config::new(url)?)?);
        Ok(())
    })
}

/// Makes a configuration from the environment that `govc` uses: GOVC_URL, GOVC_USERNAME, GOVC_PASSWORD, GOVC_INSECURE,
/// GOVC_TLS_CA_CERTS, GOVC_TLS_KNOWN_HOSTS, GOVC_CERTIFICATE, GOVC_PRIVATE_KEY, GOVMOMI_LOCALE.
///
/// Threads: safe from any thread as long as none changes the environment. Blocks: never.
/// Owner: the caller frees it with `vsession_config_free`. Errors: VSESSION_E_CONFIG names the variable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_config_from_env(
    out: *mut vsession_config,
    err: *mut *mut vsession_error,
) -> vsession_status {
    guard::status(err, || {
        let out = place(out, "out")?;
        out.put(insert(config::from_environment(|name| std::env::var(name).ok())?)?);
        Ok(())
    })
}

/// Sets an option by its name (docs/options.md lists them). Sessions that are open already are not affected.
///
/// Threads: safe from any thread. Blocks: never. Owner: the strings stay the caller's.
/// Errors: VSESSION_E_INVALID_ARGUMENT names the option and its good values.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_config_set(
    config: vsession_config,
    name: *const c_char,
    value: *const c_char,
    err: *mut *mut vsession_error,
) -> vsession_status {
    guard::status(err, || {
        let config = handles::get::<Mutex<Config>>(config.id, "config")?;
        // SAFETY: by contract NULL or NUL-terminated strings.
        let (name, value) = unsafe { (required(name, "name")?, required(value, "value")?) };
        config.lock().set(name, value)
    })
}

/// Has the sessions that are opened from now on put their events into `queue`. The null handle: into none.
///
/// Threads: safe from any thread. Blocks: never. Owner: the queue stays the caller's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_config_set_queue(
    config: vsession_config,
    queue: vsession_queue,
    err: *mut *mut vsession_error,
) -> vsession_status {
    guard::status(err, || {
        let config = handles::get::<Mutex<Config>>(config.id, "config")?;
        let queue = match queue.id {
            0 => None,
            id => Some(handles::get::<Queue>(id, "queue")?),
        };
        config.lock().queue = queue;
        Ok(())
    })
}

/// Frees a configuration. Sessions that were opened from it live on. The null handle is allowed.
///
/// Threads: safe from any thread. Blocks: never. Errors: VSESSION_E_CLOSED when it was freed already.
#[unsafe(no_mangle)]
pub extern "C" fn vsession_config_free(config: vsession_config) -> vsession_status {
    guard::status(std::ptr::null_mut(), || match config.id {
        0 => Ok(()),
        id => handles::remove::<Mutex<Config>>(id, "config").map(drop),
    })
}
