/*
 * libvsession: one vSphere session, safe from every thread.
 *
 * Generated from src/ffi by cbindgen; do not edit. Change the Rust sources and run 'make generated'.
 *
 * Every function may be called from any thread unless its comment says otherwise. Handles (vsession, vsession_config,
 * vsession_cancel, vsession_queue) are passed by value. Results are objects behind pointers, each with a _free function
 * of its own. A function that can fail returns a vsession_status and takes a vsession_error ** last, which may be NULL;
 * otherwise it is set to NULL on success and to an error that the caller frees on failure (only VSESSION_E_FORKED comes
 * without one). Everything here exists since
 * version 0.1.0 unless its comment names a later one.
 *
 * SPDX-License-Identifier: Apache-2.0 OR MIT
 */

#ifndef VSESSION_H
#define VSESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
/* Initialisers of the structures that carry their size. */
#define VSESSION_CALL_OPTIONS_INIT { sizeof(vsession_call_options), 0, 0, { 0 }, NULL, 0, 0, 0 }
#define VSESSION_SOAP_CALL_INIT { sizeof(vsession_soap_call), NULL, NULL, NULL, NULL, 0 }


/**
 * `timeout_ms` of a call that may take as long as it likes.
 */
#define VSESSION_NO_TIMEOUT UINT32_MAX

/**
 * What became of a call. `VSESSION_OK` is 0; everything else is an error, described further by a `vsession_error`.
 *
 * Numbers are never reused. Programs must treat a number that they do not know as an error.
 */
enum vsession_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * The call did what it says.
     */
    VSESSION_OK = 0,
    /**
     * An argument is NULL, not UTF-8, out of range or unknown; the message names it.
     */
    VSESSION_E_INVALID_ARGUMENT = 1,
    /**
     * The handle is null, of another kind, or was never given out.
     */
    VSESSION_E_INVALID_HANDLE = 2,
    /**
     * The handle was closed or freed, before the call or during it.
     */
    VSESSION_E_CLOSED = 3,
    /**
     * The call came from a callback of the same session and could only wait for itself.
     */
    VSESSION_E_REENTRANT = 4,
    /**
     * The process is a fork of the one that used the library; nothing was touched.
     */
    VSESSION_E_FORKED = 5,
    /**
     * A defect in the library: a panic was caught at the boundary. Please report it.
     */
    VSESSION_E_INTERNAL = 6,
    /**
     * Options are missing or contradict each other.
     */
    VSESSION_E_CONFIG = 7,
    /**
     * The operating system refused a resource (memory, a thread, a file descriptor).
     */
    VSESSION_E_RESOURCE = 8,
    /**
     * The cancellation token fired.
     */
    VSESSION_E_CANCELLED = 20,
    /**
     * The deadline passed.
     */
    VSESSION_E_TIMEOUT = 21,
    /**
     * The host name has no address.
     */
    VSESSION_E_RESOLVE = 40,
    /**
     * No connection: refused, unreachable, or nobody answered.
     */
    VSESSION_E_CONNECT = 41,
    /**
     * The TLS handshake failed for a reason other than trust.
     */
    VSESSION_E_TLS = 42,
    /**
     * The server's certificate is not trusted.
     */
    VSESSION_E_UNTRUSTED = 43,
    /**
     * The connection was lost before the reply was complete.
     */
    VSESSION_E_CONNECTION = 44,
    /**
     * The proxy refused or could not reach the server.
     */
    VSESSION_E_PROXY = 45,
    /**
     * An HTTP status that carries no SOAP reply (a proxy's 502, a 404, a redirect).
     */
    VSESSION_E_HTTP = 60,
    /**
     * The reply is not SOAP, for example an HTML page.
     */
    VSESSION_E_NOT_SOAP = 61,
    /**
     * The reply is XML that does not parse, for example because it was cut off, holds a character that XML does not allow, or
     * exceeds the bounds of what is read.
     */
    VSESSION_E_MALFORMED_XML = 62,
    /**
     * The reply is larger than `max_reply_bytes`.
     */
    VSESSION_E_REPLY_TOO_LARGE = 63,
    /**
     * The reply holds a document type declaration, which is refused.
     */
    VSESSION_E_DTD = 64,
    /**
     * The reply parses but lacks something that the protocol promises.
     */
    VSESSION_E_PROTOCOL = 65,
    /**
     * The server refused the credentials (fault InvalidLogin or one derived from it).
     */
    VSESSION_E_INVALID_LOGIN = 80,
    /**
     * There is no session, or it ended and was not replaced.
     */
    VSESSION_E_NOT_AUTHENTICATED = 81,
    /**
     * The session lives but lacks a privilege.
     */
    VSESSION_E_NO_PERMISSION = 82,
    /**
     * Any other SOAP fault; the error carries its name and its XML.
     */
    VSESSION_E_FAULT = 83,
    /**
     * The session was replaced, and the call asked for the older one (`require_epoch`).
     */
    VSESSION_E_SESSION_CHANGED = 84,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum vsession_status vsession_status;
#else
typedef int32_t vsession_status;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Whether the server ran the call that failed.
 */
enum vsession_executed
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * It is proven that the server did not run it: repeating it is safe.
     */
    VSESSION_EXECUTED_NO = 0,
    /**
     * It cannot be known: the request was sent, and what came back, if anything, is not recognised as the method's own reply.
     */
    VSESSION_EXECUTED_MAYBE = 1,
    /**
     * The server answered it.
     */
    VSESSION_EXECUTED_YES = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum vsession_executed vsession_executed;
#else
typedef int32_t vsession_executed;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Where a session stands. Reading it makes no request and waits for nothing.
 */
enum vsession_state
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * The handle is null, made up, or not a session.
     */
    VSESSION_STATE_INVALID = 0,
    /**
     * No session: not logged in yet, or logged out.
     */
    VSESSION_STATE_LOGGED_OUT = 1,
    /**
     * A login is under way.
     */
    VSESSION_STATE_LOGGING_IN = 2,
    /**
     * Logged in, as far as is known.
     */
    VSESSION_STATE_ACTIVE = 3,
    /**
     * Logged in, but the server did not answer the last request; the session may live on there.
     */
    VSESSION_STATE_UNREACHABLE = 4,
    /**
     * The server ended the session.
     */
    VSESSION_STATE_EXPIRED = 5,
    /**
     * The server refused the credentials; the library will not try them again by itself.
     */
    VSESSION_STATE_REJECTED = 6,
    /**
     * The handle was closed.
     */
    VSESSION_STATE_CLOSED = 7,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum vsession_state vsession_state;
