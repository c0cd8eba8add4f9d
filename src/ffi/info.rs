//! `vsession_info`: who a session belongs to and what server it is with, at one moment.

use std::ffi::c_char;

use super::guard::guard;
use super::strings::{borrowed, required};
use crate::session::{Snapshot, View};
use crate::sync::Arc;
use crate::text::Text;
use crate::vim::service_content::ServiceContent;
use crate::vim::user_session::UserSession;

/// One login's identity and server: a snapshot that never changes and is never mixed from two logins. Owned by the caller
/// and freed with `vsession_info_free`; any thread may read it, and it outlives the session. Accessors take NULL too and
/// answer it with NULL or 0.
pub struct vsession_info {
    /// Never made: a pointer to it is a pointer to a `View`.
    _opaque: (),
}

impl vsession_info {
    /// Hands a snapshot to the caller without copying it.
    pub(super) fn give(view: Arc<View>) -> *mut vsession_info {
        Arc::into_raw(view).cast_mut().cast()
    }
}

/// The snapshot behind an info.
fn snapshot(info: &vsession_info) -> &Snapshot {
    // SAFETY: an info is only made by `give`, from a view.
    unsafe { &*std::ptr::from_ref(info).cast::<View>() }
}

fn user<T>(info: &vsession_info, otherwise: T, field: impl FnOnce(&UserSession) -> T) -> T {
    snapshot(info).login.as_ref().map_or(otherwise, |login| field(&login.user))
}

fn user_text(info: &vsession_info, field: fn(&UserSession) -> &Text) -> *const c_char {
    user(info, std::ptr::null(), |user| borrowed(field(user)))
}

fn content(info: &vsession_info) -> Option<&ServiceContent> {
    snapshot(info).service.as_ref().map(|service| &service.content)
}

/// The epoch of the login: 1 for the first of a session, and so on.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_info_epoch(info: *const vsession_info) -> u64 {
    guard!(read(info, 0), |info| snapshot(info).epoch)
}

/// The server's key of the session (`UserSession.key`): names the session, and is not the secret that grants its use.
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the info is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_info_key(info: *const vsession_info) -> *const c_char {
    guard!(read(info, std::ptr::null()), |info| user_text(info, |user| &user.key))
}

/// The user name as the server writes it (`UserSession.userName`).
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the info is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_info_user_name(info: *const vsession_info) -> *const c_char {
    guard!(read(info, std::ptr::null()), |info| user_text(info, |user| &user.user_name))
}

/// The user's full name; empty when the server has none.
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the info is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_info_full_name(info: *const vsession_info) -> *const c_char {
    guard!(read(info, std::ptr::null()), |info| user_text(info, |user| &user.full_name))
}

/// When the login was, by the server's clock: milliseconds since 1970, UTC; 0 when the server does not say.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_info_login_time_ms(info: *const vsession_info) -> i64 {
    guard!(read(info, 0), |info| user(info, 0, |user| user.login_time_ms))
}

/// When the server last saw the session, as of the login or the last refresh: milliseconds since 1970, UTC.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_info_last_active_ms(info: *const vsession_info) -> i64 {
    guard!(read(info, 0), |info| user(info, 0, |user| user.last_active_ms))
}

/// How many calls the server has counted, as of the login or the last refresh; -1 when it does not say.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_info_call_count(info: *const vsession_info) -> i64 {
    guard!(read(info, 0), |info| user(info, 0, |user| user.call_count))
}

/// The locale of the session, for example `en_US`.
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the info is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_info_locale(info: *const vsession_info) -> *const c_char {
    guard!(read(info, std::ptr::null()), |info| user_text(info, |user| &user.locale))
}

/// The locale of the server's messages in this session.
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the info is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_info_message_locale(info: *const vsession_info) -> *const c_char {
    guard!(read(info, std::ptr::null()), |info| user_text(info, |user| &user.message_locale))
}

/// The address that the server sees this client at; empty when it does not say.
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the info is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_info_ip_address(info: *const vsession_info) -> *const c_char {
    guard!(read(info, std::ptr::null()), |info| user_text(info, |user| &user.ip_address))
}

/// The user agent that the server recorded; empty when it does not say.
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the info is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_info_user_agent(info: *const vsession_info) -> *const c_char {
    guard!(read(info, std::ptr::null()), |info| user_text(info, |user| &user.user_agent))
}

/// Whether the session belongs to an extension.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_info_is_extension(info: *const vsession_info) -> bool {
    guard!(read(info, false), |info| user(info, false, |user| user.extension))
}

/// A field of the server's `AboutInfo` by its name: `apiType` (`VirtualCenter` or `HostAgent`), `apiVersion`, `fullName`,
/// `instanceUuid`, `version`, `build`, and so on. NULL when the server does not have it.
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the info is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_info_about(
    info: *const vsession_info,
    field: *const c_char,
) -> *const c_char {
    guard!(read(info, std::ptr::null()), |info| {
        // SAFETY: by contract NULL or a NUL-terminated string.
        let field = unsafe { required(field, "field") }.ok();
        let found = field.and_then(|field| content(info)?.about(field));
        found.map_or(std::ptr::null(), borrowed)
    })
}

/// The id of a managed object that the server's `ServiceContent` names, by the name of the property: `rootFolder`,
/// `propertyCollector`, `viewManager`, and so on. NULL when the server does not have it.
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the info is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_info_service_id(
    info: *const vsession_info,
    name: *const c_char,
) -> *const c_char {
    guard!(read(info, std::ptr::null()), |info| {
        // SAFETY: by contract NULL or a NUL-terminated string.
        let name = unsafe { required(name, "name") }.ok();
        let found = name.and_then(|name| content(info)?.by_name(name));
        found.map_or(std::ptr::null(), |(_, id)| borrowed(id))
    })
}

/// The type of the same object, for example `Folder`.
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the info is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_info_service_type(
    info: *const vsession_info,
    name: *const c_char,
) -> *const c_char {
    guard!(read(info, std::ptr::null()), |info| {
        // SAFETY: by contract NULL or a NUL-terminated string.
        let name = unsafe { required(name, "name") }.ok();
        let found = name.and_then(|name| content(info)?.by_name(name));
        found.map_or(std::ptr::null(), |(kind, _)| borrowed(kind))
    })
}

/// Frees an info. NULL is allowed.
///
/// Threads: safe from any thread, once for each info. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_info_free(info: *mut vsession_info) {
    guard!(free(info), |info| {
        // SAFETY: the pointer came from `Arc::into_raw` in `give`, and the caller gives its reference up once.
        drop(unsafe { Arc::from_raw(info.cast_const().cast::<View>()) })
    })
}
