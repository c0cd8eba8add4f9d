/*
 * A process forks while its threads use the library. In the child every function returns VSESSION_E_FORKED at once and
 * touches nothing; the parent continues. Two descriptors that the child inherits remain the parent's.
 */
#include "check.h"

#include <sys/wait.h>

#include "status_functions.h"

static int stop;

static void call_all_the_time(void *unused, int number)
{
    (void)unused;
    (void)number;
    vsession_error *error = NULL;
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) CHECK_OK(call_once(good.session, NULL, &error), error);
}

/* Runs in the child. The exit status tells which function answered wrongly: 1 for the first, 0 for none. */
static int every_function_answers_forked(const vsession_info *info)
{
    const uint64_t ids[KINDS] = {good.session.id, good.config.id, good.cancel.id, good.queue.id};
    for (int i = 0; i < STATUS_FUNCTION_COUNT; i++) {
        vsession_error *error = (vsession_error *)16;
        if (status_functions[i].call(ids[status_functions[i].kind], &error) != VSESSION_E_FORKED) return i + 1;
        /* There is no error object: making one needs memory, and a thread that is gone may hold the allocator's lock. */
        if (status_functions[i].has_error && error != NULL) return i + 1;
        if (status_functions[i].call(0, NULL) != VSESSION_E_FORKED) return i + 1;
    }
    vsession_config config = {0};
    vsession_cancel cancel = {0};
    vsession_queue queue = {0};
    int next = STATUS_FUNCTION_COUNT + 1;
    if (vsession_config_new("host", &config, NULL) != VSESSION_E_FORKED) return next;
    if (vsession_config_from_env(&config, NULL) != VSESSION_E_FORKED) return next + 1;
    if (vsession_cancel_new(&cancel, NULL) != VSESSION_E_FORKED) return next + 2;
    if (vsession_queue_new(&queue, NULL) != VSESSION_E_FORKED) return next + 3;
    if (vsession_get_state(good.session) != VSESSION_STATE_INVALID) return next + 4;
    if (vsession_get_epoch(good.session) != 0) return next + 5;
    if (vsession_queue_fd(good.queue) != -1) return next + 6;
    vsession_set_log(VSESSION_LOG_DEBUG, NULL, NULL);
    /* The caller can still read its own objects, and constants. */
    if (vsession_info_epoch(info) != 1 || vsession_info_user_name(info)[0] == '\0') return next + 7;
    if (strcmp(vsession_status_name(VSESSION_E_FORKED), "VSESSION_E_FORKED") != 0) return next + 8;
    return 0;
}

static void every_function_fails_in_a_child_and_the_parent_continues(void)
{
    clean_server();
    vsession_error *error = NULL;
    vsession_info *info = NULL;
    good.config = good_config();
    CHECK_OK(vsession_cancel_new(&good.cancel, &error), error);
    CHECK_OK(vsession_queue_new(&good.queue, &error), error);
    CHECK_OK(vsession_open(good.config, &good.session, &error), error);
    CHECK_OK(vsession_login(good.session, NULL, &error), error);
    CHECK_OK(vsession_get_info(good.session, &info, &error), error);
    struct team team;
    team_start(&team, 8, call_all_the_time, NULL);
    for (int i = 0; i < 50; i++) {
        pid_t child = fork();
        if (child == 0) {
            alarm(60); /* ends a child that waits for a lock forever */
            int wrong = every_function_answers_forked(info);
            /* Some children end as daemons do, others through atexit and the destructors of libraries. */
            if (i % 2 == 0) _exit(wrong);
            exit(wrong);
        }
        CHECK(child > 0);
        int status = -1;
        CHECK_INT(waitpid(child, &status, 0), child);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
            int number = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
            check_failed(__FILE__, __LINE__, "child %d: status %x (%s)", i, (unsigned)status,
                number > 0 && number <= STATUS_FUNCTION_COUNT ? status_functions[number - 1].name : "see every_function_answers_forked");
            break;
        }
        sleep_ms(5);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    team_join(&team);
    vsession_info_free(info);
    CHECK_INT(counted("logins"), 1);
    CHECK_INT(counted("logouts"), 0);
    CHECK_INT(vsession_get_state(good.session), VSESSION_STATE_ACTIVE);
    CHECK_OK(vsession_close(good.session, NULL, &error), error);
    CHECK_INT(counted("sessions"), 0);
    CHECK_INT(vsession_config_free(good.config), VSESSION_OK);
    CHECK_INT(vsession_cancel_free(good.cancel), VSESSION_OK);
    CHECK_INT(vsession_queue_free(good.queue), VSESSION_OK);
}