#else
typedef int32_t vsession_state;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Why a session's state changed.
 */
enum vsession_reason
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * There is no event to give a reason for.
     */
    VSESSION_REASON_NONE = 0,
    /**
     * A caller asked for a login, or a first call needed one.
     */
    VSESSION_REASON_LOGIN = 1,
    /**
     * The session had ended and is being replaced.
     */
    VSESSION_REASON_RELOGIN = 2,
    /**
     * A caller logged out.
     */
    VSESSION_REASON_LOGOUT = 3,
    /**
     * The server says that the session is gone.
     */
    VSESSION_REASON_EXPIRED = 4,
    /**
     * The server refused the credentials.
     */
    VSESSION_REASON_REFUSED = 5,
    /**
     * A login failed for another reason.
     */
    VSESSION_REASON_LOGIN_FAILED = 6,
    /**
     * The server did not answer.
     */
    VSESSION_REASON_UNREACHABLE = 7,
    /**
     * The server answers again.
     */
    VSESSION_REASON_RECOVERED = 8,
    /**
     * The handle was closed.
     */
    VSESSION_REASON_CLOSE = 9,
    /**
     * The program gave another password.
     */
    VSESSION_REASON_NEW_CREDENTIALS = 10,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum vsession_reason vsession_reason;
#else
typedef int32_t vsession_reason;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * How important a log message is; a level includes those above it.
 */
enum vsession_log_level
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Nothing.
     */
    VSESSION_LOG_OFF = 0,
    /**
     * Something failed and nobody else is told.
     */
    VSESSION_LOG_ERROR = 1,
    /**
     * Something failed and was dealt with, or is unsafe.
     */
    VSESSION_LOG_WARNING = 2,
    /**
     * Logins, logouts, sessions that ended.
     */
    VSESSION_LOG_INFO = 3,
    /**
     * Every error that a call returned.
     */
    VSESSION_LOG_DEBUG = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum vsession_log_level vsession_log_level;
#else
typedef int32_t vsession_log_level;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What an event tells. Numbers are part of the ABI.
 */
enum vsession_event_kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * The session's state changed.
     */
    VSESSION_EVENT_STATE_CHANGED = 1,
    /**
     * A login gave the session a new identity in place of one that ended. Filters, views and collectors of the older
     * one are gone on the server: make them anew.
     */
    VSESSION_EVENT_SESSION_REPLACED = 2,
    /**
     * A keep-alive probe failed; it will be tried again.
     */
    VSESSION_EVENT_KEEPALIVE_FAILED = 3,
    /**
     * The server refused the credentials, and the library waits for others: `vsession_set_password`, the credentials
     * function, or a login by hand.
     */
    VSESSION_EVENT_CREDENTIALS_WANTED = 4,
    /**
     * A call that was started with `vsession_call_async` has ended.
     */
    VSESSION_EVENT_COMPLETION = 5,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum vsession_event_kind vsession_event_kind;
#else
typedef int32_t vsession_event_kind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The certificates of a server, its own first. Owned by the caller and freed with `vsession_certificates_free`; it never
 * changes, so any thread may read it. Accessors take NULL and an index beyond the end too and answer with NULL or 0.
 */
typedef struct vsession_certificates vsession_certificates;

/**
 * What a credentials function fills in. Valid during its call only.
 */
typedef struct vsession_credentials vsession_credentials;

/**
 * Why a call failed. Owned by the caller and freed with `vsession_error_free`. It never changes, so any thread may read
 * it, and it outlives the session that it came from. Every accessor takes NULL too.
 */
typedef struct vsession_error vsession_error;

/**
 * An event. Owned by the caller and freed with `vsession_event_free`. It never changes, so any thread may read it.
 * Accessors take NULL too and answer it with 0 or NULL.
 */
typedef struct vsession_event vsession_event;

/**
 * One login's identity and server: a snapshot that never changes and is never mixed from two logins. Owned by the caller
 * and freed with `vsession_info_free`; any thread may read it, and it outlives the session. Accessors take NULL too and
 * answer it with NULL or 0.
 */
typedef struct vsession_info vsession_info;

/**
 * The reply to a call. Owned by the caller and freed with `vsession_reply_free`; it never changes, so any thread may read
 * it, and it outlives the session. Accessors take NULL too and answer it with NULL or 0.
 */
typedef struct vsession_reply vsession_reply;

/**
 * A cancellation token. A handle, passed by value; `{0}` is the null handle. One token may be given to any number of
 * calls, one after the other or at the same time. It costs no descriptor and no thread.
 */
typedef struct vsession_cancel {
    /**
     * Opaque.
     */
    uint64_t id;
} vsession_cancel;

/**
 * A configuration: a server and options. A handle, passed by value; `{0}` is the null handle. One configuration may open
 * any number of sessions, each of which takes a copy of how it is at that moment.
 */
typedef struct vsession_config {
    /**
     * Opaque.
     */
    uint64_t id;
} vsession_config;

/**
 * How a call is to be made. Initialise it with `VSESSION_CALL_OPTIONS_INIT` and set what is wanted; pass NULL where the
 * defaults will do. Nothing is kept after the call.
 */
typedef struct vsession_call_options {
    /**
     * `sizeof(vsession_call_options)`.
     */
    size_t struct_size;
    /**
     * The longest that the call may take, with everything: waiting for others, connecting, a login, a repetition.
     * 0: the option `timeout_ms` of the configuration, two minutes by default. `VSESSION_NO_TIMEOUT`: no limit.
     */
    uint32_t timeout_ms;
    /**
     * Non-zero: the call may run twice without harm, so it is sent once more when its connection is lost.
     */
    int32_t idempotent;
    /**
     * A token that ends the call. `{0}`: none. One that was freed: VSESSION_E_INVALID_ARGUMENT.
     */
    struct vsession_cancel cancel;
    /**
     * Names the call in the server's log. NULL: the library makes one up.
     */
    const char *operation_id;
    /**
     * Non-zero: only through the session of this epoch, otherwise VSESSION_E_SESSION_CHANGED. For calls that use
     * filters, views or collectors, which belong to one session. 0: through any.
     */
    uint64_t require_epoch;
    /**
     * Non-zero: never log in for this call; without a session it fails with VSESSION_E_NOT_AUTHENTICATED.
     */
    int32_t no_relogin;
    /**
     * Zero.
     */
    int32_t reserved;
} vsession_call_options;

