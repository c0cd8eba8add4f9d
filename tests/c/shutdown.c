/*
 * Shutdown with open sessions: all are logged out, the library's threads end, and the library can be used again.
 */
#include "check.h"

#include <dirent.h>

enum { SESSIONS = 40 };
static vsession sessions[SESSIONS];

/* The number of threads of the library in this process. */
static int library_threads(void)
{
    int number = 0;
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *task;
    while ((task = readdir(tasks)) != NULL) {
        char path[300], name[32] = "";
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", task->d_name);
        FILE *file = fopen(path, "r");
        if (file == NULL) continue;
        if (fgets(name, sizeof name, file) != NULL && strncmp(name, "vsession", 8) == 0) number++;
        fclose(file);
    }
    closedir(tasks);
    return number;
}

static void shutdown_logs_everything_out_and_ends_the_threads(void)
{
    vsession_error *error = NULL;
    for (int round = 0; round < 2; round++) {
        clean_server();
        for (int i = 0; i < SESSIONS; i++) {
            sessions[i] = good_session();
            CHECK_OK(vsession_login(sessions[i], NULL, &error), error);
        }
        CHECK_INT(counted("sessions"), SESSIONS);
        CHECK(library_threads() > 0);
        CHECK_OK(vsession_shutdown(20000, &error), error);
        CHECK_INT(counted("sessions"), 0);
        CHECK_INT(counted("logouts"), SESSIONS);
        CHECK_INT(library_threads(), 0);
        for (int i = 0; i < SESSIONS; i++) CHECK_INT(vsession_get_state(sessions[i]), VSESSION_STATE_CLOSED);
    }
    CHECK_OK(vsession_shutdown(0, &error), error); /* with nothing to do */
    CHECK_INT(vsession_shutdown(0, NULL), VSESSION_OK);
}

static void call_until_closed(void *unused, int number)
{
    (void)unused;
    vsession_error *error = NULL;
    vsession_status status;
    do {
        vsession_error_free(error);
        status = call_once(sessions[number], NULL, &error);
    } while (status == VSESSION_OK);
    CHECK_INT(status, VSESSION_E_CLOSED);
    vsession_error_free(error);
}

static void calls_under_way_end_with_closed(void)
{
    vsession_error *error = NULL;
    clean_server();
    for (int i = 0; i < 8; i++) sessions[i] = good_session();
    struct team team;
    team_start(&team, 8, call_until_closed, NULL);
    CHECK(wait_for_count("logins", 8));
    CHECK_OK(vsession_shutdown(20000, &error), error);
    team_join(&team);
    CHECK_INT(counted("sessions"), 0);
}

/* More calls than the library has threads, none of which would ever end. */
static void hanging_asynchronous_calls_do_not_delay_it(void)
{
    vsession_error *error = NULL;
    vsession_queue queue = {0};
    clean_server();
    CHECK_OK(vsession_queue_new(&queue, &error), error);
    for (int i = 0; i < SESSIONS; i++) {
        sessions[i] = good_session();
        CHECK_OK(vsession_login(sessions[i], NULL, &error), error);
    }
    add_rule("{\"method\":\"CurrentTime\",\"hang\":true}");
    vsession_soap_call call = current_time();
    for (int i = 0; i < SESSIONS; i++)
        CHECK_OK(vsession_call_async(sessions[i], &call, NULL, queue, (uint64_t)i, &error), error);
    int64_t start = monotonic_ms();
    CHECK_OK(vsession_shutdown(20000, &error), error);
    CHECK(monotonic_ms() - start < AT_ONCE_MS);
    CHECK_INT(counted("sessions"), 0);
    for (int i = 0; i < SESSIONS; i++) {
        vsession_event *event = NULL;
        CHECK_OK(vsession_queue_next(queue, 0, &event, &error), error);
        CHECK(event != NULL);
        CHECK_INT(vsession_error_status(vsession_event_error(event)), VSESSION_E_CLOSED);
        vsession_event_free(event);
    }
    CHECK_INT(vsession_queue_free(queue), VSESSION_OK);
}

/* The error reports the first session that could not be logged out; all sessions are closed anyway. */
static void sessions_that_cannot_be_logged_out_are_reported(void)
{
    vsession_error *error = NULL;
    clean_server();
    for (int i = 0; i < 4; i++) {
        sessions[i] = good_session();
        CHECK_OK(vsession_login(sessions[i], NULL, &error), error);
    }
    add_rule("{\"method\":\"Logout\",\"status\":503,\"times\":2}");
    CHECK_STATUS(vsession_shutdown(20000, &error), VSESSION_E_HTTP, error);
    CHECK_INT(counted("sessions"), 2);
    for (int i = 0; i < 4; i++) CHECK_INT(vsession_get_state(sessions[i]), VSESSION_STATE_CLOSED);
    CHECK_INT(library_threads(), 0);
    clean_server();
}

int main(void)
{
    RUN(shutdown_logs_everything_out_and_ends_the_threads);
    RUN(calls_under_way_end_with_closed);
    RUN(hanging_asynchronous_calls_do_not_delay_it);
    RUN(sessions_that_cannot_be_logged_out_are_reported);
    return finish();
}
