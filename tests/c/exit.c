/*
 * A program that closes its session in an exit handler leaves none behind: the values of the main thread are gone by
 * then, and the library must not need them.
 */
#include "check.h"

static vsession session;

static void close_at_exit(void)
{
    vsession_error *error = NULL;
    CHECK_OK(vsession_close(session, NULL, &error), error);
    CHECK_INT(counted("sessions"), 0);
    CHECK_INT(counted("logouts"), 1);
    _exit(finish());
}

int main(void)
{
    vsession_error *error = NULL;
    session = good_session();
    CHECK_OK(vsession_login(session, NULL, &error), error);
    CHECK_INT(counted("sessions"), 1);
    CHECK_INT(atexit(close_at_exit), 0);
    return 1; /* the handler says how it went */
}
