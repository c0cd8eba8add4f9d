//! The C API itself: bytes become a sequence of calls of the exported functions, on handles that are alive, closed, of
//! another kind, null and made up, with strings, sizes and numbers that are good and bad, on up to three threads, while
//! a server in the process answers well, badly or not at all. At the end everything is freed.
//!
//! The first byte says on how many threads. Then come the calls, a 0xfa between each two: the number of the function and what
//! its arguments are made of, with zeros behind.
//!
//! What the caller must not do by contract (free an object twice, pass a pointer to nothing) is not done; the rest must
//! neither crash, hang nor leak, and each status must fit what was passed. `VSESSION_FUZZ_TRACE=1` says what is called.

use std::alloc::{Layout, alloc, dealloc};
use std::collections::{BTreeSet, HashSet};
use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::{null, null_mut};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use ::vsession::ffi::call::*;
use ::vsession::ffi::cancel::*;
use ::vsession::ffi::certificates::*;
use ::vsession::ffi::config::*;
use ::vsession::ffi::credentials::*;
use ::vsession::ffi::error::*;
use ::vsession::ffi::event::*;
use ::vsession::ffi::info::*;
use ::vsession::ffi::library::*;
use ::vsession::ffi::queue::*;
use ::vsession::ffi::reply::*;
use ::vsession::ffi::session::*;
use ::vsession::vsession_status as status;

use crate::support::canned::{self, Canned, Peer};

