//! `vsession_info`: the identity and the server of one login.

use std::ffi::c_char;

use super::guard::guard;
use super::strings::{borrowed, borrowed_secret, optional};
use crate::runtime::secret::Secret;
use crate::session::{RestView, VimSnapshot, VimView};
use crate::sync::Arc;
use crate::text::Text;
use crate::vim::service_content::ServiceContent;
use crate::vim::session_manager::Login;
use crate::vim::user_session::UserSession;

/// The identity and the server of one login: a snapshot that never changes and never mixes two logins. Owned by the caller
/// and freed with `vsession_info_free`. Any thread may read it, and it outlives the session. For NULL the accessors return
/// NULL or 0.
pub struct vsession_info {
    /// No value of this type exists: a pointer to it is a pointer to a `VimView`, or one byte more than a pointer to `Both`.
    _opaque: (),
}

/// The sessions with both services. Only where there is a REST session: a reader of the other infos allocates nothing.
struct Both {
    vim: Arc<VimView>,
    rest: Arc<RestView>,
}

impl vsession_info {
    /// Hands a snapshot to the caller without copying it.
    pub(super) fn give((vim, rest): (Arc<VimView>, Option<Arc<RestView>>)) -> *mut vsession_info {
        match rest {
            None => Arc::into_raw(vim).cast_mut().cast(),
            Some(rest) => Box::into_raw(Box::new(Both { vim, rest })).cast::<u8>().wrapping_add(1).cast(),
        }
    }
}

/// What `give` made the pointer of, if it holds both sessions. A `VimView` and `Both` are at even addresses.
fn address_of_both(info: *const vsession_info) -> Option<*const Both> {
    (info.addr() % 2 == 1).then(|| info.cast::<u8>().wrapping_sub(1).cast())
}

/// The snapshot behind an info.
fn snapshot(info: &vsession_info) -> &VimSnapshot {
    match address_of_both(info) {
        // SAFETY: an info is only made by `give`, from one or the other.
        None => unsafe { &*std::ptr::from_ref(info).cast::<VimView>() },
        // SAFETY: as above.
        Some(both) => unsafe { &(*both).vim },
    }
}

/// The snapshot of the REST session, if there is one.
fn rest(info: &vsession_info) -> Option<&RestView> {
    // SAFETY: an info is only made by `give`.
    address_of_both(info).map(|both| unsafe { &*(*both).rest })
}

fn user<T>(info: &vsession_info, otherwise: T, field: impl FnOnce(&UserSession) -> T) -> T {
    snapshot(info).login.as_ref().map_or(otherwise, |login| field(&login.user))
}

fn secret(info: &vsession_info, field: fn(&Login) -> &Secret) -> *const c_char {
    snapshot(info).login.as_ref().map_or(std::ptr::null(), |login| borrowed_secret(field(login)))
}

fn user_text(info: &vsession_info, field: fn(&UserSession) -> &Text) -> *const c_char {
    user(info, std::ptr::null(), |user| borrowed(field(user)))
}

/// What `find` finds in the service content under a name that the caller passed.
///
/// # Safety
/// `name` is NULL or a NUL-terminated string.
unsafe fn named(
    info: &vsession_info,
    name: *const c_char,
    find: for<'a> fn(&'a ServiceContent, &str) -> Option<&'a Text>,
) -> *const c_char {
    // SAFETY: the caller's promise is ours.
    let name = unsafe { optional(name, "name") }.ok().flatten();
    let service = snapshot(info).service.as_ref();
    let found = service.zip(name).and_then(|(service, name)| find(&service.content, name));
    found.map_or(std::ptr::null(), borrowed)
}

/// Returns the epoch of the login: 1 for the first login of a session, and so on. 0 for NULL.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_info_epoch(info: *const vsession_info) -> u64 {
    guard!(read(info, 0), |info| snapshot(info).epoch)
}

/// Returns the session's cookie as an HTTP client sends it, `vmware_soap_session="..."`, with the quotes that the server gave
/// it: for curl and for other clients that send headers of the caller's. It is the cookie of this login, the one that the epoch and the key of
/// this info belong to. The cookie is a secret: it grants the use of the session.
///
/// Whoever logs the session out, ends it for all. docs/handing-on.md says how to pass a session to curl, govc, pyVmomi
/// and VDDK.
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the info is freed. The library zeroes it
/// when the login and its infos are gone; copies are the caller's to zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_info_cookie(info: *const vsession_info) -> *const c_char {
    guard!(read(info, std::ptr::null()), |info| secret(info, |login| &login.cookie))
}

/// Returns the value of that cookie without its name and without quotes: for `govc session.login -cookie`, pyVmomi's `sessionId`, the
/// `cookie` of a `VixDiskLibConnectParams`, and the header `vmware-api-session-id` of VI JSON. It is as secret as the cookie.
///
/// Threads: safe from any thread. Blocks: never. Owner: as `vsession_info_cookie`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_info_cookie_value(info: *const vsession_info) -> *const c_char {
    guard!(read(info, std::ptr::null()), |info| secret(info, |login| &login.cookie_value))
}

/// Returns the id of the REST session, for the header `vmware-api-session-id` and for `govc session.login -r -cookie`. Where the
/// server's vim25 sessions serve REST too, it is the value of the cookie. It is as secret as the cookie. NULL when there
/// was no REST session at the moment of this info: the library makes it at its first use.
///
/// Threads: safe from any thread. Blocks: never. Owner: as `vsession_info_cookie`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_info_rest_id(info: *const vsession_info) -> *const c_char {
    guard!(read(info, std::ptr::null()), |info| {
        let login = rest(info).and_then(|rest| rest.login.as_ref());
        login.map_or(std::ptr::null(), |login| borrowed_secret(&login.id))
    })
}

