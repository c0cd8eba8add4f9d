/*
 * Whatever is passed, the library answers with a status and a message that names the argument, and nothing reaches the
 * server. Functions without a status also accept NULL and dead handles.
 */
#include "check.h"
#include "status_functions.h"

#define BAD_TEXT "caf\xe9" /* Latin-1, not UTF-8 */

static uint64_t handle_of(enum handle_kind kind)
{
    switch (kind) {
    case KIND_vsession: return good.session.id;
    case KIND_vsession_config: return good.config.id;
    case KIND_vsession_cancel: return good.cancel.id;
    default: return good.queue.id;
    }
}

static void make_good_handles(void)
{
    vsession_error *error = NULL;
    good.config = good_config();
    CHECK_OK(vsession_open(good.config, &good.session, &error), error);
    CHECK_OK(vsession_cancel_new(&good.cancel, &error), error);
    CHECK_OK(vsession_queue_new(&good.queue, &error), error);
    CHECK(good.config.id != 0 && good.session.id != 0 && good.cancel.id != 0 && good.queue.id != 0);
}

static void free_good_handles(void)
{
    vsession_error *error = NULL;
    CHECK_OK(vsession_close(good.session, NULL, &error), error);
    CHECK_INT(vsession_config_free(good.config), VSESSION_OK);
    CHECK_INT(vsession_cancel_free(good.cancel), VSESSION_OK);
    CHECK_INT(vsession_queue_free(good.queue), VSESSION_OK);
}

/* Calls one function with one bad handle, with and without a place for the error. */
static void refuses(const struct status_function *function, uint64_t id, vsession_status wanted)
{
    vsession_error *error = (vsession_error *)16; /* overwritten without being read */
    vsession_status with = function->call(id, &error), without = function->call(id, NULL);
    if (with != wanted || without != wanted)
        check_failed(__FILE__, __LINE__, "%s(%" PRIx64 "): %s, without error %s, not %s", function->name, id, vsession_status_name(with),
            vsession_status_name(without), vsession_status_name(wanted));
    if (!function->has_error) return;
    if (wanted == VSESSION_OK) {
        CHECK(error == NULL);
        return;
    }
    char named[64];
    snprintf(named, sizeof named, "argument '%s'", function->argument);
    CHECK_INT(vsession_error_status(error), wanted);
    CHECK_HAS(vsession_error_message(error), named);
    CHECK(!vsession_error_retriable(error));
    CHECK_INT(vsession_error_executed(error), VSESSION_EXECUTED_NO);
    CHECK(vsession_error_operation_id(error) == NULL && vsession_error_fault_name(error) == NULL);
    vsession_error_free(error);
}

static bool takes_null(const struct status_function *function)
{
    return strstr(function->name, "_free") != NULL || strcmp(function->name, "vsession_close") == 0 ||
        strcmp(function->name, "vsession_config_set_queue_queue") == 0;
}

static void the_null_handle_is_refused_or_freed(void)
{
    for (int i = 0; i < STATUS_FUNCTION_COUNT; i++)
        refuses(&status_functions[i], 0, takes_null(&status_functions[i]) ? VSESSION_OK : VSESSION_E_INVALID_HANDLE);
}

static void handles_of_another_kind_are_refused(void)
{
    for (int i = 0; i < STATUS_FUNCTION_COUNT; i++)
        for (int kind = 0; kind < KINDS; kind++)
            if (kind != (int)status_functions[i].kind)
                refuses(&status_functions[i], handle_of((enum handle_kind)kind), VSESSION_E_INVALID_HANDLE);
}

static void made_up_handles_are_refused(void)
{
    for (int i = 0; i < STATUS_FUNCTION_COUNT; i++) {
        uint64_t real = handle_of(status_functions[i].kind);
        const uint64_t made_up[] = {1, 2, 3, 4, 255, UINT64_MAX, 0xdeadbeefdeadbeef, real + ((uint64_t)5 << 32), real ^ 0xffffff00, real & 0xffffffff};
        for (size_t k = 0; k < sizeof made_up / sizeof made_up[0]; k++)
            refuses(&status_functions[i], made_up[k], VSESSION_E_INVALID_HANDLE);
    }
    CHECK_INT(vsession_get_state(good.session), VSESSION_STATE_LOGGED_OUT);
}

static void freed_handles_are_closed(void)
{
    vsession_error *error = NULL;
    for (int i = 0; i < STATUS_FUNCTION_COUNT; i++) {
        uint64_t stale = 0;
        switch (status_functions[i].kind) {
        case KIND_vsession: {
            vsession session = {0};
            CHECK_OK(vsession_open(good.config, &session, &error), error);
            CHECK_OK(vsession_close(session, NULL, &error), error);
            CHECK_INT(vsession_get_state(session), VSESSION_STATE_CLOSED);
            CHECK_INT(vsession_get_epoch(session), 0);
            CHECK_INT(vsession_get_rest_state(session), VSESSION_STATE_CLOSED);
            CHECK_INT(vsession_get_rest_epoch(session), 0);
            stale = session.id;
            break;
        }
        case KIND_vsession_config: {
            vsession_config config = good_config();
            CHECK_INT(vsession_config_free(config), VSESSION_OK);
            stale = config.id;
            break;
        }
        case KIND_vsession_cancel: {
            vsession_cancel cancel = {0};
            CHECK_OK(vsession_cancel_new(&cancel, &error), error);
            CHECK_INT(vsession_cancel_free(cancel), VSESSION_OK);
            stale = cancel.id;
            break;
        }
        default: {
            vsession_queue queue = {0};
            CHECK_OK(vsession_queue_new(&queue, &error), error);
            CHECK_INT(vsession_queue_free(queue), VSESSION_OK);
            CHECK_INT(vsession_queue_fd(queue), -1);
            stale = queue.id;
        }
        }
        const char *name = status_functions[i].name;
        bool closes = strcmp(name, "vsession_close") == 0; /* closing again is fine */
        /* For a queue that a function takes besides its own object, the status is that of a bad argument, not of a
         * closed object. */
        bool is_extra = status_functions[i].kind == KIND_vsession_queue && strncmp(name, "vsession_queue", strlen("vsession_queue")) != 0;
        refuses(&status_functions[i], stale, closes ? VSESSION_OK : is_extra ? VSESSION_E_INVALID_ARGUMENT : VSESSION_E_CLOSED);
    }
}

