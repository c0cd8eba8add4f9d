/*
 * Runs the library's hot paths one after the other, for callgrind to count. Each path is warmed up first. Then the program dumps the
 * counts so far under another name, runs the path several times, and dumps its counts under its own name. It prints
 * how often each path ran, as JSON. With `replies=only` it omits the paths that read no reply.
 */

#include "common.h"
#include "soap.h"
#include <valgrind/callgrind.h>
#include <vsession.h>

static vsession session;
static _Atomic uint64_t sink;
static char read_arguments[2048];

/* The error of the last function that failed. */
static vsession_error *error;

static void check(vsession_status status, const char *what) {
    if (status != VSESSION_OK)
        fail("%s: %s: %s", what, vsession_status_name(status), vsession_error_message(error));
}

static void open_session(void) {
    vsession_config config;
    check(vsession_config_new(environment("BENCH_URL"), &config, &error), "config");
    check(vsession_config_set(config, "username", environment("BENCH_USER"), &error), "username");
    check(vsession_config_set(config, "password", environment("BENCH_PASSWORD"), &error), "password");
    /* Otherwise a probe could be counted. */
    check(vsession_config_set(config, "keepalive.interval_ms", "0", &error), "keepalive.interval_ms");
    /* A library without this option always asks for compression. */
    if (*text_argument("compression", ""))
        vsession_config_set(config, "http.compression", text_argument("compression", ""), NULL);
    check(vsession_open(config, &session, &error), "open");
    vsession_config_free(config);
}

static vsession_reply *call(const char *method, const char *type, const char *xml) {
    vsession_reply *reply = NULL;
    vsession_soap_call what = VSESSION_SOAP_CALL_INIT;
    what.method = method;
    what.this_type = type;
    what.arguments = xml;
    check(vsession_call(session, &what, NULL, &reply, &error), method);
    return reply;
}

static void state(void) { sink += (uint64_t)vsession_get_state(session); }

static void identity(void) {
    vsession_info *info = NULL;
    check(vsession_get_info(session, &info, &error), "info");
    sink += (unsigned char)vsession_info_key(info)[0];
    vsession_info_free(info);
}

static void warm_call(void) {
    vsession_reply *reply = call("CurrentTime", "ServiceInstance", NULL);
    if (!vsession_reply_text(reply))
        fail("no time in the reply");
    vsession_reply_free(reply);
}

static void login(void) {
    check(vsession_login(session, NULL, &error), "login");
}

static void logout_and_login(void) {
    check(vsession_logout(session, NULL, &error), "logout");
    login();
}

static void prepare_big_reply(void) {
    char xml[256];
    vsession_info *info = NULL;
    check(vsession_get_info(session, &info, &error), "info");
    snprintf(xml, sizeof xml, VIEW_ARGUMENTS, vsession_info_service_id(info, "rootFolder"));
    vsession_info_free(info);
    vsession_reply *view = call("CreateContainerView", "ViewManager", xml);
    snprintf(read_arguments, sizeof read_arguments, READ_ARGUMENTS, vsession_reply_text(view));
    vsession_reply_free(view);
}

static void big_reply(void) {
    size_t length;
    vsession_reply *reply = call("RetrievePropertiesEx", "PropertyCollector", read_arguments);
    vsession_reply_xml(reply, &length);
    if (length < 100000)
        fail("the big reply has %zu bytes only", length);
    vsession_reply_free(reply);
}

static void count(const char *name, void (*step)(void), int times) {
    for (int i = 0; i < WARM_UP; i++)
        step();
    CALLGRIND_DUMP_STATS_AT("before");
    for (int i = 0; i < times; i++)
        step();
    CALLGRIND_DUMP_STATS_AT(name);
    static int counted;
    printf("%s\"%s\":%d", counted++ ? "," : "{", name, times);
}

int main(int argc, char **argv) {
    argument_count = argc;
    arguments = argv;
    open_session();
    login();
    if (!*text_argument("replies", "")) {
        count("state", state, 1000);
        count("identity", identity, 1000);
    }
    count("call", warm_call, 300);
    count("login and logout", logout_and_login, 30);
    prepare_big_reply();
    count("big reply", big_reply, 5);
    printf("}\n");
    vsession_close(session, NULL, NULL);
    return 0;
}