/**
 * An event queue for any number of sessions. A handle, passed by value; `{0}` is the null handle.
 */
typedef struct vsession_queue {
    /**
     * Opaque.
     */
    uint64_t id;
} vsession_queue;

/**
 * A session with one vCenter or ESXi host, shared by any number of threads. A handle, passed by value; `{0}` is the null
 * handle. A handle that was closed, made up or of another kind is answered with a status, never with a crash.
 */
typedef struct vsession {
    /**
     * Opaque.
     */
    uint64_t id;
} vsession;

/**
 * Asks the program whether a session lives. Called on a thread of the library when the session has gone unused for the
 * keep-alive interval. It may take its time and call any function of the library on any session, login, logout and close
 * included. It returns VSESSION_OK when the session lives, VSESSION_E_NOT_AUTHENTICATED when it is gone (the library then
 * replaces it, where that is allowed), and another status when it could not find out: it will be asked again soon.
 */
typedef int32_t (*vsession_keepalive_fn)(struct vsession session, void *data);

/**
 * Tells user and password. Called at login time, on a thread of the library, so that a program need not leave them with
 * the library; the callers' deadlines hold while it runs. It may take its time (ask a person), and it may call any
 * function of the library. It fills in `credentials` with `vsession_credentials_set` and returns VSESSION_OK, or returns
 * another status, after `vsession_credentials_fail` where it has something to say.
 */
typedef int32_t (*vsession_credentials_fn)(struct vsession session, struct vsession_credentials *credentials, void *data);

/**
 * Receives log messages: the level, the text (UTF-8, valid during the call only), and the pointer that was registered.
 * Called on whatever thread has something to say, several at a time, with no lock of the library held; it may call any
 * function of the library.
 */
typedef void (*vsession_log_fn)(int32_t level, const char *message, void *data);

/**
 * A call of a vim25 method. Initialise it with `VSESSION_SOAP_CALL_INIT`.
 */
typedef struct vsession_soap_call {
    /**
     * `sizeof(vsession_soap_call)`.
     */
    size_t struct_size;
    /**
     * The method, for example `CurrentTime`. Those that end a session or make another are refused, whatever the object:
     * `Logout`, `CloneSession`, `ImpersonateUser`, and all that begin with `Login`. Use `vsession_login` and `vsession_logout`.
     */
    const char *method;
    /**
     * The type of the managed object that it is called on, for example `ServiceInstance` or `VirtualMachine`.
     */
    const char *this_type;
    /**
     * The id of that object, for example `vm-42`. NULL: the one object of this type that the server's ServiceContent
     * names (ServiceInstance, SessionManager, PropertyCollector, ...), which vCenter and ESXi name differently.
     */
    const char *this_id;
    /**
     * The arguments: XML elements in the order of the API's definition, without `_this`, in no namespace of their own.
     * `xsi:` and `xsd:` may be used. What is not well-formed is refused with its line and column. NULL: none.
     */
    const char *arguments;
    /**
     * The length of `arguments` in bytes; 0 with arguments that are not NULL: they end with a NUL.
     */
    size_t arguments_length;
} vsession_soap_call;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Makes a token.
 *
 * Threads: safe from any thread. Blocks: never. Owner: the caller frees it with `vsession_cancel_free`.
 */
vsession_status vsession_cancel_new(struct vsession_cancel *out, struct vsession_error **err);

/**
 * Fires a token: every call that was given it and still waits returns VSESSION_E_CANCELLED, and so does each that is
 * given it later, until it is reset. A reply that has arrived already is returned. A login that others wait for goes on for them.
 *
 * Threads: safe from any thread, before, during or after the calls. Blocks: never.
 * Errors: VSESSION_E_INVALID_HANDLE, VSESSION_E_CLOSED when it was freed.
 */
vsession_status vsession_cancel_fire(struct vsession_cancel cancel);

/**
 * Makes a token that fired usable again. Calls that are still on their way out may or may not see it fired.
 *
 * Threads: safe from any thread. Blocks: never. Errors: as `vsession_cancel_fire`.
 */
vsession_status vsession_cancel_reset(struct vsession_cancel cancel);

/**
 * Frees a token. Calls that use it go on and can no longer be ended by it. The null handle is allowed.
 *
 * Threads: safe from any thread. Blocks: never. Errors: VSESSION_E_CLOSED when it was freed already.
 */
vsession_status vsession_cancel_free(struct vsession_cancel cancel);

/**
 * Asks the server at `url` for its certificates and trusts none of them: nothing is sent but the TLS handshake. The server must
 * hold the key of its certificate; one whose key cannot be checked here is shown all the same, and no session will trust it. A
 * program can show them to its user and then set `tls.thumbprint`. With `config` the connection is made as its options
 * say (proxy, TLS version, client certificate, timeouts), and `url` may be NULL for the server that it names; the null
 * handle stands for the defaults.
 *
 * Threads: safe from any thread. Blocks: until the handshake is done, the deadline or the token.
 * Owner: the caller frees the result with `vsession_certificates_free`.
 * Errors: VSESSION_E_INVALID_ARGUMENT; VSESSION_E_CONFIG; what the network brings.
 */
vsession_status vsession_probe_certificate(const char *url,
                                           struct vsession_config config,
                                           const struct vsession_call_options *options,
                                           struct vsession_certificates **out,
                                           struct vsession_error **err);

/**
 * How many certificates the server showed.
 *
 * Threads: safe from any thread. Blocks: never.
 */
size_t vsession_certificates_count(const struct vsession_certificates *certificates);

