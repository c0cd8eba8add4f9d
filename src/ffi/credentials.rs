//! `vsession_credentials`: how a program's function tells user and password when they are needed.

use std::ffi::{c_char, c_void};

use super::config::vsession_config;
use super::error::vsession_error;
use super::guard::guard;
use super::handles;
use super::session::vsession;
use super::strings::{login_text, required};
use super::userdata::UserData;
use crate::auth::credential::{Credential, Source};
use crate::config::{Config, CredentialsFunction};
use crate::error::Error;
use crate::runtime::secret::Secret;
use crate::status::vsession_status;
use crate::sync::{Arc, Mutex};

/// What a credentials function fills in. Valid during its call only.
pub struct vsession_credentials {
    user_and_password: Option<(String, Secret)>,
    failure: Option<String>,
    /// Why what the function filled in was not taken.
    refused: Option<Error>,
}

/// Tells user and password. Called at login time, on a thread of the library, so that a program need not leave them with
/// the library; the callers' deadlines hold while it runs. It may take its time (ask a person), and it may call any
/// function of the library. It fills in `credentials` with `vsession_credentials_set` and returns VSESSION_OK, or returns
/// another status, after `vsession_credentials_fail` where it has something to say.
pub type vsession_credentials_fn = Option<
    unsafe extern "C" fn(session: vsession, credentials: *mut vsession_credentials, data: *mut c_void) -> i32,
>;

/// Has sessions that are opened from now on ask `function` for user and password at each login, in place of the options
/// `username` and `password`. NULL: no longer. After refused credentials it is asked again now and then, and what it
/// says is tried only if it is something else. `free_data`, where not NULL, is called with `data` when the last session
/// and configuration that use the function are gone.
///
/// Threads: safe from any thread; `function` must be too. Blocks: never.
/// Owner: `data` stays the caller's, or is given to `free_data`; after an error it stays the caller's in any case.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_config_set_credentials_fn(
    config: vsession_config,
    function: vsession_credentials_fn,
    data: *mut c_void,
    free_data: Option<unsafe extern "C" fn(data: *mut c_void)>,
    err: *mut *mut vsession_error,
) -> vsession_status {
    guard!(status(err), || {
        let config = handles::get::<Mutex<Arc<Config>>>(config.id, "config")?;
        let data = UserData::new(data, free_data);
        let source = function.map(|function| {
            CredentialsFunction(Arc::new(move |session| {
                let data = &data;
                let mut credentials = vsession_credentials { user_and_password: None, failure: None, refused: None };
                // SAFETY: the caller registered the function to be called so, with this pointer.
                let status = unsafe { function(vsession { id: session }, &mut credentials, data.pointer()) };
                let vsession_credentials { user_and_password, failure, refused } = credentials;
                match (status, user_and_password) {
                    (0, Some((user, password))) => Ok(Credential::password(user, password, Source::Function)),
                    // Whether the function passes on that it was refused, or does not look.
                    (_, None) if failure.is_none() && refused.is_some() => Err(Error::new(
                        vsession_status::VSESSION_E_CONFIG,
                        format!(
                            "what the credentials function gave to vsession_credentials_set cannot be used: {}",
                            refused.as_ref().map_or("", |refused| &refused.detail().message)
                        ),
                    )),
                    (0, None) => Err(Error::new(
                        vsession_status::VSESSION_E_CONFIG,
                        "the credentials function returned VSESSION_OK without calling vsession_credentials_set",
                    )),
                    (status, _) => {
                        let status = vsession_status::from_number(status).unwrap_or(vsession_status::VSESSION_E_CONFIG);
                        let reason = failure.unwrap_or_else(|| "it gave no reason".into());
                        Err(Error::new(status, format!("the credentials function has no credentials: {reason}")).not_run())
                    }
                }
            }))
        });
        // The old one goes when the lock is free: `free_data` is the program's code and may use this configuration.
        let old = std::mem::replace(&mut Arc::make_mut(&mut config.lock()).credentials_function, source);
        drop(old);
        Ok(())
    })
}

/// Fills in user and password, from inside a credentials function. Both are copied. An empty user name and characters that
/// XML cannot carry are refused here; an empty password when the login looks at it, unless the option
/// `allow_empty_password` is set.
///
/// Threads: on the thread of the credentials function. Blocks: never. Owner: the strings stay the caller's.
/// Errors: VSESSION_E_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_credentials_set(
    credentials: *mut vsession_credentials,
    username: *const c_char,
    password: *const c_char,
) -> vsession_status {
    guard!(status(), || {
        // SAFETY: NULL, or what the library gave to the credentials function that runs.
        let credentials =
            unsafe { credentials.as_mut() }.ok_or_else(|| Error::invalid_argument("credentials", "NULL"))?;
        // SAFETY: by contract NULL or NUL-terminated strings.
        let pair = unsafe {
            login_text(username, "username").and_then(|u| Ok((u, login_text(password, "password")?)))
        };
        let pair = pair.and_then(|(user, password)| match user {
            "" => Err(Error::invalid_argument("username", "empty")),
            user => Ok((user.to_string(), Secret::new(password))),
        });
        credentials.refused = pair.as_ref().err().cloned();
        credentials.user_and_password = pair.as_ref().ok().cloned();
        pair.map(drop)
    })
}

/// Says why there are no credentials, from inside a credentials function; the message becomes part of the login's error.
///
/// Threads: on the thread of the credentials function. Blocks: never. Owner: the string stays the caller's.
/// Errors: VSESSION_E_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_credentials_fail(
    credentials: *mut vsession_credentials,
    message: *const c_char,
) -> vsession_status {
    guard!(status(), || {
        // SAFETY: NULL, or what the library gave to the credentials function that runs.
        let credentials =
            unsafe { credentials.as_mut() }.ok_or_else(|| Error::invalid_argument("credentials", "NULL"))?;
        // SAFETY: by contract NULL or a NUL-terminated string.
        credentials.failure = Some(unsafe { required(message, "message") }?.to_string());
        Ok(())
    })
}
