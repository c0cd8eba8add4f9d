/*
 * libvsession: one vSphere session, safe from every thread.
 *
 * Generated from src/ffi by cbindgen; do not edit. Change the Rust sources and run 'make generated'.
 *
 * Threads: every function may be called from any thread unless its comment says otherwise.
 * Handles (vsession, vsession_config, vsession_cancel, vsession_queue) are passed by value. {0} is the null handle.
 * Results are objects behind pointers. Each type has a _free function, and free() must not be used.
 * Errors: a function that can fail returns a vsession_status. Most of them also take a vsession_error ** as their last
 * parameter, which may be NULL. Otherwise it is set to NULL on success, and on failure to an error that the caller frees.
 * VSESSION_E_FORKED alone comes without an error. A function that fails does not write its other results.
 * Durations are in milliseconds, and times in milliseconds since 1970, UTC. Strings are UTF-8.
 * Everything here exists since version 0.1.0 unless its comment names a later one. More: docs/conventions.md.
 *
 * SPDX-License-Identifier: Apache-2.0 OR MIT
 */

#ifndef VSESSION_H
#define VSESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
/* Initialisers of the structures with struct_size. Zero is the default of every other member. */
#define VSESSION_CALL_OPTIONS_INIT { sizeof(vsession_call_options), 0, 0, { 0 }, NULL, 0, 0, 0 }
#define VSESSION_SOAP_CALL_INIT { sizeof(vsession_soap_call), NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL, NULL, 0, 0 }
#define VSESSION_HTTP_REQUEST_INIT { sizeof(vsession_http_request), NULL, NULL, NULL, 0, NULL, 0, 0, 0, NULL, NULL, NULL }
#define VSESSION_RETRIEVAL_INIT { sizeof(vsession_retrieval), NULL, 0, 0, NULL, NULL }
#define VSESSION_TASK_WAIT_INIT { sizeof(vsession_task_wait), NULL, NULL }


/**
 * The `timeout_ms` of a call without a time limit.
 */
#define VSESSION_NO_TIMEOUT UINT32_MAX

/**
 * The result of a function. `VSESSION_OK` is 0; every other number is an error, which a `vsession_error` describes further.
 *
 * Numbers are never reused. A program must treat a number that it does not know as an error.
 */
enum vsession_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Success.
     */
    VSESSION_OK = 0,
    /**
     * An argument is NULL, not UTF-8, out of range or unknown. The message names the argument.
     */
    VSESSION_E_INVALID_ARGUMENT = 1,
    /**
     * The handle is null, of another kind, or none that the library returned.
     */
    VSESSION_E_INVALID_HANDLE = 2,
    /**
     * The handle was closed or freed, before the call or during it.
     */
    VSESSION_E_CLOSED = 3,
    /**
     * The function was called from a callback of the same session and would wait for itself.
     */
    VSESSION_E_REENTRANT = 4,
    /**
     * The process is a forked child of the one that used the library. Nothing was done.
     */
    VSESSION_E_FORKED = 5,
    /**
     * A defect in the library. Please report it.
     */
    VSESSION_E_INTERNAL = 6,
    /**
     * Options are missing or contradict each other.
     */
    VSESSION_E_CONFIG = 7,
    /**
     * The operating system refused memory, a thread or a file descriptor, or too many handles are open.
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
     * The program makes more calls at a time than can be served: so many wait for a connection that this one would not be answered
     * before its deadline, or as many asynchronous calls are under way as `max_async_calls` allows. It was not sent, and its
     * deadline has not passed yet. That says nothing against the server, but one that hangs keeps its connections in use: the state
     * of the session (VSESSION_STATE_UNREACHABLE) and the message tell.
     */
    VSESSION_E_OVERLOADED = 22,
    /**
     * The host name has no address.
     */
    VSESSION_E_RESOLVE = 40,
    /**
     * No connection could be made: it was refused, or the host is unreachable or did not answer.
     */
    VSESSION_E_CONNECT = 41,
    /**
     * The TLS handshake failed, and not for lack of trust in the server's certificate.
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
     * The proxy refused the connection or could not reach the server.
     */
    VSESSION_E_PROXY = 45,
    /**
     * The server answered with an HTTP status that carries no SOAP reply and no error of a service, for example a 404, a 502 or a
     * redirection.
     */
    VSESSION_E_HTTP = 60,
    /**
     * The reply is not SOAP, for example an HTML page.
     */
    VSESSION_E_NOT_SOAP = 61,
    /**
     * The reply is not well-formed XML, for example because it was cut off, or it exceeds the limits of the reader (see
     * docs/conventions.md).
     */
    VSESSION_E_MALFORMED_XML = 62,
    /**
     * The body of the reply is larger than `max_reply_bytes`, or its head is larger than 64 KiB or has more than 128 header lines.
     */
    VSESSION_E_REPLY_TOO_LARGE = 63,
    /**
     * The reply contains a document type declaration, which the library refuses.
     */
    VSESSION_E_DTD = 64,
    /**
     * The reply is well-formed but lacks something that the protocol requires.
     */
    VSESSION_E_PROTOCOL = 65,
    /**
     * The server refused the credentials (the fault InvalidLogin or one derived from it).
     */
    VSESSION_E_INVALID_LOGIN = 80,
    /**
     * There is no session, or it ended and was not replaced.
     */
    VSESSION_E_NOT_AUTHENTICATED = 81,
    /**
     * The session is alive, but its account lacks a privilege.
     */
    VSESSION_E_NO_PERMISSION = 82,
    /**
     * Another SOAP fault. The error holds its name and its XML.
     */
    VSESSION_E_FAULT = 83,
    /**
     * The session was replaced, and the call required the older one (`require_epoch`).
     */
    VSESSION_E_SESSION_CHANGED = 84,
    /**
     * A REST service answered with an error, which `vsession_error_service_error` names.
     */
    VSESSION_E_REST = 85,
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
     * The server did not run it: no request was sent, or the answer proves it. Repeating it is safe.
     */
    VSESSION_EXECUTED_NO = 0,
    /**
     * It is not known: the request may have been sent, and no answer proves whether the server ran it.
     */
    VSESSION_EXECUTED_MAYBE = 1,
    /**
     * The server ran it: the answer is the method's own reply or fault.
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
 * The state of a session. Reading it makes no request and does not wait.
 */
enum vsession_state
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * The handle is null, made up, or not that of a session.
     */
    VSESSION_STATE_INVALID = 0,
    /**
     * There is no session: not logged in yet, or logged out.
     */
    VSESSION_STATE_LOGGED_OUT = 1,
    /**
     * A login is under way.
     */
    VSESSION_STATE_LOGGING_IN = 2,
    /**
     * Logged in, as far as the library knows.
     */
    VSESSION_STATE_ACTIVE = 3,
    /**
     * Logged in, but the server did not answer the last request. The session may still be alive on the server.
     */
    VSESSION_STATE_UNREACHABLE = 4,
    /**
     * The server ended the session.
     */
    VSESSION_STATE_EXPIRED = 5,
    /**
     * The server refused the credentials. The library does not send them again by itself.
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
     * There is no event.
     */
    VSESSION_REASON_NONE = 0,
    /**
     * A caller asked for a login, or the first call needed one.
     */
    VSESSION_REASON_LOGIN = 1,
    /**
     * The session ended and is being replaced.
     */
    VSESSION_REASON_RELOGIN = 2,
    /**
     * A caller logged out.
     */
    VSESSION_REASON_LOGOUT = 3,
    /**
     * The server said that the session is gone.
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
     * The server answered again.
     */
    VSESSION_REASON_RECOVERED = 8,
    /**
     * The handle was closed.
     */
    VSESSION_REASON_CLOSE = 9,
    /**
     * The program set another password.
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
 * How important a log message is. A level includes the levels with smaller numbers.
 */
enum vsession_log_level
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * No messages.
     */
    VSESSION_LOG_OFF = 0,
    /**
     * A failure that no caller is told of.
     */
    VSESSION_LOG_ERROR = 1,
    /**
     * A failure that the library has handled, or a setting that is unsafe.
     */
    VSESSION_LOG_WARNING = 2,
    /**
     * Logins, logouts, ended sessions.
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
 * The kind of an event.
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
     * A login replaced a session that had ended. Filters, views and collectors of the old session no longer exist on the
     * server and must be made again.
     */
    VSESSION_EVENT_SESSION_REPLACED = 2,
    /**
     * A keep-alive probe failed. The library will try again.
     */
    VSESSION_EVENT_KEEPALIVE_FAILED = 3,
    /**
     * The server refused the credentials, and the library waits for others: from `vsession_set_password`, from the
     * credentials function, or from a call of `vsession_login`.
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
 * Whose request it is, as a number in `through`.
 */
enum vsession_through
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * That of the REST session, which the first such request makes; see the option `rest`. Its id goes with the request in the
     * header `vmware-api-session-id`.
     */
    VSESSION_THROUGH_REST = 0,
    /**
     * That of the vim25 session. Its cookie goes with the request, or, where the path is one of VI JSON
     * (`/sdk/vim25/...`), its id in the header `vmware-api-session-id`.
     */
    VSESSION_THROUGH_VIM = 1,
    /**
     * Nobody's: it needs no session, logs nobody in, and a success says nothing about the session.
     */
    VSESSION_THROUGH_NONE = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum vsession_through vsession_through;
#else
typedef int32_t vsession_through;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * A service of the server with sessions of its own. A handle has a session with each; see `vsession_event_service`.
 */
enum vsession_service
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * The vim25 service (SOAP), whose session `vsession_login` makes.
     */
    VSESSION_SERVICE_VIM = 1,
    /**
     * The REST service.
     */
    VSESSION_SERVICE_REST = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum vsession_service vsession_service;
#else
typedef int32_t vsession_service;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The certificates of a server, its own first. Owned by the caller and freed with `vsession_certificates_free`. It never
 * changes, so any thread may read it. For NULL, and for an index beyond the end, the accessors return NULL or 0.
 */
typedef struct vsession_certificates vsession_certificates;

/**
 * What a credentials function fills in. Valid only during the call of that function.
 */
typedef struct vsession_credentials vsession_credentials;

/**
 * Why a call failed. Owned by the caller and freed with `vsession_error_free`. It never changes, so any thread may read it,
 * and it outlives the session that it came from. Every accessor accepts NULL.
 */
typedef struct vsession_error vsession_error;