/* Calls with one wrong argument, and its name in the message. functions.h covers pointers that are NULL or not UTF-8. */
#define WRONG_ARGUMENTS(X) \
    X("url", vsession_config_new("", &result.config, &error)) \
    X("url", vsession_config_new("ftp://host", &result.config, &error)) \
    X("url", vsession_config_new("https://host:99999/sdk", &result.config, &error)) \
    X("url", vsession_config_new("https://user:%zz@host/sdk", &result.config, &error)) \
    X("name", vsession_config_set(good.config, "no.such.option", "1", &error)) \
    X("name", vsession_config_set(good.config, "", "1", &error)) \
    X("value", vsession_config_set(good.config, "url", "https://", &error)) \
    X("value", vsession_config_set(good.config, "tls.verify", "perhaps", &error)) \
    X("value", vsession_config_set(good.config, "timeout_ms", "-1", &error)) \
    X("value", vsession_config_set(good.config, "timeout_ms", "4294967295", &error)) \
    X("value", vsession_config_set(good.config, "timeout_ms", "soon", &error)) \
    X("value", vsession_config_set(good.config, "connect_timeout_ms", "0", &error)) \
    X("value", vsession_config_set(good.config, "max_connections", "0", &error)) \
    X("value", vsession_config_set(good.config, "max_connections", "1025", &error)) \
    X("value", vsession_config_set(good.config, "max_reply_bytes", "1023", &error)) \
    X("value", vsession_config_set(good.config, "user_agent", "a\nb", &error)) \
    X("value", vsession_config_set(good.config, "relogin", "sometimes", &error)) \
    X("value", vsession_config_set(good.config, "relogin.backoff_ms", "0", &error)) \
    X("value", vsession_config_set(good.config, "relogin.max_backoff_ms", "", &error)) \
    X("value", vsession_config_set(good.config, "close.logout", "2", &error)) \
    X("value", vsession_config_set(good.config, "keepalive.interval_ms", "999", &error)) \
    X("value", vsession_config_set(good.config, "keepalive.probe", "often", &error)) \
    X("value", vsession_config_set(good.config, "idle_timeout_ms", "0", &error)) \
    X("value", vsession_config_set(good.config, "tls.thumbprint", "AB:CD", &error)) \
    X("value", vsession_config_set(good.config, "tls.min_version", "1.1", &error)) \
    X("value", vsession_config_set(good.config, "proxy", "ftp://proxy", &error)) \
    X("value", vsession_config_set(good.config, "api_version", "a b", &error)) \
    X("interval_ms", vsession_keepalive_start(good.session, 999, &error))

#define WRONG(argument, expression) \
    do { \
        error = (vsession_error *)16; \
        CHECK_INT(expression, VSESSION_E_INVALID_ARGUMENT); \
        if (strstr(vsession_error_message(error), "argument '" argument) == NULL) \
            check_failed(__FILE__, __LINE__, "%s: '%s' does not name '%s'", #expression, vsession_error_message(error), argument); \
        CHECK_INT(vsession_error_status(error), VSESSION_E_INVALID_ARGUMENT); \
        vsession_error_free(error); \
    } while (0);

static void wrong_arguments_are_named(void)
{
    vsession_error *error = NULL;
    WRONG_POINTERS(WRONG)
    WRONG_ARGUMENTS(WRONG)
}

/* An error never repeats a bad value: it may be a password. */
static void a_bad_value_is_not_repeated(void)
{
    vsession_error *error = NULL;
    CHECK_INT(vsession_config_set(good.config, "timeout_ms", "hunter2", &error), VSESSION_E_INVALID_ARGUMENT);
    CHECK(strstr(vsession_error_message(error), "hunter2") == NULL);
    CHECK_HAS(vsession_error_message(error), "timeout_ms");
    vsession_error_free(error);
    error = NULL;
    CHECK_INT(vsession_config_set(good.config, "no.such.option", "hunter2", &error), VSESSION_E_INVALID_ARGUMENT);
    CHECK(strstr(vsession_error_message(error), "hunter2") == NULL);
    CHECK_HAS(vsession_error_message(error), "tls.ca_file");
    vsession_error_free(error);
}

static void wrong_members_of_a_call_are_named(void)
{
    vsession_error *error = NULL;
    vsession_soap_call call;
#define WITH(member, value, argument) \
    call = some_call; \
    call.member = value; \
    WRONG(argument, vsession_call(good.session, &call, NULL, &result.reply, &error))
    WITH(method, NULL, "call.method")
    WITH(method, "", "call.method")
    WITH(method, BAD_TEXT, "call.method")
    WITH(method, "Current Time", "call.method")
    WITH(method, "CurrentTime><x/", "call.method")
    WITH(this_type, NULL, "call.this_type")
    WITH(this_type, BAD_TEXT, "call.this_type")
    WITH(this_type, "a\"b", "call.this_type")
    WITH(this_id, "", "call.this_id")
    WITH(this_id, BAD_TEXT, "call.this_id")
    WITH(arguments, BAD_TEXT, "call.arguments")
    WITH(arguments, "<open>", "call.arguments")
    WITH(arguments, "</CurrentTime></Body>", "call.arguments")
    WITH(arguments, "<!DOCTYPE x>", "call.arguments")
    WITH(arguments_length, 5, "call.arguments_length")
    WITH(arguments_length, SIZE_MAX, "call.arguments_length")
    WITH(service_path, BAD_TEXT, "call.service_path")
    WITH(service_path, "", "call.service_path")
    WITH(service_path, "/pbm", "call.service_namespace") /* which is missing */
    WITH(service_namespace, "urn:pbm", "call.service_namespace") /* without a path */
    WITH(service_version, "2.0", "call.service_version")
    WITH(soap_header, BAD_TEXT, "call.soap_header")
    WITH(soap_header, "<open>", "call.soap_header")
    WITH(soap_header, "<vcSessionCookie>x</vcSessionCookie>", "call.soap_header")
    WITH(reserved, 1, "call")
    WITH(struct_size, 0, "call")
    WITH(struct_size, sizeof(size_t), "call")
    WITH(struct_size, 1 << 20, "call")
    call = some_call;
    call.arguments = "<a/>";
    call.arguments_length = 4; /* as before there were arguments_bytes */
    WRONG("call.arguments_length", vsession_call(good.session, &call, NULL, &result.reply, &error))
    call.arguments_bytes = "<a/>";
    WRONG("call.arguments_bytes", vsession_call(good.session, &call, NULL, &result.reply, &error))
    call.arguments = NULL;
    call.arguments_bytes = "<a>\0</a>";
    call.arguments_length = 8;
    WRONG("call.arguments_bytes", vsession_call(good.session, &call, NULL, &result.reply, &error))
    call.arguments_bytes = BAD_TEXT;
    call.arguments_length = sizeof BAD_TEXT - 1;
    WRONG("call.arguments_bytes", vsession_call(good.session, &call, NULL, &result.reply, &error))
    call.arguments_length = SIZE_MAX;
    WRONG("call.arguments_bytes", vsession_call(good.session, &call, NULL, &result.reply, &error))
#undef WITH
    call = some_call;
    call.this_id = "ProfileManager";
    call.service_path = "/pbm";
    call.service_namespace = "urn:pbm";
#define WITH(member, value, argument) { \
        vsession_soap_call good_call = call; \
        call.member = value; \
        WRONG(argument, vsession_call(good.session, &call, NULL, &result.reply, &error)) \
        call = good_call; \
    }
    WITH(this_id, NULL, "call.this_id")
    WITH(service_path, "pbm", "call.service_path")
    WITH(service_path, "/a/../sdk", "call.service_path")
    WITH(service_path, "https://other/pbm", "call.service_path")
    WITH(service_path, "/api/session", "call.service_path")
    WITH(service_namespace, BAD_TEXT, "call.service_namespace")
    WITH(service_namespace, "urn:\"", "call.service_namespace")
    WITH(service_version, BAD_TEXT, "call.service_version")
    WITH(service_version, "1\r\nX: y", "call.service_version")
    WITH(method, "VslmLogout", "call.method")
#undef WITH
    CHECK_INT(counted("requests"), 0);
}

