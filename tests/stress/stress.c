/*
 * Many threads run a random mixture of all exported functions on shared sessions, configurations, queues and tokens, which
 * they also free under each other, while the simulator kills sessions, delays and refuses. Three things are checked: (1)
 * the ThreadSanitizer reports nothing, (2) the run ends, (3) check_history.py finds what the threads saw consistent with
 * the simulator's log.
 *
 *     simulator -log 1000000 -- stress SECONDS THREADS SEED FOLDER
 *
 * FOLDER gets one file for each thread; check_history.py describes its lines. tests/stress/run.sh does all of this. A new
 * function of the library needs one line in OPERATIONS, or a line in a reader of its result; tests/abi/check.py fails while
 * it has none.
 */
#define _GNU_SOURCE
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>

#include "../c/check.h"

enum { SESSIONS = 6, CONFIGS = 4, QUEUES = 3, TOKENS = 6, LONGEST_MS = 1500 };

/* Whose a call or a request is. The last digit of an asynchronous one's tag says so. */
enum service { VIM25, REST, NOBODY };
static const char *const service_names[] = {"vim25", "rest", "nobody"};

/* Handles that all threads use. A thread that replaces one frees the old one, which others may still use. */
static _Atomic uint64_t sessions[SESSIONS], configs[CONFIGS], queues[QUEUES], tokens[TOKENS];

struct worker {
    unsigned number;
    uint64_t random;
    FILE *history;
    uint64_t calls;
};

static _Thread_local struct worker *me;
static uint64_t seed;
static atomic_bool ended;
static _Atomic uint64_t log_lines;
static _Atomic uint64_t operations;

static uint64_t number_below(uint64_t bound)
{
    me->random ^= me->random << 13;
    me->random ^= me->random >> 7;
    me->random ^= me->random << 17;
    return me->random % bound;
}

static int64_t nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

#define PICK(handles) atomic_load(&(handles)[number_below(sizeof(handles) / sizeof *(handles))])
#define PUT(handles, id) atomic_exchange(&(handles)[number_below(sizeof(handles) / sizeof *(handles))], id)

static vsession session(void) { return (vsession){PICK(sessions)}; }
static vsession_config config(void) { return (vsession_config){PICK(configs)}; }
static vsession_queue queue(void) { return (vsession_queue){PICK(queues)}; }
static vsession_cancel token(void) { return (vsession_cancel){PICK(tokens)}; }

/* Options with a deadline, so that no call hangs; sometimes a very short one. */
static vsession_call_options options(void)
{
    vsession_call_options options = VSESSION_CALL_OPTIONS_INIT;
    options.timeout_ms = number_below(8) ? LONGEST_MS : 1 + (uint32_t)number_below(20);
    if (number_below(3) == 0) options.cancel = token();
    options.no_relogin = number_below(8) == 0;
    return options;
}

/* Results are read completely, as programs do. */
static size_t text(const char *text) { return text != NULL ? strlen(text) : 0; }

static void read_node(vsession_node node)
{
    volatile size_t read = 0;
    for (int steps = 0; !vsession_node_is_null(node) && steps < 100; steps++) {
        vsession_text texts[] = {vsession_node_name(node), vsession_node_text(node), vsession_node_type(node), vsession_node_xml(node),
            vsession_node_attribute(node, "type"), vsession_node_xml(vsession_node_property(node, "name"))};
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
            for (size_t k = 0; k < texts[i].length; k++) read += (unsigned char)texts[i].data[k];
        read_node(vsession_node_next(vsession_node_child(node, "propSet/name")));
        vsession_node first = vsession_node_first(node);
        node = vsession_node_is_null(first) ? vsession_node_sibling(node) : first;
    }
}

static void read_error(vsession_error *error)
{
    read_node(vsession_error_fault_root(error));
    volatile size_t read = text(vsession_error_message(error)) + text(vsession_error_fault_name(error)) + text(vsession_error_fault_xml(error))
        + text(vsession_error_fault_string(error)) + text(vsession_error_fault_code(error))
        + text(vsession_error_service_error(error)) + text(vsession_error_body(error, NULL))
        + text(vsession_error_operation_id(error)) + (size_t)vsession_error_http_status(error) + (size_t)vsession_error_os_error(error)
        + (size_t)vsession_error_retriable(error) + vsession_error_retry_after_ms(error) + (size_t)vsession_error_executed(error) + text(vsession_status_name(vsession_error_status(error)));
    (void)read;
    vsession_error_free(error);
}

static void read_info(vsession_info *info)
{
    volatile size_t read = text(vsession_info_user_name(info)) + text(vsession_info_cookie_value(info)) + text(vsession_info_rest_id(info)) + text(vsession_info_api_version(info)) + (size_t)vsession_info_rest_epoch(info) + text(vsession_info_full_name(info)) + text(vsession_info_locale(info))
        + text(vsession_info_message_locale(info)) + text(vsession_info_ip_address(info)) + text(vsession_info_user_agent(info))
        + text(vsession_info_about(info, "version")) + text(vsession_info_service_id(info, "sessionManager"))
        + text(vsession_info_service_type(info, "sessionManager")) + (size_t)vsession_info_login_time_ms(info)
        + (size_t)vsession_info_last_active_ms(info) + (size_t)vsession_info_call_count(info) + (size_t)vsession_info_is_extension(info);
    (void)read;
    vsession_info_free(info);
}

