//! Arguments from the bytes of an input: numbers, strings, handles, and structures that hold their size. After the last byte
//! come zeros.

use std::alloc::{Layout, alloc, dealloc};
use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::{null, null_mut};
use std::sync::Mutex;

use ::vsession::ffi::call::*;
use ::vsession::ffi::cancel::*;
use ::vsession::ffi::config::*;
use ::vsession::ffi::http::*;
use ::vsession::ffi::library::*;
use ::vsession::ffi::properties::*;
use ::vsession::ffi::queue::*;
use ::vsession::ffi::session::*;
use ::vsession::ffi::task::*;

use super::callbacks::{Script, log_sink, move_body, take_page, told};
use super::servers::world;
use super::{CANCEL, CONFIG, KINDS, QUEUE, Run, SESSION};

pub(super) const STRINGS: &[&[u8]] = &[
    b"",
    b"tls.verify",
    b"tls.ca_file",
    b"tls.thumbprint",
    b"timeout_ms",
    b"connect_timeout_ms",
    b"max_connections",
    b"idle_timeout_ms",
    b"tcp.keepalive_ms",
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
    b"/pbm",
    b"/lookupservice/sdk",
    b"urn:pbm",
    b"api_version_max",
    b"<operationID>x</operationID>",
];

/// A structure that starts with its size, in a buffer of exactly that size, so that a read beyond it is noticed.
pub(super) struct Sized {
    memory: Option<(*mut u8, Layout)>,
}

impl Sized {
    pub(super) const NULL: Sized = Sized { memory: None };

    pub(super) fn new<T: Copy>(value: &T, size: usize, beyond: u8) -> Sized {
        let layout = Layout::from_size_align(size.max(size_of::<usize>()), align_of::<usize>()).unwrap();
        // SAFETY: the layout is not empty, and the writes stay within it.
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

    pub(super) fn get<T>(&self) -> *const T {
        self.memory.map_or(null(), |(memory, _)| memory.cast_const().cast())
    }
}

impl Drop for Sized {
    fn drop(&mut self) {
        if let Some((memory, layout)) = self.memory {
            // SAFETY: it was allocated with this layout.
            unsafe { dealloc(memory, layout) };
        }
    }
}

pub(super) fn zero_options() -> vsession_call_options {
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

pub(super) fn current_time() -> vsession_soap_call {
    vsession_soap_call {
        struct_size: size_of::<vsession_soap_call>(),
        method: c"CurrentTime".as_ptr(),
        this_type: c"ServiceInstance".as_ptr(),
        this_id: null(),
        arguments: null(),
        arguments_length: 0,
        arguments_bytes: null(),
        service_path: null(),
        service_namespace: null(),
        service_version: null(),
        soap_header: null(),
        anonymous: 0,
        reserved: 0,
    }
}

impl Run<'_> {
    pub(super) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.input.split_first() else { return 0 };
        self.input = rest;
        *first
    }

    pub(super) fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// A number that may or may not be a value of an enum.
    pub(super) fn number(&mut self) -> i32 {
        match self.byte() {
            b @ 0..=199 => i32::from(b % 100),
            200..=219 => i32::MIN,
            220..=239 => i32::MAX,
            b => -i32::from(b),
        }
    }