static int64_t give_nothing(void *data, char *bytes, size_t length)
{
    (void)data;
    (void)bytes;
    (void)length;
    return 0;
}

static void wrong_reads_and_waits_are_named(void)
{
    vsession_error *error = NULL;
    vsession_retrieval retrieval;
    const char *const paths[] = {"name", NULL}, *const empty[] = {""}, *const control[] = {"a\nb"};
    char long_path[2000];
    memset(long_path, 'p', sizeof long_path - 1);
    long_path[sizeof long_path - 1] = '\0';
    const char *const too_long[] = {long_path};
#define WRONG_READ(argument, type, id, paths, count) \
    WRONG(argument, vsession_get_properties(good.session, type, id, paths, count, NULL, &result.reply, &error))
    WRONG_READ("type", "", "vm-1", some_paths, 1)
    WRONG_READ("type", "Virtual Machine", "vm-1", some_paths, 1)
    WRONG_READ("id", "VirtualMachine", "", some_paths, 1)
    WRONG_READ("id", "VirtualMachine", "vm\n1", some_paths, 1)
    WRONG_READ("count", "VirtualMachine", "vm-1", some_paths, 0)
    WRONG_READ("count", "VirtualMachine", "vm-1", NULL, 0)
    WRONG_READ("count", "VirtualMachine", "vm-1", some_paths, SIZE_MAX)
    WRONG_READ("paths", "VirtualMachine", "vm-1", paths, 2)
    WRONG_READ("paths", "VirtualMachine", "vm-1", empty, 1)
    WRONG_READ("paths", "VirtualMachine", "vm-1", control, 1)
    WRONG_READ("paths", "VirtualMachine", "vm-1", too_long, 1)
#define WITH(member, value, argument) \
    retrieval = some_retrieval; \
    retrieval.member = value; \
    WRONG(argument, vsession_retrieve(good.session, &retrieval, NULL, &error))
    WITH(specifications, NULL, "retrieval.specifications")
    WITH(specifications, "", "retrieval.specifications")
    WITH(specifications, BAD_TEXT, "retrieval.specifications")
    WITH(specifications, "<specSet>", "retrieval.specifications")
    WITH(specifications, "<specSet/><options/>", "retrieval.specifications")
    WITH(max_objects, (uint32_t)INT32_MAX + 1, "retrieval.max_objects")
    WITH(reserved, 1, "retrieval")
    WITH(on_page, NULL, "retrieval.on_page")
    WITH(struct_size, 0, "retrieval")
    WITH(struct_size, offsetof(vsession_retrieval, on_page), "retrieval")
    WITH(struct_size, 1 << 20, "retrieval")
#undef WITH
    vsession_task_wait wait = VSESSION_TASK_WAIT_INIT;
#define WRONG_WAIT(argument, id, wait) WRONG(argument, vsession_wait_for_task(good.session, id, wait, NULL, &result.reply, &error))
    WRONG_WAIT("task_id", "", NULL)
    WRONG_WAIT("task_id", "task\n1", NULL)
    WRONG_WAIT("task_id", long_path, NULL)
    wait.struct_size = sizeof(size_t);
    WRONG_WAIT("wait", "task-1", &wait)
    wait.struct_size = 1 << 20;
    WRONG_WAIT("wait", "task-1", &wait)
}