/* Runs in the child of a process whose threads use the library. */
static void use_it_afresh(vsession inherited)
{
    vsession_error *error = NULL;
    CHECK_STATUS(vsession_after_fork_child(&error), VSESSION_OK, error);
    CHECK_INT(vsession_get_state(inherited), VSESSION_STATE_CLOSED);
    CHECK_STATUS(call_once(inherited, NULL, &error), VSESSION_E_CLOSED, error);
    CHECK_OK(vsession_close(inherited, NULL, &error), error); /* already closed in the child; the parent's session lives on */
    for (int i = 0; i < 3; i++) {
        vsession own = good_session();
        CHECK(own.id != inherited.id);
        CHECK_OK(call_once(own, NULL, &error), error);
        CHECK_OK(vsession_close(own, NULL, &error), error);
    }
    CHECK_OK(vsession_shutdown(5000, &error), error);
}

static void a_child_that_starts_afresh_has_its_own_sessions(void)
{
    clean_server();
    vsession_error *error = NULL;
    good.session = good_session();
    CHECK_OK(vsession_login(good.session, NULL, &error), error);
    __atomic_store_n(&stop, 0, __ATOMIC_RELAXED);
    struct team team;
    team_start(&team, 4, call_all_the_time, NULL);
    for (int i = 0; i < 10; i++) {
        pid_t child = fork();
        if (child == 0) {
            alarm(60);
            use_it_afresh(good.session);
            _exit(finish());
        }
        int status = -1;
        CHECK_INT(waitpid(child, &status, 0), child);
        CHECK_INT(status, 0);
        if (status != 0) break;
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    team_join(&team);
    CHECK_INT(vsession_get_state(good.session), VSESSION_STATE_ACTIVE);
    CHECK_INT(counted("sessions"), 1);
    CHECK_INT(counted("logins"), 1 + 10 * 3);
    CHECK_OK(vsession_close(good.session, NULL, &error), error);
    CHECK_INT(counted("sessions"), 0);
}

static void hear(int32_t level, const char *message, void *data)
{
    (void)level;
    __atomic_add_fetch((long *)data, (long)strlen(message), __ATOMIC_RELAXED);
}

static int32_t give_credentials(vsession session, vsession_credentials *credentials, void *data)
{
    (void)session;
    (void)data;
    return vsession_credentials_set(credentials, "user", "pass");
}

/* The whole life of a session that belongs to the thread, with everything that can happen in it. */
static void live_a_life(int number)
{
    vsession_error *error = NULL;
    vsession_queue queue = {0};
    vsession_cancel cancel = {0};
    vsession_event *event = NULL;
    vsession_info *info = NULL;
    vsession_soap_call call = current_time();
    vsession_call_options options = VSESSION_CALL_OPTIONS_INIT;
    CHECK_OK(vsession_queue_new(&queue, &error), error);
    CHECK_OK(vsession_cancel_new(&cancel, &error), error);
    vsession_config config = good_config();
    CHECK_OK(vsession_config_set_queue(config, queue, &error), error);
    if (number % 2 == 0) CHECK_OK(vsession_config_set_credentials_fn(config, give_credentials, NULL, NULL, &error), error);
    vsession own = opened(config);
    CHECK_OK(vsession_keepalive_start(own, 1000, &error), error);
    CHECK_OK(vsession_login(own, NULL, &error), error);
    options.cancel = cancel;
    for (uint64_t i = 0; i < 4; i++) CHECK_OK(vsession_call_async(own, &call, &options, queue, i, &error), error);
    CHECK_OK(vsession_refresh(own, NULL, &info, &error), error);
    vsession_info_free(info);
    CHECK_INT(vsession_cancel_fire(cancel), VSESSION_OK);
    for (int completions = 0; completions < 4;) {
        CHECK_OK(vsession_queue_next(queue, 10000, &event, &error), error);
        if (event == NULL) break;
        completions += vsession_event_get_kind(event) == VSESSION_EVENT_COMPLETION;
        vsession_event_free(event);
    }
    CHECK_OK(vsession_close(own, NULL, &error), error);
    CHECK_INT(vsession_queue_free(queue), VSESSION_OK);
    CHECK_INT(vsession_cancel_free(cancel), VSESSION_OK);
}

static void probe_a_certificate(void)
{
    vsession_error *error = NULL;
    vsession_certificates *certificates = NULL;
    CHECK_OK(vsession_probe_certificate(test_env("VSESSION_TEST_URL"), good.config, NULL, &certificates, &error), error);
    vsession_certificates_free(certificates);
}

static void do_everything(void *unused, int number)
{
    (void)unused;
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        if (over_tls() && number % 3 == 0)
            probe_a_certificate();
        else
            live_a_life(number);
    }
}

