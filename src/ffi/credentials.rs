//! `vsession_credentials`: the credentials that a function of the program supplies at each login.

use std::ffi::{c_char, c_void};

use super::callback_data::CallbackData;
use super::config::vsession_config;
use super::error::vsession_error;
use super::guard::guard;
use super::handles;
use super::session::vsession;
use super::strings::{login_text, required};
use crate::auth::credential::{Credential, Source};
use crate::config::ProgramFunction;
use crate::error::{Error, Result};
use crate::runtime::secret::Secret;
use crate::status::vsession_status;
use crate::sync::Arc;

/// What a credentials function fills in. Valid only during the call of that function.
pub struct vsession_credentials {
    user_and_password: Option<(String, Secret)>,
    failure: Option<String>,
    /// Why `vsession_credentials_set` refused its arguments.
    refused: Option<Error>,
}

/// Supplies user name and password, so that a program need not leave them with the library. The library calls it at each
/// login on one of its own threads; the callers' deadlines apply while it runs. The function may take long, for example to
/// ask a person, and may call any function of the library. It fills in `credentials` with `vsession_credentials_set` and
/// returns VSESSION_OK, or returns another status, and gives the reason with `vsession_credentials_fail` first.
pub type vsession_credentials_fn = Option<
    unsafe extern "C" fn(session: vsession, credentials: *mut vsession_credentials, data: *mut c_void) -> i32,
>;

/// Makes sessions that are opened from now on ask `function` for user name and password at each login, in place of the
/// options `username`, `password` and `password_file`. NULL: the options are used again. After refused credentials the
/// function is asked again from time to time, and its answer is only sent if it differs from what was refused. If
/// `free_data` is not NULL, it is called once with `data` when the last session and configuration that use the function
/// are gone.
///
/// Threads: safe from any thread; `function` must be, too. Blocks: never.
/// Owner: `data` remains the caller's, or is passed to `free_data` at the end; after an error it remains the caller's
/// in any case.
/// Errors: VSESSION_E_INVALID_HANDLE; VSESSION_E_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_config_set_credentials_fn(
    config: vsession_config,
    function: vsession_credentials_fn,
    data: *mut c_void,
    free_data: Option<unsafe extern "C" fn(data: *mut c_void)>,
    err: *mut *mut vsession_error,
) -> vsession_status {
    guard!(status(err), || {
        let config = handles::get::<handles::SharedConfig>(config.id, "config")?;
        let data = CallbackData::new(data, free_data);
        let source = function.map(|function| {
            ProgramFunction(Arc::new(move |session| {
                let data = &data;
                ask(|credentials| {
                    // SAFETY: the caller registered the function to be called so, with this pointer.
                    unsafe { function(vsession { id: session }, credentials, data.pointer()) }
                })
            }))
        });
        // The old function is dropped after the lock is released, because its `free_data` may use this configuration.
        let old = std::mem::replace(&mut Arc::make_mut(&mut config.lock()).credentials_function, source);
        drop(old);
        Ok(())
    })
}

/// Calls a credentials function and reads what it filled in.
fn ask(function: impl FnOnce(&mut vsession_credentials) -> i32) -> Result<Credential> {
    let mut credentials = vsession_credentials { user_and_password: None, failure: None, refused: None };
    let status = function(&mut credentials);
    let failed = |status, message| Err(Error::new(status, message).not_run());
    match (status, credentials) {
        (0, vsession_credentials { user_and_password: Some((user, password)), .. }) => {
            Ok(Credential::password(user, password, Source::Function))
        }
        // Whatever status the function returns after its arguments were refused.
        (_, vsession_credentials { user_and_password: None, failure: None, refused: Some(refused) }) => {
            failed(
                vsession_status::VSESSION_E_CONFIG,
                format!(
                    "the credentials function passed unusable values to vsession_credentials_set: {}",
                    refused.detail().message
                ),
            )
        }
        (0, _) => failed(
            vsession_status::VSESSION_E_CONFIG,
            "the credentials function returned VSESSION_OK without calling vsession_credentials_set".into(),
        ),
        (status, credentials) => failed(
            vsession_status::from_number(status).unwrap_or(vsession_status::VSESSION_E_CONFIG),
            format!(
                "the credentials function supplied no credentials: {}",
                credentials.failure.as_deref().unwrap_or("it gave no reason")
            ),
        ),
    }
}

/// # Safety
/// As for `as_mut`.
unsafe fn given<'a>(credentials: *mut vsession_credentials) -> Result<&'a mut vsession_credentials> {
    // SAFETY: the caller's promise is ours.
    unsafe { credentials.as_mut() }.ok_or_else(|| Error::invalid_argument("credentials", "NULL"))
}

/// Fills in user name and password, from inside a credentials function. Both strings are copied. An empty user name,
/// and characters that XML cannot carry, are refused here. An empty password is refused at login unless the option
/// `allow_empty_password` is set.
///
/// Threads: only on the thread that runs the credentials function. Blocks: never. Owner: the strings remain the
/// caller's.
/// Errors: VSESSION_E_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_credentials_set(
    credentials: *mut vsession_credentials,
    username: *const c_char,
    password: *const c_char,
) -> vsession_status {
    guard!(status(), || {
        // SAFETY: NULL, or what the library gave to the credentials function that runs.
        let credentials = unsafe { given(credentials) }?;
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

/// Says why there are no credentials, from inside a credentials function. The message becomes part of the login's
/// error.
///
/// Threads: only on the thread that runs the credentials function. Blocks: never. Owner: the string remains the
/// caller's.
/// Errors: VSESSION_E_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_credentials_fail(
    credentials: *mut vsession_credentials,
    message: *const c_char,
) -> vsession_status {
    guard!(status(), || {
        // SAFETY: NULL, or what the library gave to the credentials function that runs.
        let credentials = unsafe { given(credentials) }?;
        // SAFETY: by contract NULL or a NUL-terminated string.
        credentials.failure = Some(unsafe { required(message, "message") }?.to_string());
        Ok(())
    })
}