/**
 * Whom the certificate names (RFC 4514), for example `CN=vc.example.com,O=Example`.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the certificates are freed.
 */
const char *vsession_certificates_subject(const struct vsession_certificates *certificates, size_t index);

/**
 * Who issued it.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the certificates are freed.
 */
const char *vsession_certificates_issuer(const struct vsession_certificates *certificates, size_t index);

/**
 * From when it is valid: milliseconds since 1970, UTC.
 *
 * Threads: safe from any thread. Blocks: never.
 */
int64_t vsession_certificates_not_before_ms(const struct vsession_certificates *certificates, size_t index);

/**
 * Until when it is valid: milliseconds since 1970, UTC.
 *
 * Threads: safe from any thread. Blocks: never.
 */
int64_t vsession_certificates_not_after_ms(const struct vsession_certificates *certificates, size_t index);

/**
 * Its SHA-256 thumbprint, in the form that `tls.thumbprint` takes: `AB:CD:...`.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the certificates are freed.
 */
const char *vsession_certificates_thumbprint_sha256(const struct vsession_certificates *certificates, size_t index);

/**
 * Its SHA-1 thumbprint, for comparing with what old tools show.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the certificates are freed.
 */
const char *vsession_certificates_thumbprint_sha1(const struct vsession_certificates *certificates, size_t index);

/**
 * Frees certificates. NULL is allowed.
 *
 * Threads: safe from any thread, once for each result. Blocks: never.
 */
void vsession_certificates_free(struct vsession_certificates *certificates);

/**
 * Makes a configuration for the server at `url`: `[https://][user[:password]@]host[:port][/sdk]`; `http://` is taken
 * too, for servers that speak nothing better. All options have their defaults; see docs/options.md.
 *
 * Threads: safe from any thread. Blocks: never. Owner: the caller frees it with `vsession_config_free`.
 * Errors: VSESSION_E_INVALID_ARGUMENT.
 */
vsession_status vsession_config_new(const char *url, struct vsession_config *out, struct vsession_error **err);

/**
 * Makes a configuration from the environment that `govc` uses: GOVC_URL, GOVC_USERNAME, GOVC_PASSWORD, GOVC_INSECURE,
 * GOVC_TLS_CA_CERTS, GOVC_TLS_KNOWN_HOSTS, GOVC_CERTIFICATE, GOVC_PRIVATE_KEY, GOVMOMI_LOCALE. As with `govc`, GOVC_USERNAME
 * and GOVC_PASSWORD may be paths of files: then these are read, once, and what they hold counts without the blanks around it.
 *
 * Threads: safe from any thread as long as none changes the environment. Blocks: reading these two files.
 * Owner: the caller frees it with `vsession_config_free`. Errors: VSESSION_E_CONFIG names the variable.
 */
vsession_status vsession_config_from_env(struct vsession_config *out,
                                         struct vsession_error **err);

/**
 * Sets an option by its name (docs/options.md lists them). Sessions that are open already are not affected.
 *
 * Threads: safe from any thread. Blocks: never. Owner: the strings stay the caller's.
 * Errors: VSESSION_E_INVALID_ARGUMENT names the option and its good values.
 */
vsession_status vsession_config_set(struct vsession_config config,
                                    const char *name,
                                    const char *value,
                                    struct vsession_error **err);

/**
 * Has the sessions that are opened from now on put their events into `queue`. The null handle: into none.
 *
 * Threads: safe from any thread. Blocks: never. Owner: the queue stays the caller's.
 */
vsession_status vsession_config_set_queue(struct vsession_config config,
                                          struct vsession_queue queue,
                                          struct vsession_error **err);

/**
 * Has sessions that are opened from now on use `function` as their keep-alive probe in place of the option
 * `keepalive.probe`. NULL: CurrentTime again. `free_data`, where not NULL, is called with `data` when the last session
 * and configuration that use the function are gone.
 *
 * Threads: safe from any thread; `function` must be too. Blocks: never.
 * Owner: `data` stays the caller's, or is given to `free_data`; after an error it stays the caller's in any case.
 */
vsession_status vsession_config_set_keepalive_fn(struct vsession_config config,
                                                 vsession_keepalive_fn function,
                                                 void *data,
                                                 void (*free_data)(void *data),
                                                 struct vsession_error **err);

/**
 * Frees a configuration. Sessions that were opened from it live on. The null handle is allowed.
 *
 * Threads: safe from any thread. Blocks: never. Errors: VSESSION_E_CLOSED when it was freed already.
 */
vsession_status vsession_config_free(struct vsession_config config);

/**
 * Has sessions that are opened from now on ask `function` for user and password at each login, in place of the options
 * `username` and `password`. NULL: no longer. After refused credentials it is asked again now and then, and what it
 * says is tried only if it is something else. `free_data`, where not NULL, is called with `data` when the last session
 * and configuration that use the function are gone.
 *
 * Threads: safe from any thread; `function` must be too. Blocks: never.
 * Owner: `data` stays the caller's, or is given to `free_data`; after an error it stays the caller's in any case.
 */
vsession_status vsession_config_set_credentials_fn(struct vsession_config config,
                                                   vsession_credentials_fn function,
                                                   void *data,
                                                   void (*free_data)(void *data),
                                                   struct vsession_error **err);

/**
 * Fills in user and password, from inside a credentials function. Both are copied. An empty user name and characters that
 * XML cannot carry are refused here; an empty password when the login looks at it, unless the option
 * `allow_empty_password` is set.
 *
 * Threads: on the thread of the credentials function. Blocks: never. Owner: the strings stay the caller's.
 * Errors: VSESSION_E_INVALID_ARGUMENT.
 */
vsession_status vsession_credentials_set(struct vsession_credentials *credentials,
                                         const char *username,
                                         const char *password);

/**
 * Says why there are no credentials, from inside a credentials function; the message becomes part of the login's error.
 *
 * Threads: on the thread of the credentials function. Blocks: never. Owner: the string stays the caller's.
 * Errors: VSESSION_E_INVALID_ARGUMENT.
 */
vsession_status vsession_credentials_fail(struct vsession_credentials *credentials, const char *message);

/**
 * The status that the failed call returned. `VSESSION_OK` for NULL.
 *
 * Threads: safe from any thread. Blocks: never.
 */