/**
 * Something that happened to a session. Owned by the caller and freed with `vsession_event_free`. It never changes, so any
 * thread may read it. For NULL the accessors return 0 or NULL.
 */
typedef struct vsession_event vsession_event;

/**
 * The identity and the server of one login: a snapshot that never changes and never mixes two logins. Owned by the caller
 * and freed with `vsession_info_free`. Any thread may read it, and it outlives the session. For NULL the accessors return
 * NULL or 0.
 */
typedef struct vsession_info vsession_info;

/**
 * The reply to a call or to an HTTP request. Owned by the caller and freed with `vsession_reply_free`. It never changes, so
 * any thread may read it, and it outlives the session. For NULL the accessors return NULL or 0.
 */
typedef struct vsession_reply vsession_reply;

/**
 * A cancellation token: a handle, passed by value; `{0}` is the null handle. One token may be used for any number of calls,
 * one after the other or at the same time. It uses no descriptor and no thread.
 */
typedef struct vsession_cancel {
    /**
     * Opaque.
     */
    uint64_t id;
} vsession_cancel;

/**
 * A configuration, that is a server and options: a handle, passed by value; `{0}` is the null handle. One configuration may
 * open any number of sessions, and each session takes a copy of it at that moment.
 */
typedef struct vsession_config {
    /**
     * Opaque.
     */
    uint64_t id;
} vsession_config;

/**
 * How to make a call. Initialise it with `VSESSION_CALL_OPTIONS_INIT` and set what you need, or pass NULL for the defaults.
 * The library keeps no reference to it after the call.
 */
typedef struct vsession_call_options {
    /**
     * `sizeof(vsession_call_options)`. A smaller size ends behind the last member that the program sets; the others count as
     * zero.
     */
    size_t struct_size;
    /**
     * The longest time that the call may take in milliseconds, including waits for other threads, connecting, a login and a
     * repetition. 0: the option `timeout_ms` of the configuration, two minutes by default. `VSESSION_NO_TIMEOUT`: no limit.
     */
    uint32_t timeout_ms;
    /**
     * Non-zero: the call may run twice without harm, so the library sends it once more when its connection is lost, and again
     * after an HTTP status that the option `http.retry_statuses` lists.
     */
    int32_t idempotent;
    /**
     * A token that ends the call. `{0}`: none. A token that was freed is VSESSION_E_INVALID_ARGUMENT.
     */
    struct vsession_cancel cancel;
    /**
     * Identifies the call in the server's log: at most 256 bytes, no control characters. NULL: the library makes one.
     */
    const char *operation_id;
    /**
     * Non-zero: the call is only sent through the session of this epoch; otherwise it fails with
     * VSESSION_E_SESSION_CHANGED. For calls that use filters, views or collectors, which belong to one session. 0: any, and the only
     * value for a request through VSESSION_THROUGH_NONE.
     */
    uint64_t require_epoch;
    /**
     * Non-zero: do not log in for this call, and do not ask whether the session lives. Without a session, or if the server answers
     * that the caller is not authenticated, it fails with VSESSION_E_NOT_AUTHENTICATED.
     */
    int32_t no_relogin;
    /**
     * Must be zero.
     */
    int32_t reserved;
} vsession_call_options;

/**
 * An event queue for any number of sessions: a handle, passed by value; `{0}` is the null handle.
 */
typedef struct vsession_queue {
    /**
     * Opaque.
     */
    uint64_t id;
} vsession_queue;

/**
 * A session with one vCenter server or ESXi host, shared by any number of threads: a handle, passed by value; `{0}` is the
 * null handle. A handle that was closed, made up or of another kind gives an error status and never a crash.
 */
typedef struct vsession {
    /**
     * Opaque.
     */
    uint64_t id;
} vsession;

/**
 * Asks the program whether a session is alive. The library calls it on one of its own threads when the session has not been
 * used for the keep-alive interval. The function may take long, and may call any function of the library on any session,
 * including login, logout and close. It returns VSESSION_OK when the session is alive, VSESSION_E_NOT_AUTHENTICATED when
 * it is gone (the library then replaces it if that is allowed), and another status when it could not find out; then it
 * will be called again soon.
 */
typedef int32_t (*vsession_keepalive_fn)(struct vsession session, void *data);

/**
 * Supplies user name and password, so that a program need not leave them with the library. The library calls it at each
 * login on one of its own threads; the callers' deadlines apply while it runs. The function may take long, for example to
 * ask a person, and may call any function of the library. It fills in `credentials` with `vsession_credentials_set` and
 * returns VSESSION_OK, or returns another status, and gives the reason with `vsession_credentials_fail` first.
 */
typedef int32_t (*vsession_credentials_fn)(struct vsession session, struct vsession_credentials *credentials, void *data);

/**
 * A header of a request.
 */
typedef struct vsession_header {
    /**
     * For example `Accept`.
     */
    const char *name;
    /**
     * Printable ASCII, blanks and tabs.
     */
    const char *value;
} vsession_header;

/**
 * Moves a part of a body, so that neither side holds all of it. To give the body of a request: writes at most `length` bytes
 * to `bytes` and returns how many; 0: that was all. With NULL and 0 it is asked to begin again, for another attempt: it returns 0
 * if it can. To take the body of a reply: reads `length` bytes from `bytes` and returns `length`. Any other number ends the
 * request with VSESSION_E_CANCELLED.
 *
 * It is called on the thread that makes the request, or on threads of the library for an asynchronous one, one call at a time.
 * While it runs, neither deadline nor token ends the request. It may call any function of the library.
 */
typedef int64_t (*vsession_body_fn)(void *data, char *bytes, size_t length);

/**
 * An HTTP request. Initialise it with `VSESSION_HTTP_REQUEST_INIT`.
 */
typedef struct vsession_http_request {
    /**
     * `sizeof(vsession_http_request)`. A smaller size ends behind `path` or a later member; the others count as zero.
     */
    size_t struct_size;
    /**
     * In capital letters, for example `GET`. `CONNECT` and `TRACE` are refused.
     */
    const char *method;
    /**
     * The path on the server and perhaps a query, percent-encoded as in the request: `/api/vcenter/vm?names=a%20b`. An
     * address of another server, a segment `.` or `..`, however it is encoded, and a path that begins with `//` are
     * refused.
     */
    const char *path;
    /**
     * Headers, at most 128. Those that the library writes itself are refused: the ones about the connection and the length
     * of the body, `Host`, `User-Agent`, `Accept-Encoding`, `X-Request-ID` (the operation id), and the ones that make it a request of the session.
     * A body for `/api`, `/rest` or VI JSON without a `Content-Type` gets `application/json`.
     */
    const struct vsession_header *headers;
    /**
     * How many.
     */
    size_t header_count;
    /**
     * The body: any bytes. NULL: none.
     */
    const void *body;
    /**
     * The length of the body in bytes.
     */
    size_t body_length;
    /**
     * Whose request it is: a `vsession_through`.
     */
    int32_t through;
    /**
     * Non-zero: a reply is handed out whatever its status, and its body in whatever `Content-Encoding` it came. Otherwise a status of
     * 400 or above is an error, and so is a body that the library cannot decode.
     */
    int32_t raw;
    /**
     * Gives the body in place of `body`. `body_length` is then its exact length, or 0 if the program does not know it: the body goes
     * out in chunks. NULL: `body` is the body.
     */
    vsession_body_fn read_body;
    /**
     * Takes the body of a reply below 400, which may be of any length; the reply's own body is then empty. NULL: the reply has it.
     */
    vsession_body_fn write_reply;
    /**
     * Passed to both functions. An asynchronous request uses it until its completion.
     */
    void *data;
} vsession_http_request;

/**
 * Receives log messages: the level (a `vsession_log_level`), the text (UTF-8, valid only during the call), and the pointer
 * that was registered. It is called on the thread that makes the message, on several threads at a time, and while the
 * library holds no lock. It may call any function of the library.
 */
typedef void (*vsession_log_fn)(int32_t level, const char *message, void *data);

/**
 * An element of a reply or of a fault: a small value, which is passed and copied as such and never freed. It is valid as long as
 * the reply or the error that it came from. `{0}` is the null node, which every function takes and which is returned where there
 * is no such element.
 *
 * Names are those without prefixes, in paths too. A step to another node scans the text that it passes: it takes no memory, and
 * no two threads disturb each other. docs/replies.md shows how to read a reply.
 */
typedef struct vsession_node {
    /**
     * Not for the program.
     */
    uint64_t reserved[4];
} vsession_node;

/**
 * A part of a reply or of a fault: its address and its length in bytes. No NUL follows it. UTF-8. `{NULL, 0}`: there is none; an
 * empty text has an address.
 */
typedef struct vsession_text {
    /**
     * The first byte; NULL: there is no text.
     */
    const char *data;
    /**
     * How many bytes.
     */
    size_t length;
} vsession_text;

/**
 * Takes a page of `vsession_retrieve`: the reply to RetrievePropertiesEx or ContinueRetrievePropertiesEx, which is valid only during
 * the call. `data` is the pointer in `vsession_retrieval`. Returns 0 to go on; any other number ends the retrieval, which then
 * returns VSESSION_OK.
 *
 * It runs on the thread that called `vsession_retrieve`. The library holds no lock meanwhile and has no request under way, so
 * it may call any function of the library, on the same session too. Neither deadline nor token ends it; both count again when it
 * returns.
 */
typedef int32_t (*vsession_page_fn)(void *data, const struct vsession_reply *page);

/**
 * What `vsession_retrieve` reads. Initialise it with `VSESSION_RETRIEVAL_INIT`.
 */
typedef struct vsession_retrieval {
    /**
     * `sizeof(vsession_retrieval)`. A smaller size ends behind `on_page`; the rest counts as zero.
     */
    size_t struct_size;
    /**
     * XML: one `specSet` element or more, as in the arguments of RetrievePropertiesEx: what to read (`propSet`), and where to look
     * for objects (`objectSet`). Without `options`, which `max_objects` stands for.
     */
    const char *specifications;
    /**
     * How many objects a page has at most. 0: the server decides, and may put all of them into one page.
     */
    uint32_t max_objects;
    /**
     * Must be zero.
     */
    int32_t reserved;
    /**
     * Takes the pages, in order. Must not be NULL.
     */
    vsession_page_fn on_page;
    /**
     * Passed to `on_page`.
     */
    void *data;
} vsession_retrieval;

/**
 * A call of a method: of vim25, or of another SOAP service of the server (docs/services.md). Initialise it with
 * `VSESSION_SOAP_CALL_INIT`.
 */