/* Whatever the other threads are doing, the child works and does not touch the parent's sessions. */
static void a_process_may_fork_at_any_time(void)
{
    clean_server();
    vsession_error *error = NULL;
    vsession_info *info = NULL;
    long heard = 0;
    good.config = good_config();
    good.session = good_session();
    CHECK_OK(vsession_cancel_new(&good.cancel, &error), error);
    CHECK_OK(vsession_queue_new(&good.queue, &error), error);
    CHECK_OK(vsession_login(good.session, NULL, &error), error);
    CHECK_OK(vsession_get_info(good.session, &info, &error), error);
    vsession_set_log(VSESSION_LOG_DEBUG, hear, &heard);
    __atomic_store_n(&stop, 0, __ATOMIC_RELAXED);
    struct team team;
    team_start(&team, 9, do_everything, NULL);
    const char *forks = getenv("VSESSION_TEST_FORKS");
    for (int i = 0; i < (forks != NULL ? atoi(forks) : 30); i++) {
        /* A different moment each time. */
        struct timespec pause = {0, (i * 7919L) % 4000 * 1000};
        nanosleep(&pause, NULL);
        pid_t child = fork();
        if (child == 0) {
            alarm(60);
            int wrong = i % 2 == 0 ? every_function_answers_forked(info) : 0;
            if (wrong != 0) _exit(wrong);
            if (i % 2 == 0) vsession_set_log(VSESSION_LOG_DEBUG, hear, &heard);
            use_it_afresh(good.session);
            live_a_life(i);
            if (i % 4 < 2) _exit(finish());
            exit(finish());
        }
        int status = -1;
        CHECK_INT(waitpid(child, &status, 0), child);
        CHECK_INT(status, 0);
        if (status != 0) break;
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    team_join(&team);
    vsession_set_log(VSESSION_LOG_OFF, NULL, NULL);
    vsession_info_free(info);
    CHECK(__atomic_load_n(&heard, __ATOMIC_RELAXED) > 0);
    CHECK_OK(call_once(good.session, NULL, &error), error);
    CHECK_OK(vsession_close(good.session, NULL, &error), error);
    CHECK_INT(counted("sessions"), 0);
    CHECK_INT(vsession_config_free(good.config), VSESSION_OK);
    CHECK_INT(vsession_cancel_free(good.cancel), VSESSION_OK);
    CHECK_INT(vsession_queue_free(good.queue), VSESSION_OK);
}

/* A thread's first use of the library in a process, each in another way: with the system's roots, with the test's own,
 * without a session. */
static void use_it_first(void *unused, int number)
{
    (void)unused;
    vsession_error *error = NULL;
    if (over_tls() && number % 4 == 0) {
        vsession_certificates *certificates = NULL;
        vsession_config none = {0};
        CHECK_OK(vsession_probe_certificate(test_env("VSESSION_TEST_URL"), none, NULL, &certificates, &error), error);
        vsession_certificates_free(certificates);
    }
    if (number % 4 == 1) {
        vsession_config config = {0};
        vsession session = {0};
        CHECK_OK(vsession_config_new("https://localhost", &config, &error), error);
        vsession_status status = vsession_open(config, &session, NULL); /* VSESSION_E_CONFIG on a system without roots */
        CHECK(status == VSESSION_OK || status == VSESSION_E_CONFIG);
        if (status == VSESSION_OK) CHECK_OK(vsession_close(session, NULL, &error), error);
        CHECK_INT(vsession_config_free(config), VSESSION_OK);
    }
    if (number % 4 == 2) vsession_set_log(VSESSION_LOG_ERROR, NULL, NULL);
    vsession own = good_session();
    CHECK_OK(vsession_keepalive_start(own, 1000, &error), error);
    CHECK_OK(call_once(own, NULL, &error), error);
    CHECK_OK(vsession_close(own, NULL, &error), error);
}

/* Runs in its own process, where nothing has been initialized yet. */
static void fork_during_first_uses(int number)
{
    vsession_error *error = NULL;
    struct team team;
    team_start(&team, 8, use_it_first, NULL);
    /* A different moment each time, from the first instruction on. */
    struct timespec pause = {0, number * 7919L * 13 % 40000 * (number % 2 == 0 ? 1 : 1000)};
    nanosleep(&pause, NULL);
    pid_t child = fork();
    if (child == 0) {
        alarm(30); /* ends a child that waits forever for another thread's initialization */
        CHECK_STATUS(vsession_after_fork_child(&error), VSESSION_OK, error);
        for (int i = 0; i < 4; i++) use_it_first(NULL, i);
        _exit(finish());
    }
    int status = -1;
    CHECK_INT(waitpid(child, &status, 0), child);
    CHECK_INT(status, 0);
    team_join(&team);
}

/* Everything that is initialized once is either ready or initialized anew. */
static void a_process_may_fork_during_the_first_use_of_the_library(void)
{
    clean_server();
    /* The library reads chunked replies in another way, which has its own initialization. */
    add_rule("{\"method\":\"CurrentTime\",\"chunked\":true}");
    const char *forks = getenv("VSESSION_TEST_FORKS");
    for (int i = 0; i < (forks != NULL ? atoi(forks) : 40); i++) {
        pid_t child = fork();
        if (child == 0) {
            alarm(60);
            fork_during_first_uses(i);
            _exit(finish());
        }
        int status = -1;
        CHECK_INT(waitpid(child, &status, 0), child);
        CHECK_INT(status, 0);
        if (status != 0) break;
    }
    CHECK_INT(counted("sessions"), 0);
}

/* A server that forks its workers first, as most do: each worker may use the library. */
static void a_child_may_use_the_library_if_its_parent_has_not(void)
{
    clean_server();
    pid_t child = fork();
    if (child == 0) {
        alarm(60);
        vsession_error *error = NULL;
        vsession session = good_session();
        CHECK_OK(call_once(session, NULL, &error), error);
        CHECK_OK(vsession_close(session, NULL, &error), error);
        _exit(finish());
    }
    int status = -1;
    CHECK_INT(waitpid(child, &status, 0), child);
    CHECK_INT(status, 0);
    CHECK_INT(counted("logins"), 1);
    CHECK_INT(counted("sessions"), 0);
}

enum { POLLS = 20 };

/* The next completion, whose call must have ended with this status. Returns its tag. */
static uint64_t next_ended(vsession_queue queue, vsession_status status)
{
    vsession_error *error = NULL;
    vsession_event *event = NULL;
    uint64_t tag = UINT64_MAX;
    CHECK_OK(vsession_queue_next(queue, 60000, &event, &error), error);
    CHECK(event != NULL);
    if (event == NULL) return tag;
    CHECK_INT(vsession_event_get_kind(event), VSESSION_EVENT_COMPLETION);
    const vsession_error *failed = vsession_event_error(event);
    CHECK_INT(failed != NULL ? vsession_error_status(failed) : VSESSION_OK, status);
    tag = vsession_event_tag(event);
    vsession_event_free(event);
    return tag;
}

/* Calls that wait for the server are the parent's. The child has no thread of theirs and no completion; while it lives, and
 * after it has used the library afresh, they go on, can be cancelled, and end with the session. */
static void calls_that_wait_for_the_server_stay_with_the_parent(void)
{
    clean_server();
    add_rule("{\"method\":\"WaitForUpdatesEx\",\"hang\":true}");
    vsession_error *error = NULL;
    vsession_soap_call poll = VSESSION_SOAP_CALL_INIT;
    vsession_call_options options = VSESSION_CALL_OPTIONS_INIT;
    poll.method = "WaitForUpdatesEx";
    poll.this_type = "PropertyCollector";
    options.timeout_ms = VSESSION_NO_TIMEOUT;
    CHECK_OK(vsession_queue_new(&good.queue, &error), error);
    CHECK_OK(vsession_cancel_new(&good.cancel, &error), error);
    good.session = good_session();
    CHECK_OK(vsession_login(good.session, NULL, &error), error);
    for (uint64_t i = 0; i < POLLS; i++) {
        vsession_cancel none = {0};
        options.cancel = i == 0 ? good.cancel : none;
        CHECK_OK(vsession_call_async(good.session, &poll, &options, good.queue, i, &error), error);
    }
    CHECK(wait_for_count("WaitForUpdatesEx", POLLS));
    int to_child[2];
    CHECK_INT(pipe(to_child), 0);
    pid_t child = fork();
    if (child == 0) {
        alarm(120);
        char byte;
        vsession_event *event = NULL;
        close(to_child[1]);
        CHECK_INT(vsession_queue_next(good.queue, 0, &event, NULL), VSESSION_E_FORKED);
        use_it_afresh(good.session);
        CHECK_STATUS(vsession_queue_next(good.queue, 0, &event, &error), VSESSION_E_CLOSED, error);
        CHECK_INT(vsession_cancel_fire(good.cancel), VSESSION_E_CLOSED);
        CHECK_INT(read(to_child[0], &byte, 1), 0); /* the parent has looked */
        _exit(finish());
    }
    close(to_child[0]);
    CHECK(wait_for_count("logouts", 3)); /* the child's own sessions */
    vsession_event *early = NULL;
    CHECK_OK(vsession_queue_next(good.queue, 0, &early, &error), error);
    CHECK(early == NULL);
    CHECK_OK(call_once(good.session, NULL, &error), error);
    CHECK_INT(vsession_cancel_fire(good.cancel), VSESSION_OK);
    CHECK_INT(next_ended(good.queue, VSESSION_E_CANCELLED), 0);
    CHECK_OK(vsession_close(good.session, NULL, &error), error);
    uint64_t ended = 0;
    for (int i = 1; i < POLLS; i++) ended += next_ended(good.queue, VSESSION_E_CLOSED);
    CHECK_INT(ended, POLLS * (POLLS - 1) / 2);
    close(to_child[1]);
    int status = -1;
    CHECK_INT(waitpid(child, &status, 0), child);
    CHECK_INT(status, 0);
    CHECK_INT(counted("sessions"), 0);
    CHECK_INT(vsession_cancel_free(good.cancel), VSESSION_OK);
    CHECK_INT(vsession_queue_free(good.queue), VSESSION_OK);
}

int main(void)
{
    RUN(a_child_may_use_the_library_if_its_parent_has_not);
    RUN(a_process_may_fork_during_the_first_use_of_the_library);
    RUN(every_function_fails_in_a_child_and_the_parent_continues);
    RUN(a_child_that_starts_afresh_has_its_own_sessions);
    RUN(a_process_may_fork_at_any_time);
    RUN(calls_that_wait_for_the_server_stay_with_the_parent);
    return finish();
}
