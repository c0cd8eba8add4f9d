/*
 * A process that cannot start threads. A call that needs one fails in time or does without, and everything recovers once
 * threads can be started again.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "check.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static struct rlimit usual;
static bool root;

static void *nothing(void *unused)
{
    return unused;
}

/* No thread can be started from here on. The limit does not apply to root. */
static void starve(void)
{
    struct rlimit none = {1, usual.rlim_max};
    if (root) CHECK_INT(setresuid(65534, 65534, 0), 0);
    CHECK_INT(setrlimit(RLIMIT_NPROC, &none), 0);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, nothing, NULL) != 0);
}

static void feed(void)
{
    if (root) CHECK_INT(setresuid(0, 0, 0), 0);
    CHECK_INT(setrlimit(RLIMIT_NPROC, &usual), 0);
}

/* Runs `test` in its own process, where the library has no thread yet. */
static void in_a_child(void (*test)(void))
{
    pid_t child = fork();
    if (child == 0) {
        alarm(240);
        clean_server();
        test();
        _exit(finish());
    }
    int status = -1;
    CHECK_INT(waitpid(child, &status, 0), child);
    CHECK_INT(status, 0);
}

static vsession_event *next_completion(vsession_queue queue)
{
    vsession_error *error = NULL;
    vsession_event *event = NULL;
    CHECK_OK(vsession_queue_next(queue, PATIENCE_MS, &event, &error), error);
    CHECK(event != NULL);
    CHECK_INT(vsession_event_get_kind(event), VSESSION_EVENT_COMPLETION);
    return event;
}

static void an_asynchronous_call_ends_at_once_with_resource(void)
{
    vsession_error *error = NULL;
    vsession_queue queue = {0};
    vsession session = good_session();
    vsession_soap_call call = current_time();
    CHECK_OK(vsession_queue_new(&queue, &error), error);
    starve();
    CHECK_OK(vsession_login(session, NULL, &error), error);
    add_rule("{\"method\":\"CurrentTime\",\"hang\":true}");
    int64_t start = monotonic_ms();
    for (uint64_t tag = 1; tag <= 3; tag++) {
        CHECK_OK(vsession_call_async(session, &call, NULL, queue, tag, &error), error);
        vsession_event *event = next_completion(queue);
        CHECK_INT(vsession_event_tag(event), tag);
        CHECK_INT(vsession_error_status(vsession_event_error(event)), VSESSION_E_RESOURCE);
        CHECK_INT(vsession_error_executed(vsession_event_error(event)), VSESSION_EXECUTED_NO);
        CHECK(vsession_error_retriable(vsession_event_error(event)));
        CHECK_HAS(vsession_error_message(vsession_event_error(event)), "thread");
        vsession_event_free(event);
    }
    CHECK(monotonic_ms() - start < AT_ONCE_MS);
    CHECK_INT(counted("CurrentTime"), 0);
    feed();
    clean_server();
    CHECK_OK(vsession_call_async(session, &call, NULL, queue, 4, &error), error);
    vsession_event *event = next_completion(queue);
    CHECK(vsession_event_error(event) == NULL);
    vsession_event_free(event);
    CHECK_OK(vsession_close(session, NULL, &error), error);
    CHECK_INT(vsession_queue_free(queue), VSESSION_OK);
}

static void a_login_runs_on_the_callers_thread_within_its_deadline(void)
{
    vsession_error *error = NULL;
    vsession_call_options options = VSESSION_CALL_OPTIONS_INIT;
    vsession session = good_session(), other = good_session();
    starve();
    add_rule("{\"method\":\"Login\",\"hang\":true,\"times\":1}");
    options.timeout_ms = 300;
    int64_t start = monotonic_ms();
    vsession_status status = vsession_login(session, &options, &error);
    CHECK(monotonic_ms() - start < AT_ONCE_MS);
    CHECK_INT(vsession_error_executed(error), VSESSION_EXECUTED_MAYBE);
    CHECK_STATUS(status, VSESSION_E_TIMEOUT, error);
    CHECK_OK(vsession_login(session, NULL, &error), error);
    CHECK_OK(call_once(other, NULL, &error), error);
    CHECK_OK(vsession_close(session, NULL, &error), error);
    CHECK_OK(vsession_close(other, NULL, &error), error);
    feed();
}