typedef struct vsession_soap_call {
    /**
     * `sizeof(vsession_soap_call)`. A smaller size ends behind `this_type` or a later member; the others count as zero.
     */
    size_t struct_size;
    /**
     * The method, for example `CurrentTime`. Methods that end a session or make another one are refused, on any object, of any
     * service and for nobody too: `Logout`, `CloneSession`, `ImpersonateUser`, all whose names begin with `Login`, and
     * `VslmLoginByToken` and `VslmLogout`. Use `vsession_login` and `vsession_logout`.
     */
    const char *method;
    /**
     * The type of the managed object that the method is called on, for example `ServiceInstance` or `VirtualMachine`.
     */
    const char *this_type;
    /**
     * The id of that object, for example `vm-42`. NULL: the only object of this type in the server's ServiceContent
     * (ServiceInstance, SessionManager, PropertyCollector, ...), whose ids differ between vCenter and ESXi. Other services than vim25
     * need it. `method`, `this_type` and `this_id` are at most 1,024 bytes long.
     */
    const char *this_id;
    /**
     * The arguments: XML elements in the order of the API's definition, without `_this`, in no namespace of their own.
     * The prefixes `xsi:` and `xsd:` may be used. XML that is not well-formed is refused, with its line and column in the
     * message. They end with a NUL. NULL: no arguments, or those of `arguments_bytes`.
     */
    const char *arguments;
    /**
     * The length of `arguments_bytes` in bytes. 0 without them.
     */
    size_t arguments_length;
    /**
     * The arguments as text that does not end with a NUL; `arguments_length` is its length, and may be 0. NULL with `arguments`.
     */
    const char *arguments_bytes;
    /**
     * The path of another SOAP service on the same server, for example `/pbm`. NULL: vim25. The paths that `vsession_http`
     * refuses are refused here too.
     */
    const char *service_path;
    /**
     * The namespace of that service, for example `urn:pbm`. Needed with `service_path`.
     */
    const char *service_namespace;
    /**
     * The version of that service, at most 64 bytes of printable ASCII. The `SOAPAction` is `urn:pbm/2.0` with the version `2.0`. NULL: the
     * `SOAPAction` names no version (`urn:pbm/`), which the services take as their own.
     */
    const char *service_version;
    /**
     * Elements for the SOAP header, behind the library's own: XML as in `arguments`, in the namespace of SOAP where they declare no other.
     * `operationID` and `vcSessionCookie` are refused: the library writes them. NULL: none.
     */
    const char *soap_header;
    /**
     * Non-zero: the call is nobody's. It needs no session, logs nobody in and sends no cookie, and neither a success nor a fault says
     * anything about the session. `require_epoch` must be 0. A vim25 call asks the server first for the version of its API, without
     * credentials, if no login or call has done so.
     */
    int32_t anonymous;
    /**
     * Must be zero.
     */
    int32_t reserved;
} vsession_soap_call;

/**
 * Is told how a task comes on: its state, `queued` or `running`, which is valid only during the call, and its progress in percent, or -1
 * if the server does not say it. `data` is the pointer in `vsession_task_wait`.
 *
 * It runs on the thread that called `vsession_wait_for_task`. The library holds no lock meanwhile and has no request under
 * way, so it may call any function of the library; to end the wait, it fires the call's token.
 */
typedef void (*vsession_progress_fn)(void *data, const char *state, int32_t percent);

/**
 * How to wait for a task. Initialise it with `VSESSION_TASK_WAIT_INIT`, or pass NULL.
 */
typedef struct vsession_task_wait {
    /**
     * `sizeof(vsession_task_wait)`. A smaller size ends behind `on_progress`; the rest counts as zero.
     */
    size_t struct_size;
    /**
     * Is called when state or progress of the task have changed, until it has ended. NULL: nobody is told.
     */
    vsession_progress_fn on_progress;
    /**
     * Passed to `on_progress`.
     */
    void *data;
} vsession_task_wait;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Makes a cancellation token.
 *
 * Threads: safe from any thread. Blocks: never. Owner: the caller frees it with `vsession_cancel_free`.
 * Errors: VSESSION_E_INVALID_ARGUMENT.
 */
vsession_status vsession_cancel_new(struct vsession_cancel *out, struct vsession_error **err);

/**
 * Fires a token: every call that was given the token and still waits returns VSESSION_E_CANCELLED, and so does every
 * later call with it, until the token is reset. A reply that has already arrived is returned. A login that other
 * callers wait for continues for them.
 *
 * Threads: safe from any thread, before, during or after the calls. Blocks: never.
 * Errors: VSESSION_E_INVALID_HANDLE; VSESSION_E_CLOSED when the token was freed.
 */
vsession_status vsession_cancel_fire(struct vsession_cancel cancel);

/**
 * Makes a fired token usable again. Calls that are about to return may or may not still see it as fired.
 *
 * Threads: safe from any thread. Blocks: never. Errors: VSESSION_E_INVALID_HANDLE; VSESSION_E_CLOSED when the token
 * was freed.
 */
vsession_status vsession_cancel_reset(struct vsession_cancel cancel);

/**
 * Frees a token. Calls that use it continue and can no longer be ended by it. The null handle is allowed and does
 * nothing.
 *
 * Threads: safe from any thread. Blocks: never. Errors: VSESSION_E_INVALID_HANDLE; VSESSION_E_CLOSED when it was freed
 * before.
 */
vsession_status vsession_cancel_free(struct vsession_cancel cancel);

/**
 * Asks the server at `url` for its certificates without trusting them. Nothing is sent except the TLS handshake. The
 * server must hold the key of its certificate; a certificate whose key cannot be checked here is returned all the
 * same, and no session will trust it. A program can show the certificates to its user and then set `tls.thumbprint`.
 *
 * With `config`, the connection is made with its options (proxy, TLS version, client certificate, timeouts), and `url`
 * may be NULL for the server that the configuration names. The null handle stands for the defaults.
 *
 * Threads: safe from any thread. Blocks: until the handshake is done, the deadline passes or the token fires.
 * Owner: the caller frees the result with `vsession_certificates_free`.
 * Errors: VSESSION_E_INVALID_ARGUMENT; VSESSION_E_INVALID_HANDLE; VSESSION_E_CLOSED for the configuration;
 * VSESSION_E_CONFIG; errors of the network.
 */
vsession_status vsession_probe_certificate(const char *url,
                                           struct vsession_config config,
                                           const struct vsession_call_options *options,
                                           struct vsession_certificates **out,
                                           struct vsession_error **err);

/**
 * Returns how many certificates the server sent.
 *
 * Threads: safe from any thread. Blocks: never.
 */
size_t vsession_certificates_count(const struct vsession_certificates *certificates);

/**
 * Returns the subject of a certificate (RFC 4514), for example `CN=vc.example.com,O=Example`.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the result is freed.
 */
const char *vsession_certificates_subject(const struct vsession_certificates *certificates, size_t index);

/**
 * Returns the issuer of a certificate (RFC 4514).
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the result is freed.
 */
const char *vsession_certificates_issuer(const struct vsession_certificates *certificates, size_t index);

/**
 * Returns the start of the validity of a certificate: milliseconds since 1970, UTC.
 *
 * Threads: safe from any thread. Blocks: never.
 */
int64_t vsession_certificates_not_before_ms(const struct vsession_certificates *certificates, size_t index);

/**
 * Returns the end of the validity of a certificate: milliseconds since 1970, UTC.
 *
 * Threads: safe from any thread. Blocks: never.
 */
int64_t vsession_certificates_not_after_ms(const struct vsession_certificates *certificates, size_t index);

/**
 * Returns the SHA-256 thumbprint of a certificate, in the form that `tls.thumbprint` takes: `AB:CD:...`.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the result is freed.
 */
const char *vsession_certificates_thumbprint_sha256(const struct vsession_certificates *certificates, size_t index);

/**
 * Returns the SHA-1 thumbprint of a certificate, to compare with what older tools show.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the result is freed.
 */
const char *vsession_certificates_thumbprint_sha1(const struct vsession_certificates *certificates, size_t index);

/**
 * Frees certificates. NULL is allowed and does nothing.
 *
 * Threads: safe from any thread, once for each object. Blocks: never.
 */
void vsession_certificates_free(struct vsession_certificates *certificates);

/**
 * Makes a configuration for the server at `url`: `[https://][user[:password]@]host[:port][/path]`; the path is `/sdk`
 * by default. `http://` is accepted too, and sends password and cookie in the clear. All options have their defaults;
 * see docs/options.md.
 *
 * Threads: safe from any thread. Blocks: never. Owner: the caller frees it with `vsession_config_free`; `url` remains
 * the caller's.
 * Errors: VSESSION_E_INVALID_ARGUMENT.
 */
vsession_status vsession_config_new(const char *url, struct vsession_config *out, struct vsession_error **err);

/**
 * Makes a configuration from the environment variables that `govc` uses: GOVC_URL, GOVC_USERNAME, GOVC_PASSWORD,
 * GOVC_INSECURE, GOVC_TLS_CA_CERTS, GOVC_TLS_KNOWN_HOSTS, GOVC_CERTIFICATE, GOVC_PRIVATE_KEY, GOVMOMI_LOCALE. As in
 * `govc`, GOVC_USERNAME and GOVC_PASSWORD may be paths of files. The files are read once, now, and white space around
 * their contents is ignored.
 *
 * Threads: safe from any thread while no thread changes the environment. Blocks: only to read these two files.
 * Owner: the caller frees it with `vsession_config_free`. Errors: VSESSION_E_CONFIG, whose message names the variable;
 * VSESSION_E_INVALID_ARGUMENT.
 */
vsession_status vsession_config_from_env(struct vsession_config *out, struct vsession_error **err);

/**
 * Sets an option by its name; docs/options.md lists the names and values. Sessions that are already open are not
 * affected.
 *
 * Threads: safe from any thread. Blocks: never. Owner: the strings remain the caller's.
 * Errors: VSESSION_E_INVALID_ARGUMENT, whose message names the option and its valid values; VSESSION_E_INVALID_HANDLE;
 * VSESSION_E_CLOSED.
 */
vsession_status vsession_config_set(struct vsession_config config,
                                    const char *name,
                                    const char *value,
                                    struct vsession_error **err);