static void wrong_members_of_a_request_are_named(void)
{
    vsession_error *error = NULL;
    vsession_http_request request;
    const vsession_header own = {"X-Own", "value"};
    vsession_header headers[] = {{"Accept", "*/*"}, {"X-Own", "value"}};
#define WRONG_REQUEST(argument) \
    WRONG(argument, vsession_http(good.session, &request, NULL, &result.reply, &error)) \
    WRONG(argument, vsession_http_async(good.session, &request, NULL, good.queue, 1, &error))
#define WITH(member, value, argument) \
    request = some_request; \
    request.member = value; \
    WRONG_REQUEST(argument)
    WITH(method, NULL, "request.method")
    WITH(method, "", "request.method")
    WITH(method, BAD_TEXT, "request.method")
    WITH(method, "get", "request.method")
    WITH(method, "GET / HTTP/1.1\r\nX: y", "request.method")
    WITH(method, "CONNECT", "request.method")
    WITH(path, NULL, "request.path")
    WITH(path, "", "request.path")
    WITH(path, BAD_TEXT, "request.path")
    WITH(path, "https://other/api", "request.path")
    WITH(path, "//other/api", "request.path")
    WITH(path, "/api/../sdk", "request.path")
    WITH(path, "/api/%2e%2e/sdk", "request.path")
    WITH(path, "/a\r\nX: y", "request.path")
    WITH(path, "/api/session", "request.path")
    WITH(header_count, 1, "request.headers")
    WITH(header_count, SIZE_MAX, "request.headers")
    WITH(body_length, 1, "request.body")
    WITH(body_length, SIZE_MAX, "request.body")
    request = some_request;
    request.body = "body";
    request.body_length = 4;
    request.read_body = give_nothing;
    WRONG_REQUEST("request.read_body")
    WITH(through, -1, "request.through")
    WITH(through, 3, "request.through")
    WITH(struct_size, 0, "request")
    WITH(struct_size, sizeof(size_t), "request")
    WITH(struct_size, 1 << 20, "request")
#undef WITH
    request = some_request;
    request.headers = headers;
    request.header_count = 2;
#define WITH(member, value) \
    headers[1] = own; \
    headers[1].member = value; \
    WRONG_REQUEST("request.headers")
    WITH(name, NULL)
    WITH(name, "")
    WITH(name, BAD_TEXT)
    WITH(name, "a b")
    WITH(name, "a\r\nb")
    WITH(name, "Content-Length")
    WITH(name, "Cookie")
    WITH(value, NULL)
    WITH(value, BAD_TEXT)
    WITH(value, "a\r\nb: c")
#undef WITH
    headers[1] = own;
    request.header_count = 1 << 16;
    WRONG_REQUEST("request.headers")
    CHECK_INT(counted("requests"), 0);
}

static void every_function_that_takes_options_names_their_wrong_members(void)
{
    vsession_error *error = NULL;
    vsession_call_options options;
    vsession closed = {0};
    vsession_cancel freed = {0};
    CHECK_OK(vsession_cancel_new(&freed, &error), error);
    CHECK_INT(vsession_cancel_free(freed), VSESSION_OK);
    char long_id[300];
    memset(long_id, 'x', sizeof long_id - 1);
    long_id[sizeof long_id - 1] = '\0';
#define WRONG_EVERYWHERE(argument) \
    WRONG(argument, vsession_login(good.session, &options, &error)) \
    WRONG(argument, vsession_logout(good.session, &options, &error)) \
    WRONG(argument, vsession_refresh(good.session, &options, &result.info, &error)) \
    WRONG(argument, vsession_is_active(good.session, &options, &result.active, &error)) \
    WRONG(argument, vsession_call(good.session, &some_call, &options, &result.reply, &error)) \
    WRONG(argument, vsession_http(good.session, &some_request, &options, &result.reply, &error)) \
    WRONG(argument, vsession_get_properties(good.session, "ServiceInstance", NULL, some_paths, 1, &options, &result.reply, &error)) \
    WRONG(argument, vsession_retrieve(good.session, &some_retrieval, &options, &error)) \
    WRONG(argument, vsession_wait_for_task(good.session, "task-1", NULL, &options, &result.reply, &error)) \
    closed = good_session(); \
    WRONG(argument, vsession_close(closed, &options, &error)) \
    CHECK_INT(vsession_get_state(closed), VSESSION_STATE_CLOSED); /* an error, and closed anyway */
#define WITH(member, value, argument) \
    { \
        vsession_call_options fresh = VSESSION_CALL_OPTIONS_INIT; \
        options = fresh; \
        options.member = value; \
        WRONG_EVERYWHERE(argument) \
    }
    WITH(struct_size, 0, "options")
    WITH(struct_size, sizeof(size_t), "options")
    WITH(struct_size, 1 << 20, "options")
    WITH(reserved, 1, "options")
    WITH(operation_id, BAD_TEXT, "options.operation_id")
    WITH(operation_id, "a\r\nb", "options.operation_id")
    WITH(operation_id, long_id, "options.operation_id")
#undef WITH
    vsession_call_options fresh = VSESSION_CALL_OPTIONS_INIT;
    options = fresh;
    options.cancel = freed;
    CHECK_INT(vsession_login(good.session, &options, &error), VSESSION_E_INVALID_ARGUMENT);
    CHECK_HAS(vsession_error_message(error), "options.cancel");
    vsession_error_free(error);
    options.cancel.id = good.queue.id;
    error = NULL;
    CHECK_INT(vsession_login(good.session, &options, &error), VSESSION_E_INVALID_HANDLE);
    CHECK_HAS(vsession_error_message(error), "options.cancel");
    vsession_error_free(error);
    error = NULL;
    /* None of these calls has changed the session. */
    CHECK_INT(vsession_get_state(good.session), VSESSION_STATE_LOGGED_OUT);
}

/* A program built for a later version passes larger structures. */
static void larger_structures_are_accepted_while_their_tail_is_zero(void)
{
    vsession_error *error = NULL;
    struct {
        vsession_call_options known;
        unsigned char tail[24];
    } options;
    struct {
        vsession_soap_call known;
        unsigned char tail[24];
    } call;
    memset(&options, 0, sizeof options);
    memset(&call, 0, sizeof call);
    options.known.struct_size = sizeof options;
    call.known = some_call;
    call.known.struct_size = sizeof call;
    CHECK_OK(vsession_logout(good.session, &options.known, &error), error);
    options.tail[sizeof options.tail - 1] = 1;
    WRONG("options", vsession_logout(good.session, &options.known, &error))
    call.tail[0] = 1;
    WRONG("call", vsession_call(good.session, &call.known, NULL, &result.reply, &error))
    CHECK_INT(counted("requests"), 0);

    /* A program built for an earlier version passes smaller structures: missing members have their defaults. */
    options.known.struct_size = offsetof(vsession_call_options, cancel);
    options.known.timeout_ms = 60000;
    options.known.reserved = 1;
    CHECK_OK(vsession_logout(good.session, &options.known, &error), error);

    call.tail[0] = 0;
    CHECK_OK(vsession_login(good.session, NULL, &error), error); /* a logout prevents automatic logins */
    CHECK_OK(vsession_call(good.session, &call.known, NULL, &result.reply, &error), error);
    vsession_reply_free(result.reply);
    call.known.struct_size = offsetof(vsession_soap_call, this_id);
    call.known.this_id = "";
    CHECK_OK(vsession_call(good.session, &call.known, NULL, &result.reply, &error), error);
    vsession_reply_free(result.reply);

    /* Also one that ends behind the members of the version before. */
    call.known.this_id = NULL;
    call.known.struct_size = offsetof(vsession_soap_call, arguments_bytes);
    call.known.service_path = "nonsense";
    call.known.reserved = 1;
    CHECK_OK(vsession_call(good.session, &call.known, NULL, &result.reply, &error), error);
    vsession_reply_free(result.reply);

    /* No version's structure ends in the middle of a member. */
    call.known.arguments = "";
    for (size_t size = offsetof(vsession_soap_call, arguments) + 1; size < offsetof(vsession_soap_call, arguments_length); size++) {
        call.known.struct_size = size;
        WRONG("call", vsession_call(good.session, &call.known, NULL, &result.reply, &error))
    }
    options.known.reserved = 0;
    options.known.struct_size = offsetof(vsession_call_options, operation_id) + 4;
    WRONG("options", vsession_logout(good.session, &options.known, &error))
}

