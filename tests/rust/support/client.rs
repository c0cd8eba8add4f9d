//! The C functions as a Rust program would wrap them. Every call goes through an exported symbol.

use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::null_mut;
use std::sync::{Arc, Mutex};

use super::nodes;
use ::vsession::ffi::call::*;
use ::vsession::ffi::cancel::*;
use ::vsession::ffi::certificates::*;
use ::vsession::ffi::config::*;
use ::vsession::ffi::credentials::*;
use ::vsession::ffi::error::*;
use ::vsession::ffi::event::*;
use ::vsession::ffi::http::*;
use ::vsession::ffi::info::*;
use ::vsession::ffi::properties::*;
use ::vsession::ffi::queue::*;
use ::vsession::ffi::reply::*;
use ::vsession::ffi::session::*;
use ::vsession::ffi::task::*;
pub use ::vsession::vsession_status as status;
use ::vsession::{vsession_event_kind, vsession_executed, vsession_reason, vsession_state};

pub type Result<T> = std::result::Result<T, ApiError>;

#[derive(Clone, Debug)]
pub struct ApiError {
    pub status: status,
    pub message: String,
    pub fault: Option<String>,
    pub fault_xml: Option<String>,
    pub answer: Box<Answer>,
    pub http_status: i32,
    pub os_error: i32,
    pub retriable: bool,
    pub retry_after_ms: u32,
    pub operation_id: Option<Box<str>>,
    pub executed: vsession_executed,
}

/// What the server said.
#[derive(Clone)]
pub struct Answer {
    pub service_error: Option<String>,
    pub fault_string: Option<String>,
    pub fault_code: Option<String>,
    pub body: Option<Vec<u8>>,
}

/// As text, in which tests look for secrets.
impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let body = self.body.as_ref().map(|body| String::from_utf8_lossy(body));
        f.debug_list()
            .entries([&self.service_error, &self.fault_string, &self.fault_code])
            .entry(&body)
            .finish()
    }
}

pub fn text(pointer: *const c_char) -> Option<String> {
    if pointer.is_null() {
        return None;
    }
    Some(unsafe { CStr::from_ptr(pointer) }.to_str().expect("texts are UTF-8").to_string())
}

/// Bytes with a length. A NUL follows them.
fn bytes(of: impl FnOnce(*mut usize) -> *const c_char) -> Option<Vec<u8>> {
    let mut length = usize::MAX;
    let pointer = of(&mut length);
    if pointer.is_null() {
        assert_eq!(length, 0);
        return None;
    }
    let (bytes, nul) =
        unsafe { std::slice::from_raw_parts(pointer.cast::<u8>(), length + 1) }.split_at(length);
    assert_eq!(nul, [0]);
    Some(bytes.to_vec())
}

unsafe fn describe(error: *const vsession_error) -> ApiError {
    unsafe { nodes::check_fault(error) };
    unsafe {
        ApiError {
            status: vsession_error_status(error),
            message: text(vsession_error_message(error)).unwrap(),
            fault: text(vsession_error_fault_name(error)),
            fault_xml: text(vsession_error_fault_xml(error)),
            answer: Box::new(Answer {
                service_error: text(vsession_error_service_error(error)),
                fault_string: text(vsession_error_fault_string(error)),
                fault_code: text(vsession_error_fault_code(error)),
                body: bytes(|length| vsession_error_body(error, length)),
            }),
            http_status: vsession_error_http_status(error),
            os_error: vsession_error_os_error(error),
            retriable: vsession_error_retriable(error),
            retry_after_ms: vsession_error_retry_after_ms(error),
            operation_id: text(vsession_error_operation_id(error)).map(Into::into),
            executed: vsession_error_executed(error),
        }
    }
}

/// Calls a function with a place for its error and checks that status and error agree.
fn checked(function: impl FnOnce(*mut *mut vsession_error) -> status) -> Result<()> {
    let mut error = std::ptr::dangling_mut::<vsession_error>();
    let result = function(&mut error);
    if result == status::VSESSION_OK {
        assert!(error.is_null(), "success sets the error to NULL");
        return Ok(());
    }
    assert!(!error.is_null(), "a failure gives an error");
    let described = unsafe { describe(error) };
    unsafe { vsession_error_free(error) };
    assert_eq!(described.status, result);
    assert!(!described.message.is_empty());
    Err(described)
}

