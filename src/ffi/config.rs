//! `vsession_config`: what a session is to be like.

use std::ffi::{c_char, c_void};

use super::error::vsession_error;
use super::guard::guard;
use super::handles;
use super::queue::vsession_queue;
use super::session::vsession;
use super::strings::{place, required};
use super::userdata::UserData;
use crate::config::{self, Config, Probe};
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
    handles::insert::<Mutex<Arc<Config>>>(|_| Ok(Arc::new(Mutex::new(Arc::new(config)))))
        .map(|id| vsession_config { id })
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
    guard!(status(err), || {
        let out = place(out, "out")?;
        // SAFETY: by contract NULL or a NUL-terminated string.
        let url = unsafe { required(url, "url") }?;
        out.put(insert(Config::new(url)?)?);
        Ok(())
    })
}

/// Makes a configuration from the environment that `govc` uses: GOVC_URL, GOVC_USERNAME, GOVC_PASSWORD, GOVC_INSECURE,
/// GOVC_TLS_CA_CERTS, GOVC_TLS_KNOWN_HOSTS, GOVC_CERTIFICATE, GOVC_PRIVATE_KEY, GOVMOMI_LOCALE. As with `govc`, GOVC_USERNAME
/// and GOVC_PASSWORD may be paths of files: then these are read, once, and what they hold counts without the blanks around it.
///
/// Threads: safe from any thread as long as none changes the environment. Blocks: reading these two files.
/// Owner: the caller frees it with `vsession_config_free`. Errors: VSESSION_E_CONFIG names the variable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_config_from_env(
    out: *mut vsession_config,
    err: *mut *mut vsession_error,
) -> vsession_status {
    guard!(status(err), || {
        let out = place(out, "out")?;
        out.put(insert(config::from_environment(|name| std::env::var_os(name))?)?);
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
    guard!(status(err), || {
        let config = handles::get::<Mutex<Arc<Config>>>(config.id, "config")?;
        // SAFETY: by contract NULL or NUL-terminated strings.
        let (name, value) = unsafe { (required(name, "name")?, required(value, "value")?) };
        Arc::make_mut(&mut config.lock()).set(name, value)
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
    guard!(status(err), || {
        let config = handles::get::<Mutex<Arc<Config>>>(config.id, "config")?;
        let queue = match queue.id {
            0 => None,
            id => Some(handles::of_argument::<Queue>(id, "queue")?),
        };
        Arc::make_mut(&mut config.lock()).queue = queue;
        Ok(())
    })
}

/// Asks the program whether a session lives. Called on a thread of the library when the session has gone unused for the
/// keep-alive interval. It may take its time and call any function of the library on any session, login, logout and close
/// included. It returns VSESSION_OK when the session lives, VSESSION_E_NOT_AUTHENTICATED when it is gone (the library then
/// replaces it, where that is allowed), and another status when it could not find out: it will be asked again soon.
pub type vsession_keepalive_fn = Option<unsafe extern "C" fn(session: vsession, data: *mut c_void) -> i32>;

/// Has sessions that are opened from now on use `function` as their keep-alive probe in place of the option
/// `keepalive.probe`. NULL: CurrentTime again. `free_data`, where not NULL, is called with `data` when the last session
/// and configuration that use the function are gone.
///
/// Threads: safe from any thread; `function` must be too. Blocks: never.
/// Owner: `data` stays the caller's, or is given to `free_data`; after an error it stays the caller's in any case.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_config_set_keepalive_fn(
    config: vsession_config,
    function: vsession_keepalive_fn,
    data: *mut c_void,
    free_data: Option<unsafe extern "C" fn(data: *mut c_void)>,
    err: *mut *mut vsession_error,
) -> vsession_status {
    guard!(status(err), || {
        let config = handles::get::<Mutex<Arc<Config>>>(config.id, "config")?;
        let data = UserData::new(data, free_data);
        let probe = function.map_or(Probe::CurrentTime, |function| {
            Probe::Custom(Arc::new(move |session| {
                let data = &data;
                // SAFETY: the caller registered the function to be called so, with this pointer.
                let status = unsafe { function(vsession { id: session }, data.pointer()) };
                vsession_status::from_number(status).unwrap_or(vsession_status::VSESSION_E_INTERNAL)
            }))
        });
        // The old one goes when the lock is free: `free_data` is the program's code and may use this configuration.
        let old = std::mem::replace(&mut Arc::make_mut(&mut config.lock()).probe, probe);
        drop(old);
        Ok(())
    })
}

/// Frees a configuration. Sessions that were opened from it live on. The null handle is allowed.
///
/// Threads: safe from any thread. Blocks: never. Errors: VSESSION_E_CLOSED when it was freed already.
#[unsafe(no_mangle)]
pub extern "C" fn vsession_config_free(config: vsession_config) -> vsession_status {
    guard!(status(), || match config.id {
        0 => Ok(()),
        id => handles::remove::<Mutex<Arc<Config>>>(id, "config").map(drop),
    })
}