static int32_t take_and_stop(void *data, const vsession_reply *page)
{
    ++*(int *)data;
    CHECK(vsession_reply_xml(page, NULL) != NULL);
    return 7;
}

static void reads_of_the_only_object_of_a_type_need_no_id_and_shorter_structures_do(void)
{
    vsession_error *error = NULL;
    int pages = 0;
    vsession_retrieval retrieval = some_retrieval;
    CHECK_OK(vsession_get_properties(good.session, "ServiceInstance", NULL, some_paths, 1, NULL, &result.reply, &error), error);
    vsession_reply_free(result.reply);
    retrieval.on_page = take_and_stop;
    retrieval.data = &pages;
    CHECK_OK(vsession_retrieve(good.session, &retrieval, NULL, &error), error);
    CHECK_INT(pages, 1);
    retrieval.on_page = take_page;
    retrieval.struct_size = offsetof(vsession_retrieval, data);
    CHECK_OK(vsession_retrieve(good.session, &retrieval, NULL, &error), error);
    /* It has ended long ago: the simulator made its first machine with it. */
    CHECK_OK(vsession_wait_for_task(good.session, "task-7", NULL, NULL, &result.reply, &error), error);
    vsession_reply_free(result.reply);
}

/* Replies of both kinds have the accessors of both. */
static void accessors_of_the_other_kind_of_reply_return_nothing(void)
{
    vsession_error *error = NULL;
    const char *name = NULL;
    size_t length = 99;
    CHECK_OK(vsession_call(good.session, &some_call, NULL, &result.reply, &error), error);
    CHECK_INT(vsession_reply_http_status(result.reply), 0);
    CHECK(vsession_reply_header(result.reply, "Date") == NULL && vsession_reply_header_at(result.reply, 0, &name) == NULL);
    CHECK(vsession_reply_body(result.reply, NULL) == vsession_reply_xml(result.reply, &length));
    CHECK_INT(strlen(vsession_reply_body(result.reply, &length)), length);
    CHECK_INT(vsession_reply_repaired(result.reply), 0);
    vsession_reply_free(result.reply);
    CHECK_OK(vsession_http(good.session, &some_request, NULL, &result.reply, &error), error);
    CHECK_INT(vsession_reply_http_status(result.reply), 200);
    CHECK_TEXT(vsession_reply_header(result.reply, "content-TYPE"), "application/json");
    CHECK(vsession_reply_header(result.reply, BAD_TEXT) == NULL && vsession_reply_header(result.reply, NULL) == NULL);
    CHECK(vsession_reply_header_at(result.reply, 0, &name) != NULL && strlen(name) > 0);
    CHECK(vsession_reply_header_at(result.reply, 1000, &name) == NULL && name == NULL);
    CHECK(vsession_reply_body(result.reply, &length) != NULL && length > 2);
    CHECK_INT(strlen(vsession_reply_body(result.reply, NULL)), length);
    CHECK(vsession_reply_xml(result.reply, &length) == NULL && length == 0);
    CHECK_INT(vsession_reply_repaired(result.reply), 0);
    CHECK(vsession_reply_response(result.reply, NULL) == NULL && vsession_reply_text(result.reply) == NULL);
    CHECK_INT(vsession_reply_epoch(result.reply), vsession_get_epoch(good.session));
    vsession_reply_free(result.reply);
}

static bool is_nothing(vsession_text text) { return text.data == NULL && text.length == 0; }

/* The null node, names that are none, and a node that stays null whatever is asked of it. */
static void the_null_node_and_bad_names_lead_to_nothing(void)
{
    const vsession_node null = {{0}};
    vsession_error *error = NULL;
    CHECK(vsession_node_is_null(null));
    CHECK(vsession_node_is_null(vsession_node_child(null, "a")) && vsession_node_is_null(vsession_node_child(null, NULL)));
    CHECK(vsession_node_is_null(vsession_node_next(null)) && vsession_node_is_null(vsession_node_first(null)));
    CHECK(vsession_node_is_null(vsession_node_sibling(null)) && vsession_node_is_null(vsession_node_property(null, "name")));
    CHECK(is_nothing(vsession_node_name(null)) && is_nothing(vsession_node_text(null)) && is_nothing(vsession_node_xml(null)));
    CHECK(is_nothing(vsession_node_attribute(null, "type")) && is_nothing(vsession_node_type(null)));
    CHECK_OK(vsession_call(good.session, &some_call, NULL, &result.reply, &error), error);
    vsession_node root = vsession_reply_root(result.reply);
    CHECK(!vsession_node_is_null(root) && !vsession_node_is_null(vsession_node_child(root, "returnval")));
    CHECK(vsession_node_is_null(vsession_node_child(root, NULL)) && vsession_node_is_null(vsession_node_child(root, BAD_TEXT)));
    CHECK(vsession_node_is_null(vsession_node_child(root, "")) && vsession_node_is_null(vsession_node_child(root, "/returnval")));
    CHECK(vsession_node_is_null(vsession_node_property(root, NULL)) && vsession_node_is_null(vsession_node_property(root, BAD_TEXT)));
    CHECK(is_nothing(vsession_node_attribute(root, NULL)) && is_nothing(vsession_node_attribute(root, BAD_TEXT)));
    CHECK(is_nothing(vsession_node_text(root)) && is_nothing(vsession_node_type(root)));
    vsession_reply_free(result.reply);
    CHECK_OK(vsession_http(good.session, &some_request, NULL, &result.reply, &error), error);
    CHECK(vsession_node_is_null(vsession_reply_root(result.reply)));
    vsession_reply_free(result.reply);
}