fn c(text: &str) -> CString {
    CString::new(text).unwrap()
}

/// A configuration, and the sessions opened from any configuration of the same server.
pub struct Config(pub vsession_config, pub Opened);

/// Open sessions, so that the owner of the server can close those that a test leaves open.
pub type Opened = Arc<Mutex<Vec<Session>>>;

/// What a credentials function returns.
pub enum Credentials {
    Pair(&'static str, String),
    None(&'static str),
    /// Success without credentials.
    Forgotten,
}

unsafe extern "C" fn tell_credentials(
    session: vsession,
    out: *mut vsession_credentials,
    data: *mut c_void,
) -> i32 {
    let source = unsafe { &*data.cast::<Box<dyn Fn(vsession) -> Credentials + Send + Sync>>() };
    match source(session) {
        Credentials::Pair(user, password) => {
            let (user, password) = (c(user), c(&password));
            unsafe { vsession_credentials_set(out, user.as_ptr(), password.as_ptr()) as i32 }
        }
        Credentials::None(reason) => {
            let reason = c(reason);
            unsafe { vsession_credentials_fail(out, reason.as_ptr()) };
            status::VSESSION_E_CONFIG as i32
        }
        Credentials::Forgotten => status::VSESSION_OK as i32,
    }
}

unsafe extern "C" fn free_credentials(data: *mut c_void) {
    drop(unsafe { Box::from_raw(data.cast::<Box<dyn Fn(vsession) -> Credentials + Send + Sync>>()) });
}

unsafe extern "C" fn run_probe(session: vsession, data: *mut c_void) -> i32 {
    let probe = unsafe { &*data.cast::<Box<dyn Fn(Session) -> status + Send + Sync>>() };
    probe(Session(session)) as i32
}

unsafe extern "C" fn free_probe(data: *mut c_void) {
    drop(unsafe { Box::from_raw(data.cast::<Box<dyn Fn(Session) -> status + Send + Sync>>()) });
}

impl Config {
    pub fn new(url: &str) -> Result<Config> {
        let (url, mut out) = (c(url), vsession_config { id: 0 });
        checked(|err| unsafe { vsession_config_new(url.as_ptr(), &mut out, err) })?;
        Ok(Config(out, Opened::default()))
    }

    pub fn set(&self, name: &str, value: &str) -> Result<()> {
        let (name, value) = (c(name), c(value));
        checked(|err| unsafe { vsession_config_set(self.0, name.as_ptr(), value.as_ptr(), err) })
    }

    /// `set` in a builder chain: an error fails the test.
    pub fn with(self, name: &str, value: &str) -> Config {
        self.set(name, value).unwrap();
        self
    }

    pub fn with_queue(self, queue: &Queue) -> Config {
        checked(|err| unsafe { vsession_config_set_queue(self.0, queue.0, err) }).unwrap();
        self
    }

    /// Sets the credentials function.
    pub fn with_credentials(
        self,
        source: impl Fn(vsession) -> Credentials + Send + Sync + 'static,
    ) -> Config {
        let data: Box<Box<dyn Fn(vsession) -> Credentials + Send + Sync>> = Box::new(Box::new(source));
        let data = Box::into_raw(data).cast();
        checked(|err| unsafe {
            vsession_config_set_credentials_fn(
                self.0,
                Some(tell_credentials),
                data,
                Some(free_credentials),
                err,
            )
        })
        .unwrap();
        self
    }

    /// Sets the keep-alive function.
    pub fn with_probe(self, probe: impl Fn(Session) -> status + Send + Sync + 'static) -> Config {
        let data: Box<Box<dyn Fn(Session) -> status + Send + Sync>> = Box::new(Box::new(probe));
        let data = Box::into_raw(data).cast();
        checked(|err| unsafe {
            vsession_config_set_keepalive_fn(self.0, Some(run_probe), data, Some(free_probe), err)
        })
        .unwrap();
        self
    }

    pub fn open(&self) -> Result<Session> {
        let mut out = vsession { id: 0 };
        checked(|err| unsafe { vsession_open(self.0, &mut out, err) })?;
        self.1.lock().unwrap().push(Session(out));
        Ok(Session(out))
    }
}

impl Drop for Config {
    fn drop(&mut self) {
        vsession_config_free(self.0);
    }
}

#[derive(Clone, Debug, Default)]
pub struct Options {
    pub timeout_ms: u32,
    pub cancel: u64,
    pub idempotent: bool,
    pub require_epoch: u64,
    pub no_relogin: bool,
    pub operation_id: Option<CString>,
}

impl Options {
    pub fn timeout(timeout_ms: u32) -> Options {
        Options { timeout_ms, ..Options::default() }
    }

    fn raw(&self) -> vsession_call_options {
        vsession_call_options {
            struct_size: size_of::<vsession_call_options>(),
            timeout_ms: self.timeout_ms,
            idempotent: self.idempotent.into(),
            cancel: vsession_cancel { id: self.cancel },
            operation_id: self.operation_id.as_ref().map_or(std::ptr::null(), |id| id.as_ptr()),
            require_epoch: self.require_epoch,
            no_relogin: self.no_relogin.into(),
            reserved: 0,
        }
    }
}

/// A call of a method on the server's only object of the given type.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    pub method: &'a str,
    pub this_type: &'a str,
    pub arguments: &'a str,
}

pub const CURRENT_TIME: Call = Call { method: "CurrentTime", this_type: "ServiceInstance", arguments: "" };

/// A call with all that it may have.
#[derive(Clone, Copy, Debug)]
pub struct SoapCall<'a> {
    pub call: Call<'a>,
    pub id: Option<&'a str>,
    /// The path and the namespace of another service than vim25.
    pub service: Option<(&'a str, &'a str)>,
    pub version: Option<&'a str>,
    pub header: Option<&'a str>,
    pub anonymous: bool,
}