static void read_reply(const vsession_reply *reply)
{
    size_t length = 0;
    read_node(vsession_reply_root(reply));
    volatile size_t read = text(vsession_reply_xml(reply, &length)) + text(vsession_reply_text(reply)) + text(vsession_reply_operation_id(reply))
        + (vsession_reply_response(reply, &length) != NULL) + (size_t)vsession_reply_epoch(reply) + vsession_reply_repaired(reply)
        + (size_t)vsession_reply_http_status(reply) + text(vsession_reply_header(reply, "Date")) + text(vsession_reply_body(reply, &length));
    const char *name = NULL;
    for (size_t i = 0; vsession_reply_header_at(reply, i, &name) != NULL; i++) read += text(name);
    (void)read;
}

static void note_outcome(const char *kind, int64_t start, const char *operation_id, vsession_status status, const vsession_reply *reply, const vsession_error *error,
    vsession used, enum service service)
{
    fprintf(me->history, "%s %" PRId64 " %" PRId64 " %s %d %d %" PRIu64 " %" PRIx64 " %s\n", kind, start, nanoseconds(), operation_id, (int)status,
        (int)vsession_error_executed(error), vsession_reply_epoch(reply), used.id, service_names[service]);
}

static void read_event(vsession_event *event)
{
    volatile size_t read = (size_t)vsession_event_time_ms(event) + vsession_event_merged(event) + vsession_event_old_epoch(event)
        + text(vsession_event_kind_name(vsession_event_get_kind(event))) + text(vsession_state_name(vsession_event_old_state(event)))
        + text(vsession_reason_name(vsession_event_reason(event))) + vsession_event_session(event).id + vsession_event_service(event) + vsession_event_new_state(event)
        + vsession_event_new_epoch(event);
    (void)read;
    if (vsession_event_get_kind(event) == VSESSION_EVENT_COMPLETION) {
        char operation_id[64];
        const vsession_error *error = vsession_event_error(event);
        snprintf(operation_id, sizeof operation_id, "stress-%" PRIx64 "-a-%" PRIx64, seed, vsession_event_tag(event));
        read_reply(vsession_event_reply(event));
        note_outcome("completed", 0, operation_id, vsession_error_status(error), vsession_event_reply(event), error, vsession_event_session(event),
            (enum service)(vsession_event_tag(event) & 3));
    }
    vsession_event_free(event);
}

/* Callbacks, on threads of the library. */
/* What reads the machines, a task that never ends, and one that has ended. */
static char machines[4096], task[64], ended_task[64];

/* Copies the text behind `before`, up to the next tag, and returns where it is. */
static const char *behind(const char *from, const char *before, char *found, size_t size)
{
    const char *at = from != NULL ? strstr(from, before) : NULL;
    if (at == NULL) {
        fprintf(stderr, "stress: no '%s' in a reply\n", before);
        exit(2);
    }
    at += strlen(before);
    snprintf(found, size, "%.*s", (int)strcspn(at, "<"), at);
    return at;
}

/* The reply to a call that nobody spoils yet. */
static vsession_reply *asked(vsession session, const char *method, const char *type, const char *id, const char *arguments)
{
    vsession_error *error = NULL;
    vsession_reply *reply = NULL;
    vsession_soap_call call = VSESSION_SOAP_CALL_INIT;
    call.method = method;
    call.this_type = type;
    call.this_id = id;
    call.arguments = arguments;
    if (vsession_call(session, &call, NULL, &reply, &error) != VSESSION_OK) {
        fprintf(stderr, "stress: %s\n", vsession_error_message(error));
        exit(2);
    }
    return reply;
}

static void make_task(vsession session, char *id, size_t size)
{
    vsession_reply *reply = asked(session, "CreateTask", "TaskManager", NULL,
        "<obj type=\"Folder\">group-d1</obj><taskTypeId>com.vmware.govmomi.simulator.test</taskTypeId><cancelable>false</cancelable>");
    behind(vsession_reply_xml(reply, NULL), "<key>", id, size);
    vsession_reply_free(reply);
}

static void find_objects(void)
{
    static const char *const view[] = {"view"};
    char id[64];
    vsession found = {PICK(sessions)};
    vsession_reply *made = asked(found, "CreateContainerView", "ViewManager", NULL,
        "<container type=\"Folder\">group-d1</container><type>VirtualMachine</type><recursive>true</recursive>");
    vsession_reply *list = NULL;
    if (vsession_get_properties(found, "ContainerView", vsession_reply_text(made), view, 1, NULL, &list, NULL) != VSESSION_OK) exit(2);
    size_t length = (size_t)snprintf(machines, sizeof machines, "<specSet><propSet><type>VirtualMachine</type><pathSet>name</pathSet></propSet>");
    const char *at = vsession_reply_xml(list, NULL);
    for (int i = 0; i < 2; i++) {
        at = behind(at, "type=\"VirtualMachine\">", id, sizeof id);
        length += (size_t)snprintf(machines + length, sizeof machines - length, "<objectSet><obj type=\"VirtualMachine\">%s</obj></objectSet>", id);
    }
    snprintf(machines + length, sizeof machines - length, "</specSet>");
    vsession_reply_free(made);
    vsession_reply_free(list);
    make_task(found, task, sizeof task);
    make_task(found, ended_task, sizeof ended_task);
    sleep_ms(200); /* the simulator shows a new task a moment later */
    vsession_reply_free(asked(found, "SetTaskState", "Task", ended_task, "<state>success</state>"));
}