static void success_sets_the_error_to_null(void)
{
#define SETS_NULL(expression) \
    error = (vsession_error *)16; \
    CHECK_INT(expression, VSESSION_OK); \
    CHECK(error == NULL); \
    error = NULL
    vsession_error *error;
    vsession_config config = {0};
    vsession session = {0};
    vsession_queue queue = {0};
    vsession_cancel cancel = {0};
    SETS_NULL(vsession_config_new("host", &config, &error));
    SETS_NULL(vsession_queue_new(&queue, &error));
    SETS_NULL(vsession_cancel_new(&cancel, &error));
    SETS_NULL(vsession_config_set(config, "locale", "en_US", &error));
    SETS_NULL(vsession_config_set_queue(config, queue, &error));
    SETS_NULL(vsession_open(config, &session, &error));
    SETS_NULL(vsession_logout(session, NULL, &error));
    SETS_NULL(vsession_is_active(session, NULL, &result.active, &error));
    SETS_NULL(vsession_queue_next(queue, 0, &result.event, &error));
    CHECK(result.event == NULL);
    SETS_NULL(vsession_close(session, NULL, &error));
    SETS_NULL(vsession_close(session, NULL, &error));
    CHECK_INT(vsession_config_free(config), VSESSION_OK);
    CHECK_INT(vsession_queue_free(queue), VSESSION_OK);
    CHECK_INT(vsession_cancel_free(cancel), VSESSION_OK);
    /* The place for the error may be NULL. */
    CHECK_INT(vsession_config_new("host", &config, NULL), VSESSION_OK);
    CHECK_INT(vsession_config_free(config), VSESSION_OK);
    CHECK_INT(vsession_config_new("", &config, NULL), VSESSION_E_INVALID_ARGUMENT);
    CHECK_INT(vsession_config_from_env(&config, NULL), VSESSION_E_CONFIG); /* the environment names no server */
    CHECK_INT(vsession_queue_new(&queue, NULL), VSESSION_OK);
    CHECK_INT(vsession_cancel_new(&cancel, NULL), VSESSION_OK);
    CHECK_INT(vsession_queue_free(queue), VSESSION_OK);
    CHECK_INT(vsession_cancel_free(cancel), VSESSION_OK);
}

static void a_failure_does_not_touch_the_result(void)
{
    vsession_config config = {77};
    CHECK_INT(vsession_config_new("", &config, NULL), VSESSION_E_INVALID_ARGUMENT);
    CHECK_INT(config.id, 77);
    result.reply = NULL;
    CHECK_INT(vsession_call(good.session, NULL, NULL, &result.reply, NULL), VSESSION_E_INVALID_ARGUMENT);
    CHECK(result.reply == NULL);
}

static void accessors_accept_null(void)
{
    size_t length = 99;
    CHECK_INT(vsession_error_status(NULL), VSESSION_OK);
    CHECK_TEXT(vsession_error_message(NULL), "");
    CHECK(vsession_error_fault_name(NULL) == NULL);
    CHECK(vsession_error_fault_xml(NULL) == NULL);
    CHECK(vsession_error_fault_string(NULL) == NULL && vsession_error_fault_code(NULL) == NULL);
    CHECK(vsession_node_is_null(vsession_error_fault_root(NULL)));
    CHECK(vsession_error_service_error(NULL) == NULL);
    CHECK(vsession_error_body(NULL, NULL) == NULL);
    CHECK(vsession_error_body(NULL, &length) == NULL);
    CHECK_INT(length, 0);
    length = 99;
    CHECK_INT(vsession_error_http_status(NULL), 0);
    CHECK(vsession_error_operation_id(NULL) == NULL);
    CHECK_INT(vsession_error_os_error(NULL), 0);
    CHECK(!vsession_error_retriable(NULL));
    CHECK_INT(vsession_error_retry_after_ms(NULL), 0);
    CHECK_INT(vsession_error_executed(NULL), VSESSION_EXECUTED_NO);
    vsession_error_free(NULL);
    CHECK_INT(vsession_event_get_kind(NULL), 0);
    CHECK_INT(vsession_event_session(NULL).id, 0);
    CHECK_INT(vsession_event_service(NULL), 0);
    CHECK_INT(vsession_event_old_state(NULL), 0);
    CHECK_INT(vsession_event_new_state(NULL), 0);
    CHECK_INT(vsession_event_reason(NULL), 0);
    CHECK_INT(vsession_event_old_epoch(NULL), 0);
    CHECK_INT(vsession_event_new_epoch(NULL), 0);
    CHECK_INT(vsession_event_time_ms(NULL), 0);
    CHECK_INT(vsession_event_merged(NULL), 0);
    CHECK(vsession_event_error(NULL) == NULL);
    CHECK_INT(vsession_event_tag(NULL), 0);
    CHECK(vsession_event_reply(NULL) == NULL);
    vsession_event_free(NULL);
    CHECK_INT(vsession_info_epoch(NULL), 0);
    CHECK(vsession_info_cookie(NULL) == NULL);
    CHECK(vsession_info_cookie_value(NULL) == NULL);
    CHECK(vsession_info_rest_id(NULL) == NULL);
    CHECK_INT(vsession_info_rest_epoch(NULL), 0);
    CHECK(vsession_info_api_version(NULL) == NULL);
    CHECK(vsession_info_key(NULL) == NULL);
    CHECK(vsession_info_user_name(NULL) == NULL);
    CHECK(vsession_info_full_name(NULL) == NULL);
    CHECK_INT(vsession_info_login_time_ms(NULL), 0);
    CHECK_INT(vsession_info_last_active_ms(NULL), 0);
    CHECK_INT(vsession_info_call_count(NULL), 0);
    CHECK(vsession_info_locale(NULL) == NULL);
    CHECK(vsession_info_message_locale(NULL) == NULL);
    CHECK(vsession_info_ip_address(NULL) == NULL);
    CHECK(vsession_info_user_agent(NULL) == NULL);
    CHECK(!vsession_info_is_extension(NULL));
    CHECK(vsession_info_about(NULL, "version") == NULL);
    CHECK(vsession_info_service_id(NULL, "rootFolder") == NULL);
    CHECK(vsession_info_service_type(NULL, "rootFolder") == NULL);
    vsession_info_free(NULL);
    CHECK(vsession_reply_xml(NULL, &length) == NULL);
    CHECK_INT(length, 0);
    length = 99;
    CHECK(vsession_reply_response(NULL, &length) == NULL);
    CHECK_INT(length, 0);
    CHECK(vsession_reply_xml(NULL, NULL) == NULL && vsession_reply_response(NULL, NULL) == NULL);
    CHECK(vsession_reply_text(NULL) == NULL);
    CHECK_INT(vsession_reply_repaired(NULL), 0);
    CHECK_INT(vsession_reply_epoch(NULL), 0);
    CHECK(vsession_reply_operation_id(NULL) == NULL);
    CHECK(vsession_node_is_null(vsession_reply_root(NULL)));
    CHECK_INT(vsession_reply_http_status(NULL), 0);
    CHECK(vsession_reply_header(NULL, "Date") == NULL && vsession_reply_header(NULL, NULL) == NULL);
    const char *name = "";
    CHECK(vsession_reply_header_at(NULL, 0, NULL) == NULL && vsession_reply_header_at(NULL, 0, &name) == NULL);
    CHECK(name == NULL);
    length = 99;
    CHECK(vsession_reply_body(NULL, NULL) == NULL && vsession_reply_body(NULL, &length) == NULL);
    CHECK_INT(length, 0);
    vsession_reply_free(NULL);
    vsession_string_free(NULL);
    CHECK_INT(vsession_certificates_count(NULL), 0);
    CHECK(vsession_certificates_subject(NULL, 0) == NULL && vsession_certificates_issuer(NULL, 0) == NULL);
    CHECK_INT(vsession_certificates_not_before_ms(NULL, 0), 0);
    CHECK_INT(vsession_certificates_not_after_ms(NULL, 0), 0);
    CHECK(vsession_certificates_thumbprint_sha256(NULL, 0) == NULL);
    CHECK(vsession_certificates_thumbprint_sha1(NULL, 0) == NULL);
    vsession_certificates_free(NULL);
}

