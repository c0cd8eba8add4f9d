/* One session, many threads: one login for all, one more when the server ends the session, and one logout. */
#include "check.h"

static vsession session;

static void log_in(void *unused, int number)
{
    (void)unused;
    (void)number;
    vsession_error *error = NULL;
    CHECK_OK(vsession_login(session, NULL, &error), error);
    CHECK_INT(vsession_get_state(session), VSESSION_STATE_ACTIVE);
    CHECK_INT(vsession_get_epoch(session), 1);
}

static void threads_that_log_in_at_once_share_one_login(void)
{
    clean_server();
    add_rule("{\"method\":\"Login\",\"delay_ms\":200}");
    session = good_session();
    struct team team;
    team_start(&team, thread_count(MOST_THREADS), log_in, NULL);
    team_join(&team);
    vsession_error *error = NULL;
    CHECK_INT(counted("Login"), 1);
    CHECK_INT(counted("logins"), 1);
    CHECK_INT(counted("sessions"), 1);
    CHECK_OK(vsession_close(session, NULL, &error), error);
    CHECK_INT(counted("sessions"), 0);
}

static void be_refused(void *unused, int number)
{
    (void)unused;
    vsession_error *error = NULL;
    if (number % 2 == 0)
        CHECK_STATUS(vsession_login(session, NULL, &error), VSESSION_E_INVALID_LOGIN, error);
    else
        CHECK_STATUS(call_once(session, NULL, &error), VSESSION_E_INVALID_LOGIN, error);
}

static void threads_that_are_refused_share_one_refusal(void)
{
    clean_server();
    add_rule("{\"method\":\"Login\",\"delay_ms\":300}");
    vsession_error *error = NULL;
    vsession_config config = good_config();
    CHECK_OK(vsession_config_set(config, "password", "wrong", &error), error);
    session = opened(config);
    struct team team;
    team_start(&team, thread_count(MOST_THREADS), be_refused, NULL);
    team_join(&team);
    CHECK_INT(counted("login_failures"), 1);
    CHECK_OK(vsession_close(session, NULL, &error), error);
}

static void call_and_kill(void *calls, int number)
{
    vsession_error *error = NULL;
    for (int i = 0; i < *(int *)calls; i++) {
        if (number == 0 && i == *(int *)calls / 2) CHECK(simulator_kill_sessions(control_port()));
        CHECK_OK(call_once(session, NULL, &error), error);
    }
}

static void a_session_that_the_server_ends_is_replaced_once_and_no_call_fails(void)
{
    clean_server();
    session = good_session();
    struct team team;
    int calls = 40, threads = thread_count(MOST_THREADS);
    team_start(&team, threads, call_and_kill, &calls);
    team_join(&team);
    vsession_error *error = NULL;
    CHECK_INT(counted("logins"), 2);
    CHECK_INT(counted("sessions"), 1);
    CHECK_INT(vsession_get_epoch(session), 2);
    /* Calls that met the dead session were refused without running, and were sent again. */
    CHECK(counted("CurrentTime") >= threads * calls);
    CHECK_OK(vsession_close(session, NULL, &error), error);
    CHECK_INT(counted("sessions"), 0);
}

static int closed_calls;

static void call_until_closed(void *unused, int number)
{
    (void)unused;
    (void)number;
    vsession_error *error = NULL;
    vsession_status status;
    do status = call_once(session, NULL, &error);
    while (status == VSESSION_OK);
    CHECK_STATUS(status, VSESSION_E_CLOSED, error);
    __atomic_add_fetch(&closed_calls, 1, __ATOMIC_RELAXED);
}

static void close_ends_the_calls_of_all_threads_and_logs_out(void)
{
    clean_server();
    closed_calls = 0;
    session = good_session();
    vsession_error *error = NULL;
    CHECK_OK(vsession_login(session, NULL, &error), error);
    add_rule("{\"method\":\"CurrentTime\",\"skip\":20,\"hang\":true}");
    struct team team;
    int threads = thread_count(MOST_THREADS);
    team_start(&team, threads, call_until_closed, NULL);
    CHECK(wait_for_count("requests_in_flight", threads));
    int64_t began = monotonic_ms();
    CHECK_OK(vsession_close(session, NULL, &error), error);
    team_join(&team);
    CHECK(monotonic_ms() - began < AT_ONCE_MS);
    CHECK_INT(closed_calls, threads);
    CHECK_INT(counted("logouts"), 1);
    CHECK_INT(counted("sessions"), 0);
    CHECK_INT(vsession_get_state(session), VSESSION_STATE_CLOSED);
}

static void close_here_too(void *unused, int number)
{
    (void)unused;
    (void)number;
    vsession_error *error = NULL;
    CHECK_OK(vsession_close(session, NULL, &error), error);
    CHECK_INT(vsession_get_state(session), VSESSION_STATE_CLOSED);
}

static void threads_that_close_at_once_log_out_once(void)
{
    clean_server();
    session = good_session();
    vsession_error *error = NULL;
    CHECK_OK(vsession_login(session, NULL, &error), error);
    struct team team;
    team_start(&team, thread_count(16), close_here_too, NULL);
    team_join(&team);
    CHECK_INT(counted("Logout"), 1);
    CHECK_INT(counted("sessions"), 0);
}

static vsession many[2000];

static void close_each(void *unused, int number)
{
    (void)unused;
    (void)number;
    vsession_error *error = NULL;
    for (int i = 0; i < (int)(sizeof many / sizeof many[0]); i++) CHECK_OK(vsession_close(many[i], NULL, &error), error);
}

/* Without a login a close has nothing to wait for, so the threads meet in the middle of each close. */
static void many_threads_may_close_the_same_sessions(void)
{
    vsession_error *error = NULL;
    vsession_config config = good_config();
    for (size_t i = 0; i < sizeof many / sizeof many[0]; i++) CHECK_OK(vsession_open(config, &many[i], &error), error);
    CHECK_INT(vsession_config_free(config), VSESSION_OK);
    struct team team;
    team_start(&team, 4, close_each, NULL);
    team_join(&team);
}

int main(void)
{
    RUN(threads_that_log_in_at_once_share_one_login);
    RUN(threads_that_are_refused_share_one_refusal);
    RUN(a_session_that_the_server_ends_is_replaced_once_and_no_call_fails);
    RUN(close_ends_the_calls_of_all_threads_and_logs_out);
    RUN(threads_that_close_at_once_log_out_once);
    RUN(many_threads_may_close_the_same_sessions);
    return finish();
}