static int32_t credentials_function(vsession session, vsession_credentials *credentials, void *data)
{
    (void)data;
    if (vsession_get_epoch(session) % 7 == 3) {
        vsession_credentials_fail(credentials, "not now");
        return VSESSION_E_CONFIG;
    }
    return vsession_credentials_set(credentials, getenv("VSESSION_TEST_USER"), getenv("VSESSION_TEST_PASSWORD"));
}

static int32_t keepalive_function(vsession session, void *data)
{
    (void)data;
    vsession_info *info = NULL;
    if (vsession_get_info(session, &info, NULL) == VSESSION_OK) vsession_info_free(info);
    return vsession_get_epoch(session) % 3 == 1 ? VSESSION_E_NOT_AUTHENTICATED : VSESSION_OK;
}

static void count_line(int32_t level, const char *message, void *data)
{
    (void)level, (void)data;
    atomic_fetch_add(&log_lines, strlen(message) > 0);
}

/* With the first two, REST uses the vim25 session where the server shares it; with the others it has a session of its own. */
static const char *const rest_ways[] = {"auto", "unified", "api", "legacy"};

/* New objects replace old ones. */
static void do_config(void)
{
    vsession_config made = {0}, old;
    vsession_error *error = NULL;
    vsession_status status = number_below(4) ? vsession_config_new(getenv("VSESSION_TEST_URL"), &made, &error) : vsession_config_from_env(&made, &error);
    if (status == VSESSION_OK) {
        vsession_config_set(made, "keepalive.interval_ms", "1000", NULL);
        vsession_config_set(made, "relogin.backoff_ms", "20", NULL);
        vsession_config_set(made, "relogin.max_backoff_ms", "100", NULL);
        vsession_config_set(made, "max_connections", "8", NULL);
        vsession_config_set(made, "tls.ca_file", getenv("VSESSION_TEST_CA"), NULL);
        vsession_config_set(made, "rest", rest_ways[number_below(sizeof rest_ways / sizeof *rest_ways)], NULL);
        if (number_below(2)) vsession_config_set_queue(made, queue(), NULL);
        if (number_below(3) == 0) vsession_config_set_credentials_fn(made, credentials_function, NULL, NULL, NULL);
        if (number_below(3) == 0) vsession_config_set_keepalive_fn(made, keepalive_function, NULL, NULL, NULL);
        old.id = PUT(configs, made.id);
        vsession_config_free(old);
    }
    read_error(error);
}

/* A close that could not log out reports so and leaves a session behind, or one with each service. */
static void close_session(vsession session, const vsession_call_options *limits)
{
    vsession_error *error = NULL;
    fprintf(me->history, "closing %" PRId64 " %" PRIx64 "\n", nanoseconds(), session.id);
    if (vsession_close(session, limits, &error) != VSESSION_OK && vsession_error_status(error) != VSESSION_E_INVALID_HANDLE)
        fprintf(me->history, "unclosed %" PRId64 " %d 2\n", nanoseconds(), (int)vsession_error_status(error));
    read_error(error);
    if (session.id != 0) fprintf(me->history, "closed %" PRId64 " %" PRIx64 "\n", nanoseconds(), session.id);
}

static void do_open(void)
{
    vsession made = {0}, old;
    vsession_error *error = NULL;
    if (vsession_open(config(), &made, &error) == VSESSION_OK) {
        old.id = PUT(sessions, made.id);
        close_session(old, NULL);
    }
    read_error(error);
}

static void do_close(void)
{
    vsession_call_options limits = options();
    close_session(session(), number_below(4) ? NULL : &limits);
    do_open();
}

static void do_queue(void)
{
    vsession_queue made = {0}, old;
    if (vsession_queue_new(&made, NULL) != VSESSION_OK) return;
    old.id = PUT(queues, made.id);
    vsession_queue_free(old);
}

static void do_token(void)
{
    vsession_cancel made = {0}, old;
    if (vsession_cancel_new(&made, NULL) != VSESSION_OK) return;
    old.id = PUT(tokens, made.id);
    vsession_cancel_free(old);
}

/* Use of the existing objects. */
static void do_configure(void)
{
    static const char *const values[][2] = {
        {"locale", "en"}, {"timeout_ms", "3000"}, {"relogin", "auto"}, {"relogin", "never"}, {"keepalive.probe", "current_session"},
        {"keepalive.probe", "current_time"}, {"idle_timeout_ms", "200"}, {"no_such_option", "1"},
    };
    size_t i = number_below(sizeof values / sizeof *values);
    vsession_error *error = NULL;
    vsession_config_set(config(), values[i][0], values[i][1], &error);
    read_error(error);
}

static void do_login(void)
{
    vsession_error *error = NULL;
    vsession_call_options limits = options();
    vsession_login(session(), &limits, &error);
    read_error(error);
}

static void do_logout(void)
{
    vsession_error *error = NULL;
    vsession_call_options limits = options();
    vsession_logout(session(), &limits, &error);
    read_error(error);
}