/// Every exported function, one line each; a byte of the input is a number in this table. A new function comes at the end,
/// or the corpora mean something else. With an input of zeros each does what it is for (see `tour`).
pub const FUNCTIONS: &[(&str, Function)] = &[
    ("the server", |r| r.server()),
    ("vsession_config_new", |r| r.config_new()),
    ("vsession_config_from_env", |r| {
        r.makes(CONFIG, |o, e| unsafe { vsession_config_from_env(o.cast(), e) })
    }),
    ("vsession_queue_new", |r| r.makes(QUEUE, |o, e| unsafe { vsession_queue_new(o.cast(), e) })),
    ("vsession_cancel_new", |r| r.makes(CANCEL, |o, e| unsafe { vsession_cancel_new(o.cast(), e) })),
    ("vsession_config_set", |r| r.config_set()),
    ("vsession_config_set_queue", |r| {
        let (config, queue) = (r.config(), r.queue());
        r.lenient = queue.id == 0 && config.id != 0;
        r.call(|e| unsafe { vsession_config_set_queue(config, queue, e) });
    }),
    ("vsession_config_set_keepalive_fn", |r| {
        let (config, data) = (r.config(), r.script());
        let function: vsession_keepalive_fn = if r.flag() { None } else { Some(keepalive) };
        let taken =
            r.call(|e| unsafe { vsession_config_set_keepalive_fn(config, function, data, free_of(data), e) });
        take_back(data, taken);
    }),
    ("vsession_config_set_credentials_fn", |r| {
        let (config, data) = (r.config(), r.script());
        let function: vsession_credentials_fn = if r.flag() { None } else { Some(credentials) };
        let taken = r.call(|e| unsafe {
            vsession_config_set_credentials_fn(config, function, data, free_of(data), e)
        });
        take_back(data, taken);
    }),
    ("vsession_open", |r| r.open()),
    ("vsession_login", |r| {
        let (session, options) = (r.session(), r.options());
        r.call(|e| unsafe { vsession_login(session, options.get(), e) });
    }),
    ("vsession_get_state", |r| {
        let state = vsession_get_state(r.session());
        shows_no_secret(vsession_state_name(state as i32));
        r.reached();
    }),
    ("vsession_get_epoch", |r| r.reads(|r| vsession_get_epoch(r.session()))),
    ("vsession_get_info", |r| {
        let session = r.session();
        let made = r.gives(|o, e| unsafe { vsession_get_info(session, o, e) });
        r.own.infos.extend(made);
    }),
    ("vsession_refresh", |r| {
        let (session, options) = (r.session(), r.options());
        let made = r.gives(|o, e| unsafe { vsession_refresh(session, options.get(), o, e) });
        r.own.infos.extend(made);
    }),
    ("vsession_is_active", |r| {
        let (session, options, mut active) = (r.session(), r.options(), false);
        let place = r.place(&mut active);
        r.call(|e| unsafe { vsession_is_active(session, options.get(), place, e) });
    }),
    ("vsession_get_cookie", |r| {
        let session = r.session();
        let made = r.gives(|o, e| unsafe { vsession_get_cookie(session, o, e) });
        r.own.strings.extend(made);
    }),
    ("vsession_call", |r| {
        let (session, call, options) = (r.session(), r.soap_call(), r.options());
        let made = r.gives(|o, e| unsafe { vsession_call(session, call.get(), options.get(), o, e) });
        r.own.replies.extend(made);
    }),
    ("vsession_call_async", |r| {
        let (session, call, options, queue) = (r.session(), r.soap_call(), r.options(), r.queue());
        let tag = u64::from(r.byte());
        r.call(|e| unsafe { vsession_call_async(session, call.get(), options.get(), queue, tag, e) });
    }),
    ("vsession_queue_fd", |r| r.reads(|r| vsession_queue_fd(r.queue()))),
    ("vsession_queue_next", |r| {
        let (queue, timeout) = (r.queue(), if r.touring { 2000 } else { u32::from(r.byte()) % 20 });
        let made = r.gives_or_not(|o, e| unsafe { vsession_queue_next(queue, timeout, o, e) });
        r.own.events.extend(made);
    }),
    ("vsession_keepalive_start", |r| {
        let (session, interval) = (r.session(), [0, 1000, 999, 1, u32::MAX][usize::from(r.byte() % 5)]);
        r.call(|e| unsafe { vsession_keepalive_start(session, interval, e) });
    }),
    ("vsession_keepalive_stop", |r| {
        let session = r.session();
        r.call(|e| unsafe { vsession_keepalive_stop(session, e) });
    }),
    ("vsession_set_password", |r| {
        let (session, password) = (r.session(), r.string("other"));
        r.call(|e| unsafe { vsession_set_password(session, password.0, e) });
    }),
    ("vsession_probe_certificate", |r| r.probe_certificate()),
    ("vsession_cancel_fire", |r| {
        let token = r.cancel();
        r.call_without_error(|| vsession_cancel_fire(token));
    }),
    ("vsession_cancel_reset", |r| {
        let token = r.cancel();
        r.call_without_error(|| vsession_cancel_reset(token));
    }),
    ("vsession_logout", |r| {
        let (session, options) = (r.session(), r.options());
        r.call(|e| unsafe { vsession_logout(session, options.get(), e) });
    }),
    ("vsession_credentials_set", |r| {
        let (user, password) = (r.string("user"), r.string("pass"));
        let status = unsafe { vsession_credentials_set(null_mut(), user.0, password.0) };
        assert_eq!(status, status::VSESSION_E_INVALID_ARGUMENT);
    }),
    ("vsession_credentials_fail", |r| {
        let message = r.string("why");
        let status = unsafe { vsession_credentials_fail(null_mut(), message.0) };
        assert_eq!(status, status::VSESSION_E_INVALID_ARGUMENT);
    }),
    ("vsession_certificates_count", |r| {
        r.of_certificates(|c, _| number(unsafe { vsession_certificates_count(c) }))
    }),
    ("vsession_certificates_subject", |r| {
        r.of_certificates(|c, i| unsafe { vsession_certificates_subject(c, i) })
    }),
    ("vsession_certificates_issuer", |r| {
        r.of_certificates(|c, i| unsafe { vsession_certificates_issuer(c, i) })
    }),
    ("vsession_certificates_not_before_ms", |r| {
        r.of_certificates(|c, i| number(unsafe { vsession_certificates_not_before_ms(c, i) }))
    }),
    ("vsession_certificates_not_after_ms", |r| {
        r.of_certificates(|c, i| number(unsafe { vsession_certificates_not_after_ms(c, i) }))
    }),
    ("vsession_certificates_thumbprint_sha256", |r| {
        r.of_certificates(|c, i| unsafe { vsession_certificates_thumbprint_sha256(c, i) })
    }),
    ("vsession_certificates_thumbprint_sha1", |r| {
        r.of_certificates(|c, i| unsafe { vsession_certificates_thumbprint_sha1(c, i) })
    }),
    ("vsession_error_status", |r| r.of_error(|e| number(unsafe { vsession_error_status(e) }))),
    ("vsession_error_message", |r| r.of_error(|e| unsafe { vsession_error_message(e) })),
    ("vsession_error_fault_name", |r| r.of_error(|e| unsafe { vsession_error_fault_name(e) })),
    ("vsession_error_fault_xml", |r| r.of_error(|e| unsafe { vsession_error_fault_xml(e) })),
    ("vsession_error_http_status", |r| r.of_error(|e| number(unsafe { vsession_error_http_status(e) }))),
    ("vsession_error_operation_id", |r| r.of_error(|e| unsafe { vsession_error_operation_id(e) })),
    ("vsession_error_os_error", |r| r.of_error(|e| number(unsafe { vsession_error_os_error(e) }))),
    ("vsession_error_retriable", |r| r.of_error(|e| number(unsafe { vsession_error_retriable(e) }))),
    ("vsession_error_retry_after_ms", |r| {
        r.of_error(|e| number(unsafe { vsession_error_retry_after_ms(e) }))
    }),
    ("vsession_error_executed", |r| r.of_error(|e| number(unsafe { vsession_error_executed(e) }))),
    ("vsession_event_get_kind", |r| r.of_event(|e| number(unsafe { vsession_event_get_kind(e) }))),
    ("vsession_event_session", |r| r.of_event(|e| number(unsafe { vsession_event_session(e) }))),
    ("vsession_event_old_state", |r| r.of_event(|e| number(unsafe { vsession_event_old_state(e) }))),
    ("vsession_event_new_state", |r| r.of_event(|e| number(unsafe { vsession_event_new_state(e) }))),
    ("vsession_event_reason", |r| r.of_event(|e| number(unsafe { vsession_event_reason(e) }))),
    ("vsession_event_old_epoch", |r| r.of_event(|e| number(unsafe { vsession_event_old_epoch(e) }))),
    ("vsession_event_new_epoch", |r| r.of_event(|e| number(unsafe { vsession_event_new_epoch(e) }))),
    ("vsession_event_time_ms", |r| r.of_event(|e| number(unsafe { vsession_event_time_ms(e) }))),
    ("vsession_event_merged", |r| r.of_event(|e| number(unsafe { vsession_event_merged(e) }))),
    ("vsession_event_error", |r| r.of_event(|e| unsafe { vsession_error_message(vsession_event_error(e)) })),
    ("vsession_event_tag", |r| r.of_event(|e| number(unsafe { vsession_event_tag(e) }))),
    ("vsession_event_reply", |r| {
        r.of_event(|e| unsafe { vsession_reply_xml(vsession_event_reply(e), null_mut()) })
    }),
    ("vsession_event_kind_name", |r| {
        shows_no_secret(vsession_event_kind_name(r.number()));
        r.reached();
    }),
    ("vsession_info_epoch", |r| r.of_info(|i| number(unsafe { vsession_info_epoch(i) }))),
    ("vsession_info_key", |r| r.of_info(|i| unsafe { vsession_info_key(i) })),
    ("vsession_info_user_name", |r| r.of_info(|i| unsafe { vsession_info_user_name(i) })),
    ("vsession_info_full_name", |r| r.of_info(|i| unsafe { vsession_info_full_name(i) })),
    ("vsession_info_login_time_ms", |r| r.of_info(|i| number(unsafe { vsession_info_login_time_ms(i) }))),
    ("vsession_info_last_active_ms", |r| r.of_info(|i| number(unsafe { vsession_info_last_active_ms(i) }))),
    ("vsession_info_call_count", |r| r.of_info(|i| number(unsafe { vsession_info_call_count(i) }))),
    ("vsession_info_locale", |r| r.of_info(|i| unsafe { vsession_info_locale(i) })),
    ("vsession_info_message_locale", |r| r.of_info(|i| unsafe { vsession_info_message_locale(i) })),
    ("vsession_info_ip_address", |r| r.of_info(|i| unsafe { vsession_info_ip_address(i) })),
    ("vsession_info_user_agent", |r| r.of_info(|i| unsafe { vsession_info_user_agent(i) })),
    ("vsession_info_is_extension", |r| r.of_info(|i| number(unsafe { vsession_info_is_extension(i) }))),
    ("vsession_info_about", |r| {
        let field = r.string("name");
        r.of_info(|i| unsafe { vsession_info_about(i, field.0) })
    }),
    ("vsession_info_service_id", |r| {
        let name = r.string("sessionManager");
        r.of_info(|i| unsafe { vsession_info_service_id(i, name.0) })
    }),
    ("vsession_info_service_type", |r| {
        let name = r.string("rootFolder");
        r.of_info(|i| unsafe { vsession_info_service_type(i, name.0) })
    }),
    ("vsession_reply_xml", |r| r.of_reply(|reply, length| unsafe { vsession_reply_xml(reply, length) })),
    ("vsession_reply_response", |r| {
        r.of_reply(|reply, length| unsafe { vsession_reply_response(reply, length) })
    }),
    ("vsession_reply_text", |r| r.of_reply(|reply, _| unsafe { vsession_reply_text(reply) })),
    ("vsession_reply_epoch", |r| r.of_reply(|reply, _| number(unsafe { vsession_reply_epoch(reply) }))),
    ("vsession_reply_operation_id", |r| r.of_reply(|reply, _| unsafe { vsession_reply_operation_id(reply) })),
    ("vsession_version", |r| r.reads(|_| shows_no_secret(vsession_version()))),
    ("vsession_version_number", |r| r.reads(|_| vsession_version_number())),
    ("vsession_status_name", |r| r.reads(|r| shows_no_secret(vsession_status_name(r.number())))),
    ("vsession_state_name", |r| r.reads(|r| shows_no_secret(vsession_state_name(r.number())))),
    ("vsession_reason_name", |r| r.reads(|r| shows_no_secret(vsession_reason_name(r.number())))),
    ("vsession_set_log", |r| r.reads(|r| unsafe { vsession_set_log(r.number(), r.log_sink(), null_mut()) })),
    ("vsession_after_fork_child", |r| r.calls(|e| unsafe { vsession_after_fork_child(e) })),
    ("vsession_string_free", |r| r.frees(|own| &mut own.strings, |s| unsafe { vsession_string_free(s) })),
    ("vsession_info_free", |r| r.frees(|own| &mut own.infos, |i| unsafe { vsession_info_free(i) })),
    ("vsession_reply_free", |r| r.frees(|own| &mut own.replies, |p| unsafe { vsession_reply_free(p) })),
    ("vsession_event_free", |r| r.frees(|own| &mut own.events, |e| unsafe { vsession_event_free(e) })),
    ("vsession_error_free", |r| r.frees(|own| &mut own.errors, |e| unsafe { vsession_error_free(e) })),
    ("vsession_certificates_free", |r| {
        r.frees(|own| &mut own.certificates, |c| unsafe { vsession_certificates_free(c) })
    }),
    ("vsession_close", |r| {
        let (session, options) = (r.session(), r.options());
        r.lenient = true;
        r.call(|e| unsafe { vsession_close(session, options.get(), e) });
        r.bury(SESSION, session.id);
    }),
    ("vsession_config_free", |r| {
        let config = r.config();
        r.lenient = config.id == 0;
        r.call_without_error(|| vsession_config_free(config));
        r.bury(CONFIG, config.id);
    }),
    ("vsession_cancel_free", |r| {
        let token = r.cancel();
        r.lenient = token.id == 0;
        r.call_without_error(|| vsession_cancel_free(token));
        r.bury(CANCEL, token.id);
    }),
    ("vsession_queue_free", |r| {
        let queue = r.queue();
        r.lenient = queue.id == 0;
        r.call_without_error(|| vsession_queue_free(queue));
        r.bury(QUEUE, queue.id);
    }),
    ("vsession_shutdown", |r| {
        let timeout = if r.touring { 5000 } else { u32::from(r.byte()) % 30 };
        r.call(|e| unsafe { vsession_shutdown(timeout, e) });
    }),
];