impl<'a> SoapCall<'a> {
    pub const fn of(call: Call<'a>) -> SoapCall<'a> {
        SoapCall { call, id: None, service: None, version: None, header: None, anonymous: false }
    }

    /// A method of the storage policies' service.
    pub const fn of_pbm(
        method: &'a str,
        this_type: &'a str,
        id: &'a str,
        arguments: &'a str,
    ) -> SoapCall<'a> {
        let call = Call { method, this_type, arguments };
        SoapCall {
            id: Some(id),
            service: Some(("/pbm", "urn:pbm")),
            version: Some("2.0"),
            ..SoapCall::of(call)
        }
    }

    /// The same as nobody's.
    pub const fn of_nobody(self) -> SoapCall<'a> {
        SoapCall { anonymous: true, ..self }
    }

    /// Calls a function with the call as C sees it.
    fn with_raw<T>(&self, function: impl FnOnce(*const vsession_soap_call) -> T) -> T {
        let (method, this_type) = (c(self.call.method), c(self.call.this_type));
        let (path, namespace) = self.service.unzip();
        let texts = [self.id, path, namespace, self.version, self.header].map(|text| text.map(c));
        let [this_id, service_path, service_namespace, service_version, soap_header] =
            texts.each_ref().map(|text| text.as_ref().map_or(std::ptr::null(), |text| text.as_ptr()));
        // With their length, so that nothing is copied.
        let arguments = self.call.arguments;
        function(&vsession_soap_call {
            struct_size: size_of::<vsession_soap_call>(),
            method: method.as_ptr(),
            this_type: this_type.as_ptr(),
            this_id,
            arguments: std::ptr::null(),
            arguments_length: arguments.len(),
            arguments_bytes: if arguments.is_empty() { std::ptr::null() } else { arguments.as_ptr().cast() },
            service_path,
            service_namespace,
            service_version,
            soap_header,
            anonymous: self.anonymous.into(),
            reserved: 0,
        })
    }
}

/// An HTTP request through the vim25 session.
#[derive(Clone, Copy, Debug)]
pub struct HttpRequest<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub headers: &'a [(&'a str, &'a str)],
    pub body: &'a [u8],
    pub through: i32,
    pub raw: bool,
}

impl<'a> HttpRequest<'a> {
    pub const fn get(path: &'a str) -> HttpRequest<'a> {
        let through = vsession_through::VSESSION_THROUGH_VIM as i32;
        HttpRequest { method: "GET", path, headers: &[], body: b"", through, raw: false }
    }

    pub const fn post(path: &'a str, body: &'a [u8]) -> HttpRequest<'a> {
        HttpRequest { method: "POST", body, ..HttpRequest::get(path) }
    }