static void do_read_state(void)
{
    vsession used = session();
    int64_t start = nanoseconds();
    uint64_t epoch = vsession_get_epoch(used), rest_epoch = vsession_get_rest_epoch(used);
    vsession_state state = vsession_get_state(used), rest_state = vsession_get_rest_state(used);
    int64_t end = nanoseconds();
    if (epoch != 0) fprintf(me->history, "epoch %" PRId64 " %" PRId64 " %" PRIx64 " %" PRIu64 " vim25\n", start, end, used.id, epoch);
    if (rest_epoch != 0) fprintf(me->history, "epoch %" PRId64 " %" PRId64 " %" PRIx64 " %" PRIu64 " rest\n", start, end, used.id, rest_epoch);
    if (used.id != 0) fprintf(me->history, "states %" PRId64 " %" PRId64 " %" PRIx64 " %d %d\n", start, end, used.id, (int)state, (int)rest_state);
    text(vsession_state_name(state));
    text(vsession_state_name(rest_state));
}

/* Identity, cookie, identity: if both identities are of one epoch, the cookie is of that epoch too. */
static void do_read_identity(void)
{
    vsession used = session();
    vsession_info *before = NULL, *after = NULL;
    char *cookie = NULL;
    int64_t start = nanoseconds();
    vsession_error *error = NULL;
    vsession_get_info(used, &before, &error);
    read_error(error);
    error = NULL;
    vsession_get_cookie(used, &cookie, &error);
    read_error(error);
    vsession_get_info(used, &after, NULL);
    int64_t end = nanoseconds();
    if (before != NULL && after != NULL) {
        bool one = vsession_info_epoch(before) == vsession_info_epoch(after);
        fprintf(me->history, "identity %" PRId64 " %" PRId64 " %" PRIx64 " %" PRIu64 " %s %s\n", start, end, used.id,
            vsession_info_epoch(before), vsession_info_key(before), one && cookie != NULL ? cookie : "-");
        fprintf(me->history, "identity %" PRId64 " %" PRId64 " %" PRIx64 " %" PRIu64 " %s %s\n", start, end, used.id,
            vsession_info_epoch(after), vsession_info_key(after), vsession_info_cookie(after));
    }
    vsession_string_free(cookie);
    read_info(before);
    read_info(after);
}

static void do_refresh(void)
{
    vsession_info *info = NULL;
    vsession_error *error = NULL;
    vsession_call_options limits = options();
    vsession_refresh(session(), &limits, &info, &error);
    read_info(info);
    read_error(error);
}

static void do_is_active(void)
{
    bool active = false;
    vsession_error *error = NULL;
    vsession_call_options limits = options();
    vsession_is_active(session(), &limits, &active, &error);
    read_error(error);
}

/* The method that the history is about, and at times one of another service, which is to run at most once too. */
static vsession_soap_call some_method(void)
{
    vsession_soap_call call = current_time();
    if (number_below(4)) return call;
    call.method = "PbmQueryProfile";
    call.this_type = "PbmProfileProfileManager";
    call.this_id = "ProfileManager";
    call.arguments = "<resourceType><resourceType>STORAGE</resourceType></resourceType><profileCategory>REQUIREMENT</profileCategory>";
    call.service_path = "/pbm";
    call.service_namespace = "urn:pbm";
    if (number_below(2)) call.soap_header = "<x:Own xmlns:x=\"urn:x\"/>";
    return call;
}

static void do_call(void)
{
    vsession_error *error = NULL;
    vsession_reply *reply = NULL;
    vsession_call_options limits = options();
    vsession_soap_call call = some_method();
    vsession used = session();
    char operation_id[64];
    snprintf(operation_id, sizeof operation_id, "stress-%" PRIx64 "-%u-%" PRIx64, seed, me->number, me->calls++);
    limits.operation_id = operation_id;
    limits.idempotent = number_below(4) == 0;
    if (number_below(6) == 0) limits.require_epoch = vsession_get_epoch(used);
    int64_t start = nanoseconds();
    vsession_status status = vsession_call(used, &call, &limits, &reply, &error);
    note_outcome(limits.idempotent ? "repeatable" : "call", start, operation_id, status, reply, error, used, VIM25);
    read_reply(reply);
    vsession_reply_free(reply);
    read_error(error);
}

/* A body that goes in pieces, from the program or to it. Asynchronous requests use theirs until they have ended. */
struct body {
    size_t length, given, taken;
    size_t stop;      /* the functions end the request here */
    int64_t rewinds;  /* what the giving one answers when it shall begin again */
    char first, last; /* of what was taken */
    struct body *next;
};

static _Atomic(struct body *) bodies_of_async;

static const char releases[] = "{\"api_releases\":[\"8.0.2.0\"]}";

/* Blanks, and then the document. */
static int64_t give_body(void *data, char *bytes, size_t length)
{
    struct body *body = data;
    if (bytes == NULL) {
        body->given = 0;
        return body->rewinds;
    }
    if (body->given >= body->stop) return -1;
    size_t piece = body->length - body->given, blanks = body->length - (sizeof releases - 1);
    if (piece > length) piece = length;
    if (piece > 5000) piece = 5000;
    for (size_t i = 0; i < piece; i++, body->given++) bytes[i] = body->given < blanks ? ' ' : releases[body->given - blanks];
    return (int64_t)piece;
}