static void fire_when_the_server_hangs(void *token, int number)
{
    (void)number;
    wait_for_count("rule_hits", 1);
    CHECK_INT(vsession_cancel_fire(*(vsession_cancel *)token), VSESSION_OK);
}

static void a_login_on_the_callers_thread_ends_by_its_token(void)
{
    vsession_error *error = NULL;
    vsession_call_options options = VSESSION_CALL_OPTIONS_INIT;
    vsession session = good_session();
    CHECK_OK(vsession_cancel_new(&options.cancel, &error), error);
    add_rule("{\"method\":\"RetrieveServiceContent\",\"hang\":true}");
    struct team team;
    team_start(&team, 1, fire_when_the_server_hangs, &options.cancel);
    starve();
    int64_t start = monotonic_ms();
    CHECK_STATUS(vsession_login(session, &options, &error), VSESSION_E_CANCELLED, error);
    CHECK(monotonic_ms() - start < AT_ONCE_MS);
    team_join(&team);
    feed();
    CHECK_OK(vsession_close(session, NULL, &error), error);
    CHECK_INT(vsession_cancel_free(options.cancel), VSESSION_OK);
}

/* Nothing could interrupt a lookup on the caller's own thread. */
static void a_name_lookup_without_a_thread_fails_with_resource(void)
{
    vsession_error *error = NULL;
    vsession_config config = {0};
    vsession session = {0};
    CHECK_OK(vsession_config_new("http://user:pass@localhost:1/sdk", &config, &error), error);
    CHECK_OK(vsession_open(config, &session, &error), error);
    starve();
    int64_t start = monotonic_ms();
    CHECK_STATUS(vsession_login(session, NULL, &error), VSESSION_E_RESOURCE, error);
    CHECK(monotonic_ms() - start < AT_ONCE_MS);
    feed();
    /* The lookup is repeated, not remembered as failed: the error is now that nobody listens there. */
    CHECK_STATUS(vsession_login(session, NULL, &error), VSESSION_E_CONNECT, error);
    CHECK_OK(vsession_close(session, NULL, &error), error);
    CHECK_INT(vsession_config_free(config), VSESSION_OK);
}

static void keep_alive_resumes_with_the_first_use_once_threads_can_start(void)
{
    vsession_error *error = NULL;
    vsession_info *info = NULL;
    vsession session = good_session();
    starve();
    CHECK_OK(vsession_login(session, NULL, &error), error);
    CHECK_OK(vsession_keepalive_start(session, 1000, &error), error);
    feed();
    CHECK_OK(vsession_get_info(session, &info, &error), error);
    vsession_info_free(info);
    int64_t end = monotonic_ms() + PATIENCE_MS;
    while (counted("CurrentTime") == 0 && monotonic_ms() < end) sleep_ms(20);
    CHECK(counted("CurrentTime") > 0);
    CHECK_OK(vsession_close(session, NULL, &error), error);
}

static void shutdown_logs_out_on_its_callers_thread(void)
{
    vsession_error *error = NULL;
    vsession sessions[3];
    for (int i = 0; i < 3; i++) sessions[i] = good_session();
    starve();
    for (int i = 0; i < 3; i++) CHECK_OK(vsession_login(sessions[i], NULL, &error), error);
    CHECK_OK(vsession_shutdown(PATIENCE_MS, &error), error);
    CHECK_INT(vsession_get_state(sessions[2]), VSESSION_STATE_CLOSED);
    CHECK_INT(counted("sessions"), 0);
    feed();
}

int main(void)
{
    root = geteuid() == 0;
    CHECK_INT(getrlimit(RLIMIT_NPROC, &usual), 0);
    in_a_child(an_asynchronous_call_ends_at_once_with_resource);
    in_a_child(a_login_runs_on_the_callers_thread_within_its_deadline);
    in_a_child(a_login_on_the_callers_thread_ends_by_its_token);
    in_a_child(a_name_lookup_without_a_thread_fails_with_resource);
    in_a_child(keep_alive_resumes_with_the_first_use_once_threads_can_start);
    in_a_child(shutdown_logs_out_on_its_callers_thread);
    return finish();
}