type Function = fn(&mut Run);

const SESSION: usize = 0;
const CONFIG: usize = 1;
const CANCEL: usize = 2;
const QUEUE: usize = 3;
const KINDS: usize = 4;

/// So many objects of a kind at a time; the oldest goes for a new one.
const MOST: usize = 4;
/// So many calls of an input.
const MOST_CALLS: usize = 128;
/// Stands between two calls.
const SEPARATOR: u8 = 0xfa;

/// What only errors and logs that are defective would show.
const PASSWORD: &str = "s3cr3t-Pa55";
const COOKIE: &str = "52c4nn3d";

/// The servers, and strings that a program would pass. They live as long as the process. The URLs hold a password, so they
/// stand nowhere but where a URL is wanted.
struct World {
    servers: [Canned; 2],
    urls: [CString; 2],
    strings: Vec<CString>,
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        // Before there are threads. Nobody listens there, so a session of this is refused at once.
        unsafe { std::env::set_var("GOVC_URL", format!("http://user:{PASSWORD}@127.0.0.1:1/sdk")) };
        let servers = [Canned::http(), Canned::https()];
        let url = |scheme: &str, server: &Canned| {
            CString::new(format!("{scheme}://user:{PASSWORD}@{}/sdk", server.address())).unwrap()
        };
        let urls = [url("http", &servers[0]), url("https", &servers[1])];
        let strings = STRINGS.iter().map(|s| CString::new(*s).unwrap()).collect();
        World { servers, urls, strings }
    })
}

const STRINGS: &[&[u8]] = &[
    b"",
    b"tls.verify",
    b"tls.ca_file",
    b"tls.thumbprint",
    b"timeout_ms",
    b"connect_timeout_ms",
    b"max_connections",
    b"idle_timeout_ms",
    b"max_reply_bytes",
    b"user_agent",
    b"api_version",
    b"relogin",
    b"relogin.backoff_ms",
    b"relogin.max_backoff_ms",
    b"keepalive.interval_ms",
    b"keepalive.probe",
    b"close.logout",
    b"username",
    b"password",
    b"password_file",
    b"certificate",
    b"private_key",
    b"proxy",
    b"no_proxy",
    b"locale",
    b"url",
    b"tls.known_hosts",
    b"true",
    b"false",
    b"0",
    b"1",
    b"20",
    b"1024",
    b"never",
    b"auto",
    b"none",
    b"current_session",
    b"8.0.2.0",
    b"*",
    b"/nowhere",
    b"http://127.0.0.1:1",
    b"socks5://127.0.0.1:1",
    b"Login",
    b"Logout",
    b"CurrentTime",
    b"SessionManager",
    b"ServiceInstance",
    b"VirtualMachine",
    b"vm-1",
    b"<a>1</a>",
    b"</x><x>",
    b"\xff\xfe",
    b"a\xc3",
    b"not a name",
    b"line\r\nend",
];