static int64_t take_body(void *data, char *bytes, size_t length)
{
    struct body *body = data;
    if (length == 0 || body->taken >= body->stop) return -1;
    if (body->taken == 0) body->first = bytes[0];
    body->last = bytes[length - 1];
    body->taken += length;
    return (int64_t)length;
}

static void draw_body(struct body *body)
{
    *body = (struct body){.length = sizeof releases - 1 + (number_below(2) ? number_below(100000) : 0), .stop = SIZE_MAX};
    if (number_below(8) == 0) body->stop = number_below(50000);
    if (number_below(8) == 0) body->rewinds = -1;
}

static vsession_http_request http_request(const char *method, const char *path, vsession_through through)
{
    vsession_http_request request = VSESSION_HTTP_REQUEST_INIT;
    request.method = method;
    request.path = path;
    request.through = through;
    return request;
}

/* A request of any kind, and whose it is. The server answers the last kind without a session too. */
static vsession_http_request draw_request(enum service *service, struct body *body)
{
    static const vsession_through through[] = {VSESSION_THROUGH_VIM, VSESSION_THROUGH_REST, VSESSION_THROUGH_NONE};
    draw_body(body);
    uint64_t kind = number_below(8);
    *service = kind == 0 ? VIM25 : kind == 1 ? NOBODY : REST;
    vsession_http_request request;
    if (kind == 0) {
        /* CurrentTime by VI JSON. */
        request = http_request("POST", "/sdk/vim25/8.0.2.0/ServiceInstance/ServiceInstance/CurrentTime", VSESSION_THROUGH_VIM);
    } else if (kind < 5) {
        request = http_request("POST", "/api/vcenter/system?action=hello", through[*service]);
        if (number_below(2)) {
            request.body = releases;
            request.body_length = sizeof releases - 1;
        } else {
            request.read_body = give_body;
            request.body_length = number_below(2) ? body->length : 0;
        }
    } else {
        request = http_request("GET", "/api/vcenter/vm", VSESSION_THROUGH_REST);
        request.raw = number_below(8) == 0;
    }
    if (number_below(3) == 0) request.write_reply = take_body;
    request.data = body;
    return request;
}

static void do_http(void)
{
    vsession_error *error = NULL;
    vsession_reply *reply = NULL;
    vsession_call_options limits = options();
    vsession used = session();
    char operation_id[64];
    enum service service;
    struct body body;
    vsession_http_request request = draw_request(&service, &body);
    snprintf(operation_id, sizeof operation_id, "stress-%" PRIx64 "-%u-%" PRIx64, seed, me->number, me->calls++);
    limits.operation_id = operation_id;
    limits.idempotent = number_below(4) == 0;
    if (service != NOBODY && number_below(6) == 0) limits.require_epoch = service == REST ? vsession_get_rest_epoch(used) : vsession_get_epoch(used);
    int64_t start = nanoseconds();
    vsession_status status = vsession_http(used, &request, &limits, &reply, &error);
    note_outcome(limits.idempotent ? "repeatable" : "call", start, operation_id, status, reply, error, used, service);
    bool refused = vsession_reply_http_status(reply) >= 400; /* handed out because of `raw` */
    if (status == VSESSION_OK && limits.require_epoch != 0) CHECK_INT(vsession_reply_epoch(reply), limits.require_epoch);
    if (status == VSESSION_OK && service == NOBODY) CHECK_INT(vsession_reply_epoch(reply), 0);
    if (status == VSESSION_OK && request.write_reply != NULL && !refused) {
        size_t length = 0;
        vsession_reply_body(reply, &length);
        CHECK_INT(length, 0);
        /* Once from its beginning to its end. */
        if (service != VIM25) CHECK(body.taken > 0 && strchr("[{", body.first) != NULL && body.last == (body.first == '[' ? ']' : '}'));
    }
    if (status == VSESSION_OK && request.read_body != NULL) CHECK_INT(body.given, body.length);
    read_reply(reply);
    vsession_reply_free(reply);
    read_error(error);
}

static void do_get_properties(void)
{
    static const char *const paths[] = {"content.about.apiVersion", "serverClock"};
    vsession_error *error = NULL;
    vsession_reply *reply = NULL;
    vsession_call_options limits = options();
    vsession_get_properties(session(), "ServiceInstance", number_below(2) ? NULL : "ServiceInstance", paths, 1 + number_below(2), &limits, &reply, &error);
    read_reply(reply);
    vsession_reply_free(reply);
    read_error(error);
}

/* Reads a page, and sometimes stops there or does something else first. */
static int32_t take_page(void *data, const vsession_reply *page)
{
    read_reply(page);
    if (number_below(4) == 0) do_get_properties();
    return --*(int *)data <= 0;
}

/* The names of the machines, one by one. */
static void do_retrieve(void)
{
    vsession_error *error = NULL;
    vsession_call_options limits = options();
    vsession_retrieval retrieval = VSESSION_RETRIEVAL_INIT;
    int pages = 1 + (int)number_below(4);
    retrieval.specifications = machines;
    retrieval.max_objects = (uint32_t)number_below(3);
    retrieval.on_page = take_page;
    retrieval.data = &pages;
    vsession_retrieve(session(), &retrieval, &limits, &error);
    read_error(error);
}