static void a_probe_names_what_is_wrong_with_its_arguments(void)
{
    vsession_error *error = NULL;
    vsession_certificates *found = NULL;
    const vsession_config none = {0}, queue = {good.queue.id};
    WRONG("url", vsession_probe_certificate(NULL, none, NULL, &found, &error))
    WRONG("url", vsession_probe_certificate(BAD_TEXT, none, NULL, &found, &error))
    WRONG("out", vsession_probe_certificate("https://127.0.0.1", none, NULL, NULL, &error))
    CHECK_INT(vsession_probe_certificate(NULL, none, NULL, &found, NULL), VSESSION_E_INVALID_ARGUMENT);
    CHECK_STATUS(vsession_probe_certificate(NULL, queue, NULL, &found, &error), VSESSION_E_INVALID_HANDLE, error);
    CHECK(found == NULL);
}

static int frees; /* how often the callback's data was released */

static void count_free(void *data)
{
    *(int *)data += 1;
}

static int32_t no_credentials(vsession session, vsession_credentials *credentials, void *data)
{
    (void)session;
    (void)data;
    CHECK_INT(vsession_credentials_set(credentials, NULL, "x"), VSESSION_E_INVALID_ARGUMENT);
    CHECK_INT(vsession_credentials_set(credentials, "x", BAD_TEXT), VSESSION_E_INVALID_ARGUMENT);
    CHECK_INT(vsession_credentials_set(credentials, "x", NULL), VSESSION_E_INVALID_ARGUMENT);
    CHECK_INT(vsession_credentials_set(credentials, BAD_TEXT, "x"), VSESSION_E_INVALID_ARGUMENT);
    CHECK_INT(vsession_credentials_fail(credentials, NULL), VSESSION_E_INVALID_ARGUMENT);
    CHECK_INT(vsession_credentials_fail(credentials, BAD_TEXT), VSESSION_E_INVALID_ARGUMENT);
    return VSESSION_OK; /* although it set none */
}

static int32_t unknown_status(vsession session, vsession_credentials *credentials, void *data)
{
    (void)session;
    (void)credentials;
    (void)data;
    return 12345;
}

static void misbehaving_callbacks_are_reported_and_their_data_is_released_once(void)
{
    vsession_error *error = NULL;
    const vsession_credentials_fn functions[] = {no_credentials, unknown_status};
    CHECK_INT(vsession_credentials_set(NULL, "x", "y"), VSESSION_E_INVALID_ARGUMENT);
    CHECK_INT(vsession_credentials_fail(NULL, "x"), VSESSION_E_INVALID_ARGUMENT);
    for (size_t i = 0; i < 2; i++) {
        vsession_config config = good_config();
        vsession session = {0};
        frees = 0;
        CHECK_OK(vsession_config_set_credentials_fn(config, functions[i], &frees, count_free, &error), error);
        CHECK_OK(vsession_open(config, &session, &error), error);
        CHECK_INT(vsession_config_free(config), VSESSION_OK);
        CHECK_INT(frees, 0);
        CHECK_STATUS(vsession_login(session, NULL, &error), VSESSION_E_CONFIG, error);
        CHECK_OK(vsession_close(session, NULL, &error), error);
        for (int wait = 0; wait < 500 && frees == 0; wait++) sleep_ms(10); /* a worker may hold the session a little longer */
        CHECK_INT(frees, 1);
    }
}

static void a_probe_shows_the_servers_certificates(void)
{
    vsession_error *error = NULL;
    vsession_certificates *found = NULL;
    const vsession_config none = {0};
    const char *url = getenv("VSESSION_TEST_URL");
    if (strncmp(url, "https:", 6) != 0)
        return; /* a simulator without TLS has none to show */
    CHECK_OK(vsession_probe_certificate(url, none, NULL, &found, &error), error);
    size_t count = vsession_certificates_count(found);
    CHECK(count > 0);
    CHECK_TEXT(vsession_certificates_thumbprint_sha256(found, 0), getenv("VSESSION_TEST_THUMBPRINT"));
    CHECK(vsession_certificates_subject(found, count) == NULL);
    vsession_certificates_free(found);
}

