//! The C API itself: the input becomes a sequence of calls of the exported functions, on up to three threads. Handles are
//! alive, closed, of another kind, null or made up; strings, sizes and numbers are good or bad. A server in the process
//! answers well, badly or not at all. At the end everything is freed.
//!
//! The first byte sets the number of threads. Then come the calls, separated by 0xfa. Each holds the number of the function
//! and the bytes for its arguments, followed by zeros.
//!
//! The target does nothing that the contract forbids (freeing an object twice, passing a dangling pointer). Everything else
//! must neither crash, hang nor leak, and each status must fit the arguments. `VSESSION_FUZZ_TRACE=1` prints the calls.

mod arguments;
mod callbacks;
mod checks;
mod servers;

use std::collections::HashSet;
use std::ffi::{CStr, CString, c_char};
use std::ptr::{null, null_mut};
use std::sync::Mutex;

use ::vsession::ffi::call::*;
use ::vsession::ffi::cancel::*;
use ::vsession::ffi::certificates::*;
use ::vsession::ffi::config::*;
use ::vsession::ffi::credentials::*;
use ::vsession::ffi::error::*;
use ::vsession::ffi::event::*;
use ::vsession::ffi::http::*;
use ::vsession::ffi::info::*;
use ::vsession::ffi::library::*;
use ::vsession::ffi::node::*;
use ::vsession::ffi::properties::*;
use ::vsession::ffi::queue::*;
use ::vsession::ffi::reply::*;
use ::vsession::ffi::session::*;
use ::vsession::ffi::task::*;
use ::vsession::vsession_status as status;

use self::arguments::zero_options;
use self::callbacks::{credentials, free_of, keepalive, log_sink, take_back};
use self::checks::{REACHED, TAINTED, number, read_bytes, secret, shows_no_secret, shows_no_secret_bytes};
use self::servers::{servers_are_well, world};