vsession_status vsession_error_status(const struct vsession_error *error);

/**
 * What went wrong and what to do next, in English, for people. Never NULL; empty for a NULL error. Holds no
 * secret of the request, also where the server repeats it.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the error is freed.
 */
const char *vsession_error_message(const struct vsession_error *error);

/**
 * The vim25 type of the SOAP fault, for example `InvalidLogin`. NULL when the server sent no fault or named none.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the error is freed.
 */
const char *vsession_error_fault_name(const struct vsession_error *error);

/**
 * The detail element of the SOAP fault as the server sent it, with the declarations of the prefixes that it uses, so that
 * it is a document of its own; without secrets of the request that the server repeats. NULL when there is none, when it is
 * larger than 1 MiB, or when memory does not suffice for its copies.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the error is freed.
 */
const char *vsession_error_fault_xml(const struct vsession_error *error);

/**
 * The HTTP status of the reply; 0 when no reply arrived.
 *
 * Threads: safe from any thread. Blocks: never.
 */
int32_t vsession_error_http_status(const struct vsession_error *error);

/**
 * The operation id that the request carried, which vCenter repeats in its log. NULL when no request was made.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the error is freed.
 */
const char *vsession_error_operation_id(const struct vsession_error *error);

/**
 * The `errno` behind the error; 0 when there is none.
 *
 * Threads: safe from any thread. Blocks: never.
 */
int32_t vsession_error_os_error(const struct vsession_error *error);

/**
 * Whether the same call may succeed later without a change: an outage, an overload, a deadline. Whether it may be sent
 * again without running twice is another question; see `vsession_error_executed`.
 *
 * Threads: safe from any thread. Blocks: never.
 */
bool vsession_error_retriable(const struct vsession_error *error);

/**
 * How long to wait before the call is repeated, in milliseconds; 0 when nobody said. Either the server asked to be left alone
 * (`Retry-After`, with 429 and 503), or a login failed and the next automatic one may not start earlier: no request was made
 * then, and none would be made until that time has passed. The library's own logins and probes heed it; whoever repeats a call
 * should too.
 *
 * Threads: safe from any thread. Blocks: never.
 */
uint32_t vsession_error_retry_after_ms(const struct vsession_error *error);

/**
 * Whether the server ran the failed call.
 *
 * Threads: safe from any thread. Blocks: never.
 */
vsession_executed vsession_error_executed(const struct vsession_error *error);

/**
 * Frees an error. NULL is allowed.
 *
 * Threads: safe from any thread, once for each error. Blocks: never.
 */
void vsession_error_free(struct vsession_error *error);

/**
 * What the event tells. 0 for NULL.
 *
 * Threads: safe from any thread. Blocks: never.
 */
int32_t vsession_event_get_kind(const struct vsession_event *event);

/**
 * The session that it happened to. It may have been closed since.
 *
 * Threads: safe from any thread. Blocks: never.
 */
struct vsession vsession_event_session(const struct vsession_event *event);

/**
 * The state before.
 *
 * Threads: safe from any thread. Blocks: never.
 */
vsession_state vsession_event_old_state(const struct vsession_event *event);

/**
 * The state after.
 *
 * Threads: safe from any thread. Blocks: never.
 */
vsession_state vsession_event_new_state(const struct vsession_event *event);

/**
 * Why it happened.
 *
 * Threads: safe from any thread. Blocks: never.
 */
vsession_reason vsession_event_reason(const struct vsession_event *event);

/**
 * The epoch before. 0: never logged in.
 *
 * Threads: safe from any thread. Blocks: never.
 */
uint64_t vsession_event_old_epoch(const struct vsession_event *event);

/**
 * The epoch after.
 *
 * Threads: safe from any thread. Blocks: never.
 */
uint64_t vsession_event_new_epoch(const struct vsession_event *event);

/**
 * When it happened: milliseconds since 1970, UTC.
 *
 * Threads: safe from any thread. Blocks: never.
 */
int64_t vsession_event_time_ms(const struct vsession_event *event);

/**
 * How many earlier events of the same kind were merged into this one because nobody had read them.
 *
 * Threads: safe from any thread. Blocks: never.
 */
uint32_t vsession_event_merged(const struct vsession_event *event);

/**
 * The failure behind the change; NULL where it was none.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the event is freed; do not free it.
 */
const struct vsession_error *vsession_event_error(const struct vsession_event *event);

/**
 * The tag of the call that has ended, as it was given to `vsession_call_async`. 0 for other kinds of event.
 *
 * Threads: safe from any thread. Blocks: never.
 */
uint64_t vsession_event_tag(const struct vsession_event *event);

/**
 * The reply to the call that has ended; NULL when it failed (`vsession_event_error` says why) and for other kinds of
 * event.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the event is freed; do not free it.
 */
const struct vsession_reply *vsession_event_reply(const struct vsession_event *event);

/**
 * The name of a kind of event for people, for example `state changed`. Never NULL.
 *
 * Threads: safe from any thread. Blocks: never. Owner: a constant: never freed.
 */
const char *vsession_event_kind_name(int32_t kind);

/**
 * Frees an event. NULL is allowed.
 *
 * Threads: safe from any thread, once for each event. Blocks: never.
 */
void vsession_event_free(struct vsession_event *event);

/**
 * The epoch of the login: 1 for the first of a session, and so on.
 *
 * Threads: safe from any thread. Blocks: never.
 */
uint64_t vsession_info_epoch(const struct vsession_info *info);

/**
 * The server's key of the session (`UserSession.key`): names the session, and is not the secret that grants its use.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the info is freed.
 */
const char *vsession_info_key(const struct vsession_info *info);

/**
 * The user name as the server writes it (`UserSession.userName`).
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the info is freed.
 */
const char *vsession_info_user_name(const struct vsession_info *info);

/**
 * The user's full name; empty when the server has none.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the info is freed.
 */
const char *vsession_info_full_name(const struct vsession_info *info);

/**
 * When the login was, by the server's clock: milliseconds since 1970, UTC; 0 when the server does not say.
 *
 * Threads: safe from any thread. Blocks: never.
 */
int64_t vsession_info_login_time_ms(const struct vsession_info *info);