/// Options whose value decides where something goes or what is read; only the strings above may stand there, or the fuzzer
/// would reach other machines.
const PLACES: &[&[u8]] =
    &[b"url", b"proxy", b"tls.ca_file", b"tls.known_hosts", b"certificate", b"private_key", b"password_file"];

/// The handles of one input, which all of its threads use.
#[derive(Default)]
struct Handles {
    live: [Mutex<Vec<u64>>; KINDS],
    dead: Mutex<Vec<u64>>,
    /// Configurations that may name another machine. No session is opened from them.
    foreign: Mutex<HashSet<u64>>,
}

/// The objects of one thread.
#[derive(Default)]
struct Objects {
    errors: Vec<*mut vsession_error>,
    infos: Vec<*mut vsession_info>,
    replies: Vec<*mut vsession_reply>,
    events: Vec<*mut vsession_event>,
    certificates: Vec<*mut vsession_certificates>,
    strings: Vec<*mut c_char>,
}

pub struct Run<'a> {
    input: &'a [u8],
    handles: &'a Handles,
    own: Objects,
    /// Strings and arguments of the call that is being made; freed after it.
    kept: Vec<CString>,
    /// The function that is being called.
    name: &'static str,
    /// A handle that is certainly none was passed, and no other thread could have changed that.
    refused: bool,
    /// Such a handle is all right here.
    lenient: bool,
    alone: bool,
    /// Each function is to succeed; see `tour`.
    touring: bool,
}

/// Functions that did what they are for.
static REACHED: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());
/// The input at hand holds a secret of its own accord.
static TAINTED: Mutex<bool> = Mutex::new(false);

/// A structure with its size first, in so many bytes as it says, so that whoever reads more is seen.
struct Sized {
    memory: Option<(*mut u8, Layout)>,
}

impl Sized {
    const NULL: Sized = Sized { memory: None };

    fn new<T: Copy>(value: &T, size: usize, beyond: u8) -> Sized {
        let layout = Layout::from_size_align(size.max(size_of::<usize>()), align_of::<usize>()).unwrap();
        // SAFETY: the layout is not empty; what is written lies in it.
        unsafe {
            let memory = alloc(layout);
            memory.write_bytes(beyond, layout.size());
            std::ptr::copy_nonoverlapping(
                (&raw const *value).cast(),
                memory,
                layout.size().min(size_of::<T>()),
            );
            memory.cast::<usize>().write(size);
            Sized { memory: Some((memory, layout)) }
        }
    }

    fn get<T>(&self) -> *const T {
        self.memory.map_or(null(), |(memory, _)| memory.cast_const().cast())
    }
}

impl Drop for Sized {
    fn drop(&mut self) {
        if let Some((memory, layout)) = self.memory {
            // SAFETY: it was allocated so.
            unsafe { dealloc(memory, layout) };
        }
    }
}

/// Uses a number that was returned, so that reading it is not optimised away; no text.
fn number<T>(value: T) -> *const c_char {
    std::hint::black_box(value);
    null()
}

/// What a callback does, told by the bytes of the input.
struct Script {
    what: u8,
    returns: i32,
    user: CString,
    password: CString,
}

unsafe extern "C" fn free_script(data: *mut c_void) {
    drop(unsafe { Box::from_raw(data.cast::<Script>()) });
}

/// The function that frees a script, where there is one.
fn free_of(data: *mut c_void) -> Option<unsafe extern "C" fn(*mut c_void)> {
    if data.is_null() { None } else { Some(free_script) }
}

/// What a function did not take is still ours.
fn take_back(data: *mut c_void, taken: bool) {
    if !taken && !data.is_null() {
        unsafe { free_script(data) };
    }
}

/// What a callback may do with its session: anything.
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

unsafe extern "C" fn keepalive(session: vsession, data: *mut c_void) -> i32 {
    let Some(script) = (unsafe { data.cast::<Script>().as_ref() }) else { return 0 };
    unsafe { play_with(session, script.what) };
    script.returns
}

unsafe extern "C" fn credentials(
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
    // A reason that is not wanted in the end does no harm.
    reached("vsession_credentials_fail", unsafe { vsession_credentials_fail(out, user) });
    if script.what & 8 == 0 {
        reached("vsession_credentials_set", unsafe { vsession_credentials_set(out, user, password) });
    }
    script.returns
}

unsafe extern "C" fn log_sink(level: i32, message: *const c_char, _: *mut c_void) {
    assert!((1..=4).contains(&level), "log level {level}");
    shows_no_secret(message);
}

/// A text that the library hands out is UTF-8, and shows no secret.
fn shows_no_secret(text: *const c_char) {
    if text.is_null() {
        return;
    }
    let text = unsafe { CStr::from_ptr(text) }.to_str().expect("texts are UTF-8");
    if !*TAINTED.lock().unwrap() {
        assert!(!text.contains(PASSWORD) && !text.contains(COOKIE), "a secret is shown: {text}");
    }
}

fn zero_options() -> vsession_call_options {
    vsession_call_options {
        struct_size: 0,
        timeout_ms: 0,
        idempotent: 0,
        cancel: vsession_cancel { id: 0 },
        operation_id: null(),
        require_epoch: 0,
        no_relogin: 0,
        reserved: 0,
    }
}

fn current_time() -> vsession_soap_call {
    vsession_soap_call {
        struct_size: size_of::<vsession_soap_call>(),
        method: c"CurrentTime".as_ptr(),
        this_type: c"ServiceInstance".as_ptr(),
        this_id: null(),
        arguments: null(),
        arguments_length: 0,
    }
}

