/*
 * Calls every function on threads with 128 KiB of stack, which programs with very many threads use. Each call makes its own
 * TLS connection where it needs one, and then gets a document that is nested 100,000 elements deep.
 *
 *     simulator -- small_stacks [KIB]     other stacks than those of 128 KiB; with too small ones it dies, which is its self-test
 *
 * tests/abi/check.py fails when an exported function is neither here nor in functions.h.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* MAP_ANONYMOUS */
#endif
#include "check.h"
#include "status_functions.h"

#include <sys/mman.h>

enum { DEPTH = 100000, PAINT = 0xa5 };

static size_t stack_size = 128 * 1024;
static size_t most_used;
static const char *most_used_by = "";

/* Runs `work` on a stack with a guard page below, and notes how much of the stack it used. */
static void on_a_small_stack(const char *name, void *(*work)(void *), void *data)
{
    const size_t page = 4096;
    pthread_t thread;
    pthread_attr_t attributes;
    unsigned char *mapped = (unsigned char *)mmap(NULL, stack_size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(mapped != MAP_FAILED && mprotect(mapped, page, PROT_NONE) == 0);
    unsigned char *stack = mapped + page;
    memset(stack, PAINT, stack_size);
    pthread_attr_init(&attributes);
    CHECK_INT(pthread_attr_setstack(&attributes, stack, stack_size), 0);
    int started = pthread_create(&thread, &attributes, work, data);
    CHECK_INT(started, 0);
    if (started == 0) pthread_join(thread, NULL);
    size_t untouched = 0;
    while (untouched < stack_size && stack[untouched] == PAINT) untouched++;
    if (stack_size - untouched > most_used) {
        most_used = stack_size - untouched;
        most_used_by = name;
    }
    pthread_attr_destroy(&attributes);
    munmap(mapped, stack_size + page);
}

static void make_good_handles(void)
{
    vsession_error *error = NULL;
    memset(&result, 0, sizeof result);
    good.config = good_config();
    CHECK_OK(vsession_queue_new(&good.queue, &error), error);
    CHECK_OK(vsession_config_set_queue(good.config, good.queue, &error), error);
    CHECK_OK(vsession_config_set(good.config, "max_reply_bytes", "4000000", &error), error);
    CHECK_OK(vsession_open(good.config, &good.session, &error), error);
    CHECK_OK(vsession_cancel_new(&good.cancel, &error), error);
}

/* The function under test may have freed some of them. */
static void free_what_there_is(void)
{
    vsession_call_options options = VSESSION_CALL_OPTIONS_INIT;
    options.timeout_ms = 5000;
    vsession_close(good.session, &options, NULL);
    if (result.session.id != 0) vsession_close(result.session, &options, NULL);
    vsession_config_free(good.config);
    vsession_cancel_free(good.cancel);
    vsession_queue_free(good.queue);
    vsession_info_free(result.info);
    vsession_reply_free(result.reply);
    vsession_event_free(result.event);
    vsession_string_free(result.cookie);
}

struct one_function {
    const struct status_function *function;
    bool succeeds;
};

static void *call_one_function(void *data)
{
    const struct one_function *one = (const struct one_function *)data;
    const uint64_t ids[KINDS] = {good.session.id, good.config.id, good.cancel.id, good.queue.id};
    vsession_error *error = NULL;
    vsession_status status = one->function->call(ids[one->function->kind], &error);
    if (one->succeeds ? status != VSESSION_OK : status == VSESSION_E_INTERNAL)
        check_failed(__FILE__, __LINE__, "%s: %s (%s)", one->function->name, vsession_status_name(status), vsession_error_message(error));
    (void)vsession_error_fault_xml(error);
    vsession_error_free(error);
    return NULL;
}

static void close_idle_connections(void)
{
    char *answer = simulator_request(control_port(), "POST", "/connections/close?idle", "");
    CHECK(answer != NULL);
    free(answer);
}

/* Tries the function on a new session or a logged-in one, while `rule` applies. */
static void try_one_function(const struct status_function *function, bool logged_in, const char *rule)
{
    vsession_error *error = NULL;
    struct one_function one = {function, rule == NULL};
    make_good_handles();
    if (logged_in) CHECK_OK(vsession_login(good.session, NULL, &error), error);
    close_idle_connections();
    if (rule != NULL) add_rule(rule);
    on_a_small_stack(function->name, call_one_function, &one);
    if (rule != NULL) free(simulator_request(control_port(), "DELETE", "/rules", ""));
    free_what_there_is();
}

static void every_function_with_a_status_fits_on_a_small_stack(void)
{
    for (int i = 0; i < STATUS_FUNCTION_COUNT; i++) {
        const bool reads = strstr(status_functions[i].name, "_get_") != NULL || strstr(status_functions[i].name, "_refresh") != NULL;
        if (!reads) try_one_function(&status_functions[i], false, NULL); /* those need an existing session */
        try_one_function(&status_functions[i], true, NULL);
    }
}

/* Functions that take no handle, and accessors. One statement each. */
static vsession_certificates *certificates;
static vsession_error *failure;
static vsession_node node;

static void take_credentials(void)
{
    vsession_credentials_set(NULL, "user", "pass");
    vsession_credentials_fail(NULL, "none");
}

#define OTHER_FUNCTIONS(X) \
    X(CHECK_INT(vsession_config_new("https://user:pass@host/sdk", &result.config, NULL), VSESSION_OK)) \
    X(CHECK_INT(vsession_config_free(result.config), VSESSION_OK)) \
    X(((void)vsession_config_from_env(&result.config, &failure), vsession_error_free(failure))) \
    X(CHECK_INT(vsession_cancel_new(&result.cancel, NULL), VSESSION_OK)) \
    X(CHECK_INT(vsession_queue_new(&result.queue, NULL), VSESSION_OK)) \
    X(CHECK_INT(vsession_probe_certificate(test_env("VSESSION_TEST_URL"), good.config, NULL, &certificates, NULL), VSESSION_OK)) \
    X(CHECK(vsession_certificates_count(certificates) > 0)) \
    X(CHECK(vsession_certificates_subject(certificates, 0) != NULL)) \
    X(CHECK(vsession_certificates_issuer(certificates, 0) != NULL)) \
    X(CHECK(vsession_certificates_not_before_ms(certificates, 0) > 0)) \
    X(CHECK(vsession_certificates_not_after_ms(certificates, 0) > 0)) \
    X(CHECK(vsession_certificates_thumbprint_sha256(certificates, 0) != NULL)) \
    X(CHECK(vsession_certificates_thumbprint_sha1(certificates, 0) != NULL)) \
    X(vsession_certificates_free(certificates)) \
    X(CHECK_INT(vsession_get_state(good.session), VSESSION_STATE_ACTIVE)) \
    X(CHECK_INT(vsession_get_epoch(good.session), 1)) \
    X(CHECK_INT(vsession_get_rest_state(good.session), VSESSION_STATE_LOGGED_OUT)) \
    X(CHECK_INT(vsession_get_rest_epoch(good.session), 0)) \
    X(CHECK(vsession_queue_fd(good.queue) >= 0)) \
    X(CHECK_INT(vsession_get_info(good.session, &result.info, NULL), VSESSION_OK)) \
    X(CHECK_INT(vsession_info_epoch(result.info), 1)) \
    X(CHECK(vsession_info_cookie(result.info) != NULL)) \
    X(CHECK(vsession_info_cookie_value(result.info) != NULL)) \
    X((void)vsession_info_rest_id(result.info)) \
    X((void)vsession_info_rest_epoch(result.info)) \
    X(CHECK(vsession_info_api_version(result.info) != NULL)) \
    X(CHECK(vsession_info_key(result.info) != NULL)) \
    X(CHECK(vsession_info_user_name(result.info) != NULL)) \
    X(CHECK(vsession_info_full_name(result.info) != NULL)) \
    X(CHECK(vsession_info_login_time_ms(result.info) != 0)) \
    X(CHECK(vsession_info_last_active_ms(result.info) != 0)) \
    X(CHECK(vsession_info_call_count(result.info) >= 0)) \
    X((void)vsession_info_locale(result.info)) \
    X((void)vsession_info_message_locale(result.info)) \
    X((void)vsession_info_ip_address(result.info)) \
    X((void)vsession_info_user_agent(result.info)) \
    X((void)vsession_info_is_extension(result.info)) \
    X(CHECK(vsession_info_about(result.info, "version") != NULL)) \
    X(CHECK(vsession_info_service_id(result.info, "rootFolder") != NULL)) \
    X(CHECK(vsession_info_service_type(result.info, "rootFolder") != NULL)) \
    X(CHECK_INT(vsession_call(good.session, &some_call, NULL, &result.reply, NULL), VSESSION_OK)) \
    X(CHECK(vsession_reply_xml(result.reply, NULL) != NULL)) \
    X(CHECK(vsession_reply_response(result.reply, NULL) != NULL)) \
    X(CHECK(vsession_reply_text(result.reply) != NULL)) \
    X(CHECK_INT(vsession_reply_repaired(result.reply), 0)) \
    X(CHECK_INT(vsession_reply_epoch(result.reply), 1)) \
    X(node = vsession_reply_root(result.reply)) \
    X(CHECK(vsession_node_name(node).length == strlen("CurrentTimeResponse"))) \
    X(CHECK(vsession_node_type(node).data == NULL && vsession_node_attribute(node, "none").data == NULL)) \
    X(CHECK(vsession_node_is_null(vsession_node_property(node, "name")))) \
    X(node = vsession_node_child(node, "returnval")) \
    X(CHECK(vsession_node_text(node).length > 0 && vsession_node_xml(node).length > vsession_node_text(node).length)) \
    X(CHECK(vsession_node_is_null(vsession_node_first(node)) && vsession_node_is_null(vsession_node_sibling(node)))) \
    X(CHECK(vsession_node_is_null(vsession_node_next(node)) && !vsession_node_is_null(node))) \
    X(CHECK(vsession_reply_operation_id(result.reply) != NULL)) \
    X(vsession_reply_free(result.reply)) \
    X(CHECK_INT(vsession_http(good.session, &some_request, NULL, &result.reply, NULL), VSESSION_OK)) \
    X(CHECK_INT(vsession_reply_http_status(result.reply), 200)) \
    X(CHECK(vsession_reply_header(result.reply, "Date") != NULL)) \
    X(CHECK(vsession_reply_header_at(result.reply, 0, NULL) != NULL)) \
    X(CHECK(vsession_reply_body(result.reply, NULL) != NULL)) \
    X(CHECK_INT(vsession_get_properties(good.session, "ServiceInstance", NULL, some_paths, 1, NULL, &result.reply, NULL), VSESSION_OK)) \
    X(CHECK_INT(vsession_retrieve(good.session, &some_retrieval, NULL, NULL), VSESSION_OK)) \
    X(CHECK_INT(vsession_wait_for_task(good.session, "task-none", NULL, NULL, &result.reply, NULL), VSESSION_E_FAULT)) \
    X(CHECK_INT(vsession_queue_next(good.queue, 1000, &result.event, NULL), VSESSION_OK)) \
    X(CHECK_INT(vsession_event_get_kind(result.event), VSESSION_EVENT_STATE_CHANGED)) \
    X(CHECK_INT(vsession_event_session(result.event).id, good.session.id)) \
    X(CHECK_INT(vsession_event_service(result.event), VSESSION_SERVICE_VIM)) \
    X(CHECK_INT(vsession_event_old_state(result.event), VSESSION_STATE_LOGGED_OUT)) \
    X((void)vsession_event_new_state(result.event)) \
    X((void)vsession_event_reason(result.event)) \
    X((void)vsession_event_old_epoch(result.event)) \
    X((void)vsession_event_new_epoch(result.event)) \
    X(CHECK(vsession_event_time_ms(result.event) > 0)) \
    X((void)vsession_event_merged(result.event)) \
    X((void)vsession_event_error(result.event)) \
    X((void)vsession_event_tag(result.event)) \
    X((void)vsession_event_reply(result.event)) \
    X(CHECK_INT(vsession_call(good.session, NULL, NULL, &result.reply, &failure), VSESSION_E_INVALID_ARGUMENT)) \
    X(CHECK_INT(vsession_error_status(failure), VSESSION_E_INVALID_ARGUMENT)) \
    X(CHECK(vsession_error_message(failure) != NULL)) \
    X(CHECK(vsession_error_fault_name(failure) == NULL)) \
    X(CHECK(vsession_error_fault_xml(failure) == NULL)) \
    X(CHECK(vsession_error_fault_string(failure) == NULL && vsession_error_fault_code(failure) == NULL)) \
    X(CHECK(vsession_node_is_null(vsession_error_fault_root(failure)))) \
    X(CHECK(vsession_error_service_error(failure) == NULL)) \
    X(CHECK(vsession_error_body(failure, NULL) == NULL)) \
    X(CHECK_INT(vsession_error_http_status(failure), 0)) \
    X((void)vsession_error_operation_id(failure)) \
    X(CHECK_INT(vsession_error_os_error(failure), 0)) \
    X(CHECK(!vsession_error_retriable(failure))) \
    X(CHECK_INT(vsession_error_retry_after_ms(failure), 0)) \
    X(CHECK_INT(vsession_error_executed(failure), VSESSION_EXECUTED_NO)) \
    X(vsession_error_free(failure)) \
    X(CHECK(vsession_status_name(0) != NULL && vsession_state_name(0) != NULL)) \
    X(CHECK(vsession_reason_name(0) != NULL && vsession_event_kind_name(0) != NULL)) \
    X(CHECK(vsession_version() != NULL && vsession_version_number() > 0)) \
    X(CHECK_INT(vsession_get_cookie(good.session, &result.cookie, NULL), VSESSION_OK)) \
    X(vsession_string_free(result.cookie); result.cookie = NULL) \
    X(vsession_info_free(result.info); result.info = NULL) \
    X(vsession_reply_free(result.reply); result.reply = NULL) \
    X(vsession_event_free(result.event); result.event = NULL) \
    X(take_credentials()) \
    X(CHECK_INT(vsession_after_fork_child(NULL), VSESSION_OK)) \
    X(CHECK_INT(vsession_shutdown(20000, NULL), VSESSION_OK)) \
    X(vsession_set_log(VSESSION_LOG_OFF, NULL, NULL))

#define JOIN2(a, b) a##b
#define JOIN(a, b) JOIN2(a, b)

static int next_statement;

static void *run_one_statement(void *data)
{
    int number = 0;
    (void)data;
#define RUN_ONE(...) \
    if (number++ == next_statement) { \
        __VA_ARGS__; \
    }
    OTHER_FUNCTIONS(RUN_ONE)
    return NULL;
}

#define NAME_OF(...) #__VA_ARGS__,
static const char *const statements[] = {OTHER_FUNCTIONS(NAME_OF)};

static void every_other_function_fits_on_a_small_stack(void)
{
    vsession_error *error = NULL;
    make_good_handles();
    CHECK_OK(vsession_login(good.session, NULL, &error), error);
    for (next_statement = 0; next_statement < (int)(sizeof statements / sizeof statements[0]); next_statement++)
        on_a_small_stack(statements[next_statement], run_one_statement, NULL);
    vsession_cancel_free(result.cancel);
    vsession_queue_free(result.queue);
    free_what_there_is();
}

/* A rule that answers everything with `before`, 100,000 nested elements, and `after`. */
static char *deep_rule(int status, const char *before, const char *after)
{
    char *rule = (char *)malloc(strlen(before) + strlen(after) + (size_t)DEPTH * 7 + 200);
    char *end = rule + sprintf(rule, "{\"method\":\"*\",\"status\":%d,\"content_type\":\"text/xml\",\"body\":\"%s", status, before);
    for (int i = 0; i < DEPTH; i++, end += 3) memcpy(end, "<a>", 3);
    for (int i = 0; i < DEPTH; i++, end += 4) memcpy(end, "</a>", 4);
    sprintf(end, "%s\"}", after);
    return rule;
}

#define BODY "<s:Envelope xmlns:s='http://schemas.xmlsoap.org/soap/envelope/'><s:Body>"
#define END "</s:Body></s:Envelope>"

static void deep_replies_fit_on_a_small_stack(void)
{
    char *const rules[] = {
        deep_rule(200, BODY "<CurrentTimeResponse xmlns='urn:vim25'><returnval>", "</returnval></CurrentTimeResponse>" END),
        deep_rule(500, BODY "<s:Fault><faultcode>x</faultcode><faultstring>x</faultstring><detail>", "</detail></s:Fault>" END),
        deep_rule(200, "", ""),
        deep_rule(200, "<namespaces>", "</namespaces>"),
    };
    for (size_t rule = 0; rule < sizeof rules / sizeof rules[0]; rule++) {
        for (int i = 0; i < STATUS_FUNCTION_COUNT; i++) {
            try_one_function(&status_functions[i], true, rules[rule]);
            if (strstr(status_functions[i].name, "log") != NULL || status_functions[i].call == on_vsession_call)
                try_one_function(&status_functions[i], false, rules[rule]);
        }
        free(rules[rule]);
    }
}

/* A deep reply is a valid reply: the caller gets all of it. */
static void *read_a_deep_reply(void *data)
{
    vsession_error *error = NULL;
    size_t length = 0;
    (void)data;
    CHECK_OK(vsession_call(good.session, &some_call, NULL, &result.reply, &error), error);
    CHECK(vsession_reply_response(result.reply, &length) != NULL && length > (size_t)DEPTH * 7);
    CHECK(vsession_reply_text(result.reply) == NULL);
    return NULL;
}

static void a_deep_reply_is_returned(void)
{
    vsession_error *error = NULL;
    char *rule = deep_rule(200, BODY "<CurrentTimeResponse xmlns='urn:vim25'><returnval>", "</returnval></CurrentTimeResponse>" END);
    make_good_handles();
    CHECK_OK(vsession_login(good.session, NULL, &error), error);
    add_rule(rule);
    on_a_small_stack("a deep reply", read_a_deep_reply, NULL);
    clean_server();
    free_what_there_is();
    free(rule);
}

/* The forms of replies that use the most stack, on the smallest stack that docs/threads.md allows. */
static void *make_a_call(void *data)
{
    vsession_error *error = NULL;
    (void)data;
    CHECK_OK(vsession_call(good.session, &some_call, NULL, &result.reply, &error), error);
    return NULL;
}

static void replies_of_every_form_fit_on_the_smallest_stack(void)
{
    enum { LEAST = 64 * 1024 };
    /* The counters of `make coverage` make frames larger. */
    const size_t margin = (getenv("LLVM_PROFILE_FILE") ? 8 : 16) * 1024;
    const char *const rules[] = {
        "{\"method\":\"CurrentTime\"}",
        "{\"method\":\"CurrentTime\",\"gzip\":true}",
    };
    const size_t usual = stack_size;
    stack_size = LEAST;
    for (size_t rule = 0; rule < sizeof rules / sizeof rules[0]; rule++) {
        vsession_error *error = NULL;
        make_good_handles();
        CHECK_OK(vsession_login(good.session, NULL, &error), error);
        close_idle_connections();
        add_rule(rules[rule]);
        most_used = 0;
        on_a_small_stack(rules[rule], make_a_call, NULL);
        printf("%zu of %d bytes for %s\n", most_used, LEAST, rules[rule]);
        CHECK(most_used + margin <= LEAST);
        clean_server();
        free_what_there_is();
    }
    stack_size = usual;
    most_used = 0;
}

int main(int count, char **arguments)
{
    if (count > 1) stack_size = (size_t)atol(arguments[1]) * 1024;
    clean_server();
    RUN(replies_of_every_form_fit_on_the_smallest_stack);
    RUN(every_function_with_a_status_fits_on_a_small_stack);
    RUN(every_other_function_fits_on_a_small_stack);
    RUN(deep_replies_fit_on_a_small_stack);
    RUN(a_deep_reply_is_returned);
    CHECK(most_used < stack_size * 3 / 4); /* the program needs some of it too */
    printf("at most %zu of %zu bytes, by %s\n", most_used, stack_size, most_used_by);
    return finish();
}