/**
 * Makes sessions that are opened from now on put their events into `queue`. The null handle: into no queue.
 *
 * Threads: safe from any thread. Blocks: never. Owner: the queue remains the caller's.
 * Errors: VSESSION_E_INVALID_HANDLE; VSESSION_E_CLOSED for the configuration; VSESSION_E_INVALID_ARGUMENT for a queue
 * that was freed.
 */
vsession_status vsession_config_set_queue(struct vsession_config config,
                                          struct vsession_queue queue,
                                          struct vsession_error **err);

/**
 * Makes sessions that are opened from now on use `function` as their keep-alive probe, in place of the option
 * `keepalive.probe`. NULL: the probe is CurrentTime again. If `free_data` is not NULL, it is called once with `data`
 * when the last session and configuration that use the function are gone.
 *
 * Threads: safe from any thread; `function` must be, too. Blocks: never.
 * Owner: `data` remains the caller's, or is passed to `free_data` at the end; after an error it remains the caller's
 * in any case.
 * Errors: VSESSION_E_INVALID_HANDLE; VSESSION_E_CLOSED.
 */
vsession_status vsession_config_set_keepalive_fn(struct vsession_config config,
                                                 vsession_keepalive_fn function,
                                                 void *data,
                                                 void (*free_data)(void *data),
                                                 struct vsession_error **err);

/**
 * Frees a configuration. Sessions that were opened with it stay open. The null handle is allowed and does nothing.
 *
 * Threads: safe from any thread. Blocks: never. Errors: VSESSION_E_INVALID_HANDLE; VSESSION_E_CLOSED when it was freed
 * before.
 */
vsession_status vsession_config_free(struct vsession_config config);

/**
 * Makes sessions that are opened from now on ask `function` for user name and password at each login, in place of the
 * options `username`, `password` and `password_file`. NULL: the options are used again. After refused credentials the
 * function is asked again from time to time, and its answer is only sent if it differs from what was refused. If
 * `free_data` is not NULL, it is called once with `data` when the last session and configuration that use the function
 * are gone.
 *
 * Threads: safe from any thread; `function` must be, too. Blocks: never.
 * Owner: `data` remains the caller's, or is passed to `free_data` at the end; after an error it remains the caller's
 * in any case.
 * Errors: VSESSION_E_INVALID_HANDLE; VSESSION_E_CLOSED.
 */
vsession_status vsession_config_set_credentials_fn(struct vsession_config config,
                                                   vsession_credentials_fn function,
                                                   void *data,
                                                   void (*free_data)(void *data),
                                                   struct vsession_error **err);

/**
 * Fills in user name and password, from inside a credentials function. Both strings are copied. An empty user name,
 * and characters that XML cannot carry, are refused here. An empty password is refused at login unless the option
 * `allow_empty_password` is set.
 *
 * Threads: only on the thread that runs the credentials function. Blocks: never. Owner: the strings remain the
 * caller's.
 * Errors: VSESSION_E_INVALID_ARGUMENT.
 */
vsession_status vsession_credentials_set(struct vsession_credentials *credentials,
                                         const char *username,
                                         const char *password);

/**
 * Says why there are no credentials, from inside a credentials function. The message becomes part of the login's
 * error.
 *
 * Threads: only on the thread that runs the credentials function. Blocks: never. Owner: the string remains the
 * caller's.
 * Errors: VSESSION_E_INVALID_ARGUMENT.
 */
vsession_status vsession_credentials_fail(struct vsession_credentials *credentials, const char *message);

/**
 * Returns the status of the failed call; `VSESSION_OK` for NULL.
 *
 * Threads: safe from any thread. Blocks: never.
 */
vsession_status vsession_error_status(const struct vsession_error *error);

/**
 * Returns what went wrong and what to do next, in English, for people. Never NULL; empty for a NULL error. The message
 * holds no secret of the request, even when the server repeats one.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the error is freed.
 */
const char *vsession_error_message(const struct vsession_error *error);

/**
 * Returns the vim25 type of the SOAP fault, for example `InvalidLogin`. NULL when the server sent no fault or did not
 * name it.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the error is freed.
 */
const char *vsession_error_fault_name(const struct vsession_error *error);

/**
 * Returns what the server says about the fault, in any language: the whole `faultstring` of a SOAP fault or of a fault of VI JSON, of which
 * `vsession_error_message` shows the beginning. Secrets of the request are removed from it. NULL when the server sent no fault or
 * said nothing, when the text is larger than 1 MiB, or when there is not enough memory to copy it.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the error is freed.
 */
const char *vsession_error_fault_string(const struct vsession_error *error);

/**
 * Returns the code of the SOAP fault as the server sent it, with its prefix, for example `ServerFaultCode` or
 * `soapenv:VersionMismatch`. NULL when the server sent no SOAP fault or no code.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the error is freed.
 */
const char *vsession_error_fault_code(const struct vsession_error *error);

/**
 * Returns the detail element of the SOAP fault as the server sent it, as an XML document of its own: it declares all prefixes
 * that it uses in names and in values. Secrets of the request are removed from it. NULL when there is no detail, when it is
 * larger than 1 MiB, or when there is not enough memory to copy it. `vsession_error_fault_root` reads it without an XML library.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the error is freed.
 */
const char *vsession_error_fault_xml(const struct vsession_error *error);

/**
 * Returns what a REST service calls the error, its `error_type`, for example `NOT_FOUND`; also for the older API below
 * `/rest`, whose type names are translated. NULL when no REST service answered.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the error is freed.
 */
const char *vsession_error_service_error(const struct vsession_error *error);

/**
 * Returns the whole body of the reply that was no success, and its length in `length`, which may be NULL: the SOAP envelope
 * with the fault, the error of a REST service, the page of a proxy. A NUL follows it, which does not count. Secrets of the
 * request are removed from it; where one cannot be cut out, a note stands in place of the body. Of a refusal of
 * `vsession_http` that was cut off it is the part that arrived. NULL, with length 0, when no body arrived, when it is
 * empty, when that of a call is larger than 1 MiB, or when there is not enough memory to copy it.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the error is freed.
 */
const char *vsession_error_body(const struct vsession_error *error,
                                size_t *length);

/**
 * Returns the HTTP status of the reply; 0 when none arrived, or when one that was no refusal ended too early.
 *
 * Threads: safe from any thread. Blocks: never.
 */
int32_t vsession_error_http_status(const struct vsession_error *error);

/**
 * Returns the operation id of the request, which vCenter writes into its log. NULL when no request was made.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the error is freed.
 */
const char *vsession_error_operation_id(const struct vsession_error *error);

/**
 * Returns the `errno` behind the error; 0 when there is none.
 *
 * Threads: safe from any thread. Blocks: never.
 */
int32_t vsession_error_os_error(const struct vsession_error *error);

/**
 * Returns whether the same call may succeed later without a change: after an outage, an overload or a deadline.
 * Whether the call can be repeated without running twice is another question; see `vsession_error_executed`.
 *
 * Threads: safe from any thread. Blocks: never.
 */
bool vsession_error_retriable(const struct vsession_error *error);

/**
 * Returns how long to wait before the call is repeated, in milliseconds; 0 when that is not known. Either the server
 * asked for a pause (`Retry-After` in a reply that makes the error retriable, such as HTTP 429 and 503), or a login
 * failed and the next automatic login has to wait, or too many calls wait for a connection (`VSESSION_E_OVERLOADED`).
 * After a failed login, the call that waited for it is told, and so are later calls, which make no request before that
 * time has passed. Where the error is not retriable, that login is likely to fail like the last one. The library's own
 * logins and probes observe a `Retry-After`, but wait no longer than `relogin.max_backoff_ms`. A program that repeats a
 * call should observe the whole pause.
 *
 * Threads: safe from any thread. Blocks: never.
 */
uint32_t vsession_error_retry_after_ms(const struct vsession_error *error);

/**
 * Returns whether the server ran the failed call. Only `VSESSION_EXECUTED_NO` makes it safe to repeat a call that is
 * not idempotent. docs/conventions.md has a table.
 *
 * Threads: safe from any thread. Blocks: never.
 */
vsession_executed vsession_error_executed(const struct vsession_error *error);

/**
 * Frees an error. NULL is allowed and does nothing. Do not free the error of an event.
 *
 * Threads: safe from any thread, once for each object. Blocks: never.
 */
void vsession_error_free(struct vsession_error *error);

/**
 * Returns what kind of event this is (a `vsession_event_kind`); 0 for NULL.
 *
 * Threads: safe from any thread. Blocks: never.
 */
int32_t vsession_event_get_kind(const struct vsession_event *event);

/**
 * Returns the session that the event is about, which may have been closed since. The null handle for NULL.
 *
 * Threads: safe from any thread. Blocks: never.
 */
struct vsession vsession_event_session(const struct vsession_event *event);

/**
 * Returns which of the two sessions of the handle the event is about, a `vsession_service`: that of vim25 or that of
 * REST. 0 for NULL.
 *
 * Threads: safe from any thread. Blocks: never.
 */
int32_t vsession_event_service(const struct vsession_event *event);

/**
 * Returns the state before the event.
 *
 * Threads: safe from any thread. Blocks: never.
 */
vsession_state vsession_event_old_state(const struct vsession_event *event);

/**
 * Returns the state after the event.
 *
 * Threads: safe from any thread. Blocks: never.
 */
vsession_state vsession_event_new_state(const struct vsession_event *event);

/**
 * Returns why the event happened.
 *
 * Threads: safe from any thread. Blocks: never.
 */
vsession_reason vsession_event_reason(const struct vsession_event *event);

/**
 * Returns the epoch before the event; 0 when the session had never logged in.
 *
 * Threads: safe from any thread. Blocks: never.
 */
uint64_t vsession_event_old_epoch(const struct vsession_event *event);

/**
 * Returns the epoch after the event.
 *
 * Threads: safe from any thread. Blocks: never.
 */
uint64_t vsession_event_new_epoch(const struct vsession_event *event);

/**
 * Returns when the event happened, by this machine's clock: milliseconds since 1970, UTC.
 *
 * Threads: safe from any thread. Blocks: never.
 */
int64_t vsession_event_time_ms(const struct vsession_event *event);

/**
 * Returns how many earlier events of the same kind were merged into this one because nobody had read them.
 *
 * Threads: safe from any thread. Blocks: never.
 */
uint32_t vsession_event_merged(const struct vsession_event *event);

/**
 * Returns the failure behind the event; NULL when there was none.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the event is freed; do not free it.
 */
const struct vsession_error *vsession_event_error(const struct vsession_event *event);