impl Run<'_> {
    // What the bytes of the input mean. After the last byte come zeros.

    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.input.split_first() else { return 0 };
        self.input = rest;
        *first
    }

    fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// A number that may or may not be in an enum.
    fn number(&mut self) -> i32 {
        match self.byte() {
            b @ 0..=199 => i32::from(b % 100),
            200..=219 => i32::MIN,
            220..=239 => i32::MAX,
            b => -i32::from(b),
        }
    }

    /// A string and whether it comes from the input: `usual` for zero, NULL, one of the world's, or bytes of the input.
    fn string(&mut self, usual: &str) -> (*const c_char, bool) {
        let byte = usize::from(self.byte());
        let (string, is_raw) = match byte {
            0 => (CString::new(usual).unwrap(), false),
            0xff => return (null(), false),
            0xc0.. => {
                let length = (byte - 0xc0).min(self.input.len());
                let (raw, rest) = self.input.split_at(length);
                self.input = rest;
                let end = raw.iter().position(|b| *b == 0).unwrap_or(length);
                (CString::new(&raw[..end]).unwrap(), true)
            }
            _ => (world().strings[(byte - 1) % world().strings.len()].clone(), false),
        };
        self.trace(format_args!("    {string:?}"));
        self.kept.push(string);
        (self.kept.last().unwrap().as_ptr(), is_raw)
    }

    /// A handle where one of `kind` is wanted.
    fn handle(&mut self, kind: usize) -> u64 {
        let byte = self.byte();
        let pick = |from: &Mutex<Vec<u64>>, byte: u8| {
            let from = from.lock().unwrap();
            if from.is_empty() { 0 } else { from[usize::from(byte) % from.len()] }
        };
        let id = match byte {
            0..=0xbf => pick(&self.handles.live[kind], byte),
            0xc0..=0xcf => {
                self.refused = true;
                pick(&self.handles.dead, byte)
            }
            0xd0..=0xdf => {
                self.refused = true;
                pick(&self.handles.live[(kind + 1 + usize::from(byte % 3)) % KINDS], byte)
            }
            0xe0..=0xef => 0,
            0xf0.. => pick(&self.handles.live[kind], byte) ^ 1 << (self.byte() % 64),
        };
        self.refused |= id == 0;
        self.trace(format_args!("    handle {id:#x} for kind {kind}"));
        id
    }

    fn session(&mut self) -> vsession {
        vsession { id: self.handle(SESSION) }
    }

    fn config(&mut self) -> vsession_config {
        vsession_config { id: self.handle(CONFIG) }
    }

    fn cancel(&mut self) -> vsession_cancel {
        vsession_cancel { id: self.handle(CANCEL) }
    }

    fn queue(&mut self) -> vsession_queue {
        vsession_queue { id: self.handle(QUEUE) }
    }

    /// A size for a structure of `right` bytes, and what fills the bytes that the library does not know.
    fn size(&mut self, right: usize) -> (usize, u8) {
        match self.byte() {
            0..=0x9f => (right, 0),
            b @ 0xa0..=0xdf => (usize::from(b - 0xa0) * 2, 0xff),
            b @ 0xe0..=0xef => (right + usize::from(b - 0xdf) * 3, 0),
            b @ 0xf0..=0xfe => (right + usize::from(b - 0xef) * 300, b & 1),
            0xff => (5000, 0),
        }
    }

    fn options(&mut self) -> Sized {
        let byte = self.byte();
        if byte & 3 == 0 {
            return Sized::NULL;
        }
        let mut options = zero_options();
        options.timeout_ms = match self.byte() {
            0xff => VSESSION_NO_TIMEOUT,
            0xfe => 0,
            b => 1 + u32::from(b) % 64,
        };
        options.idempotent = i32::from(byte & 4);
        options.no_relogin = i32::from(byte & 8);
        let refused = self.refused;
        if byte & 16 != 0 {
            options.cancel = self.cancel();
        }
        self.refused = refused | (self.refused && options.cancel.id != 0);
        if byte & 32 != 0 {
            options.operation_id = self.string("operation").0;
        }
        if byte & 64 != 0 {
            options.require_epoch = u64::from(self.byte() % 4);
        }
        options.reserved = i32::from(byte == 0xff);
        let (size, beyond) = self.size(size_of::<vsession_call_options>());
        // What a shorter structure lacks cannot be refused.
        self.refused = refused | (self.refused && size >= size_of::<vsession_call_options>());
        Sized::new(&options, size, beyond)
    }

    fn soap_call(&mut self) -> Sized {
        let byte = self.byte();
        if byte == 0xff {
            return Sized::NULL;
        }
        let mut call = current_time();
        if byte & 1 != 0 {
            call.method = self.string("CurrentTime").0;
        }
        if byte & 2 != 0 {
            call.this_type = self.string("ServiceInstance").0;
        }
        if byte & 4 != 0 {
            call.this_id = self.string("ServiceInstance").0;
        }
        if byte & 8 != 0 {
            call.arguments = self.string("<a/>").0;
            if byte & 16 != 0 && !call.arguments.is_null() {
                // As long as it is, so the NUL behind it is not looked at.
                call.arguments_length = unsafe { CStr::from_ptr(call.arguments) }.count_bytes();
            }
        } else if byte & 16 != 0 {
            call.arguments_length = 7;
        }
        let (size, beyond) = self.size(size_of::<vsession_soap_call>());
        Sized::new(&call, size, beyond)
    }

    /// A place for a result, or NULL.
    fn place<T>(&mut self, place: &mut T) -> *mut T {
        if self.byte() == 0xff { null_mut() } else { place }
    }

    /// What a callback is to do; NULL for nothing.
    fn script(&mut self) -> *mut c_void {
        let what = self.byte();
        if what == 0xff {
            return null_mut();
        }
        let returns = if what & 16 == 0 { 0 } else { self.number() };
        let strings = self.kept.len();
        let (user, password) = (self.string("user").0, self.string("pass").0);
        let own = |p: *const c_char| {
            if p.is_null() { CString::default() } else { unsafe { CStr::from_ptr(p) }.to_owned() }
        };
        let script = Script { what, returns, user: own(user), password: own(password) };
        self.kept.truncate(strings);
        Box::into_raw(Box::new(script)).cast()
    }

    fn log_sink(&mut self) -> vsession_log_fn {
        if self.flag() { None } else { Some(log_sink) }
    }

    // What is called, and what must hold afterwards.

    fn trace(&self, what: std::fmt::Arguments) {
        static TRACE: OnceLock<bool> = OnceLock::new();
        if *TRACE.get_or_init(|| std::env::var_os("VSESSION_FUZZ_TRACE").is_some()) {
            eprintln!("{what}");
        }
    }

    fn reached(&self) {
        if self.touring {
            REACHED.lock().unwrap().insert(self.name);
        }
    }

    /// Calls a function that returns a status, with a place for its error or without; checks that both fit.
    fn call(&mut self, function: impl FnOnce(*mut *mut vsession_error) -> status) -> bool {
        let without = self.byte() == 0xff;
        let mut error = std::ptr::dangling_mut::<vsession_error>();
        let start = Instant::now();
        let status = function(if without { null_mut() } else { &mut error });
        assert!(start.elapsed() < Duration::from_secs(15), "{}: it takes long", self.name);
        self.judge(status);
        if !without {
            assert_eq!(error.is_null(), status == status::VSESSION_OK, "{}: {status:?}", self.name);
            if !error.is_null() {
                assert_eq!(unsafe { vsession_error_status(error) }, status);
                let message = unsafe { vsession_error_message(error) };
                assert!(unsafe { *message } != 0, "{}: an error says something", self.name);
                self.trace(format_args!("    {:?}", unsafe { CStr::from_ptr(message) }));
                shows_no_secret(message);
                self.own.errors.push(error);
            }
        }
        status == status::VSESSION_OK
    }

    fn call_without_error(&mut self, function: impl FnOnce() -> status) {
        let status = function();
        self.judge(status);
    }

    fn judge(&mut self, status: status) {
        self.trace(format_args!("    -> {status:?}"));
        assert_ne!(status, status::VSESSION_E_INTERNAL, "{}", self.name);
        assert_ne!(status, status::VSESSION_E_FORKED, "{}", self.name);
        let refused = self.refused && self.alone && !self.lenient;
        assert!(!refused || status != status::VSESSION_OK, "{} takes a handle that is none", self.name);
        if status == status::VSESSION_OK {
            self.reached();
        }
    }

    /// Calls a function that gives out an object. It is there exactly after success.
    fn gives<T>(
        &mut self,
        function: impl FnOnce(*mut *mut T, *mut *mut vsession_error) -> status,
    ) -> Option<*mut T> {
        let mut out = null_mut();
        let place = self.place(&mut out);
        let succeeded = self.call(|err| function(place, err));
        assert_eq!(!out.is_null(), succeeded && !place.is_null(), "{}", self.name);
        (!out.is_null()).then_some(out)
    }

    /// The same for one that may succeed without an object.
    fn gives_or_not<T>(
        &mut self,
        function: impl FnOnce(*mut *mut T, *mut *mut vsession_error) -> status,
    ) -> Option<*mut T> {
        let mut out = null_mut();
        let place = self.place(&mut out);
        let succeeded = self.call(|err| function(place, err));
        assert!(out.is_null() || succeeded, "{}", self.name);
        (!out.is_null()).then_some(out)
    }

    /// Makes an object behind a handle.
    fn make(
        &mut self,
        kind: usize,
        function: impl FnOnce(*mut u64, *mut *mut vsession_error) -> status,
    ) -> Option<u64> {
        let mut id = 0;
        let place = self.place(&mut id);
        let succeeded = self.call(|err| function(place, err));
        assert_eq!(id != 0, succeeded && !place.is_null(), "{}", self.name);
        if id == 0 {
            return None;
        }
        let oldest = {
            let mut live = self.handles.live[kind].lock().unwrap();
            live.push(id);
            (live.len() > MOST).then(|| live.remove(0))
        };
        if let Some(oldest) = oldest {
            end(kind, oldest);
            self.handles.dead.lock().unwrap().push(oldest);
        }
        Some(id)
    }

    fn makes(&mut self, kind: usize, function: impl FnOnce(*mut u64, *mut *mut vsession_error) -> status) {
        let _ = self.make(kind, function);
    }

    fn calls(&mut self, function: impl FnOnce(*mut *mut vsession_error) -> status) {
        let _ = self.call(function);
    }

    /// A handle that was freed is one of the dead.
    fn bury(&mut self, kind: usize, id: u64) {
        let mut live = self.handles.live[kind].lock().unwrap();
        if let Some(at) = live.iter().position(|known| *known == id) {
            live.remove(at);
            self.handles.dead.lock().unwrap().push(id);
        }
    }

    fn reads<T>(&mut self, function: impl FnOnce(&mut Self) -> T) {
        std::hint::black_box(function(self));
        self.reached();
    }

    /// An object of the thread's, or NULL.
    fn object<T>(&mut self, of: impl FnOnce(&Objects) -> &Vec<*mut T>) -> *mut T {
        let byte = self.byte();
        let all = of(&self.own);
        if byte == 0xff || all.is_empty() { null_mut() } else { all[usize::from(byte) % all.len()] }
    }

    fn reads_object<T>(&mut self, object: *mut T, read: impl FnOnce(*const T) -> *const c_char) {
        let text = read(object);
        shows_no_secret(text);
        if !object.is_null() {
            self.reached();
        }
    }

    fn of_error(&mut self, read: impl FnOnce(*const vsession_error) -> *const c_char) {
        let object = self.object(|own| &own.errors);
        self.reads_object(object, read);
    }

    fn of_event(&mut self, read: impl FnOnce(*const vsession_event) -> *const c_char) {
        let object = self.object(|own| &own.events);
        self.reads_object(object, read);
    }

    fn of_info(&mut self, read: impl FnOnce(*const vsession_info) -> *const c_char) {
        let object = self.object(|own| &own.infos);
        self.reads_object(object, read);
    }

    fn of_certificates(&mut self, read: impl FnOnce(*const vsession_certificates, usize) -> *const c_char) {
        let object = self.object(|own| &own.certificates);
        let index = match self.byte() {
            0xff => usize::MAX,
            b => usize::from(b),
        };
        self.reads_object(object, |certificates| read(certificates, index));
    }

    /// What a server said is no secret of ours, so the text is only read, to the length that is told.
    fn of_reply(&mut self, read: impl FnOnce(*const vsession_reply, *mut usize) -> *const c_char) {
        let object = self.object(|own| &own.replies);
        let mut length = usize::MAX;
        let place = self.place(&mut length);
        let text = read(object, place);
        if !text.is_null() {
            // Only two of the functions tell a length; the others end with a NUL.
            let bytes = match length {
                usize::MAX if place.is_null() => &[],
                usize::MAX => unsafe { CStr::from_ptr(text) }.to_bytes(),
                length => unsafe { std::slice::from_raw_parts(text.cast::<u8>(), length) },
            };
            assert!(std::str::from_utf8(bytes).is_ok(), "{}", self.name);
        }
        if !object.is_null() {
            self.reached();
        }
    }

    fn frees<T>(&mut self, of: impl FnOnce(&mut Objects) -> &mut Vec<*mut T>, free: impl FnOnce(*mut T)) {
        let byte = self.byte();
        let all = of(&mut self.own);
        let object = if byte == 0xff || all.is_empty() {
            null_mut()
        } else {
            all.remove(usize::from(byte) % all.len())
        };
        free(object);
        if !object.is_null() {
            self.reached();
        }
    }

    // Functions that need more than a line.

    fn config_new(&mut self) {
        let which = self.byte();
        let (url, is_foreign) = match which {
            0..=0x7f => (world().urls[usize::from(which & 1)].as_ptr(), false),
            _ => self.string(""),
        };
        let made = self.make(CONFIG, |out, err| unsafe { vsession_config_new(url, out.cast(), err) });
        let Some(id) = made else { return };
        if is_foreign {
            self.handles.foreign.lock().unwrap().insert(id);
        }
        // Without these, one call could take as long as many inputs.
        for (name, value) in [
            (c"timeout_ms", c"200"),
            (c"connect_timeout_ms", c"100"),
            (c"relogin.backoff_ms", c"1"),
            (c"tls.verify", c"false"),
            (c"max_reply_bytes", c"100000"),
            (c"api_version", c"8.0.2.0"),
        ] {
            let config = vsession_config { id };
            let status = unsafe { vsession_config_set(config, name.as_ptr(), value.as_ptr(), null_mut()) };
            assert!(status == status::VSESSION_OK || !self.alone, "{name:?}");
        }
    }

    fn config_set(&mut self) {
        let config = self.config();
        let ((name, _), (value, is_raw)) = (self.string("locale"), self.string("en_US"));
        if is_raw && !name.is_null() && PLACES.contains(&unsafe { CStr::from_ptr(name) }.to_bytes()) {
            self.handles.foreign.lock().unwrap().insert(config.id);
        }
        self.call(|err| unsafe { vsession_config_set(config, name, value, err) });
    }

    fn open(&mut self) {
        let config = self.config();
        if !self.handles.foreign.lock().unwrap().contains(&config.id) {
            self.make(SESSION, |out, err| unsafe { vsession_open(config, out.cast(), err) });
        }
    }

    fn probe_certificate(&mut self) {
        let which = self.byte();
        let url = match which {
            0..=0x7f => world().urls[1].as_ptr(),
            0x80..=0xbf => world().urls[0].as_ptr(),
            0xc0..=0xdf => c"ftp://\xff".as_ptr(),
            _ => null(),
        };
        let config = if which & 1 == 0 { vsession_config { id: 0 } } else { self.config() };
        self.lenient = config.id == 0;
        let options = self.options();
        if self.handles.foreign.lock().unwrap().contains(&config.id) {
            return;
        }
        let made = self
            .gives(|out, err| unsafe { vsession_probe_certificate(url, config, options.get(), out, err) });
        self.own.certificates.extend(made);
    }

    /// How the servers answer from now on.
    fn server(&mut self) {
        let byte = self.byte();
        let raw = if matches!(byte & 15, 3 | 4) {
            let length = usize::from(self.byte()).min(self.input.len());
            let (raw, rest) = self.input.split_at(length);
            self.input = rest;
            raw.to_vec()
        } else {
            Vec::new()
        };
        self.trace(format_args!("    {byte:#x} {}", raw.escape_ascii()));
        let play = std::sync::Arc::new(move |peer: &mut Peer, request: &canned::Request| {
            answer(byte & 15, &raw, peer, request)
        });
        for server in &world().servers {
            let play = play.clone();
            let play = move |peer: &mut Peer, request: &canned::Request| play(peer, request);
            server.well();
            if byte & 0x40 == 0 { server.on_call(play) } else { server.on_everything(play) }
        }
    }
}

