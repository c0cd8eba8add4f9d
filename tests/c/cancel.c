/* Deadlines and tokens: before a call, during it, and for one of several callers that wait for the same login. */
#include "check.h"

static vsession session;
static vsession_cancel token;

static void new_token(void)
{
    vsession_error *error = NULL;
    CHECK_OK(vsession_cancel_new(&token, &error), error);
}

static vsession_call_options with_token(void)
{
    vsession_call_options options = VSESSION_CALL_OPTIONS_INIT;
    options.timeout_ms = 30000;
    options.cancel = token;
    return options;
}

static void a_fired_token_stops_a_call_before_it_is_sent(void)
{
    clean_server();
    vsession_error *error = NULL;
    new_token();
    session = good_session();
    vsession_call_options options = with_token();
    CHECK_INT(vsession_cancel_fire(token), VSESSION_OK);
    CHECK_INT(call_once(session, &options, &error), VSESSION_E_CANCELLED);
    CHECK_INT(vsession_error_executed(error), VSESSION_EXECUTED_NO);
    vsession_error_free(error);
    error = NULL;
    CHECK_STATUS(vsession_login(session, &options, &error), VSESSION_E_CANCELLED, error);
    CHECK_INT(counted("requests"), 0);

    CHECK_INT(vsession_cancel_reset(token), VSESSION_OK);
    CHECK_OK(call_once(session, &options, &error), error);
    CHECK_OK(vsession_close(session, NULL, &error), error);
    CHECK_INT(vsession_cancel_free(token), VSESSION_OK);
}

static void call_with_token(void *unused, int number)
{
    (void)unused;
    (void)number;
    vsession_error *error = NULL;
    vsession_call_options options = with_token();
    CHECK_INT(call_once(session, &options, &error), VSESSION_E_CANCELLED);
    CHECK_INT(vsession_error_executed(error), VSESSION_EXECUTED_MAYBE);
    vsession_error_free(error);
}

static void firing_ends_all_calls_under_way_and_the_session_survives(void)
{
    clean_server();
    vsession_error *error = NULL;
    new_token();
    session = good_session();
    CHECK_OK(vsession_login(session, NULL, &error), error);
    add_rule("{\"method\":\"CurrentTime\",\"times\":8,\"hang\":true}");
    struct team team;
    team_start(&team, 8, call_with_token, NULL);
    CHECK(wait_for_count("requests_in_flight", 8));
    int64_t began = monotonic_ms();
    CHECK_INT(vsession_cancel_fire(token), VSESSION_OK);
    team_join(&team);
    CHECK(monotonic_ms() - began < AT_ONCE_MS);
    CHECK_OK(call_once(session, NULL, &error), error);
    CHECK_INT(counted("logins"), 1);
    CHECK_OK(vsession_close(session, NULL, &error), error);
    CHECK_INT(vsession_cancel_free(token), VSESSION_OK);
}

static void log_in_half_with_token(void *unused, int number)
{
    (void)unused;
    vsession_error *error = NULL;
    vsession_call_options options = with_token();
    if (number % 2 == 0)
        CHECK_STATUS(vsession_login(session, &options, &error), VSESSION_E_CANCELLED, error);
    else
        CHECK_OK(vsession_login(session, NULL, &error), error);
}

static void a_login_continues_for_callers_that_still_wait(void)
{
    clean_server();
    vsession_error *error = NULL;
    new_token();
    session = good_session();
    add_rule("{\"method\":\"Login\",\"delay_ms\":1500}");
    struct team team;
    team_start(&team, 8, log_in_half_with_token, NULL);
    CHECK(wait_for_count("Login", 1));
    CHECK_INT(vsession_cancel_fire(token), VSESSION_OK);
    team_join(&team);
    CHECK_INT(counted("logins"), 1);
    CHECK_OK(vsession_close(session, NULL, &error), error);
    CHECK_INT(counted("sessions"), 0);
    CHECK_INT(vsession_cancel_free(token), VSESSION_OK);
}

static void a_deadline_ends_a_call(void)
{
    clean_server();
    vsession_error *error = NULL;
    session = good_session();
    CHECK_OK(vsession_login(session, NULL, &error), error);
    add_rule("{\"method\":\"CurrentTime\",\"times\":1,\"hang\":true}");
    vsession_call_options options = VSESSION_CALL_OPTIONS_INIT;
    options.timeout_ms = 300;
    int64_t began = monotonic_ms();
    CHECK_INT(call_once(session, &options, &error), VSESSION_E_TIMEOUT);
    int64_t took = monotonic_ms() - began;
    CHECK(took >= 290 && took < AT_ONCE_MS);
    CHECK(vsession_error_retriable(error));
    CHECK_INT(vsession_error_executed(error), VSESSION_EXECUTED_MAYBE);
    vsession_error_free(error);
    error = NULL;
    CHECK_OK(call_once(session, NULL, &error), error);
    CHECK_OK(vsession_close(session, NULL, &error), error);
}

static void a_deadline_ends_a_login(void)
{
    clean_server();
    vsession_error *error = NULL;
    session = good_session();
    add_rule("{\"method\":\"Login\",\"times\":1,\"hang\":true}");
    vsession_call_options options = VSESSION_CALL_OPTIONS_INIT;
    options.timeout_ms = 300;
    int64_t began = monotonic_ms();
    CHECK_STATUS(vsession_login(session, &options, &error), VSESSION_E_TIMEOUT, error);
    CHECK(monotonic_ms() - began < AT_ONCE_MS);
    /* The credentials are sent. So close waits for the login's result, to leave no session behind, and has its own deadline. */
    began = monotonic_ms();
    CHECK_STATUS(vsession_close(session, &options, &error), VSESSION_E_TIMEOUT, error);
    CHECK(monotonic_ms() - began < AT_ONCE_MS);
    CHECK_INT(vsession_get_state(session), VSESSION_STATE_CLOSED);
}

static void a_freed_token_no_longer_ends_a_call(void)
{
    clean_server();
    vsession_error *error = NULL;
    new_token();
    session = good_session();
    vsession_call_options options = with_token();
    CHECK_OK(call_once(session, &options, &error), error);
    CHECK_INT(vsession_cancel_free(token), VSESSION_OK);
    CHECK_INT(vsession_cancel_fire(token), VSESSION_E_CLOSED);
    CHECK_STATUS(call_once(session, &options, &error), VSESSION_E_INVALID_ARGUMENT, error);
    CHECK_OK(call_once(session, NULL, &error), error);
    CHECK_OK(vsession_close(session, NULL, &error), error);
}

int main(void)
{
    RUN(a_fired_token_stops_a_call_before_it_is_sent);
    RUN(firing_ends_all_calls_under_way_and_the_session_survives);
    RUN(a_login_continues_for_callers_that_still_wait);
    RUN(a_deadline_ends_a_call);
    RUN(a_deadline_ends_a_login);
    RUN(a_freed_token_no_longer_ends_a_call);
    return finish();
}