static void told(void *data, const char *state, int32_t percent)
{
    *(size_t *)data += text(state) + (size_t)percent;
}

/* Waits for a task that never ends, or for one that has ended. */
static void do_wait_for_task(void)
{
    size_t heard = 0;
    vsession_error *error = NULL;
    vsession_reply *reply = NULL;
    vsession_call_options limits = options();
    vsession_task_wait wait = VSESSION_TASK_WAIT_INIT;
    limits.timeout_ms = 1 + (uint32_t)number_below(150);
    wait.on_progress = told;
    wait.data = &heard;
    vsession_wait_for_task(session(), number_below(2) ? task : ended_task, number_below(2) ? &wait : NULL, &limits, &reply, &error);
    read_reply(reply);
    vsession_reply_free(reply);
    read_error(error);
}

static void do_call_async(void)
{
    static _Atomic uint64_t next;
    vsession_error *error = NULL;
    vsession_call_options limits = options();
    vsession used = session();
    enum service service = VIM25;
    char operation_id[64];
    bool by_soap = number_below(3) == 0;
    struct body *body = calloc(1, sizeof *body);
    vsession_soap_call call = some_method();
    vsession_http_request request = draw_request(&service, body);
    uint64_t tag = atomic_fetch_add(&next, 1) << 2 | (by_soap ? VIM25 : service);
    snprintf(operation_id, sizeof operation_id, "stress-%" PRIx64 "-a-%" PRIx64, seed, tag);
    limits.operation_id = operation_id;
    if (by_soap) {
        vsession_call_async(used, &call, &limits, queue(), tag, &error);
        free(body);
    } else {
        if (service == REST) fprintf(me->history, "asked %" PRId64 " %" PRIx64 "\n", nanoseconds(), used.id);
        vsession_http_async(used, &request, &limits, queue(), tag, &error);
        body->next = atomic_load(&bodies_of_async);
        while (!atomic_compare_exchange_weak(&bodies_of_async, &body->next, body)) {}
    }
    read_error(error);
}

/* Nobody's calls: one that needs to know the server, and one that does not. */
static void do_call_of_nobody(void)
{
    vsession_error *error = NULL;
    vsession_reply *reply = NULL;
    vsession_call_options limits = options();
    vsession_soap_call call = current_time();
    call.method = "RetrieveServiceContent";
    call.anonymous = 1;
    if (number_below(3) == 0) {
        call.this_type = "LookupServiceInstance";
        call.this_id = "ServiceInstance";
        call.service_path = "/lookupservice/sdk";
        call.service_namespace = "urn:lookup";
        call.service_version = "2.0";
    }
    vsession_call(session(), &call, &limits, &reply, &error);
    read_reply(reply);
    vsession_reply_free(reply);
    read_error(error);
}

static void do_next_event(void)
{
    vsession_event *event = NULL;
    vsession_error *error = NULL;
    vsession_queue used = queue();
    struct pollfd wanted = {vsession_queue_fd(used), POLLIN, 0};
    poll(&wanted, 1, 0);
    if (vsession_queue_next(used, (uint32_t)number_below(20), &event, &error) == VSESSION_OK && event != NULL) read_event(event);
    read_error(error);
}

static void do_cancel(void)
{
    vsession_cancel used = token();
    vsession_cancel_fire(used);
    if (number_below(2)) vsession_cancel_reset(used);
}

static void do_keepalive(void)
{
    vsession_error *error = NULL;
    if (number_below(3)) vsession_keepalive_start(session(), 1000, &error);
    else vsession_keepalive_stop(session(), &error);
    read_error(error);
}

static void do_set_password(void)
{
    vsession_error *error = NULL;
    vsession_set_password(session(), number_below(5) ? getenv("VSESSION_TEST_PASSWORD") : "wrong", &error);
    read_error(error);
}

static void do_probe_certificate(void)
{
    vsession_certificates *certificates = NULL;
    vsession_error *error = NULL;
    vsession_call_options limits = options();
    vsession_probe_certificate(NULL, config(), &limits, &certificates, &error);
    if (vsession_certificates_count(certificates) > 0) {
        volatile size_t read = text(vsession_certificates_subject(certificates, 0)) + text(vsession_certificates_issuer(certificates, 0))
            + text(vsession_certificates_thumbprint_sha1(certificates, 0)) + text(vsession_certificates_thumbprint_sha256(certificates, 0))
            + (size_t)vsession_certificates_not_before_ms(certificates, 0) + (size_t)vsession_certificates_not_after_ms(certificates, 0);
        (void)read;
    }
    vsession_certificates_free(certificates);
    read_error(error);
}

static void do_library(void)
{
    text(vsession_version());
    vsession_version_number();
    vsession_set_log(number_below(2) ? VSESSION_LOG_DEBUG : VSESSION_LOG_OFF, count_line, NULL);
    vsession_after_fork_child(NULL); /* does nothing in a process that is not a forked child */
}

/* Closes everything; the other threads reopen it. */
static void do_shutdown(void)
{
    vsession_error *error = NULL;
    fprintf(me->history, "closing %" PRId64 " 0\n", nanoseconds());
    if (vsession_shutdown(5000, &error) != VSESSION_OK) fprintf(me->history, "unclosed %" PRId64 " %d %d\n", nanoseconds(), (int)vsession_error_status(error), 2 * SESSIONS);
    read_error(error);
    for (int i = 0; i < SESSIONS; i++) do_open();
}

