/*
 * A callback of the library may call every function. A call that would wait for the callback itself fails at once.
 */
#include "check.h"

static vsession session;
static vsession_status from_call, from_login, from_logout;
static vsession_state seen;
static bool closes;
static int callbacks;

/* Called while a session is replaced, on the thread that replaces it. */
static void call_back(int32_t level, const char *message, void *data)
{
    (void)level;
    (void)data;
    if (strstr(message, "has ended on the server") == NULL || callbacks++ > 0) return;
    vsession_error *error = NULL;
    seen = vsession_get_state(session);
    from_call = call_once(session, NULL, &error);
    vsession_error_free(error);
    from_login = vsession_login(session, NULL, &error);
    vsession_error_free(error);
    from_logout = vsession_logout(session, NULL, &error);
    vsession_error_free(error);
    if (closes) CHECK_OK(vsession_close(session, NULL, &error), error);
}

static void replace_with_callback(vsession_status expected)
{
    vsession_error *error = NULL;
    vsession_call_options options = VSESSION_CALL_OPTIONS_INIT;
    options.timeout_ms = 30000;
    callbacks = 0;
    CHECK_OK(vsession_login(session, NULL, &error), error);
    CHECK(simulator_kill_sessions(control_port()));
    int64_t start = monotonic_ms();
    CHECK_STATUS(call_once(session, &options, &error), expected, error);
    CHECK(monotonic_ms() - start < AT_ONCE_MS);
    CHECK_INT(callbacks, 1);
    CHECK_INT(from_call, VSESSION_E_REENTRANT);
    CHECK_INT(from_login, VSESSION_E_REENTRANT);
    CHECK_INT(from_logout, VSESSION_E_REENTRANT);
    CHECK_INT(seen, VSESSION_STATE_LOGGING_IN);
}

static void a_call_in_a_callback_that_would_wait_for_the_callback_fails(void)
{
    vsession_error *error = NULL;
    session = good_session();
    closes = false;
    replace_with_callback(VSESSION_OK);
    CHECK_OK(vsession_close(session, NULL, &error), error);
    CHECK_INT(counted("sessions"), 0);
}

static void a_callback_during_a_login_may_close_the_session(void)
{
    session = good_session();
    closes = true;
    replace_with_callback(VSESSION_E_CLOSED);
    CHECK_INT(vsession_get_state(session), VSESSION_STATE_CLOSED);
    CHECK(wait_for_count("sessions", 0));
}

int main(void)
{
    vsession_set_log(VSESSION_LOG_INFO, call_back, NULL);
    RUN(a_call_in_a_callback_that_would_wait_for_the_callback_fails);
    RUN(a_callback_during_a_login_may_close_the_session);
    vsession_set_log(VSESSION_LOG_OFF, NULL, NULL);
    return finish();
}