/**
 * Returns the tag of the completed call, as it was passed to `vsession_call_async`; 0 for events of other kinds.
 *
 * Threads: safe from any thread. Blocks: never.
 */
uint64_t vsession_event_tag(const struct vsession_event *event);

/**
 * Returns the reply to the completed call; NULL when the call failed (`vsession_event_error` says why) and for events
 * of other kinds.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the event is freed; do not free it.
 */
const struct vsession_reply *vsession_event_reply(const struct vsession_event *event);

/**
 * Returns the name of a kind of event for people, for example `state changed`, or `unknown` for an unknown number.
 * Never NULL.
 *
 * Threads: safe from any thread. Blocks: never. Owner: a constant: never freed.
 */
const char *vsession_event_kind_name(int32_t kind);

/**
 * Frees an event, with its error and its reply. NULL is allowed and does nothing.
 *
 * Threads: safe from any thread, once for each object. Blocks: never.
 */
void vsession_event_free(struct vsession_event *event);

/**
 * Makes any HTTP request to the server: REST, VI JSON, files, or a service beside vim25, with the method, the headers and the
 * body that `request` says. Through the vim25 session it logs in first when that is necessary and allowed.
 *
 * A status below 400 is success, redirects included, which are not followed. A status of 400 or above is an error, unless
 * `raw` is set: `vsession_error_service_error` is what a REST service calls it, `vsession_error_fault_name` the type of a
 * fault of VI JSON or SOAP, and `vsession_error_body` the whole body. When the server answers that the caller is not
 * authenticated (HTTP 401, the fault NotAuthenticated), the library asks it whether the session is alive. If the session is
 * gone, it is replaced, once for all threads, and the request is sent again. If it is alive, the answer stands.
 *
 * A request runs at most once, unless `idempotent` is set; that holds for GET too. Requests that end the session or make
 * another one are refused. A body in memory is at most as large in a reply as the option `max_reply_bytes` says;
 * `read_body` and `write_reply` move bodies of any length piece by piece. Nothing is sent again once `write_reply` has been called,
 * or when `read_body` cannot begin again. Other servers are out of reach.
 *
 * Threads: safe from any thread; requests of different threads run in parallel. Blocks: until the reply is complete, the
 * deadline passes or the token fires. Owner: the caller frees the reply with `vsession_reply_free`; `request` and `options`
 * remain the caller's.
 * Errors: VSESSION_E_INVALID_ARGUMENT; VSESSION_E_REST; VSESSION_E_HTTP when no service said anything;
 * VSESSION_E_NOT_AUTHENTICATED; VSESSION_E_NO_PERMISSION; VSESSION_E_FAULT; VSESSION_E_INVALID_LOGIN;
 * VSESSION_E_SESSION_CHANGED; VSESSION_E_CLOSED; errors of the network and of the server. `vsession_error_executed` says
 * whether the server ran the request.
 */
vsession_status vsession_http(struct vsession session,
                              const struct vsession_http_request *request,
                              const struct vsession_call_options *options,
                              struct vsession_reply **out,
                              struct vsession_error **err);

/**
 * Starts a request as by `vsession_http` and returns. When it ends, an event of the kind `VSESSION_EVENT_COMPLETION` with
 * this `tag` and the reply or the error is put into `queue`: exactly one, however the request ends. Functions for bodies and
 * their data must live until then. It counts among the
 * calls that `max_async_calls` allows; see `vsession_call_async`. A `WaitForUpdatesEx` by VI JSON takes one of
 * `max_long_polls`.
 *
 * Threads: safe from any thread. Blocks: never. Owner: all arguments are copied and remain the caller's.
 * Errors: VSESSION_E_INVALID_ARGUMENT; VSESSION_E_INVALID_HANDLE; VSESSION_E_CLOSED; VSESSION_E_OVERLOADED. After an error
 * there is no event.
 */
vsession_status vsession_http_async(struct vsession session,
                                    const struct vsession_http_request *request,
                                    const struct vsession_call_options *options,
                                    struct vsession_queue queue,
                                    uint64_t tag,
                                    struct vsession_error **err);

/**
 * Returns the epoch of the login: 1 for the first login of a session, and so on. 0 for NULL.
 *
 * Threads: safe from any thread. Blocks: never.
 */
uint64_t vsession_info_epoch(const struct vsession_info *info);

/**
 * Returns the session's cookie as an HTTP client sends it, `vmware_soap_session="..."`, with the quotes that the server gave
 * it: for curl and for other clients that send headers of the caller's. It is the cookie of this login, the one that the epoch and the key of
 * this info belong to. The cookie is a secret: it grants the use of the session.
 *
 * Whoever logs the session out, ends it for all. docs/handing-on.md says how to pass a session to curl, govc, pyVmomi
 * and VDDK.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the info is freed. The library zeroes it
 * when the login and its infos are gone; copies are the caller's to zero.
 */
const char *vsession_info_cookie(const struct vsession_info *info);

/**
 * Returns the value of that cookie without its name and without quotes: for `govc session.login -cookie`, pyVmomi's `sessionId`, the
 * `cookie` of a `VixDiskLibConnectParams`, and the header `vmware-api-session-id` of VI JSON. It is as secret as the cookie.
 *
 * Threads: safe from any thread. Blocks: never. Owner: as `vsession_info_cookie`.
 */
const char *vsession_info_cookie_value(const struct vsession_info *info);

/**
 * Returns the id of the REST session, for the header `vmware-api-session-id` and for `govc session.login -r -cookie`. Where the
 * server's vim25 sessions serve REST too, it is the value of the cookie. It is as secret as the cookie. NULL when there
 * was no REST session at the moment of this info: the library makes it at its first use.
 *
 * Threads: safe from any thread. Blocks: never. Owner: as `vsession_info_cookie`.
 */
const char *vsession_info_rest_id(const struct vsession_info *info);

/**
 * Returns the epoch of that REST session, as `vsession_get_rest_epoch` does. 0 when there was none.
 *
 * Threads: safe from any thread. Blocks: never.
 */
uint64_t vsession_info_rest_epoch(const struct vsession_info *info);

/**
 * Returns the server's key of the session (`UserSession.key`). It identifies the session and is not the secret that
 * grants its use.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the info is freed.
 */
const char *vsession_info_key(const struct vsession_info *info);

/**
 * Returns the user name as the server writes it (`UserSession.userName`).
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the info is freed.
 */
const char *vsession_info_user_name(const struct vsession_info *info);

/**
 * Returns the user's full name; empty when the server has none.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the info is freed.
 */
const char *vsession_info_full_name(const struct vsession_info *info);

/**
 * Returns when the login happened, by the server's clock: milliseconds since 1970, UTC; 0 when the server does not
 * say.
 *
 * Threads: safe from any thread. Blocks: never.
 */
int64_t vsession_info_login_time_ms(const struct vsession_info *info);

/**
 * Returns when the server last saw the session, as of the login or the last refresh: milliseconds since 1970, UTC; 0
 * when the server does not say.
 *
 * Threads: safe from any thread. Blocks: never.
 */
int64_t vsession_info_last_active_ms(const struct vsession_info *info);

/**
 * Returns how many calls the server has counted, as of the login or the last refresh; -1 when the server does not say,
 * 0 for NULL.
 *
 * Threads: safe from any thread. Blocks: never.
 */
int64_t vsession_info_call_count(const struct vsession_info *info);

/**
 * Returns the locale of the session, for example `en_US`; empty when the server does not say.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the info is freed.
 */
const char *vsession_info_locale(const struct vsession_info *info);

/**
 * Returns the locale of the server's messages in this session; empty when the server does not say.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the info is freed.
 */
const char *vsession_info_message_locale(const struct vsession_info *info);

/**
 * Returns the address of this client as the server sees it; empty when the server does not say.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the info is freed.
 */
const char *vsession_info_ip_address(const struct vsession_info *info);

/**
 * Returns the user agent that the server recorded; empty when the server does not say.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the info is freed.
 */
const char *vsession_info_user_agent(const struct vsession_info *info);

/**
 * Returns whether the session belongs to an extension.
 *
 * Threads: safe from any thread. Blocks: never.
 */
bool vsession_info_is_extension(const struct vsession_info *info);

/**
 * Returns a field of the server's `AboutInfo` by its name: `apiType` (`VirtualCenter` or `HostAgent`), `apiVersion`,
 * `fullName`, `instanceUuid`, `version`, `build`, and so on. NULL when the server does not have the field.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the info is freed.
 */
const char *vsession_info_about(const struct vsession_info *info, const char *field);

/**
 * Returns the version of the vim25 API that the library speaks with the server, for example `8.0.2.0`: the one of the option
 * `api_version`, or the newest that the server offers and the option `api_version_max` allows. NULL for NULL.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the info is freed.
 */
const char *vsession_info_api_version(const struct vsession_info *info);

/**
 * Returns the id of a managed object that the server's `ServiceContent` names, by the name of the property:
 * `rootFolder`, `propertyCollector`, `viewManager`, and so on. NULL when the server does not have the property.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the info is freed.
 */
const char *vsession_info_service_id(const struct vsession_info *info, const char *name);

/**
 * Returns the type of that object, for example `Folder`. NULL when the server does not have the property.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the info is freed.
 */
const char *vsession_info_service_type(const struct vsession_info *info, const char *name);

/**
 * Frees an info. NULL is allowed and does nothing.
 *
 * Threads: safe from any thread, once for each object. Blocks: never.
 */
void vsession_info_free(struct vsession_info *info);

/**
 * Returns the version of the library, for example `0.1.0`. Never NULL.
 *
 * Threads: safe from any thread. Blocks: never. Owner: a constant: never freed.
 */
const char *vsession_version(void);

/**
 * Returns the version as a number: major × 1,000,000 + minor × 1,000 + patch.
 *
 * Threads: safe from any thread. Blocks: never.
 */
uint32_t vsession_version_number(void);

/**
 * Returns the name of a status, for example `VSESSION_E_TIMEOUT`, or `VSESSION_E_UNKNOWN` for a number that this
 * version does not know. Never NULL.
 *
 * Threads: safe from any thread. Blocks: never. Owner: a constant: never freed.
 */
const char *vsession_status_name(int32_t status);

/**
 * Returns the name of a state for people, for example `active`, or `invalid` for an unknown number. Never NULL.
 *
 * Threads: safe from any thread. Blocks: never. Owner: a constant: never freed.
 */
const char *vsession_state_name(int32_t state);