/**
 * When the server last saw the session, as of the login or the last refresh: milliseconds since 1970, UTC.
 *
 * Threads: safe from any thread. Blocks: never.
 */
int64_t vsession_info_last_active_ms(const struct vsession_info *info);

/**
 * How many calls the server has counted, as of the login or the last refresh; -1 when it does not say.
 *
 * Threads: safe from any thread. Blocks: never.
 */
int64_t vsession_info_call_count(const struct vsession_info *info);

/**
 * The locale of the session, for example `en_US`.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the info is freed.
 */
const char *vsession_info_locale(const struct vsession_info *info);

/**
 * The locale of the server's messages in this session.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the info is freed.
 */
const char *vsession_info_message_locale(const struct vsession_info *info);

/**
 * The address that the server sees this client at; empty when it does not say.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the info is freed.
 */
const char *vsession_info_ip_address(const struct vsession_info *info);

/**
 * The user agent that the server recorded; empty when it does not say.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the info is freed.
 */
const char *vsession_info_user_agent(const struct vsession_info *info);

/**
 * Whether the session belongs to an extension.
 *
 * Threads: safe from any thread. Blocks: never.
 */
bool vsession_info_is_extension(const struct vsession_info *info);

/**
 * A field of the server's `AboutInfo` by its name: `apiType` (`VirtualCenter` or `HostAgent`), `apiVersion`, `fullName`,
 * `instanceUuid`, `version`, `build`, and so on. NULL when the server does not have it.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the info is freed.
 */
const char *vsession_info_about(const struct vsession_info *info,
                                const char *field);

/**
 * The id of a managed object that the server's `ServiceContent` names, by the name of the property: `rootFolder`,
 * `propertyCollector`, `viewManager`, and so on. NULL when the server does not have it.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the info is freed.
 */
const char *vsession_info_service_id(const struct vsession_info *info, const char *name);

/**
 * The type of the same object, for example `Folder`.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the info is freed.
 */
const char *vsession_info_service_type(const struct vsession_info *info, const char *name);

/**
 * Frees an info. NULL is allowed.
 *
 * Threads: safe from any thread, once for each info. Blocks: never.
 */
void vsession_info_free(struct vsession_info *info);

/**
 * The version of the library, for example `0.1.0`.
 *
 * Threads: safe from any thread. Blocks: never. Owner: a constant: never freed.
 */
const char *vsession_version(void);

/**
 * The version as a number: major × 1,000,000 + minor × 1,000 + patch.
 *
 * Threads: safe from any thread. Blocks: never.
 */
uint32_t vsession_version_number(void);

/**
 * The name of a status, for example `VSESSION_E_TIMEOUT`; `VSESSION_E_UNKNOWN` for a number that this version does not
 * know. Never NULL.
 *
 * Threads: safe from any thread. Blocks: never. Owner: a constant: never freed.
 */
const char *vsession_status_name(int32_t status);

/**
 * The name of a state for people, for example `active`. Never NULL.
 *
 * Threads: safe from any thread. Blocks: never. Owner: a constant: never freed.
 */
const char *vsession_state_name(int32_t state);

/**
 * The name of a reason for people, for example `relogin`; empty for a number that this version does not know.
 *
 * Threads: safe from any thread. Blocks: never. Owner: a constant: never freed.
 */
const char *vsession_reason_name(int32_t reason);

/**
 * Sends the library's log to `sink`; messages above `level` are not made. One sink for the process: a later call replaces
 * it, NULL or `VSESSION_LOG_OFF` ends it. Messages hold no password, cookie or token at any level.
 *
 * The old sink may still be running on another thread when this returns; keep its `data` alive.
 *
 * Threads: safe from any thread. Blocks: never.
 */
void vsession_set_log(int level,
                      vsession_log_fn sink,
                      void *data);

/**
 * Frees a string that the library handed out as owned, for example by `vsession_get_cookie`. Its bytes are zeroed first.
 * NULL is allowed.
 *
 * Threads: safe from any thread, once for each string. Blocks: never.
 */
void vsession_string_free(char *string);

/**
 * Closes every session and ends the threads of the library: for a program that wants to leave nothing behind at its end.
 * Sessions are closed side by side, each as by `vsession_close`. Configurations, tokens and queues stay and are freed by
 * their owners. The library may be used again afterwards.
 *
 * Threads: safe from any thread but those of callbacks. Blocks: up to `timeout_ms`.
 * Errors: VSESSION_E_TIMEOUT when sessions could not be logged out or threads not be ended in time; the first error of a
 * close otherwise. The sessions are closed in any case.
 */
vsession_status vsession_shutdown(uint32_t timeout_ms,
                                  struct vsession_error **err);

/**
 * Lets a forked child use the library: every handle of the parent's is a dead one here, and new ones can be made. Until
 * then each function answers VSESSION_E_FORKED. The parent is not affected; its sessions stay its own and must not be
 * logged out from here. What the child inherited is left in memory as it is. In a process that is no forked child this
 * does nothing.
 *
 * Threads: to be called before the child starts threads of its own that use the library. Blocks: never.
 */
vsession_status vsession_after_fork_child(struct vsession_error **err);

/**
 * Makes a queue. Give it to a configuration with `vsession_config_set_queue`.
 *
 * Threads: safe from any thread. Blocks: never. Owner: the caller frees it with `vsession_queue_free`.
 * Errors: VSESSION_E_RESOURCE when no descriptor is left.
 */
vsession_status vsession_queue_new(struct vsession_queue *out, struct vsession_error **err);

/**
 * A descriptor that is readable exactly while events wait: for poll, epoll, libuv, Go or asyncio. Only wait for it: do
 * not read, write or close it. -1 when the handle is not a queue.
 *
 * Threads: safe from any thread. Blocks: never. Owner: the queue's: valid until the queue is freed.
 */
int32_t vsession_queue_fd(struct vsession_queue queue);

/**
 * Takes the oldest event, waiting up to `timeout_ms` for one (0: not at all). When none came, `*out` is NULL and the
 * status is VSESSION_OK. Events of one session come in the order in which they happened. They are never lost: when a
 * session's events pile up unread they are merged, first state to last.
 *
 * Threads: safe from any thread; several may wait, and each event goes to one. Blocks: up to `timeout_ms`.
 * Owner: the caller frees the event with `vsession_event_free`. Errors: VSESSION_E_CLOSED when the queue is freed.
 */