/// Every exported function, one line each; a byte of the input is an index into this table. A new function goes to the end,
/// because otherwise the corpora would change their meaning. With an input of zeros each function succeeds (see `tour`).
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
    ("vsession_event_service", |r| r.of_event(|e| number(unsafe { vsession_event_service(e) }))),
    ("vsession_get_rest_state", |r| {
        let state = vsession_get_rest_state(r.session());
        shows_no_secret(vsession_state_name(state as i32));
        r.reached();
    }),
    ("vsession_get_rest_epoch", |r| r.reads(|r| vsession_get_rest_epoch(r.session()))),
    ("vsession_info_cookie", |r| r.of_info(|i| secret(unsafe { vsession_info_cookie(i) }))),
    ("vsession_info_cookie_value", |r| r.of_info(|i| secret(unsafe { vsession_info_cookie_value(i) }))),
    ("vsession_http", |r| {
        let (session, request, options) = (r.session(), r.http_request(), r.options());
        let made = r.gives(|o, e| unsafe { vsession_http(session, request.get(), options.get(), o, e) });
        r.own.replies.extend(made);
    }),
    ("vsession_http_async", |r| {
        let (session, request, options, queue) = (r.session(), r.http_request(), r.options(), r.queue());
        let tag = u64::from(r.byte());
        r.call(|e| unsafe { vsession_http_async(session, request.get(), options.get(), queue, tag, e) });
    }),
    ("vsession_reply_http_status", |r| {
        r.of_reply(|reply, _| number(unsafe { vsession_reply_http_status(reply) }))
    }),
    ("vsession_reply_header", |r| {
        let name = r.string("Content-Length");
        r.of_reply(|reply, _| read_bytes(unsafe { vsession_reply_header(reply, name.0) }));
    }),
    ("vsession_reply_header_at", |r| {
        let at = usize::from(r.byte());
        r.of_reply(|reply, _| {
            let mut name = null();
            let value = unsafe { vsession_reply_header_at(reply, at, &mut name) };
            assert_eq!(name.is_null(), value.is_null());
            read_bytes(name);
            read_bytes(value)
        });
    }),
    ("vsession_reply_body", |r| {
        r.of_reply(|reply, length| {
            let body = unsafe { vsession_reply_body(reply, length) };
            if !body.is_null() && !length.is_null() {
                // SAFETY: the library says how long it is, and a NUL follows it.
                let bytes = unsafe { std::slice::from_raw_parts(body.cast::<u8>(), *length + 1) };
                assert_eq!(bytes.last(), Some(&0));
            }
            null()
        });
    }),
    ("vsession_error_service_error", |r| r.of_error(|e| unsafe { vsession_error_service_error(e) })),
    ("vsession_error_body", |r| {
        r.of_error(|e| {
            let mut length = 0;
            let body = unsafe { vsession_error_body(e, &mut length) };
            assert!(!body.is_null() || length == 0);
            if !body.is_null() {
                // SAFETY: the library says how long it is, and a NUL follows it.
                let bytes = unsafe { std::slice::from_raw_parts(body.cast::<u8>(), length + 1) };
                assert_eq!(bytes.last(), Some(&0));
                shows_no_secret_bytes(&bytes[..length]);
            }
            null()
        });
    }),
    ("vsession_info_rest_id", |r| r.of_info(|i| secret(unsafe { vsession_info_rest_id(i) }))),
    ("vsession_info_rest_epoch", |r| r.of_info(|i| number(unsafe { vsession_info_rest_epoch(i) }))),
    ("vsession_error_fault_string", |r| r.of_error(|e| unsafe { vsession_error_fault_string(e) })),
    ("vsession_error_fault_code", |r| r.of_error(|e| unsafe { vsession_error_fault_code(e) })),
    ("vsession_error_fault_root", |r| r.of_error(|e| number(unsafe { vsession_error_fault_root(e) }))),
    ("vsession_reply_root", |r| r.of_reply(|reply, _| number(unsafe { vsession_reply_root(reply) }))),
    ("vsession_node_is_null", |r| {
        r.of_node(|n| {
            assert_eq!(vsession_node_is_null(n), unsafe { vsession_node_name(n) }.data.is_null());
            unsafe { vsession_node_xml(n) }
        });
    }),
    ("vsession_node_child", |r| {
        let path = r.string("returnval");
        r.of_node(|n| unsafe { vsession_node_xml(vsession_node_child(n, path.0)) });
    }),
    ("vsession_node_next", |r| r.of_node(|n| unsafe { vsession_node_xml(vsession_node_next(n)) })),
    ("vsession_node_first", |r| r.of_node(|n| unsafe { vsession_node_xml(vsession_node_first(n)) })),
    ("vsession_node_sibling", |r| r.of_node(|n| unsafe { vsession_node_xml(vsession_node_sibling(n)) })),
    ("vsession_node_property", |r| {
        let name = r.string("name");
        r.of_node(|n| unsafe { vsession_node_xml(vsession_node_property(n, name.0)) });
    }),
    ("vsession_node_name", |r| r.of_node(|n| unsafe { vsession_node_name(n) })),
    ("vsession_node_text", |r| {
        r.of_node(|n| unsafe {
            let (first, again) = (vsession_node_text(n), vsession_node_text(n));
            assert!(first.data == again.data && first.length == again.length);
            first
        });
    }),
    ("vsession_node_xml", |r| r.of_node(|n| unsafe { vsession_node_xml(n) })),
    ("vsession_node_attribute", |r| {
        let name = r.string("type");
        r.of_node(|n| unsafe { vsession_node_attribute(n, name.0) });
    }),
    ("vsession_node_type", |r| r.of_node(|n| unsafe { vsession_node_type(n) })),
    ("vsession_reply_repaired", |r| r.of_reply(|reply, _| number(unsafe { vsession_reply_repaired(reply) }))),
    ("vsession_info_api_version", |r| r.of_info(|i| unsafe { vsession_info_api_version(i) })),
    ("vsession_get_properties", |r| {
        let (session, options) = (r.session(), r.options());
        let (kind, id) = (r.string("ServiceInstance").0, r.string("ServiceInstance").0);
        let path = [r.string("serverClock").0];
        let (paths, count) = match r.byte() {
            0..=0xef => (path.as_ptr(), 1),
            0xf0..=0xf7 => (null(), 1),
            more => (path.as_ptr(), [0, usize::MAX][usize::from(more & 1)]),
        };
        let made = r.gives(|o, e| unsafe {
            vsession_get_properties(session, kind, id, paths, count, options.get(), o, e)
        });
        r.own.replies.extend(made);
    }),
    ("vsession_retrieve", |r| {
        let (session, retrieval, options) = (r.session(), r.retrieval(), r.options());
        r.call(|e| unsafe { vsession_retrieve(session, retrieval.get(), options.get(), e) });
    }),
    ("vsession_wait_for_task", |r| {
        let (session, id, wait) = (r.session(), r.string("task-1").0, r.task_wait());
        // Without a deadline it would wait for ever.
        let options = r.limits();
        let made =
            r.gives(|o, e| unsafe { vsession_wait_for_task(session, id, wait.get(), options.get(), o, e) });
        r.own.replies.extend(made);
    }),
];

