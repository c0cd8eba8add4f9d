//! The functions that the fuzzer registers as the program's: for credentials, keep-alive and log messages.

use std::ffi::{CString, c_char, c_void};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicUsize, Ordering};

use ::vsession::ffi::call::*;
use ::vsession::ffi::credentials::*;
use ::vsession::ffi::info::*;
use ::vsession::ffi::reply::*;
use ::vsession::ffi::session::*;
use ::vsession::vsession_status as status;

use super::arguments::{current_time, zero_options};
use super::checks::{REACHED, shows_no_secret};

/// What a callback does, as the bytes of the input say.
pub(super) struct Script {
    pub(super) what: u8,
    pub(super) returns: i32,
    pub(super) user: CString,
    pub(super) password: CString,
}

unsafe extern "C" fn free_script(data: *mut c_void) {
    drop(unsafe { Box::from_raw(data.cast::<Script>()) });
}

/// The function that frees a script, if there is one.
pub(super) fn free_of(data: *mut c_void) -> Option<unsafe extern "C" fn(*mut c_void)> {
    if data.is_null() { None } else { Some(free_script) }
}

/// Frees what a function did not take.
pub(super) fn take_back(data: *mut c_void, taken: bool) {
    if !taken && !data.is_null() {
        unsafe { free_script(data) };
    }
}

/// What a callback may do with its session: everything.
unsafe fn play_with(session: vsession, what: u8) {
    let limits = vsession_call_options {
        struct_size: size_of::<vsession_call_options>(),
        timeout_ms: 20,
        ..zero_options()
    };
    let (mut info, mut reply) = (null_mut(), null_mut());
    unsafe {
        match what & 7 {
            1 => drop(vsession_login(session, &limits, null_mut())),
            2 => drop(vsession_close(session, &limits, null_mut())),
            3 => drop(vsession_logout(session, &limits, null_mut())),
            4 => drop(vsession_call(session, &current_time(), &limits, &mut reply, null_mut())),
            5 => drop(vsession_get_info(session, &mut info, null_mut())),
            6 => drop(vsession_keepalive_stop(session, null_mut())),
            _ => drop(vsession_get_state(session)),
        }
        vsession_info_free(info);
        vsession_reply_free(reply);
    }
}

pub(super) unsafe extern "C" fn keepalive(session: vsession, data: *mut c_void) -> i32 {
    let Some(script) = (unsafe { data.cast::<Script>().as_ref() }) else { return 0 };
    unsafe { play_with(session, script.what) };
    script.returns
}

pub(super) unsafe extern "C" fn credentials(
    session: vsession,
    out: *mut vsession_credentials,
    data: *mut c_void,
) -> i32 {
    let Some(script) = (unsafe { data.cast::<Script>().as_ref() }) else { return 0 };
    unsafe { play_with(session, script.what) };
    let reached = |name, status| {
        if status == status::VSESSION_OK {
            REACHED.lock().unwrap().insert(name);
        }
    };
    let (user, password) = (script.user.as_ptr(), script.password.as_ptr());
    // A reason without a failure does no harm.
    reached("vsession_credentials_fail", unsafe { vsession_credentials_fail(out, user) });
    if script.what & 8 == 0 {
        reached("vsession_credentials_set", unsafe { vsession_credentials_set(out, user, password) });
    }
    script.returns
}

/// Gives or takes a body. `data` is no address but says how.
pub(super) unsafe extern "C" fn move_body(data: *mut c_void, bytes: *mut c_char, length: usize) -> i64 {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    assert_eq!(bytes.is_null(), length == 0);
    // Nothing else might end a body.
    if CALLS.fetch_add(1, Ordering::Relaxed).is_multiple_of(20) {
        return 0;
    }
    let length = length as i64;
    match data.addr() % 8 {
        0 => 0,
        1 => -1,
        2 => length + 1,
        3 => i64::MIN,
        4 => length.min(5),
        _ => length,
    }
}

/// Takes a page. `data` is no address but says whether to stop.
pub(super) unsafe extern "C" fn take_page(data: *mut c_void, page: *const vsession_reply) -> i32 {
    shows_no_secret(unsafe { vsession_reply_text(page) });
    assert!(!unsafe { vsession_reply_xml(page, null_mut()) }.is_null());
    data.addr() as i32
}

pub(super) unsafe extern "C" fn told(_: *mut c_void, state: *const c_char, percent: i32) {
    assert!((-1..=100).contains(&percent) && !state.is_null());
}

pub(super) unsafe extern "C" fn log_sink(level: i32, message: *const c_char, _: *mut c_void) {
    assert!((1..=4).contains(&level), "log level {level}");
    shows_no_secret(message);
}