    /// A string, and whether it comes from the input: `usual` for zero, or NULL, one of the world's strings, or bytes of the
    /// input.
    pub(super) fn string(&mut self, usual: &str) -> (*const c_char, bool) {
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

    /// A handle for a parameter of `kind`.
    pub(super) fn handle(&mut self, kind: usize) -> u64 {
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

    pub(super) fn session(&mut self) -> vsession {
        vsession { id: self.handle(SESSION) }
    }

    pub(super) fn config(&mut self) -> vsession_config {
        vsession_config { id: self.handle(CONFIG) }
    }

    pub(super) fn cancel(&mut self) -> vsession_cancel {
        vsession_cancel { id: self.handle(CANCEL) }
    }

    pub(super) fn queue(&mut self) -> vsession_queue {
        vsession_queue { id: self.handle(QUEUE) }
    }

    /// A size for a structure of `right` bytes, and the filling of the bytes that the library does not know.
    fn size(&mut self, right: usize) -> (usize, u8) {
        match self.byte() {
            0..=0x9f => (right, 0),
            b @ 0xa0..=0xdf => (usize::from(b - 0xa0) * 2, 0xff),
            b @ 0xe0..=0xef => (right + usize::from(b - 0xdf) * 3, 0),
            b @ 0xf0..=0xfe => (right + usize::from(b - 0xef) * 300, b & 1),
            0xff => (5000, 0),
        }
    }

    pub(super) fn options(&mut self) -> Sized {
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
        // A member that a shorter structure lacks cannot be refused.
        self.refused = refused | (self.refused && size >= size_of::<vsession_call_options>());
        Sized::new(&options, size, beyond)
    }

    pub(super) fn soap_call(&mut self) -> Sized {
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
            let arguments = self.string("<a/>").0;
            if byte & 16 != 0 && !arguments.is_null() {
                // With its exact length, so the NUL after it is not read.
                call.arguments_bytes = arguments;
                call.arguments_length = unsafe { CStr::from_ptr(arguments) }.count_bytes();
            } else {
                call.arguments = arguments;
            }
        } else if byte & 16 != 0 {
            call.arguments_length = 7;
        }
        if byte & 32 != 0 {
            let what = self.byte();
            if what & 1 != 0 {
                call.service_path = self.string("/pbm").0;
            }
            if what & 2 != 0 {
                call.service_namespace = self.string("urn:pbm").0;
            }
            if what & 4 != 0 {
                call.service_version = self.string("2.0").0;
            }
            if what & 8 != 0 {
                call.soap_header = self.string("<h xmlns=\"urn:h\"/>").0;
            }
            if what & 16 != 0 {
                (call.arguments, call.arguments_bytes) = (c"<a/>".as_ptr(), c"<a/>".as_ptr());
            }
        }
        call.anonymous = i32::from(byte & 64 != 0);
        let (size, beyond) = self.size(size_of::<vsession_soap_call>());
        Sized::new(&call, size, beyond)
    }

    /// Options with a deadline.
    pub(super) fn limits(&mut self) -> Sized {
        let mut options = zero_options();
        options.timeout_ms = if self.touring { 10_000 } else { 1 + u32::from(self.byte()) % 64 };
        options.no_relogin = i32::from(self.byte() & 1);
        Sized::new(&options, size_of::<vsession_call_options>(), 0)
    }

    /// What a retrieval reads.
    pub(super) fn retrieval(&mut self) -> Sized {
        let byte = self.byte();
        if byte == 0xff {
            return Sized::NULL;
        }
        let mut retrieval = vsession_retrieval {
            struct_size: size_of::<vsession_retrieval>(),
            specifications: c"<specSet/>".as_ptr(),
            max_objects: u32::from(byte & 3),
            reserved: i32::from(byte & 64),
            on_page: if byte & 4 == 0 { Some(take_page) } else { None },
            // What the function returns: a number, which is no address.
            data: std::ptr::without_provenance_mut(usize::from(byte >> 4 & 1)),
        };
        if byte & 8 != 0 {
            retrieval.specifications = self.string("<specSet><propSet/></specSet>").0;
        }
        let (size, beyond) = self.size(size_of::<vsession_retrieval>());
        Sized::new(&retrieval, size, beyond)
    }

    /// How a task is waited for.
    pub(super) fn task_wait(&mut self) -> Sized {
        let byte = self.byte();
        if byte & 1 == 0 {
            return Sized::NULL;
        }
        let on_progress: vsession_progress_fn = if byte & 2 == 0 { Some(told) } else { None };
        let struct_size = size_of::<vsession_task_wait>();
        let wait = vsession_task_wait { struct_size, on_progress, data: null_mut() };
        let (size, beyond) = self.size(struct_size);
        Sized::new(&wait, size, beyond)
    }

    /// A request. With zeros it is one that every server answers.
    pub(super) fn http_request(&mut self) -> Sized {
        let byte = self.byte();
        if byte == 0xff {
            return Sized::NULL;
        }
        let mut request = vsession_http_request {
            struct_size: size_of::<vsession_http_request>(),
            method: c"POST".as_ptr(),
            path: c"/sdk/vim25/8.0.2.0/ServiceInstance/ServiceInstance/CurrentTime".as_ptr(),
            headers: null(),
            header_count: 0,
            body: null(),
            body_length: 0,
            through: 2 - i32::from(byte & 1),
            raw: i32::from(byte & 2 == 0),
            read_body: None,
            write_reply: None,
            data: null_mut(),
        };
        if byte & 4 != 0 {
            request.method = self.string("GET").0;
        }
        if byte & 8 != 0 {
            request.path = self.string("/api/vcenter/vm").0;
        }
        if byte & 16 != 0 {
            *self.header = vsession_header { name: self.string("Accept").0, value: self.string("*/*").0 };
            request.headers = &raw const *self.header;
            request.header_count = 1;
        }
        if byte & 32 != 0 {
            let body = self.string("{}").0;
            request.body = body.cast();
            request.body_length =
                if body.is_null() { 7 } else { unsafe { CStr::from_ptr(body) }.count_bytes() };
        }
        if byte & 64 != 0 {
            // The numbers that mean nothing are rare, because the requests through REST are many.
            let through = self.number();
            request.through = if (3..=80).contains(&through) { 0 } else { through };
        }
        if byte & 128 != 0 {
            let what = self.byte();
            request.read_body = if what & 1 != 0 { Some(move_body) } else { None };
            request.write_reply = if what & 2 != 0 { Some(move_body) } else { None };
            // What the functions do: a number, which is no address.
            request.data = std::ptr::without_provenance_mut(usize::from(what >> 2));
        }
        let (size, beyond) = self.size(size_of::<vsession_http_request>());
        Sized::new(&request, size, beyond)
    }

    /// A place for a result, or NULL.
    pub(super) fn place<T>(&mut self, place: &mut T) -> *mut T {
        if self.byte() == 0xff { null_mut() } else { place }
    }

    /// What a callback must do; NULL for nothing.
    pub(super) fn script(&mut self) -> *mut c_void {
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

    pub(super) fn log_sink(&mut self) -> vsession_log_fn {
        if self.flag() { None } else { Some(log_sink) }
    }
}