/**
 * Returns the name of a reason for people, for example `relogin`, or an empty string for an unknown number. Never
 * NULL.
 *
 * Threads: safe from any thread. Blocks: never. Owner: a constant: never freed.
 */
const char *vsession_reason_name(int32_t reason);

/**
 * Sends the library's log messages to `sink`. Messages above `level` (a `vsession_log_level`; other numbers count as
 * the nearest one) are not made. The process has one sink: a later call replaces it, and NULL or `VSESSION_LOG_OFF`
 * removes it. No message at any level holds a password, cookie or token.
 *
 * The previous sink may still be running on another thread when this function returns, so keep its `data` alive.
 *
 * Threads: safe from any thread. Blocks: never.
 */
void vsession_set_log(int level, vsession_log_fn sink, void *data);

/**
 * Frees a string that the library returned as owned, for example by `vsession_get_cookie`. The bytes are zeroed first.
 * NULL is allowed and does nothing.
 *
 * Threads: safe from any thread, once for each string. Blocks: never.
 */
void vsession_string_free(char *string);

/**
 * Closes every session and ends the threads of the library, so that a program leaves nothing behind at its end. The
 * sessions are closed in parallel, each as by `vsession_close`. Configurations, tokens and queues stay open until
 * their owners free them. The library can be used again afterwards.
 *
 * It waits for logins that were sent and that nobody waits for any more, also of sessions that were closed before, to log
 * their sessions out. At `timeout_ms` it ends them and closes their connections: the server may have made a session that
 * stays there until it has been idle long enough. The error and a warning in the log name server and user.
 *
 * Threads: safe from any thread except those of callbacks. Blocks: up to `timeout_ms`, and a tenth of a second more for
 * what it then ends.
 * Errors: VSESSION_E_TIMEOUT when sessions could not be logged out in time, when a session may have been left on a server,
 * or when a thread is still in one of the program's functions or in the lookup of a name, which nothing can end; otherwise
 * the first error of a close. The sessions are closed in any case. Only a thread of the last kind is left for another
 * vsession_shutdown.
 */
vsession_status vsession_shutdown(uint32_t timeout_ms,
                                  struct vsession_error **err);

/**
 * Makes the library usable in a forked child. Every handle of the parent is a closed one in the child, and new handles
 * can be made. Before this call every function that needs locks or memory returns VSESSION_E_FORKED in the child. The
 * parent is not affected: its sessions remain its own and are not logged out. Memory that the child inherited stays as
 * it is. In a process that is not a forked child this function does nothing.
 *
 * Threads: call it before the child starts threads that use the library. Blocks: never.
 */
vsession_status vsession_after_fork_child(struct vsession_error **err);

/**
 * Returns the response element of the reply to a call, for example `RetrievePropertiesExResponse`. Its children are the return values,
 * `returnval`. The null node for NULL and for a reply of `vsession_http`.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the reply is freed.
 */
struct vsession_node vsession_reply_root(const struct vsession_reply *reply);

/**
 * Returns the first element in the detail of the SOAP fault, which is of the fault's type, for example `InvalidNameFault`. Its children are the
 * properties of the fault; the path `faultCause/fault` leads to the fault that caused it. The null node where
 * `vsession_error_fault_xml` is NULL, and for a detail without elements.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the error is freed.
 */
struct vsession_node vsession_error_fault_root(const struct vsession_error *error);

/**
 * Returns whether this is the null node.
 *
 * Threads: safe from any thread. Blocks: never.
 */
bool vsession_node_is_null(struct vsession_node node);

/**
 * Returns the first element to which a path of names leads, for example `returnval/objects`: of all elements to which it leads, the one
 * that begins first. The null node when there is none, and for a path that is NULL, not UTF-8, or has an empty name or a prefix in
 * it.
 *
 * Threads: safe from any thread. Blocks: never.
 */
struct vsession_node vsession_node_child(struct vsession_node node,
                                         const char *path);

/**
 * Returns the next element with the same parent and the same name: in a loop, all `objects` of a return value. The null node
 * behind the last one.
 *
 * Threads: safe from any thread. Blocks: never.
 */
struct vsession_node vsession_node_next(struct vsession_node node);

/**
 * Returns the first child element, whatever its name. The null node when there is none.
 *
 * Threads: safe from any thread. Blocks: never.
 */
struct vsession_node vsession_node_first(struct vsession_node node);

/**
 * Returns the next element with the same parent, whatever its name. The null node behind the last one.
 *
 * Threads: safe from any thread. Blocks: never.
 */
struct vsession_node vsession_node_sibling(struct vsession_node node);

/**
 * Returns the value of a property of an object in the result of a property read: the `val` of the `propSet` with this `name`, for
 * example `runtime.powerState`. `object` is an `ObjectContent`, for example `returnval/objects` of `RetrievePropertiesEx`. The null
 * node when the object has no such property here, and for a `name` that is NULL or not UTF-8.
 *
 * Threads: safe from any thread. Blocks: never.
 */
struct vsession_node vsession_node_property(struct vsession_node object,
                                            const char *name);

/**
 * Returns the name of the element without its prefix. `{NULL, 0}` for the null node.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the reply or the error is freed.
 */
struct vsession_text vsession_node_name(struct vsession_node node);

/**
 * Returns the text of an element without child elements, which may be empty. References and CDATA sections are resolved, comments are
 * removed, and ends of lines are line feeds. Where nothing must be changed, it is a part of the reply; otherwise the library makes
 * the text when it is first asked for, and keeps it with the reply. `{NULL, 0}` for an element with child elements, for the null
 * node, and when there is not enough memory.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the reply or the error is freed.
 */
struct vsession_text vsession_node_text(struct vsession_node node);

/**
 * Returns the element from its start tag to its end tag, as it is in the reply or in `vsession_error_fault_xml`. Elements around it may
 * declare the prefixes that it uses. `{NULL, 0}` for the null node.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the reply or the error is freed.
 */
struct vsession_text vsession_node_xml(struct vsession_node node);

/**
 * Returns the value of an attribute, for example the `type` of a reference to an object, resolved as a text is. If two attributes of the
 * element differ only in their prefixes, it is the one without a prefix. `xsi:type` is not found by this function; see
 * `vsession_node_type`. `{NULL, 0}` when there is no such attribute, for the null node, for a `name` that is NULL, not UTF-8 or has
 * a prefix, and when there is not enough memory.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the reply or the error is freed.
 */
struct vsession_text vsession_node_attribute(struct vsession_node node,
                                             const char *name);

/**
 * Returns the type that the server states for the element: the value of its attribute `xsi:type`, whatever prefix stands for `xsi`,
 * without the prefix of the type, for example `ManagedObjectReference` or `string`. `{NULL, 0}` when it states none, for the null
 * node, and when there is not enough memory.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the reply or the error is freed.
 */
struct vsession_text vsession_node_type(struct vsession_node node);

/**
 * Reads properties of one object by RetrievePropertiesEx, and logs in first when that is necessary and allowed.
 *
 * `type` and `id` name the object, for example `VirtualMachine` and `vm-42`; an `id` of NULL is the only object of this type in
 * the server's ServiceContent, as in `vsession_soap_call`. `paths` are `count` properties, for example `name` or
 * `config.hardware.numCPU`. In the reply, `returnval/objects` has a `propSet` with `name` and `val` for each property that is set. A property that is not set is
 * missing there, and that is no error.
 *
 * If the server withholds a property (`missingSet`), the call fails with the status of the fault that says why, such as
 * VSESSION_E_NO_PERMISSION; the message names the property. `vsession_error_executed` is then YES. The read may run twice, so
 * it counts as idempotent whatever `options` say. docs/properties.md says what to use for many objects.
 *
 * Threads: safe from any thread; calls of different threads run in parallel. Blocks: until the reply is complete, the
 * deadline passes or the token fires. Owner: the caller frees the reply with `vsession_reply_free`; the strings remain the
 * caller's.
 * Errors: VSESSION_E_INVALID_ARGUMENT, also for a `count` of 0; VSESSION_E_PROTOCOL when the server returned no object,
 * as for a wrong `type`; otherwise those of `vsession_call`.
 */
vsession_status vsession_get_properties(struct vsession session,
                                        const char *type,
                                        const char *id,
                                        const char *const *paths,
                                        size_t count,
                                        const struct vsession_call_options *options,
                                        struct vsession_reply **out,
                                        struct vsession_error **err);

/**
 * Reads the properties of many objects by RetrievePropertiesEx, and hands the reply to a function page by page, to the end
 * (ContinueRetrievePropertiesEx). It logs in first when that is necessary and allowed.
 *
 * A page is what the server sends: `missingSet` entries and objects without properties are no errors here. The deadline covers
 * all pages and the time that `on_page` takes. When the retrieval ends early (`on_page` stops it, a token, a deadline, a close, an error), the
 * library ends it on the server too (CancelRetrievePropertiesEx), in the background and bounded.
 *
 * The pages that follow the first one belong to the session that brought it. If that session is replaced meanwhile, the call fails
 * with VSESSION_E_SESSION_CHANGED, which is retriable: begin again, and forget the pages that have come. After a page was handed out, `vsession_error_executed` is never NO.
 * The request for the first page may run twice and counts as idempotent; the others run at most once.
 *
 * Threads: safe from any thread; calls of different threads run in parallel. Blocks: until the last page was taken, the
 * deadline passes or the token fires. Owner: the pages remain the library's; `retrieval` and `options` the caller's.
 * Errors: VSESSION_E_INVALID_ARGUMENT; VSESSION_E_SESSION_CHANGED; otherwise those of `vsession_call`.
 */
vsession_status vsession_retrieve(struct vsession session,
                                  const struct vsession_retrieval *retrieval,
                                  const struct vsession_call_options *options,
                                  struct vsession_error **err);

/**
 * Makes an event queue. `vsession_config_set_queue` assigns it to a configuration.
 *
 * Threads: safe from any thread. Blocks: never. Owner: the caller frees it with `vsession_queue_free`.
 * Errors: VSESSION_E_INVALID_ARGUMENT; VSESSION_E_RESOURCE when the process has no descriptor left.
 */
vsession_status vsession_queue_new(struct vsession_queue *out, struct vsession_error **err);

/**
 * Returns a file descriptor that is readable exactly while events wait, for poll, epoll, libuv, Go or asyncio. Only
 * wait for it: do not read, write or close it. Returns -1 when the handle is not an open queue.
 *
 * Threads: safe from any thread. Blocks: never. Owner: the queue: valid until the queue is freed.
 */