static void accessors_accept_null_and_bad_names(void)
{
    vsession_error *error = NULL;
    vsession_info *info = NULL;
    CHECK_OK(vsession_login(good.session, NULL, &error), error);
    CHECK_OK(vsession_get_info(good.session, &info, &error), error);
    CHECK_OK(vsession_refresh(good.session, NULL, NULL, &error), error); /* the only optional result */
    const char *const names[] = {NULL, "", BAD_TEXT, "no such thing"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        CHECK(vsession_info_about(info, names[i]) == NULL);
        CHECK(vsession_info_service_id(info, names[i]) == NULL);
        CHECK(vsession_info_service_type(info, names[i]) == NULL);
    }
    vsession_info_free(info);
}

static void functions_without_arguments_work_at_any_time(void)
{
    vsession_error *error = (vsession_error *)16;
    CHECK_OK(vsession_after_fork_child(&error), error); /* does nothing in a process that is not a forked child */
    CHECK_INT(vsession_get_state(good.session), VSESSION_STATE_LOGGED_OUT);
    CHECK_INT(vsession_after_fork_child(NULL), VSESSION_OK);
}

static void functions_without_a_status_accept_any_handle(void)
{
    const uint64_t bad[] = {0, 1, UINT64_MAX, 0xdeadbeefdeadbeef, good.config.id, good.cancel.id};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        vsession session = {bad[i]};
        vsession_queue queue = {bad[i]};
        CHECK_INT(vsession_get_state(session), VSESSION_STATE_INVALID);
        CHECK_INT(vsession_get_epoch(session), 0);
        CHECK_INT(vsession_get_rest_state(session), VSESSION_STATE_INVALID);
        CHECK_INT(vsession_get_rest_epoch(session), 0);
        CHECK_INT(vsession_queue_fd(queue), -1);
    }
    CHECK(vsession_queue_fd(good.queue) >= 0);
}

static void every_number_has_a_name(void)
{
    CHECK_TEXT(vsession_status_name(VSESSION_OK), "VSESSION_OK");
    CHECK_TEXT(vsession_status_name(VSESSION_E_SESSION_CHANGED), "VSESSION_E_SESSION_CHANGED");
    CHECK_TEXT(vsession_state_name(VSESSION_STATE_ACTIVE), "active");
    CHECK_TEXT(vsession_reason_name(VSESSION_REASON_RELOGIN), "relogin");
    CHECK_TEXT(vsession_event_kind_name(VSESSION_EVENT_STATE_CHANGED), "state changed");
    CHECK_TEXT(vsession_event_kind_name(VSESSION_EVENT_SESSION_REPLACED), "session replaced");
    int known = 0;
    for (int32_t i = 0; i < 7000; i++) {
        const char *name = vsession_status_name(i);
        CHECK(strncmp(name, "VSESSION_", 9) == 0);
        known += strcmp(name, "VSESSION_E_UNKNOWN") != 0;
        if (i > 0 && strcmp(name, "VSESSION_E_UNKNOWN") != 0) CHECK(strcmp(name, vsession_status_name(i - 1)) != 0);
        CHECK(vsession_state_name(i) != NULL && vsession_reason_name(i) != NULL && vsession_event_kind_name(i) != NULL);
    }
    CHECK(known > 20);
    const int32_t unknown[] = {-1, 7000, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        CHECK_TEXT(vsession_status_name(unknown[i]), "VSESSION_E_UNKNOWN");
        CHECK(vsession_state_name(unknown[i]) != NULL);
        CHECK_TEXT(vsession_reason_name(unknown[i]), "");
        CHECK(vsession_event_kind_name(unknown[i]) != NULL);
    }
}

static void versions_agree(void)
{
    unsigned major = 0, minor = 0, patch = 0;
    CHECK_INT(sscanf(vsession_version(), "%u.%u.%u", &major, &minor, &patch), 3);
    CHECK_INT(vsession_version_number(), major * 1000000 + minor * 1000 + patch);
}

static void the_log_accepts_any_level(void)
{
    vsession_set_log(VSESSION_LOG_DEBUG, NULL, NULL);
    vsession_set_log(-5, NULL, NULL);
    vsession_set_log(99, NULL, NULL);
    vsession_set_log(VSESSION_LOG_OFF, NULL, NULL);
}

int main(void)
{
    clean_server();
    make_good_handles();
    RUN(the_null_handle_is_refused_or_freed);
    RUN(handles_of_another_kind_are_refused);
    RUN(made_up_handles_are_refused);
    RUN(freed_handles_are_closed);
    RUN(wrong_arguments_are_named);
    RUN(a_bad_value_is_not_repeated);
    RUN(wrong_members_of_a_call_are_named);
    RUN(wrong_members_of_a_request_are_named);
    RUN(wrong_reads_and_waits_are_named);
    RUN(every_function_that_takes_options_names_their_wrong_members);
    RUN(success_sets_the_error_to_null);
    RUN(a_failure_does_not_touch_the_result);
    RUN(accessors_accept_null);
    RUN(a_probe_names_what_is_wrong_with_its_arguments);
    RUN(a_probe_shows_the_servers_certificates);
    RUN(misbehaving_callbacks_are_reported_and_their_data_is_released_once);
    RUN(functions_without_arguments_work_at_any_time);
    RUN(functions_without_a_status_accept_any_handle);
    RUN(every_number_has_a_name);
    RUN(versions_agree);
    RUN(the_log_accepts_any_level);
    CHECK_INT(counted("requests"), 0);
    RUN(larger_structures_are_accepted_while_their_tail_is_zero);
    RUN(reads_of_the_only_object_of_a_type_need_no_id_and_shorter_structures_do);
    RUN(accessors_of_the_other_kind_of_reply_return_nothing);
    RUN(the_null_node_and_bad_names_lead_to_nothing);
    RUN(accessors_accept_null_and_bad_names);
    free_good_handles();
    return finish();
}
