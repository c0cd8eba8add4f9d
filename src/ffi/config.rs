//! `vsession_config`: a server and the options of sessions with it.

use std::ffi::{c_char, c_void};

use super::callback_data::CallbackData;
use super::error::vsession_error;
use super::guard::guard;
use super::handles;
use super::queue::vsession_queue;
use super::session::vsession;
use super::strings::required;
use crate::config::{self, Config, Probe, ProgramFunction};
use crate::runtime::event::Queue;
use crate::status::vsession_status;
use crate::sync::{Arc, Mutex};

/// A configuration, that is a server and options: a handle, passed by value; `{0}` is the null handle. One configuration may
/// open any number of sessions, and each session takes a copy of it at that moment.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vsession_config {
    /// Opaque.
    pub id: u64,
}

fn insert(config: Config) -> crate::error::Result<vsession_config> {
    handles::insert::<handles::SharedConfig>(|_| Ok(Arc::new(Mutex::new(Arc::new(config)))))
        .map(|id| vsession_config { id })
}

/// Makes a configuration for the server at `url`: `[https://][user[:password]@]host[:port][/path]`; the path is `/sdk`
/// by default. `http://` is accepted too, and sends password and cookie in the clear. All options have their defaults;
/// see docs/options.md.
///
/// Threads: safe from any thread. Blocks: never. Owner: the caller frees it with `vsession_config_free`; `url` remains
/// the caller's.
/// Errors: VSESSION_E_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_config_new(
    url: *const c_char,
    out: *mut vsession_config,
    err: *mut *mut vsession_error,
) -> vsession_status {
    guard!(status(err) -> out, || {
        // SAFETY: by contract NULL or a NUL-terminated string.
        let url = unsafe { required(url, "url") }?;
        insert(Config::new(url)?)
    })
}

/// Makes a configuration from the environment variables that `govc` uses: GOVC_URL, GOVC_USERNAME, GOVC_PASSWORD,
/// GOVC_INSECURE, GOVC_TLS_CA_CERTS, GOVC_TLS_KNOWN_HOSTS, GOVC_CERTIFICATE, GOVC_PRIVATE_KEY, GOVMOMI_LOCALE. As in
/// `govc`, GOVC_USERNAME and GOVC_PASSWORD may be paths of files. The files are read once, now, and white space around
/// their contents is ignored.
///
/// Threads: safe from any thread while no thread changes the environment. Blocks: only to read these two files.
/// Owner: the caller frees it with `vsession_config_free`. Errors: VSESSION_E_CONFIG, whose message names the variable;
/// VSESSION_E_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_config_from_env(
    out: *mut vsession_config,
    err: *mut *mut vsession_error,
) -> vsession_status {
    guard!(status(err) -> out, || {
        insert(config::from_environment(|name| std::env::var_os(name))?)
    })
}

/// Sets an option by its name; docs/options.md lists the names and values. Sessions that are already open are not
/// affected.
///
/// Threads: safe from any thread. Blocks: never. Owner: the strings remain the caller's.
/// Errors: VSESSION_E_INVALID_ARGUMENT, whose message names the option and its valid values; VSESSION_E_INVALID_HANDLE;
/// VSESSION_E_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_config_set(
    config: vsession_config,
    name: *const c_char,
    value: *const c_char,
    err: *mut *mut vsession_error,
) -> vsession_status {
    guard!(status(err), || {
        let config = handles::get::<handles::SharedConfig>(config.id, "config")?;
        // SAFETY: by contract NULL or NUL-terminated strings.
        let (name, value) = unsafe { (required(name, "name")?, required(value, "value")?) };
        Arc::make_mut(&mut config.lock()).set(name, value)
    })
}

/// Makes sessions that are opened from now on put their events into `queue`. The null handle: into no queue.
///
/// Threads: safe from any thread. Blocks: never. Owner: the queue remains the caller's.
/// Errors: VSESSION_E_INVALID_HANDLE; VSESSION_E_CLOSED for the configuration; VSESSION_E_INVALID_ARGUMENT for a queue
/// that was freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_config_set_queue(
    config: vsession_config,
    queue: vsession_queue,
    err: *mut *mut vsession_error,
) -> vsession_status {
    guard!(status(err), || {
        let config = handles::get::<handles::SharedConfig>(config.id, "config")?;
        let queue = handles::optional::<Queue>(queue.id, "queue")?;
        Arc::make_mut(&mut config.lock()).queue = queue;
        Ok(())
    })
}

/// Asks the program whether a session is alive. The library calls it on one of its own threads when the session has not been
/// used for the keep-alive interval. The function may take long, and may call any function of the library on any session,
/// including login, logout and close. It returns VSESSION_OK when the session is alive, VSESSION_E_NOT_AUTHENTICATED when
/// it is gone (the library then replaces it if that is allowed), and another status when it could not find out; then it
/// will be called again soon.
pub type vsession_keepalive_fn = Option<unsafe extern "C" fn(session: vsession, data: *mut c_void) -> i32>;

/// Makes sessions that are opened from now on use `function` as their keep-alive probe, in place of the option
/// `keepalive.probe`. NULL: the probe is CurrentTime again. If `free_data` is not NULL, it is called once with `data`
/// when the last session and configuration that use the function are gone.
///
/// Threads: safe from any thread; `function` must be, too. Blocks: never.
/// Owner: `data` remains the caller's, or is passed to `free_data` at the end; after an error it remains the caller's
/// in any case.
/// Errors: VSESSION_E_INVALID_HANDLE; VSESSION_E_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_config_set_keepalive_fn(
    config: vsession_config,
    function: vsession_keepalive_fn,
    data: *mut c_void,
    free_data: Option<unsafe extern "C" fn(data: *mut c_void)>,
    err: *mut *mut vsession_error,
) -> vsession_status {
    guard!(status(err), || {
        let config = handles::get::<handles::SharedConfig>(config.id, "config")?;
        let data = CallbackData::new(data, free_data);
        let probe = function.map_or(Probe::CurrentTime, |function| {
            Probe::Custom(ProgramFunction(Arc::new(move |session| {
                let data = &data;
                // SAFETY: the caller registered the function to be called so, with this pointer.
                let status = unsafe { function(vsession { id: session }, data.pointer()) };
                vsession_status::from_number(status).unwrap_or(vsession_status::VSESSION_E_INTERNAL)
            })))
        });
        // The old function is dropped after the lock is released, because its `free_data` may use this configuration.
        let old = std::mem::replace(&mut Arc::make_mut(&mut config.lock()).probe, probe);
        drop(old);
        Ok(())
    })
}

/// Frees a configuration. Sessions that were opened with it stay open. The null handle is allowed and does nothing.
///
/// Threads: safe from any thread. Blocks: never. Errors: VSESSION_E_INVALID_HANDLE; VSESSION_E_CLOSED when it was freed
/// before.
#[unsafe(no_mangle)]
pub extern "C" fn vsession_config_free(config: vsession_config) -> vsession_status {
    guard!(status(), || handles::free::<handles::SharedConfig>(config.id, "config").map(drop))
}