int32_t vsession_queue_fd(struct vsession_queue queue);

/**
 * Takes the oldest event from the queue and waits up to `timeout_ms` milliseconds for one (0: does not wait). When no
 * event came, `*out` is NULL and the status is VSESSION_OK. Events of one session arrive in the order in which they
 * happened. No event is lost: when unread events of a session pile up, they are merged, from the first state to the
 * last.
 *
 * Threads: safe from any thread; several threads may wait, and each event goes to one of them. Blocks: up to
 * `timeout_ms`.
 * Owner: the caller frees the event with `vsession_event_free`. Errors: VSESSION_E_INVALID_ARGUMENT;
 * VSESSION_E_INVALID_HANDLE; VSESSION_E_CLOSED when the queue was freed, also during the wait.
 */
vsession_status vsession_queue_next(struct vsession_queue queue,
                                    uint32_t timeout_ms,
                                    struct vsession_event **out,
                                    struct vsession_error **err);

/**
 * Frees a queue and the events in it. Threads that wait for an event return VSESSION_E_CLOSED. Sessions that use the
 * queue continue without it. The null handle is allowed and does nothing.
 *
 * Threads: safe from any thread. Blocks: never. Errors: VSESSION_E_INVALID_HANDLE; VSESSION_E_CLOSED when it was freed
 * before.
 */
vsession_status vsession_queue_free(struct vsession_queue queue);

/**
 * Returns the whole SOAP envelope as the server sent it, except that U+FFFD replaces what XML does not allow (see
 * `vsession_reply_repaired`): well-formed XML in UTF-8, NUL-terminated. If `length` is not NULL, it is set to the length in
 * bytes without the NUL. NULL, with length 0, for a NULL reply and for that of `vsession_http`.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the reply is freed.
 */
const char *vsession_reply_xml(const struct vsession_reply *reply,
                               size_t *length);

/**
 * Returns the response element inside the envelope, for example `<CurrentTimeResponse …>…</CurrentTimeResponse>`. It
 * is a part of what `vsession_reply_xml` returns and is not NUL-terminated: its length in bytes is stored in `length`.
 * Prefixes that it uses may be declared on the envelope. NULL, with length 0, for a NULL reply and for that of
 * `vsession_http`.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the reply is freed.
 */
const char *vsession_reply_response(const struct vsession_reply *reply,
                                    size_t *length);

/**
 * Returns how many characters of the reply to a vim25 call were replaced by U+FFFD, because XML does not allow them: control
 * characters, U+FFFE and U+FFFF, references to such characters, and bytes that are not UTF-8, where each maximal part of a
 * sequence counts once. Guests and people put them into names and notes. Usually 0, and always for a reply of
 * `vsession_http`. `vsession_reply_body` returns what the server sent. Do not write a replaced text back to the server.
 *
 * Threads: safe from any thread. Blocks: never.
 */
size_t vsession_reply_repaired(const struct vsession_reply *reply);

/**
 * Returns the text of the return value when that is a single element without children: a string, a number, a time, a
 * reference to a task. Character references and CDATA sections are resolved, and comments are removed. NULL when the
 * method returns nothing or a structure, and for a reply of `vsession_http`.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the reply is freed.
 */
const char *vsession_reply_text(const struct vsession_reply *reply);

/**
 * Returns the epoch of the session that the call went through; 0 for a request that was nobody's. Filters, views and
 * collectors that the call made live as long as that session.
 *
 * Threads: safe from any thread. Blocks: never.
 */
uint64_t vsession_reply_epoch(const struct vsession_reply *reply);

/**
 * Returns the operation id of the request, which vCenter writes into its log.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the reply is freed.
 */
const char *vsession_reply_operation_id(const struct vsession_reply *reply);

/**
 * Returns the status of an HTTP reply, for example 200; 0 for the reply to a vim25 call.
 *
 * Threads: safe from any thread. Blocks: never.
 */
int32_t vsession_reply_http_status(const struct vsession_reply *reply);

/**
 * Returns the value of the first header line with this name, in any case, of an HTTP reply. NULL when there is none, and for
 * the reply to a vim25 call.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the reply is freed.
 */
const char *vsession_reply_header(const struct vsession_reply *reply,
                                  const char *name);

/**
 * Returns the value of the header line with this number, from 0 on, of an HTTP reply, and its name in `name`, which may be
 * NULL. NULL behind the last one, and for the reply to a vim25 call; `name` is then set to NULL.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the reply is freed.
 */
const char *vsession_reply_header_at(const struct vsession_reply *reply,
                                     size_t number,
                                     const char **name);

/**
 * Returns the body of a reply, decompressed, and its length in `length`, which may be NULL. A NUL follows it, which does not
 * count. For the reply to a vim25 call these are the bytes that the server sent: what `vsession_reply_xml` returns where
 * nothing was replaced, and the original where `vsession_reply_repaired` is not 0. NULL, with length 0, for a NULL reply.
 *
 * Threads: safe from any thread. Blocks: never. Owner: borrowed: valid until the reply is freed.
 */
const char *vsession_reply_body(const struct vsession_reply *reply,
                                size_t *length);

/**
 * Frees a reply. NULL is allowed and does nothing. Do not free the reply of an event.
 *
 * Threads: safe from any thread, once for each object. Blocks: never.
 */
void vsession_reply_free(struct vsession_reply *reply);

/**
 * Opens a session with a copy of a configuration. It makes no request: `vsession_login` or the first call logs in. The
 * files that options name are read now.
 *
 * Threads: safe from any thread. Blocks: never on the network.
 * Owner: the caller closes it with `vsession_close`; the configuration remains the caller's.
 * Errors: VSESSION_E_CONFIG when options contradict each other or a file cannot be used; VSESSION_E_INVALID_ARGUMENT;
 * VSESSION_E_INVALID_HANDLE; VSESSION_E_CLOSED for the configuration.
 */
vsession_status vsession_open(struct vsession_config config, struct vsession *out, struct vsession_error **err);

/**
 * Logs in to vim25; the REST session follows at its first request. A session that is already logged in returns VSESSION_OK without a request, unless an earlier answer
 * contradicted what is known of the server; then the server is examined first.
 *
 * However many threads call this at the same time, one login is sent and all of them get its result; each thread waits
 * with its own deadline and token. Credentials that were refused before are sent again, which no other function does.
 * When every waiting thread gives up before the credentials are sent, the login is abandoned; once they are sent, its
 * result is kept. The login itself may take as long as the option `timeout_ms` says, but at most two minutes, whatever
 * the deadlines of the waiting threads.
 *
 * Threads: safe from any thread. Blocks: until the login is decided, the deadline passes or the token fires.
 * Errors: VSESSION_E_INVALID_LOGIN when the credentials are refused; VSESSION_E_CONFIG when there are no credentials;
 * VSESSION_E_CLOSED; errors of the network and of the server.
 */
vsession_status vsession_login(struct vsession session,
                               const struct vsession_call_options *options,
                               struct vsession_error **err);

/**
 * Logs out, of the vim25 session and of the REST session. The handle stays usable, and the library does not log in by itself again before `vsession_login` is
 * called. Without a login it returns VSESSION_OK and makes no request. When the logout of one of them fails, that session is kept and
 * can be logged out again.
 *
 * Both are ended at the same time. If a service hangs, the function returns when the deadline passes; the session with the other
 * service is ended all the same. Without options that may take as long as the option `timeout_ms` says, two minutes by default.
 *
 * Threads: safe from any thread. Blocks: until the server answers, the deadline passes or the token fires.
 * Errors: VSESSION_E_CLOSED; errors of the network and of the server.
 */
vsession_status vsession_logout(struct vsession session,
                                const struct vsession_call_options *options,
                                struct vsession_error **err);

/**
 * Closes a session. Calls of other threads end with VSESSION_E_CLOSED, the session on the server is logged out (unless
 * the option `close.logout` is false), and the handle is closed.
 *
 * The handle is closed whatever the status: an error means that the logout failed, or that `options` were invalid and
 * the defaults were used. Closing a closed session, or the null handle, returns VSESSION_OK. The vim25 session and the REST session
 * are logged out at the same time. If a service hangs, the function returns when the deadline passes; the session with the other
 * service is ended all the same. Without options that may take as long as the option `timeout_ms` says, two minutes by default. A
 * program that must end quickly passes a deadline, and no token that has fired.
 *
 * Threads: safe from any thread, at any time. Blocks: until the server answers, the deadline passes or the token
 * fires.
 * Errors: VSESSION_E_INVALID_HANDLE; VSESSION_E_INVALID_ARGUMENT; errors of the network and of the server.
 */
vsession_status vsession_close(struct vsession session,
                               const struct vsession_call_options *options,
                               struct vsession_error **err);

/**
 * Returns the state of the session. It makes no request and does not wait, not even during a login: two loads from
 * memory. A closed handle gives `VSESSION_STATE_CLOSED`, and one that never was a session `VSESSION_STATE_INVALID`.
 *
 * Threads: safe from any thread. Blocks: never: wait-free.
 */
vsession_state vsession_get_state(struct vsession session);

/**
 * Returns the epoch of the session: how many logins it has had. The epoch grows when the session is replaced. A
 * program that keeps filters, views or collectors compares it with the epoch under which it made them. 0 before the
 * first login, and for a handle that is not an open session.
 *
 * Threads: safe from any thread. Blocks: never: wait-free.
 */
uint64_t vsession_get_epoch(struct vsession session);

/**
 * Returns the state of the REST session of this handle, as `vsession_get_state` does for the vim25 session. The first request
 * of `vsession_http` through the REST session makes it; until then the state is `VSESSION_STATE_LOGGED_OUT`. Where the vim25 session
 * serves REST, the REST session ends with it, and the next vim25 session serves REST from its login on; only `UNREACHABLE` is each
 * service's own.
 *
 * Threads: safe from any thread. Blocks: never: wait-free.
 */
vsession_state vsession_get_rest_state(struct vsession session);

/**
 * Returns the epoch of the REST session, as `vsession_get_epoch` does for the vim25 session. 0 before its first login, and for a
 * handle that is not an open session. While the vim25 session serves REST, it is the epoch of the vim25 session, unless REST had a
 * session of its own before.
 *
 * Threads: safe from any thread. Blocks: never: wait-free.
 */
uint64_t vsession_get_rest_epoch(struct vsession session);