/* Every operation and its weight, in thousandths. */
#define OPERATIONS(X) \
    X(do_config, 5) X(do_open, 8) X(do_close, 8) X(do_queue, 5) X(do_token, 10) X(do_configure, 10) X(do_login, 60) X(do_logout, 10) \
    X(do_read_state, 150) X(do_read_identity, 150) X(do_refresh, 30) X(do_is_active, 30) X(do_call, 180) X(do_call_of_nobody, 20) X(do_http, 150) X(do_call_async, 150) \
    X(do_get_properties, 30) X(do_retrieve, 20) X(do_wait_for_task, 10) \
    X(do_next_event, 100) X(do_cancel, 20) X(do_keepalive, 10) X(do_set_password, 15) X(do_probe_certificate, 3) X(do_library, 5)

static const struct { void (*run)(void); unsigned weight; } table[] = {
#define ROW(function, weight) {function, weight},
    OPERATIONS(ROW)
};

static void *work(void *argument)
{
    me = argument;
    unsigned total = 0;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) total += table[i].weight;
    while (!atomic_load(&ended)) {
        uint64_t drawn = number_below(total);
        size_t i = 0;
        while (drawn >= table[i].weight) drawn -= table[i++].weight;
        table[i].run();
        atomic_fetch_add(&operations, 1);
    }
    return NULL;
}

/* Ends one of the sessions on the server, which may be a handle's session with either service or with both. */
static void kill_one(void)
{
    char *all = simulator_request(control_port(), "GET", "/sessions", ""), *key = all;
    for (uint64_t n = 1 + number_below(2 * SESSIONS); key != NULL && n > 0; n--) key = strstr(key + 1, "\"key\":\"");
    if (key != NULL) {
        char path[128];
        key += strlen("\"key\":\"");
        snprintf(path, sizeof path, "/sessions/kill?key=%.*s", (int)strcspn(key, "\""), key);
        free(simulator_request(control_port(), "POST", path, ""));
    }
    free(all);
}

static void tell_server(const char *method, const char *path, const char *body)
{
    free(simulator_request(control_port(), method, path, body));
}

/* What a server does to its clients. */
static void *trouble(void *argument)
{
    static const char *const rules[] = {
        "{\"method\":\"*\",\"times\":20,\"delay_ms\":20}", "{\"method\":\"RetrievePropertiesEx\",\"times\":3,\"status\":503}",
        "{\"method\":\"CurrentTime\",\"times\":5,\"reset\":\"before\"}", "{\"method\":\"CurrentTime\",\"times\":5,\"reset\":\"after\"}",
        "{\"method\":\"CurrentTime\",\"times\":5,\"close\":\"after\"}", "{\"method\":\"Login\",\"times\":2,\"status\":503}",
        "{\"method\":\"CurrentTime\",\"times\":10,\"truncate_at\":100}", "{\"method\":\"CurrentTime\",\"times\":5,\"fault\":\"NotAuthenticated\"}",
        "{\"method\":\"*\",\"times\":10,\"delay_after_ms\":30}", "{\"path\":\"/api/vcenter/*\",\"times\":5,\"reset\":\"before\"}",
        "{\"path\":\"/api/vcenter/*\",\"times\":5,\"reset\":\"after\"}", "{\"path\":\"/api/vcenter/*\",\"times\":5,\"close\":\"after\"}",
        "{\"path\":\"/api/vcenter/*\",\"times\":10,\"truncate_at\":10}", "{\"path\":\"/api/vcenter/*\",\"times\":5,\"status\":401}",
        "{\"path\":\"/api/vcenter/*\",\"times\":5,\"status\":503}", "{\"path\":\"/api/session\",\"method\":\"POST\",\"times\":2,\"status\":503}",
        "{\"path\":\"/api/session\",\"method\":\"GET\",\"times\":3,\"status\":503}", "{\"method\":\"*\",\"times\":10,\"insert\":\"Af8=\"}",
    };
    me = argument;
    while (!atomic_load(&ended)) {
        switch (number_below(8)) {
        case 0:
        case 1:
            fprintf(me->history, "killed %" PRId64 "\n", nanoseconds());
            tell_server("POST", "/sessions/kill", "");
            break;
        case 4:
        case 5: kill_one(); break;
        case 2: tell_server("POST", "/connections/close?idle", ""); break;
        case 3:
            tell_server("POST", "/credentials", "{\"user\":\"user\",\"password\":\"rotated\"}");
            sleep_ms(30);
            tell_server("POST", "/credentials", "{\"user\":\"user\",\"password\":\"pass\"}");
            break;
        default: tell_server("POST", "/rules", rules[number_below(sizeof rules / sizeof *rules)]);
        }
        sleep_ms(20 + (long)number_below(150));
    }
    tell_server("DELETE", "/rules", "");
    return NULL;
}

/* What a session says of itself after each act, while nobody else uses it. Without a logout by hand the close has both sessions to end. Returns
 * whether it could log in with both services. */