    /// The same through the REST session.
    pub const fn of_rest(self) -> HttpRequest<'a> {
        HttpRequest { through: vsession_through::VSESSION_THROUGH_REST as i32, ..self }
    }

    /// The same as nobody's.
    pub const fn of_nobody(self) -> HttpRequest<'a> {
        HttpRequest { through: vsession_through::VSESSION_THROUGH_NONE as i32, ..self }
    }

    pub const fn raw(self) -> HttpRequest<'a> {
        HttpRequest { raw: true, ..self }
    }

    /// Calls a function with the request as C sees it.
    fn with_raw<T>(&self, function: impl FnOnce(*const vsession_http_request) -> T) -> T {
        self.with_streams(&mut Streams::default(), function)
    }

    fn with_streams<T>(
        &self,
        streams: &mut Streams<'_>,
        function: impl FnOnce(*const vsession_http_request) -> T,
    ) -> T {
        let (method, path) = (c(self.method), c(self.path));
        let texts: Vec<_> = self.headers.iter().map(|(name, value)| (c(name), c(value))).collect();
        let headers: Vec<_> = texts
            .iter()
            .map(|(name, value)| vsession_header { name: name.as_ptr(), value: value.as_ptr() })
            .collect();
        function(&vsession_http_request {
            struct_size: size_of::<vsession_http_request>(),
            method: method.as_ptr(),
            path: path.as_ptr(),
            headers: if headers.is_empty() { std::ptr::null() } else { headers.as_ptr() },
            header_count: headers.len(),
            body: if self.body.is_empty() { std::ptr::null() } else { self.body.as_ptr().cast() },
            body_length: streams.length.unwrap_or(self.body.len()),
            through: self.through,
            raw: self.raw.into(),
            read_body: if streams.give.is_some() { Some(give) } else { None },
            write_reply: if streams.take.is_some() { Some(take) } else { None },
            data: std::ptr::from_mut(streams).cast(),
        })
    }
}

pub type Give<'a> = dyn FnMut(Option<&mut [u8]>) -> i64 + 'a;
pub type Take<'a> = dyn FnMut(&[u8]) -> i64 + 'a;

/// Bodies that a test gives and takes piece by piece.
#[derive(Default)]
pub struct Streams<'a> {
    /// Writes the next bytes and returns how many. `None`: begin again.
    pub give: Option<&'a mut Give<'a>>,
    pub length: Option<usize>,
    pub take: Option<&'a mut Take<'a>>,
}