/// One way to answer a request.
fn answer(how: u8, raw: &[u8], peer: &mut Peer, request: &canned::Request) {
    let good = match request.method.as_str() {
        "SessionIsActive" => canned::envelope(
            "<SessionIsActiveResponse xmlns=\"urn:vim25\"><returnval>true</returnval></SessionIsActiveResponse>",
        ),
        "RetrievePropertiesEx" => canned::envelope(
            "<RetrievePropertiesExResponse xmlns=\"urn:vim25\"><returnval><objects><propSet><name>currentSession</name><val><key>k</key><userName>user</userName></val></propSet></objects></returnval></RetrievePropertiesExResponse>",
        ),
        _ => canned::good_body(),
    };
    let fault = |name: &str| {
        canned::envelope(&format!(
            "<soapenv:Fault xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><faultstring>no</faultstring><detail><f xsi:type=\"{name}\"><privilegeId>p</privilegeId></f></detail></soapenv:Fault>"
        ))
    };
    let error = |body: &str| {
        format!(
            "HTTP/1.1 500 Error\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    };
    let half = |whole: &[u8]| whole[..whole.len() / 2].to_vec();
    match how {
        1 => drop(peer.say(&error(&fault("NotAuthenticated")))),
        2 => drop(peer.say(&error(&fault("NoPermission")))),
        3 => drop(peer.say(&canned::with_length("", raw))),
        4 => {
            peer.say(raw);
            peer.cut();
        }
        5 => {
            std::thread::sleep(Duration::from_millis(20));
            peer.cut();
        }
        6 => peer.reset(),
        7 => {
            peer.say(&half(&canned::with_length("", good.as_bytes())));
            peer.cut();
        }
        8 => drop(peer.say(b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy")),
        // A server that repeats what it was told, secrets included.
        9 => drop(peer.say(&error(&format!("{}{}", request.head, request.body)))),
        10 => drop(peer.say(&error(&fault("InvalidLogin")))),
        11 => {
            let whole = canned::with_length("", good.as_bytes());
            let (first, rest) = whole.split_at(whole.len() / 2);
            peer.say(first);
            std::thread::sleep(Duration::from_millis(3));
            peer.say(rest);
        }
        12 => drop(peer.say(&canned::with_length("", &vec![b' '; 150_000]))),
        _ => drop(peer.say(&canned::with_length("", good.as_bytes()))),
    }
}

/// Frees what is behind a handle.
fn end(kind: usize, id: u64) {
    let limits = vsession_call_options {
        struct_size: size_of::<vsession_call_options>(),
        timeout_ms: 100,
        ..zero_options()
    };
    match kind {
        SESSION => drop(unsafe { vsession_close(vsession { id }, &limits, null_mut()) }),
        CONFIG => drop(vsession_config_free(vsession_config { id })),
        CANCEL => drop(vsession_cancel_free(vsession_cancel { id })),
        _ => drop(vsession_queue_free(vsession_queue { id })),
    }
}

fn servers_are_well() {
    for server in &world().servers {
        server.well();
        server.on_call(|peer, request| answer(0, &[], peer, request));
    }
}

impl<'a> Run<'a> {
    fn new(handles: &'a Handles, alone: bool) -> Run<'a> {
        Run {
            input: &[],
            handles,
            own: Objects::default(),
            kept: Vec::new(),
            name: "",
            refused: false,
            lenient: false,
            alone,
            touring: false,
        }
    }

    fn step(&mut self, function: usize) {
        let (name, body) = FUNCTIONS[function % FUNCTIONS.len()];
        (self.name, self.refused, self.lenient) = (name, false, false);
        self.trace(format_args!("{name}"));
        body(self);
        self.kept.clear();
        let own = &mut self.own;
        unsafe {
            bound(&mut own.errors, |o| vsession_error_free(o));
            bound(&mut own.infos, |o| vsession_info_free(o));
            bound(&mut own.replies, |o| vsession_reply_free(o));
            bound(&mut own.events, |o| vsession_event_free(o));
            bound(&mut own.certificates, |o| vsession_certificates_free(o));
            bound(&mut own.strings, |o| vsession_string_free(o));
        }
    }

    fn all(&mut self, calls: &[&'a [u8]]) {
        for call in calls {
            let Some((function, arguments)) = call.split_first() else { continue };
            self.input = arguments;
            self.step(usize::from(*function));
        }
    }
}

/// Frees the oldest where there are too many.
fn bound<T>(objects: &mut Vec<*mut T>, free: impl Fn(*mut T)) {
    while objects.len() > MOST {
        free(objects.remove(0));
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        let own = std::mem::take(&mut self.own);
        unsafe {
            own.errors.into_iter().for_each(|o| vsession_error_free(o));
            own.infos.into_iter().for_each(|o| vsession_info_free(o));
            own.replies.into_iter().for_each(|o| vsession_reply_free(o));
            own.events.into_iter().for_each(|o| vsession_event_free(o));
            own.certificates.into_iter().for_each(|o| vsession_certificates_free(o));
            own.strings.into_iter().for_each(|o| vsession_string_free(o));
        }
    }
}

/// Ends what an input left, and looks whether it is all gone.
fn clean_up(handles: Handles) {
    servers_are_well();
    for (kind, live) in handles.live.into_iter().enumerate() {
        for id in live.into_inner().unwrap() {
            end(kind, id);
            if kind == SESSION {
                let state = vsession_get_state(vsession { id });
                assert_eq!(state, ::vsession::vsession_state::VSESSION_STATE_CLOSED);
            }
        }
    }
    unsafe { vsession_set_log(0, None, null_mut()) };
    nothing_piles_up();
}

/// Descriptors and threads do not become more and more. What rests (connections, workers) goes in its time: seldom are there
/// more than twenty of each. In the process of other tests the numbers are theirs.
fn nothing_piles_up() {
    static INPUTS: Mutex<u32> = Mutex::new(0);
    let mut inputs = INPUTS.lock().unwrap();
    *inputs += 1;
    if cfg!(fuzzing) && inputs.is_multiple_of(64) {
        let number = |folder| std::fs::read_dir(folder).unwrap().count();
        let (descriptors, threads) = (number("/proc/self/fd"), number("/proc/self/task"));
        assert!(descriptors < 300, "{descriptors} descriptors are left");
        assert!(threads < 200, "{threads} threads are left");
    }
}

pub fn target(bytes: &[u8]) {
    let Some((&first, rest)) = bytes.split_first() else { return };
    servers_are_well();
    let holds = |what: &str| rest.windows(what.len()).any(|w| w.eq_ignore_ascii_case(what.as_bytes()));
    *TAINTED.lock().unwrap() = holds(&PASSWORD[..4]) || holds(&COOKIE[..4]);
    unsafe { vsession_set_log(4, Some(log_sink), null_mut()) };
    let handles = Handles::default();
    let calls: Vec<&[u8]> = rest.split(|byte| *byte == SEPARATOR).take(MOST_CALLS).collect();
    let threads = if first < 0xe0 { 1 } else { 2 + usize::from(first & 1) };
    if threads == 1 {
        Run::new(&handles, true).all(&calls);
    } else {
        std::thread::scope(|scope| {
            for part in calls.chunks(calls.len().div_ceil(threads)) {
                let handles = &handles;
                scope.spawn(move || Run::new(handles, false).all(part));
            }
        });
    }
    clean_up(handles);
}

/// Calls every function three times, in the order of the table, as a program would. Returns those that never did what they
/// are for.
pub fn tour() -> Vec<&'static str> {
    servers_are_well();
    REACHED.lock().unwrap().clear();
    let handles = Handles::default();
    let mut run = Run::new(&handles, true);
    run.touring = true;
    for _ in 0..3 {
        for function in 0..FUNCTIONS.len() {
            run.step(function);
        }
    }
    drop(run);
    clean_up(handles);
    let reached = REACHED.lock().unwrap();
    FUNCTIONS[1..].iter().map(|(name, _)| *name).filter(|name| !reached.contains(name)).collect()
}