static bool end_quietly(vsession used, bool log_out)
{
    vsession_error *error = NULL;
    vsession_reply *reply = NULL, *none = NULL;
    vsession_call_options limits = VSESSION_CALL_OPTIONS_INIT;
    vsession_http_request request = http_request("GET", "/api/vcenter/vm", VSESSION_THROUGH_REST);
    limits.timeout_ms = 10000;
    vsession_set_password(used, getenv("VSESSION_TEST_PASSWORD"), NULL);
    bool logged_in = vsession_login(used, &limits, NULL) == VSESSION_OK && vsession_http(used, &request, &limits, &reply, NULL) == VSESSION_OK;
    if (logged_in) {
        /* Keep-alive may be replacing either session. */
        CHECK(vsession_get_state(used) >= VSESSION_STATE_LOGGING_IN && vsession_get_state(used) < VSESSION_STATE_CLOSED);
        CHECK(vsession_get_rest_state(used) >= VSESSION_STATE_LOGGING_IN && vsession_get_rest_state(used) < VSESSION_STATE_CLOSED);
        CHECK(vsession_reply_epoch(reply) > 0 && vsession_reply_epoch(reply) <= vsession_get_rest_epoch(used));
    }
    if (log_out && vsession_logout(used, &limits, NULL) == VSESSION_OK) {
        CHECK_INT(vsession_get_state(used), VSESSION_STATE_LOGGED_OUT);
        CHECK_INT(vsession_get_rest_state(used), VSESSION_STATE_LOGGED_OUT);
        CHECK_INT(vsession_http(used, &request, &limits, &none, &error), VSESSION_E_NOT_AUTHENTICATED);
        CHECK_INT(vsession_error_executed(error), VSESSION_EXECUTED_NO);
        read_error(error);
    }
    vsession_reply_free(reply);
    close_session(used, NULL);
    CHECK_INT(vsession_get_state(used), VSESSION_STATE_CLOSED);
    CHECK_INT(vsession_get_rest_state(used), VSESSION_STATE_CLOSED);
    CHECK_INT(vsession_get_epoch(used) + vsession_get_rest_epoch(used), 0);
    return logged_in;
}

static void too_long(int signal)
{
    (void)signal;
    static const char message[] = "stress: the program hangs\n";
    (void)!write(2, message, sizeof message - 1);
    abort();
}

int main(int count, char **arguments)
{
    if (count != 5) return fprintf(stderr, "usage: stress SECONDS THREADS SEED FOLDER\n"), 2;
    long seconds = atol(arguments[1]);
    unsigned threads = (unsigned)atoi(arguments[2]);
    seed = strtoull(arguments[3], NULL, 0);
    signal(SIGALRM, too_long);
    alarm((unsigned)seconds + 90);
    setenv("GOVC_URL", test_env("VSESSION_TEST_URL"), 1); /* before any thread starts */

    struct worker *workers = calloc(threads + 2, sizeof *workers);
    pthread_t *running = calloc(threads + 1, sizeof *running);
    for (unsigned i = 0; i < threads + 2; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/thread-%u", arguments[4], i);
        workers[i] = (struct worker){.number = i, .random = (seed + i) * 0x9e3779b97f4a7c15 | 1, .history = fopen(path, "w")};
        if (workers[i].history == NULL) return fprintf(stderr, "cannot write %s\n", path), 2;
    }
    me = &workers[threads + 1];
    for (int i = 0; i < 4 * QUEUES; i++) do_queue();
    for (int i = 0; i < 4 * TOKENS; i++) do_token();
    for (int i = 0; i < 4 * CONFIGS; i++) do_config();
    for (int i = 0; i < 4 * SESSIONS; i++) do_open();

    find_objects();
    for (unsigned i = 0; i <= threads; i++) pthread_create(&running[i], NULL, i < threads ? work : trouble, &workers[i]);
    for (int64_t end = monotonic_ms() + seconds * 1000; monotonic_ms() < end;) {
        sleep_ms(2000);
        if (seconds >= 4) do_shutdown();
    }
    atomic_store(&ended, true);
    for (unsigned i = 0; i <= threads; i++) pthread_join(running[i], NULL);

    tell_server("DELETE", "/rules", "");
    tell_server("POST", "/credentials", "{\"user\":\"user\",\"password\":\"pass\"}");
    int quiet = 0;
    for (int i = 0; i < SESSIONS; i++) quiet += end_quietly((vsession){sessions[i]}, i % 2 == 1);
    for (int i = 0; i < CONFIGS; i++) vsession_config_free((vsession_config){configs[i]});
    for (int i = 0; i < QUEUES; i++) vsession_queue_free((vsession_queue){queues[i]});
    for (int i = 0; i < TOKENS; i++) vsession_cancel_free((vsession_cancel){tokens[i]});
    vsession_shutdown(10000, NULL);
    for (struct body *body = atomic_load(&bodies_of_async), *next; body != NULL; body = next) {
        next = body->next;
        free(body);
    }
    for (unsigned i = 0; i < threads + 2; i++) fclose(workers[i].history);
    free(workers);
    free(running);
    printf("stress: %" PRIu64 " operations, %ld logins, %" PRIu64 " log lines, %d of %d sessions ended with both services, %d failed checks\n", (uint64_t)operations,
        counted("logins"), (uint64_t)log_lines, quiet, SESSIONS, check_failures);
    return atomic_load(&operations) > threads && check_failures == 0 ? 0 : 1;
}
