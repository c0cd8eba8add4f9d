"""Uses the library from Python through plain cffi (its ABI mode: no compiler, no generated code)."""

import os
import time

from cffi import FFI

from measure import crew, run, show

ffi = FFI()
ffi.cdef(
    """
    typedef struct { uint64_t id; } vsession;
    typedef struct { uint64_t id; } vsession_config;
    typedef struct {
        size_t struct_size;
        const char *method, *this_type, *this_id, *arguments;
        size_t arguments_length;
    } vsession_soap_call;
    typedef struct vsession_error vsession_error;
    typedef struct vsession_reply vsession_reply;
    int32_t vsession_config_new(const char *url, vsession_config *out, vsession_error **err);
    int32_t vsession_config_set(vsession_config, const char *name, const char *value, vsession_error **err);
    int32_t vsession_open(vsession_config, vsession *out, vsession_error **err);
    int32_t vsession_login(vsession, const void *options, vsession_error **err);
    int32_t vsession_logout(vsession, const void *options, vsession_error **err);
    int32_t vsession_call(vsession, const vsession_soap_call *, const void *options, vsession_reply **out,
                          vsession_error **err);
    const char *vsession_reply_text(const vsession_reply *);
    void vsession_reply_free(vsession_reply *);
    const char *vsession_error_message(const vsession_error *);
    void vsession_error_free(vsession_error *);
    """
)
library = ffi.dlopen(os.environ["BENCH_LIBRARY"])


class SessionError(Exception):
    pass


def check(function, *arguments):
    error = ffi.new("vsession_error **")
    if function(*arguments, error):
        message = ffi.string(library.vsession_error_message(error[0])).decode()
        library.vsession_error_free(error[0])
        raise SessionError(message)


class Session:
    def __init__(self):
        config = ffi.new("vsession_config *")
        session = ffi.new("vsession *")
        check(library.vsession_config_new, os.environ["BENCH_URL"].encode(), config)
        options = {"username": os.environ["BENCH_USER"], "password": os.environ["BENCH_PASSWORD"]}
        if os.environ["BENCH_CA"]:
            options["tls.ca_file"] = os.environ["BENCH_CA"]
        for name, value in options.items():
            check(library.vsession_config_set, config[0], name.encode(), value.encode())
        check(library.vsession_open, config[0], session)
        self.handle = session[0]

    def login(self):
        check(library.vsession_login, self.handle, ffi.NULL)

    def logout(self):
        check(library.vsession_logout, self.handle, ffi.NULL)

    def call(self, method, kind):
        method, kind = ffi.new("char[]", method.encode()), ffi.new("char[]", kind.encode())
        what = ffi.new("vsession_soap_call *", [ffi.sizeof("vsession_soap_call"), method, kind])
        reply = ffi.new("vsession_reply **")
        check(library.vsession_call, self.handle, what, ffi.NULL, reply)
        try:
            return ffi.string(library.vsession_reply_text(reply[0])).decode()
        finally:
            library.vsession_reply_free(reply[0])


def call():
    session = Session()
    session.login()
    crew(lambda: session.call("CurrentTime", "ServiceInstance"))
    session.logout()


def login():
    session = Session()

    def step():
        session.login()
        session.logout()

    crew(step)


def start():
    session = Session()
    session.call("CurrentTime", "ServiceInstance")
    show(done_ns=time.monotonic_ns())
    session.logout()


run({"call": call, "login": login, "start": start})