/**
 * Returns the identity of the session as of the login or the last refresh. It makes no request. While a session is
 * being replaced, the result is the old identity or the new one, never a mixture. When the library knows that the
 * session is gone and no new one has replaced it (`VSESSION_STATE_EXPIRED`, `VSESSION_STATE_REJECTED`), there is no
 * identity until the next login succeeds.
 *
 * Threads: safe from any thread. Blocks: never. Owner: the caller frees it with `vsession_info_free`.
 * Errors: VSESSION_E_NOT_AUTHENTICATED when there is no session; VSESSION_E_INVALID_ARGUMENT;
 * VSESSION_E_INVALID_HANDLE; VSESSION_E_CLOSED.
 */
vsession_status vsession_get_info(struct vsession session, struct vsession_info **out, struct vsession_error **err);

/**
 * Asks the server who is logged in (`SessionManager.currentSession`). The request needs no privilege and counts as
 * activity of the session. This function never logs in. `out` may be NULL.
 *
 * Threads: safe from any thread. Blocks: until the server answers, the deadline passes or the token fires.
 * Owner: the caller frees the info with `vsession_info_free`.
 * Errors: VSESSION_E_NOT_AUTHENTICATED when the server does not know the session; VSESSION_E_CLOSED; errors of the
 * network and of the server.
 */
vsession_status vsession_refresh(struct vsession session,
                                 const struct vsession_call_options *options,
                                 struct vsession_info **out,
                                 struct vsession_error **err);

/**
 * Asks the server whether the session is alive, by `SessionIsActive`, or by `currentSession` when the account lacks
 * the privilege for that method (the fault NoPermission or NotAuthenticated) or the server lacks the method
 * (NotSupported, NotImplemented, MethodNotFound, InvalidRequest). This function never logs in. Without a session the
 * answer is `false`. When the question cannot be asked, or is answered with another fault, the function returns an
 * error, which says nothing about the session.
 *
 * Threads: safe from any thread. Blocks: until the server answers, the deadline passes or the token fires.
 * Errors: VSESSION_E_INVALID_ARGUMENT; VSESSION_E_CLOSED; errors of the network and of the server.
 */
vsession_status vsession_is_active(struct vsession session,
                                   const struct vsession_call_options *options,
                                   bool *out,
                                   struct vsession_error **err);

/**
 * Returns a copy of the session's cookie, `vmware_soap_session="..."`, with the quotes that the server gave it. The cookie
 * is a secret: it grants the use of the session. `vsession_info_cookie` is the same without a copy, together with the
 * epoch and the identity of the same login. There is a cookie whenever `vsession_get_info` returns an identity.
 *
 * Threads: safe from any thread. Blocks: never. Owner: the caller frees it with `vsession_string_free`, which zeroes
 * it.
 * Errors: VSESSION_E_NOT_AUTHENTICATED when there is no session; VSESSION_E_INVALID_ARGUMENT;
 * VSESSION_E_INVALID_HANDLE; VSESSION_E_CLOSED.
 */
vsession_status vsession_get_cookie(struct vsession session,
                                    char **out,
                                    struct vsession_error **err);

/**
 * Calls a method through the session, and logs in first when that is necessary and allowed: of vim25, or of another SOAP service of the
 * server (`service_path` in `vsession_soap_call`; docs/services.md). A call that is `anonymous` goes through no session.
 *
 * When the server answers that the caller is not authenticated, the library asks it whether the session is alive. If
 * the session is gone, it is replaced, once for all threads, and the call is sent again. If it is alive, the account
 * lacks a privilege, and the fault is returned. When an answer contradicts what the library knows of the server, the library
 * asks it again what it is; if it is another one, the call is sent again, provided that it did not run. A call runs at most once, unless `idempotent` is set. A new session
 * that ends before it has brought a successful call is replaced once; after that the library waits as after a failed login
 * (`vsession_error_retry_after_ms`). Methods that end the session or make another one are refused; see `method` in
 * `vsession_soap_call`.
 *
 * A failure of another service changes neither the session's state nor what the library knows of the server, and its success proves
 * nothing about the session. When it answers that the caller is not authenticated, the session is checked and replaced as above.
 *
 * Threads: safe from any thread; calls of different threads run in parallel. Blocks: until the reply is complete, the
 * deadline passes or the token fires. Owner: the caller frees the reply with `vsession_reply_free`; `call` and
 * `options` remain the caller's.
 * Errors: VSESSION_E_INVALID_ARGUMENT; VSESSION_E_INVALID_LOGIN, also when the credentials were refused earlier;
 * VSESSION_E_NOT_AUTHENTICATED; VSESSION_E_NO_PERMISSION; VSESSION_E_FAULT; VSESSION_E_SESSION_CHANGED;
 * VSESSION_E_CLOSED; errors of the network and of the server. `vsession_error_executed` says whether the server ran
 * the call.
 */
vsession_status vsession_call(struct vsession session,
                              const struct vsession_soap_call *call,
                              const struct vsession_call_options *options,
                              struct vsession_reply **out,
                              struct vsession_error **err);

/**
 * Starts keep-alive, or changes its interval. When the session has not been used for `interval_ms` milliseconds (0:
 * the option `keepalive.interval_ms`), the library probes the server. A login starts keep-alive by itself; logout and
 * close end it. A failed probe does not end it: the library tries again after growing pauses, and puts an event into
 * the queue.
 *
 * Threads: safe from any thread. Blocks: never. Errors: VSESSION_E_INVALID_ARGUMENT for an interval from 1 to 999;
 * VSESSION_E_INVALID_HANDLE; VSESSION_E_CLOSED.
 */
vsession_status vsession_keepalive_start(struct vsession session, uint32_t interval_ms, struct vsession_error **err);

/**
 * Stops keep-alive until `vsession_keepalive_start` or the next `vsession_login` that logs in. It does not wait for a
 * probe that is already running.
 *
 * Threads: safe from any thread. Blocks: never. Errors: VSESSION_E_INVALID_HANDLE; VSESSION_E_CLOSED.
 */
vsession_status vsession_keepalive_stop(struct vsession session, struct vsession_error **err);

/**
 * Gives the session another password for later logins. It takes precedence over the options and the credentials
 * function. The user name is that of the option `username`, or of the credentials function when that option is not
 * set.
 *
 * The session leaves `VSESSION_STATE_REJECTED`: the library may log in by itself again. A password that the server has
 * already refused for this user is not accepted: the function returns VSESSION_E_INVALID_LOGIN, and neither the state
 * nor the password that was set before changes. Only `vsession_login` sends refused credentials again. After 64
 * refused pairs of user name and password, the library sends by itself only the pair that was accepted last.
 *
 * Threads: safe from any thread. Blocks: never. Owner: the string remains the caller's.
 * Errors: VSESSION_E_INVALID_ARGUMENT, also for an empty password unless the option `allow_empty_password` is set;
 * VSESSION_E_INVALID_LOGIN; VSESSION_E_INVALID_HANDLE; VSESSION_E_CLOSED.
 */
vsession_status vsession_set_password(struct vsession session, const char *password, struct vsession_error **err);

/**
 * Starts a call as by `vsession_call` and returns. When the call ends, an event of the kind
 * `VSESSION_EVENT_COMPLETION` with this `tag` and the reply or the error is put into `queue`. Every call that was
 * started ends with exactly one such event, also when it is cancelled or the session is closed. Calls share a few
 * threads of the library, and a call that waits for the server holds none of them: thousands of calls may be under
 * way. The deadline runs from now. When the system provides no thread for a call, the call is not sent and ends at
 * once with VSESSION_E_RESOURCE.
 *
 * A session has at most `max_async_calls` (an option, 16,384 by default) under way: one more fails with
 * VSESSION_E_OVERLOADED and is not sent, and another may be started as soon as one of them has completed. For a
 * `WaitForUpdatesEx` that waits for changes, use `VSESSION_NO_TIMEOUT` and a token; see the option `max_long_polls`.
 *
 * Threads: safe from any thread. Blocks: never. Owner: all arguments are copied and remain the caller's.
 * Errors: VSESSION_E_INVALID_ARGUMENT; VSESSION_E_INVALID_HANDLE; VSESSION_E_CLOSED; VSESSION_E_OVERLOADED. After an
 * error there is no event.
 */
vsession_status vsession_call_async(struct vsession session,
                                    const struct vsession_soap_call *call,
                                    const struct vsession_call_options *options,
                                    struct vsession_queue queue,
                                    uint64_t tag,
                                    struct vsession_error **err);

/**
 * Waits until a task has ended, for example one that `PowerOnVM_Task` returned. `task_id` is its id, for example
 * `task-42`: the text of the reply that named it (`vsession_reply_text`). It logs in first when that is necessary and allowed.
 *
 * When the task has succeeded, the reply is that to a read of its property `info`; `returnval/objects/propSet/val` in it is the TaskInfo, and `result` in
 * that is what the task returned. When it has failed, the call fails with VSESSION_E_FAULT, or with VSESSION_E_NO_PERMISSION, and the error has name,
 * text and XML of the fault that the task ended with; `vsession_error_executed` is YES. A fault such as InvalidLogin is the task's own there, and
 * says nothing about the session.
 *
 * A `timeout_ms` of 0 means no limit for the wait as a whole: a task takes as long as it takes. Each request of the wait has one
 * (the option `timeout_ms`, at most two minutes), and the server is asked for a sign of life every 30 seconds at least, so that one that
 * hangs is noticed. The wait ends with an error then; the task goes on, and may be waited for again, whatever
 * `vsession_error_executed` says. A session that is replaced meanwhile does not end the wait, unless `require_epoch` asks for it. A wait takes one of
 * `max_long_polls` while the server has nothing to tell.
 *
 * The server tells the changes to a property collector of the call's own. It is destroyed at the end of the wait, whatever the
 * end is, in the background and bounded.
 *
 * Threads: safe from any thread; calls of different threads run in parallel. Blocks: until the task has ended, the deadline
 * passes or the token fires. Owner: the caller frees the reply with `vsession_reply_free`; the arguments remain the caller's.
 * Errors: VSESSION_E_INVALID_ARGUMENT; VSESSION_E_FAULT and VSESSION_E_NO_PERMISSION, also when the task failed; otherwise
 * those of `vsession_call`.
 */
vsession_status vsession_wait_for_task(struct vsession session,
                                       const char *task_id,
                                       const struct vsession_task_wait *wait,
                                       const struct vsession_call_options *options,
                                       struct vsession_reply **out,
                                       struct vsession_error **err);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* VSESSION_H */