type Function = fn(&mut Run);

const SESSION: usize = 0;
const CONFIG: usize = 1;
const CANCEL: usize = 2;
const QUEUE: usize = 3;
const KINDS: usize = 4;

/// The most objects of a kind at a time; a new one replaces the oldest.
const MOST: usize = 4;
/// The most calls of an input.
const MOST_CALLS: usize = 128;
/// Separates two calls.
const SEPARATOR: u8 = 0xfa;

/// Secrets that only defective errors and logs would show.
const PASSWORD: &str = "s3cr3t-Pa55";
const COOKIE: &str = "52c4nn3d";

/// Options whose value says where something goes or what is read. Only `arguments::STRINGS` may stand there, because other
/// values could lead the fuzzer to other machines.
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
    /// Strings and arguments of the current call; freed after it.
    kept: Vec<CString>,
    /// The header of the current request.
    header: Box<vsession_header>,
    /// The name of the current function.
    name: &'static str,
    /// The call has an invalid handle, and no other thread could have made it valid.
    refused: bool,
    /// This function accepts invalid handles.
    lenient: bool,
    alone: bool,
    /// Each function must succeed; see `tour`.
    touring: bool,
}

// Functions that need more than one line.
impl Run<'_> {
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
        // Without these limits, one call could take as long as many inputs.
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
}

/// Frees the object of a handle.
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

impl<'a> Run<'a> {
    fn new(handles: &'a Handles, alone: bool) -> Run<'a> {
        Run {
            input: &[],
            handles,
            own: Objects::default(),
            kept: Vec::new(),
            header: Box::new(vsession_header { name: null(), value: null() }),
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

/// Frees the oldest object if there are too many.
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

/// Ends what an input left behind, and checks that everything is gone.
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

/// Checks that descriptors and threads do not accumulate. Idle connections and workers end in time, so there are rarely more
/// than twenty of each. In a process with other tests the numbers include theirs.
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

/// Calls every function three times, as a program would: in the order of the table, but those that free objects and end handles at last. Returns
/// the functions that never succeeded.
pub fn tour() -> Vec<&'static str> {
    servers_are_well();
    REACHED.lock().unwrap().clear();
    let handles = Handles::default();
    let mut run = Run::new(&handles, true);
    run.touring = true;
    let at = |name| FUNCTIONS.iter().position(|(known, _)| *known == name).expect("it is in the table");
    let ends = at("vsession_info_free")..=at("vsession_shutdown");
    let others = (0..FUNCTIONS.len()).filter(|function| !ends.contains(function));
    let order: Vec<_> = others.chain(ends.clone()).collect();
    for function in order.repeat(3) {
        // What needs a session stands behind the logout, too.
        if function == at("vsession_get_properties") {
            run.step(at("vsession_login"));
        }
        run.step(function);
    }
    drop(run);
    clean_up(handles);
    let reached = REACHED.lock().unwrap();
    FUNCTIONS[1..].iter().map(|(name, _)| *name).filter(|name| !reached.contains(name)).collect()
}
