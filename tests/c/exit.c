/*
 * The end of a process. It may come at any time and without a shutdown: nothing crashes, and nothing is waited for. A
 * program that closes its session in an exit handler leaves no session behind: by then the main thread's thread-local
 * values are gone, so the library must not need them.
 */
#include "check.h"

#include <sys/wait.h>

static vsession session;

static void *call_for_ever(void *unused)
{
    (void)unused;
    for (;;) {
        /* Under valgrind, four threads that only spin would starve the thread that ends the process. */
        if (call_once(session, NULL, NULL) == VSESSION_E_CLOSED) sleep_ms(1);
    }
    return NULL;
}

/* Runs in its own process, which ends while calls, a login and keep-alive are under way. */
static void end_in_the_middle(int number)
{
    vsession_error *error = NULL;
    vsession_queue queue = {0};
    CHECK_OK(vsession_queue_new(&queue, &error), error);
    vsession_config config = good_config();
    CHECK_OK(vsession_config_set_queue(config, queue, &error), error);
    CHECK_OK(vsession_config_set(config, "keepalive.interval_ms", "1000", &error), error);
    session = opened(config);
    vsession other = good_session();
    vsession_soap_call call = current_time();
    pthread_t thread;
    for (int i = 0; i < 4; i++) CHECK_INT(pthread_create(&thread, NULL, call_for_ever, NULL), 0);
    for (uint64_t i = 0; i < 20; i++) CHECK_OK(vsession_call_async(session, &call, NULL, queue, i, &error), error);
    CHECK_OK(vsession_call_async(other, &call, NULL, queue, 99, &error), error);
    /* A different moment each time; in some rounds after probes have begun. */
    sleep_ms(number < 12 ? number * 3 : 900 + number * 50);
    if (number % 3 == 0) {
        CHECK_OK(vsession_close(session, NULL, &error), error); /* it meets the threads and the calls */
    }
    exit(finish());
}

static void a_process_may_end_at_any_time(void)
{
    for (int i = 0; i < 16; i++) {
        clean_server();
        add_rule("{\"method\":\"Login\",\"delay_ms\":10}");
        pid_t child = fork();
        if (child == 0) {
            alarm(60); /* kills a process that hangs, which its status then shows */
            end_in_the_middle(i);
        }
        CHECK(child > 0);
        int status = -1;
        CHECK_INT(waitpid(child, &status, 0), child);
        if (status != 0) check_failed(__FILE__, __LINE__, "process %d: status %x", i, (unsigned)status);
    }
    /* The server ends the sessions that a process leaves behind when they idle out; here the test does. */
    clean_server();
}

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
    RUN(a_process_may_end_at_any_time); /* first, because a process that has used the library must not fork */
    vsession_error *error = NULL;
    clean_server();
    session = good_session();
    CHECK_OK(vsession_login(session, NULL, &error), error);
    CHECK_INT(counted("sessions"), 1);
    CHECK_INT(atexit(close_at_exit), 0);
    return 1; /* the handler exits with the result */
}