/// Returns the epoch of that REST session, as `vsession_get_rest_epoch` does. 0 when there was none.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_info_rest_epoch(info: *const vsession_info) -> u64 {
    guard!(read(info, 0), |info| rest(info).map_or(0, |rest| rest.epoch))
}

/// Returns the server's key of the session (`UserSession.key`). It identifies the session and is not the secret that
/// grants its use.
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the info is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_info_key(info: *const vsession_info) -> *const c_char {
    guard!(read(info, std::ptr::null()), |info| user_text(info, |user| &user.key))
}

/// Returns the user name as the server writes it (`UserSession.userName`).
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the info is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_info_user_name(info: *const vsession_info) -> *const c_char {
    guard!(read(info, std::ptr::null()), |info| user_text(info, |user| &user.user_name))
}

/// Returns the user's full name; empty when the server has none.
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the info is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_info_full_name(info: *const vsession_info) -> *const c_char {
    guard!(read(info, std::ptr::null()), |info| user_text(info, |user| &user.full_name))
}

/// Returns when the login happened, by the server's clock: milliseconds since 1970, UTC; 0 when the server does not
/// say.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_info_login_time_ms(info: *const vsession_info) -> i64 {
    guard!(read(info, 0), |info| user(info, 0, |user| user.login_time_ms))
}

/// Returns when the server last saw the session, as of the login or the last refresh: milliseconds since 1970, UTC; 0
/// when the server does not say.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_info_last_active_ms(info: *const vsession_info) -> i64 {
    guard!(read(info, 0), |info| user(info, 0, |user| user.last_active_ms))
}

/// Returns how many calls the server has counted, as of the login or the last refresh; -1 when the server does not say,
/// 0 for NULL.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_info_call_count(info: *const vsession_info) -> i64 {
    guard!(read(info, 0), |info| user(info, 0, |user| user.call_count))
}

/// Returns the locale of the session, for example `en_US`; empty when the server does not say.
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the info is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_info_locale(info: *const vsession_info) -> *const c_char {
    guard!(read(info, std::ptr::null()), |info| user_text(info, |user| &user.locale))
}

/// Returns the locale of the server's messages in this session; empty when the server does not say.
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the info is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_info_message_locale(info: *const vsession_info) -> *const c_char {
    guard!(read(info, std::ptr::null()), |info| user_text(info, |user| &user.message_locale))
}

/// Returns the address of this client as the server sees it; empty when the server does not say.
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the info is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_info_ip_address(info: *const vsession_info) -> *const c_char {
    guard!(read(info, std::ptr::null()), |info| user_text(info, |user| &user.ip_address))
}

/// Returns the user agent that the server recorded; empty when the server does not say.
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the info is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_info_user_agent(info: *const vsession_info) -> *const c_char {
    guard!(read(info, std::ptr::null()), |info| user_text(info, |user| &user.user_agent))
}

/// Returns whether the session belongs to an extension.
///
/// Threads: safe from any thread. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_info_is_extension(info: *const vsession_info) -> bool {
    guard!(read(info, false), |info| user(info, false, |user| user.extension))
}

/// Returns a field of the server's `AboutInfo` by its name: `apiType` (`VirtualCenter` or `HostAgent`), `apiVersion`,
/// `fullName`, `instanceUuid`, `version`, `build`, and so on. NULL when the server does not have the field.
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the info is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_info_about(
    info: *const vsession_info,
    field: *const c_char,
) -> *const c_char {
    // SAFETY: by contract NULL or a NUL-terminated string.
    guard!(read(info, std::ptr::null()), |info| unsafe { named(info, field, ServiceContent::about) })
}

/// Returns the version of the vim25 API that the library speaks with the server, for example `8.0.2.0`: the one of the option
/// `api_version`, or the newest that the server offers and the option `api_version_max` allows. NULL for NULL.
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the info is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_info_api_version(info: *const vsession_info) -> *const c_char {
    guard!(read(info, std::ptr::null()), |info| {
        snapshot(info).service.as_ref().map_or(std::ptr::null(), |service| borrowed(&service.version))
    })
}

/// Returns the id of a managed object that the server's `ServiceContent` names, by the name of the property:
/// `rootFolder`, `propertyCollector`, `viewManager`, and so on. NULL when the server does not have the property.
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the info is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_info_service_id(
    info: *const vsession_info,
    name: *const c_char,
) -> *const c_char {
    guard!(read(info, std::ptr::null()), |info| {
        // SAFETY: by contract NULL or a NUL-terminated string.
        unsafe { named(info, name, |content, name| content.by_name(name).map(|(_, id)| id)) }
    })
}

/// Returns the type of that object, for example `Folder`. NULL when the server does not have the property.
///
/// Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the info is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_info_service_type(
    info: *const vsession_info,
    name: *const c_char,
) -> *const c_char {
    guard!(read(info, std::ptr::null()), |info| {
        // SAFETY: by contract NULL or a NUL-terminated string.
        unsafe { named(info, name, |content, name| content.by_name(name).map(|(kind, _)| kind)) }
    })
}

/// Frees an info. NULL is allowed and does nothing.
///
/// Threads: safe from any thread, once for each object. Blocks: never.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vsession_info_free(info: *mut vsession_info) {
    guard!(free(info), |info| {
        match address_of_both(info) {
            // SAFETY: the pointer came from `Arc::into_raw` in `give`, and the caller gives its reference up once.
            None => drop(unsafe { Arc::from_raw(info.cast_const().cast::<VimView>()) }),
            // SAFETY: the same with `Box::into_raw`.
            Some(both) => drop(unsafe { Box::from_raw(both.cast_mut()) }),
        }
    })
}