vsession_status vsession_queue_next(struct vsession_queue queue,
                                    uint32_t timeout_ms,
                                    struct vsession_event **out,
                                    struct vsession_error **err);

/**
 * Frees a queue with the events in it; threads that wait for one return VSESSION_E_CLOSED. Sessions that use it go on
 * without. The null handle is allowed.
 *
 * Threads: safe from any thread. Blocks: never. Errors: VSESSION_E_CLOSED when it was freed already.
 */
vsession_status vsession_queue_free(struct vsession_queue queue);

/**
 * The whole SOAP envelope as the server sent it: UTF-8, NUL-terminated. `length`, where not NULL, is set to its length
 * without the NUL.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the reply is freed.
 */
const char *vsession_reply_xml(const struct vsession_reply *reply, size_t *length);

/**
 * The response element inside the envelope, for example `<CurrentTimeResponse …>…</CurrentTimeResponse>`: a part of what
 * `vsession_reply_xml` gives, of the length that `length` is set to, and not NUL-terminated. Prefixes that it uses may be
 * declared on the envelope.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the reply is freed.
 */
const char *vsession_reply_response(const struct vsession_reply *reply,
                                    size_t *length);

/**
 * The text of the return value where it is a single element without children: a string, a number, a time, a reference to
 * a task. References and CDATA sections are resolved, comments left out. NULL where the method returns nothing or something structured.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the reply is freed.
 */
const char *vsession_reply_text(const struct vsession_reply *reply);

/**
 * The epoch of the session that the call went through. Filters, views and collectors that the call made live as long as
 * that session.
 *
 * Threads: safe from any thread. Blocks: never.
 */
uint64_t vsession_reply_epoch(const struct vsession_reply *reply);

/**
 * The operation id that the request carried, which vCenter repeats in its log.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the reply is freed.
 */
const char *vsession_reply_operation_id(const struct vsession_reply *reply);

/**
 * Frees a reply. NULL is allowed.
 *
 * Threads: safe from any thread, once for each reply. Blocks: never.
 */
void vsession_reply_free(struct vsession_reply *reply);

/**
 * Opens a session with a copy of a configuration. Makes no request: the login comes with `vsession_login` or with the
 * first call. The files that options name are read now.
 *
 * Threads: safe from any thread. Blocks: never on the network.
 * Owner: the caller closes it with `vsession_close`; the configuration stays the caller's.
 * Errors: VSESSION_E_CONFIG when options contradict each other or a file is unusable.
 */
vsession_status vsession_open(struct vsession_config config, struct vsession *out, struct vsession_error **err);

/**
 * Logs in. A session that is logged in already: VSESSION_OK without a request, unless an answer contradicted what is known
 * of the server, which then is looked at first. However many threads call this at the same
 * time, one login goes out and all get its result; each waits with its own deadline and token. Credentials that were
 * refused before are sent again, which nothing else does. When all of them have
 * stopped waiting before the credentials were sent, the login is given up; once they were sent, its result is kept. The
 * login itself may take as long as the option `timeout_ms` says, at most two minutes, whatever the waiters' deadlines.
 *
 * Threads: safe from any thread. Blocks: until the login is decided, the deadline or the token.
 * Errors: VSESSION_E_INVALID_LOGIN when the credentials are refused; VSESSION_E_CONFIG when there are none; what the
 * network brings; VSESSION_E_CLOSED.
 */
vsession_status vsession_login(struct vsession session,
                               const struct vsession_call_options *options,
                               struct vsession_error **err);

/**
 * Logs out. The handle stays usable; the library does not log in by itself again until `vsession_login` has been called.
 * Not logged in: VSESSION_OK without a request. When it fails, the session is kept and may be logged out again.
 *
 * Threads: safe from any thread. Blocks: until the server has answered, the deadline or the token.
 * Errors: what the network brings; VSESSION_E_CLOSED.
 */
vsession_status vsession_logout(struct vsession session,
                                const struct vsession_call_options *options,
                                struct vsession_error **err);

/**
 * Closes a session: calls that other threads have under way end with VSESSION_E_CLOSED, the server's session is logged
 * out (unless the option `close.logout` is false), and the handle is dead. The handle is dead whatever the status; an
 * error tells that the logout did not succeed, or that `options` are bad and the defaults were used. Closing again is
 * VSESSION_OK, and so is closing the null handle. Without options the logout may take as long as the option `timeout_ms`
 * says, two minutes by default: a program that is to end quickly passes a deadline, and no token that has fired.
 *
 * Threads: safe from any thread, at any time. Blocks: until the server has answered, the deadline or the token.
 * Errors: what the network brings; VSESSION_E_INVALID_HANDLE.
 */
vsession_status vsession_close(struct vsession session,
                               const struct vsession_call_options *options,
                               struct vsession_error **err);

/**
 * Where the session stands. Makes no request and waits for nothing, while a login is under way too: two loads. A closed
 * handle is `VSESSION_STATE_CLOSED`, one that never was a session `VSESSION_STATE_INVALID`.
 *
 * Threads: safe from any thread. Blocks: never: wait-free.
 */
vsession_state vsession_get_state(struct vsession session);

/**
 * The epoch of the session: how many logins it has had. It grows when the session is replaced; whoever keeps filters,
 * views or collectors compares it with the one that they were made under. 0 before the first login and for a handle that
 * is not, or no longer, a session.
 *
 * Threads: safe from any thread. Blocks: never: wait-free.
 */
uint64_t vsession_get_epoch(struct vsession session);

/**
 * Who is logged in, as of the login or the last refresh. Makes no request. While a session is being replaced this is the
 * old one or the new one, whole. Where the library knows that the session is gone and none has replaced it at once
 * (`VSESSION_STATE_EXPIRED`, `VSESSION_STATE_REJECTED`), there is none until the next login has succeeded.
 *
 * Threads: safe from any thread. Blocks: never. Owner: the caller frees it with `vsession_info_free`.
 * Errors: VSESSION_E_NOT_AUTHENTICATED when there is no session, or none any more; VSESSION_E_CLOSED.
 */