unsafe extern "C" fn give(data: *mut c_void, bytes: *mut c_char, length: usize) -> i64 {
    let streams = unsafe { &mut *data.cast::<Streams<'_>>() };
    let room = (!bytes.is_null()).then(|| unsafe { std::slice::from_raw_parts_mut(bytes.cast(), length) });
    streams.give.as_mut().unwrap()(room)
}

unsafe extern "C" fn take(data: *mut c_void, bytes: *mut c_char, length: usize) -> i64 {
    let streams = unsafe { &mut *data.cast::<Streams<'_>>() };
    streams.take.as_mut().unwrap()(unsafe { std::slice::from_raw_parts(bytes.cast(), length) })
}

/// The reply to one.
#[derive(Clone, Debug)]
pub struct HttpReply {
    pub status: i32,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub epoch: u64,
}

impl HttpReply {
    /// # Safety
    /// `reply` is one.
    unsafe fn of(reply: *const vsession_reply) -> HttpReply {
        let mut headers = Vec::new();
        let mut name = std::ptr::null();
        while let Some(value) = text(unsafe { vsession_reply_header_at(reply, headers.len(), &mut name) }) {
            headers.push((text(name).unwrap(), value));
        }
        assert!(name.is_null());
        HttpReply {
            status: unsafe { vsession_reply_http_status(reply) },
            headers,
            body: bytes(|length| unsafe { vsession_reply_body(reply, length) }).unwrap(),
            epoch: unsafe { vsession_reply_epoch(reply) },
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

#[derive(Debug)]
pub struct Reply {
    pub xml: String,
    pub text: Option<String>,
    pub epoch: u64,
    /// How many characters were replaced.
    pub repaired: usize,
    /// What the server sent, where that is something else than `xml`.
    pub body: Option<Vec<u8>>,
}

impl Reply {
    /// # Safety
    /// `reply` is the reply to a call.
    unsafe fn of(reply: *const vsession_reply) -> Reply {
        unsafe {
            let (mut length, mut body_length) = (0, 0);
            let xml = vsession_reply_xml(reply, &mut length);
            let body = vsession_reply_body(reply, &mut body_length);
            let repaired = vsession_reply_repaired(reply);
            // Without repairs there is no second copy.
            assert_eq!(repaired == 0, (xml, length) == (body, body_length));
            Reply {
                xml: text(xml).unwrap(),
                text: text(vsession_reply_text(reply)),
                epoch: vsession_reply_epoch(reply),
                repaired,
                body: bytes(|length| vsession_reply_body(reply, length)).filter(|_| repaired > 0),
            }
        }
    }
}

impl Reply {
    /// Takes over a reply to a call.
    fn taken(reply: *mut vsession_reply) -> Reply {
        unsafe { nodes::check_reply(reply) };
        let taken = unsafe { Reply::of(reply) };
        unsafe { vsession_reply_free(reply) };
        taken
    }

    /// The texts of all elements with this name that have no attributes.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let (start, end) = (format!("<{name}>"), format!("</{name}>"));
        self.xml.split(&start).skip(1).map(|rest| rest.split(&end).next().unwrap()).collect()
    }
}

/// Not closed on drop: a test decides that.
#[derive(Clone, Copy, Debug)]
pub struct Session(pub vsession);

impl Session {
    pub fn login(&self) -> Result<()> {
        checked(|err| unsafe { vsession_login(self.0, std::ptr::null(), err) })
    }

    pub fn login_with(&self, options: &Options) -> Result<()> {
        let raw = options.raw();
        checked(|err| unsafe { vsession_login(self.0, &raw, err) })
    }

    pub fn logout(&self) -> Result<()> {
        checked(|err| unsafe { vsession_logout(self.0, std::ptr::null(), err) })
    }

    pub fn logout_with(&self, options: &Options) -> Result<()> {
        let raw = options.raw();
        checked(|err| unsafe { vsession_logout(self.0, &raw, err) })
    }

    pub fn close(&self) -> Result<()> {
        checked(|err| unsafe { vsession_close(self.0, std::ptr::null(), err) })
    }

    pub fn close_with(&self, options: &Options) -> Result<()> {
        let raw = options.raw();
        checked(|err| unsafe { vsession_close(self.0, &raw, err) })
    }

    pub fn state(&self) -> vsession_state {
        vsession_get_state(self.0)
    }

    pub fn rest_state(&self) -> vsession_state {
        vsession_get_rest_state(self.0)
    }

    pub fn rest_epoch(&self) -> u64 {
        vsession_get_rest_epoch(self.0)
    }

    pub fn epoch(&self) -> u64 {
        vsession_get_epoch(self.0)
    }

    pub fn info(&self) -> Result<Info> {
        let mut out = null_mut();
        checked(|err| unsafe { vsession_get_info(self.0, &mut out, err) })?;
        Ok(Info(out))
    }

    pub fn refresh(&self) -> Result<Info> {
        self.refresh_with(&Options::default())
    }

    pub fn refresh_with(&self, options: &Options) -> Result<Info> {
        let (raw, mut out) = (options.raw(), null_mut());
        checked(|err| unsafe { vsession_refresh(self.0, &raw, &mut out, err) })?;
        Ok(Info(out))
    }

    pub fn is_active(&self) -> Result<bool> {
        self.is_active_with(&Options::default())
    }

    pub fn is_active_with(&self, options: &Options) -> Result<bool> {
        let (raw, mut out) = (options.raw(), false);
        checked(|err| unsafe { vsession_is_active(self.0, &raw, &mut out, err) })?;
        Ok(out)
    }

    pub fn cookie(&self) -> Result<String> {
        let mut out = null_mut();
        checked(|err| unsafe { vsession_get_cookie(self.0, &mut out, err) })?;
        let cookie = text(out).unwrap();
        unsafe { ::vsession::ffi::library::vsession_string_free(out) };
        Ok(cookie)
    }

    pub fn keepalive_start(&self, interval_ms: u32) -> Result<()> {
        checked(|err| unsafe { vsession_keepalive_start(self.0, interval_ms, err) })
    }

    pub fn keepalive_stop(&self) -> Result<()> {
        checked(|err| unsafe { vsession_keepalive_stop(self.0, err) })
    }

    pub fn set_password(&self, password: &str) -> Result<()> {
        let password = c(password);
        checked(|err| unsafe { vsession_set_password(self.0, password.as_ptr(), err) })
    }

    /// Starts CurrentTime; the completion goes to `queue`.
    pub fn ping_async(&self, queue: &Queue, tag: u64, options: &Options) -> Result<()> {
        self.call_async(CURRENT_TIME, queue, tag, options)
    }

    /// Starts a method.
    pub fn call_async(&self, call: Call, queue: &Queue, tag: u64, options: &Options) -> Result<()> {
        self.soap_async(&SoapCall::of(call), queue, tag, options)
    }

    pub fn soap_async(&self, call: &SoapCall, queue: &Queue, tag: u64, options: &Options) -> Result<()> {
        let raw = options.raw();
        call.with_raw(|call| {
            checked(|err| unsafe { vsession_call_async(self.0, call, &raw, queue.0, tag, err) })
        })
    }

    pub fn http(&self, request: HttpRequest) -> Result<HttpReply> {
        self.http_with(request, &Options::default())
    }

    pub fn http_with(&self, request: HttpRequest, options: &Options) -> Result<HttpReply> {
        self.http_streamed(request, &mut Streams::default(), options)
    }

    pub fn http_streamed(
        &self,
        request: HttpRequest,
        streams: &mut Streams<'_>,
        options: &Options,
    ) -> Result<HttpReply> {
        let (raw, mut out) = (options.raw(), null_mut());
        request.with_streams(streams, |request| {
            checked(|err| unsafe { vsession_http(self.0, request, &raw, &mut out, err) })
        })?;
        let reply = unsafe { HttpReply::of(out) };
        for (name, value) in &reply.headers {
            let first = text(unsafe { vsession_reply_header(out, c(name).as_ptr()) });
            assert!(first.as_ref() == Some(value) || reply.header(name) == first.as_deref());
        }
        assert!(text(unsafe { vsession_reply_xml(out, null_mut()) }).is_none());
        unsafe { vsession_reply_free(out) };
        Ok(reply)
    }

    pub fn http_async(&self, request: HttpRequest, queue: &Queue, tag: u64, options: &Options) -> Result<()> {
        let raw = options.raw();
        request.with_raw(|request| {
            checked(|err| unsafe { vsession_http_async(self.0, request, &raw, queue.0, tag, err) })
        })
    }

    /// CurrentTime, which every test server answers.
    pub fn ping(&self) -> Result<Reply> {
        self.call(CURRENT_TIME, &Options::default())
    }

    pub fn ping_with(&self, options: &Options) -> Result<Reply> {
        self.call(CURRENT_TIME, options)
    }

    pub fn call(&self, call: Call, options: &Options) -> Result<Reply> {
        self.call_object(call, None, options)
    }

    /// Calls a method of the object with this id.
    pub fn call_object(&self, call: Call, id: Option<&str>, options: &Options) -> Result<Reply> {
        self.soap(&SoapCall { id, ..SoapCall::of(call) }, options)
    }

    pub fn soap(&self, call: &SoapCall, options: &Options) -> Result<Reply> {
        let (raw, mut out) = (options.raw(), null_mut());
        call.with_raw(|call| checked(|err| unsafe { vsession_call(self.0, call, &raw, &mut out, err) }))?;
        Ok(Reply::taken(out))
    }

    pub fn get_properties(
        &self,
        kind: &str,
        id: Option<&str>,
        paths: &[&str],
        options: &Options,
    ) -> Result<Reply> {
        let (kind, id) = (c(kind), id.map(c));
        let texts: Vec<_> = paths.iter().map(|path| c(path)).collect();
        let paths: Vec<_> = texts.iter().map(|path| path.as_ptr()).collect();
        let (raw, mut out) = (options.raw(), null_mut());
        let id = id.as_ref().map_or(std::ptr::null(), |id| id.as_ptr());
        checked(|err| unsafe {
            let (kind, paths, count) = (kind.as_ptr(), paths.as_ptr(), paths.len());
            vsession_get_properties(self.0, kind, id, paths, count, &raw, &mut out, err)
        })?;
        Ok(Reply::taken(out))
    }

    /// Hands each page to `on_page`, which returns whether to go on.
    pub fn retrieve(
        &self,
        specifications: &str,
        max_objects: u32,
        options: &Options,
        mut on_page: &mut dyn FnMut(Reply) -> bool,
    ) -> Result<()> {
        unsafe extern "C" fn take(data: *mut c_void, page: *const vsession_reply) -> i32 {
            let on_page = unsafe { &mut *data.cast::<&mut dyn FnMut(Reply) -> bool>() };
            i32::from(!on_page(unsafe { Reply::of(page) }))
        }
        let (specifications, raw) = (c(specifications), options.raw());
        let retrieval = vsession_retrieval {
            struct_size: size_of::<vsession_retrieval>(),
            specifications: specifications.as_ptr(),
            max_objects,
            reserved: 0,
            on_page: Some(take),
            data: (&raw mut on_page).cast(),
        };
        checked(|err| unsafe { vsession_retrieve(self.0, &retrieval, &raw, err) })
    }

    pub fn wait_for_task(
        &self,
        task: &str,
        options: &Options,
        mut on_progress: &mut dyn FnMut(&str, i32),
    ) -> Result<Reply> {
        unsafe extern "C" fn tell(data: *mut c_void, state: *const c_char, percent: i32) {
            let on_progress = unsafe { &mut *data.cast::<&mut dyn FnMut(&str, i32)>() };
            on_progress(&text(state).unwrap(), percent);
        }
        let (task, raw, mut out) = (c(task), options.raw(), null_mut());
        let wait = vsession_task_wait {
            struct_size: size_of::<vsession_task_wait>(),
            on_progress: Some(tell),
            data: (&raw mut on_progress).cast(),
        };
        checked(|err| unsafe { vsession_wait_for_task(self.0, task.as_ptr(), &wait, &raw, &mut out, err) })?;
        Ok(Reply::taken(out))
    }
}

pub struct Info(pub *mut vsession_info);

// SAFETY: the library promises that results may be read from any thread.
unsafe impl Send for Info {}

impl Info {
    pub fn epoch(&self) -> u64 {
        unsafe { vsession_info_epoch(self.0) }
    }

    pub fn key(&self) -> String {
        text(unsafe { vsession_info_key(self.0) }).unwrap()
    }

    pub fn cookie(&self) -> String {
        text(unsafe { vsession_info_cookie(self.0) }).unwrap()
    }

    pub fn rest_id(&self) -> Option<String> {
        text(unsafe { vsession_info_rest_id(self.0) })
    }

    pub fn rest_epoch(&self) -> u64 {
        unsafe { vsession_info_rest_epoch(self.0) }
    }

    pub fn cookie_value(&self) -> String {
        text(unsafe { vsession_info_cookie_value(self.0) }).unwrap()
    }

    pub fn full_name(&self) -> String {
        text(unsafe { vsession_info_full_name(self.0) }).unwrap()
    }

    pub fn api_version(&self) -> String {
        text(unsafe { vsession_info_api_version(self.0) }).unwrap()
    }

    pub fn user_name(&self) -> String {
        text(unsafe { vsession_info_user_name(self.0) }).unwrap()
    }

    pub fn about(&self, field: &str) -> Option<String> {
        let field = c(field);
        text(unsafe { vsession_info_about(self.0, field.as_ptr()) })
    }

    pub fn service_id(&self, name: &str) -> Option<String> {
        let name = c(name);
        text(unsafe { vsession_info_service_id(self.0, name.as_ptr()) })
    }
}

impl Drop for Info {
    fn drop(&mut self) {
        unsafe { vsession_info_free(self.0) };
    }
}

pub struct Token(pub u64);

impl Token {
    pub fn new() -> Token {
        let mut out = vsession_cancel { id: 0 };
        checked(|err| unsafe { vsession_cancel_new(&mut out, err) }).unwrap();
        Token(out.id)
    }

    pub fn options(&self) -> Options {
        Options { cancel: self.0, ..Options::default() }
    }

    pub fn fire(&self) {
        assert_eq!(vsession_cancel_fire(vsession_cancel { id: self.0 }), status::VSESSION_OK);
    }

    pub fn reset(&self) {
        assert_eq!(vsession_cancel_reset(vsession_cancel { id: self.0 }), status::VSESSION_OK);
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        vsession_cancel_free(vsession_cancel { id: self.0 });
    }
}

pub struct Queue(pub vsession_queue);

#[derive(Clone, Debug)]
pub struct Event {
    pub kind: vsession_event_kind,
    pub session: u64,
    pub service: i32,
    pub old_state: vsession_state,
    pub new_state: vsession_state,
    pub reason: vsession_reason,
    pub old_epoch: u64,
    pub new_epoch: u64,
    pub error: Option<ApiError>,
    pub merged: u32,
    pub tag: u64,
    /// The text of an asynchronous call's reply.
    pub reply: Option<String>,
    /// The reply to an asynchronous request.
    pub http: Option<HttpReply>,
}

impl Queue {
    pub fn new() -> Queue {
        let mut out = vsession_queue { id: 0 };
        checked(|err| unsafe { vsession_queue_new(&mut out, err) }).unwrap();
        Queue(out)
    }

    pub fn next(&self, timeout_ms: u32) -> Result<Option<Event>> {
        let mut out = null_mut();
        checked(|err| unsafe { vsession_queue_next(self.0, timeout_ms, &mut out, err) })?;
        if out.is_null() {
            return Ok(None);
        }
        let event = unsafe {
            let error = vsession_event_error(out);
            Event {
                kind: vsession_event_kind::from_number(vsession_event_get_kind(out)).unwrap(),
                session: vsession_event_session(out).id,
                service: vsession_event_service(out),
                old_state: vsession_event_old_state(out),
                new_state: vsession_event_new_state(out),
                reason: vsession_event_reason(out),
                old_epoch: vsession_event_old_epoch(out),
                new_epoch: vsession_event_new_epoch(out),
                error: (!error.is_null()).then(|| describe(error)),
                merged: vsession_event_merged(out),
                tag: vsession_event_tag(out),
                reply: text(vsession_reply_text(vsession_event_reply(out))),
                http: (vsession_reply_http_status(vsession_event_reply(out)) != 0)
                    .then(|| HttpReply::of(vsession_event_reply(out))),
            }
        };
        unsafe { vsession_event_free(out) };
        Ok(Some(event))
    }

    /// All events that wait now.
    pub fn drain(&self) -> Vec<Event> {
        std::iter::from_fn(|| self.next(0).unwrap()).collect()
    }

    pub fn free(&self) {
        vsession_queue_free(self.0);
    }
}

#[derive(Clone, Debug)]
pub struct Certificate {
    pub subject: String,
    pub issuer: String,
    pub not_before_ms: i64,
    pub not_after_ms: i64,
    pub sha256: String,
    pub sha1: String,
}

/// Closes every session and ends the library's threads.
pub fn shutdown(timeout_ms: u32) -> Result<()> {
    checked(|err| unsafe { ::vsession::ffi::library::vsession_shutdown(timeout_ms, err) })
}

/// The certificates that a server shows.
pub fn probe(url: Option<&str>, config: Option<&Config>) -> Result<Vec<Certificate>> {
    probe_with(url, config, &Options::default())
}

pub fn probe_with(url: Option<&str>, config: Option<&Config>, options: &Options) -> Result<Vec<Certificate>> {
    let url = url.map(c);
    let pointer = url.as_ref().map_or(std::ptr::null(), |u| u.as_ptr());
    let config = config.map_or(vsession_config { id: 0 }, |c| c.0);
    let (raw, mut out) = (options.raw(), null_mut());
    checked(|err| unsafe { vsession_probe_certificate(pointer, config, &raw, &mut out, err) })?;
    let count = unsafe { vsession_certificates_count(out) };
    let all = (0..count)
        .map(|index| unsafe {
            Certificate {
                subject: text(vsession_certificates_subject(out, index)).unwrap(),
                issuer: text(vsession_certificates_issuer(out, index)).unwrap(),
                not_before_ms: vsession_certificates_not_before_ms(out, index),
                not_after_ms: vsession_certificates_not_after_ms(out, index),
                sha256: text(vsession_certificates_thumbprint_sha256(out, index)).unwrap(),
                sha1: text(vsession_certificates_thumbprint_sha1(out, index)).unwrap(),
            }
        })
        .collect();
    assert!(text(unsafe { vsession_certificates_subject(out, count) }).is_none());
    unsafe { vsession_certificates_free(out) };
    Ok(all)
}