vsession_status vsession_get_info(struct vsession session,
                                  struct vsession_info **out,
                                  struct vsession_error **err);

/**
 * Asks the server who is logged in (`SessionManager.currentSession`), which needs no privilege and counts as activity of
 * the session. Never logs in. `out` may be NULL.
 *
 * Threads: safe from any thread. Blocks: until the server has answered, the deadline or the token.
 * Owner: the caller frees it with `vsession_info_free`.
 * Errors: VSESSION_E_NOT_AUTHENTICATED when the server knows no such session; what the network brings.
 */
vsession_status vsession_refresh(struct vsession session,
                                 const struct vsession_call_options *options,
                                 struct vsession_info **out,
                                 struct vsession_error **err);

/**
 * Asks the server whether the session lives: `SessionIsActive`, or `currentSession` where the account lacks the privilege
 * for that or the server lacks the method. Never logs in. No session is an answer, `false`; a question that could not be
 * asked is an error and says nothing about the session.
 *
 * Threads: safe from any thread. Blocks: until the server has answered, the deadline or the token.
 * Errors: what the network brings; VSESSION_E_CLOSED.
 */
vsession_status vsession_is_active(struct vsession session,
                                   const struct vsession_call_options *options,
                                   bool *out,
                                   struct vsession_error **err);

/**
 * The session's cookie, for handing the session to VDDK, curl or govc: `vmware_soap_session="..."`, with the quotes that
 * the server gave it. It is a secret: whoever has it is logged in. There is one whenever `vsession_get_info` has an identity.
 *
 * Threads: safe from any thread. Blocks: never. Owner: the caller frees it with `vsession_string_free`, which zeroes it.
 * Errors: VSESSION_E_NOT_AUTHENTICATED when there is no session; VSESSION_E_CLOSED.
 */
vsession_status vsession_get_cookie(struct vsession session,
                                    char **out,
                                    struct vsession_error **err);

/**
 * Calls a vim25 method through the session, logging in first where needed and allowed.
 *
 * When the server answers that the caller is not authenticated, the library asks it whether the session lives. If it is
 * gone, it is replaced, once for all threads, and the call is sent again; if it lives, the account lacks a privilege, and
 * the fault is returned. A call runs at most once, unless `idempotent` is set. A session that replaced another and brought no
 * successful call is not replaced at once: the wait is that after a failed login (`vsession_error_retry_after_ms`). Methods that
 * end the session or make another are refused; see `method` in `vsession_soap_call`.
 *
 * Threads: safe from any thread; calls of many threads run side by side. Blocks: until the reply is complete, the
 * deadline or the token. Owner: the caller frees the reply with `vsession_reply_free`; `call` and `options` stay the
 * caller's. Errors: VSESSION_E_INVALID_ARGUMENT; VSESSION_E_INVALID_LOGIN, also when the credentials were refused
 * earlier; VSESSION_E_NOT_AUTHENTICATED; VSESSION_E_NO_PERMISSION; VSESSION_E_FAULT; what the network brings.
 */
vsession_status vsession_call(struct vsession session,
                              const struct vsession_soap_call *call,
                              const struct vsession_call_options *options,
                              struct vsession_reply **out,
                              struct vsession_error **err);

/**
 * Starts keep-alive, or changes its interval: when the session has gone unused for `interval_ms` (0: the option
 * `keepalive.interval_ms`), the server is asked for a sign of life. A login starts it by itself, logout and close end it.
 * Failures do not: it tries again with growing pauses, and an event tells.
 *
 * Threads: safe from any thread. Blocks: never. Errors: VSESSION_E_INVALID_ARGUMENT for an interval below 1000;
 * VSESSION_E_CLOSED.
 */
vsession_status vsession_keepalive_start(struct vsession session,
                                         uint32_t interval_ms,
                                         struct vsession_error **err);

/**
 * Stops keep-alive until `vsession_keepalive_start` or the next `vsession_login` that logs in. A probe that is under way
 * is not waited for.
 *
 * Threads: safe from any thread. Blocks: never. Errors: VSESSION_E_CLOSED.
 */
vsession_status vsession_keepalive_stop(struct vsession session,
                                        struct vsession_error **err);

/**
 * Gives the session another password, for the logins to come; it wins over the options and the credentials function. The
 * user name stays that of the option `username`, or of the credentials function where that option is not set.
 * Leaves `VSESSION_STATE_REJECTED`: the library may log in by itself again. A password that the server has refused for this
 * user is not taken: VSESSION_E_INVALID_LOGIN, and neither the state nor the password that was set before changes. Only
 * `vsession_login` sends refused credentials again. After 64 refused pairs of user and password it alone sends others too.
 *
 * Threads: safe from any thread. Blocks: never. Owner: the string stays the caller's.
 * Errors: VSESSION_E_INVALID_ARGUMENT, also for an empty password unless the option `allow_empty_password` is set;
 * VSESSION_E_INVALID_LOGIN; VSESSION_E_CLOSED.
 */
vsession_status vsession_set_password(struct vsession session,
                                      const char *password,
                                      struct vsession_error **err);

/**
 * Starts a call as by `vsession_call` and returns; its end is an event of kind `VSESSION_EVENT_COMPLETION` in `queue`,
 * with this `tag`, and the reply or the error. Every call that was started ends with exactly one such event, also when it
 * is cancelled or the session is closed. Calls run on eight threads of the library, and on more while some of them take
 * longer than half a second; the deadline counts from now. A call for which the system gives no thread ends at once, with
 * VSESSION_E_RESOURCE, and is not sent.
 *
 * Threads: safe from any thread. Blocks: never. Owner: everything that is passed stays the caller's and is copied.
 * Errors: VSESSION_E_INVALID_ARGUMENT, VSESSION_E_INVALID_HANDLE, VSESSION_E_CLOSED: then there is no event.
 */
vsession_status vsession_call_async(struct vsession session,
                                    const struct vsession_soap_call *call,
                                    const struct vsession_call_options *options,
                                    struct vsession_queue queue,
                                    uint64_t tag,
                                    struct vsession_error **err);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* VSESSION_H */
