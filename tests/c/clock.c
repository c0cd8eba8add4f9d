/*
 * The wall clock jumps by years while sessions are open. Deadlines, waits and keep-alive use the monotonic clock, so only
 * the times of events follow. The function clock_gettime below makes the jump; the library calls it instead of the C
 * library's.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "check.h"

#include <sys/syscall.h>
#include <unistd.h>

static int64_t jump_s; /* changed atomically */

#ifdef __cplusplus
extern "C" int clock_gettime(clockid_t clock, struct timespec *now) noexcept
#else
int clock_gettime(clockid_t clock, struct timespec *now)
#endif
{
    int result = (int)syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && clock == CLOCK_REALTIME) now->tv_sec += (time_t)__atomic_load_n(&jump_s, __ATOMIC_RELAXED);
    return result;
}

static vsession_queue queue;
static const int64_t TEN_YEARS = (int64_t)10 * 365 * 24 * 3600;

static void waits_and_deadlines_last_as_long_as_requested(vsession session)
{
    vsession_error *error = NULL;
    vsession_event *event = NULL;
    int64_t start = monotonic_ms();
    CHECK_OK(vsession_queue_next(queue, 200, &event, &error), error);
    int64_t took = monotonic_ms() - start;
    CHECK(event == NULL && took >= 200 && took < AT_ONCE_MS);
    vsession_event_free(event);
    add_rule("{\"method\":\"CurrentTime\",\"delay_ms\":3000,\"times\":1}");
    vsession_call_options options = VSESSION_CALL_OPTIONS_INIT;
    options.timeout_ms = 200;
    start = monotonic_ms();
    CHECK_STATUS(call_once(session, &options, &error), VSESSION_E_TIMEOUT, error);
    took = monotonic_ms() - start;
    CHECK(took >= 200 && took < AT_ONCE_MS);
    free(simulator_request(control_port(), "DELETE", "/rules", ""));
}

/* Empties the queue. Returns the time of the latest event, or 0. */
static int64_t latest_event_ms(void)
{
    int64_t latest = 0;
    vsession_event *event = NULL;
    while (vsession_queue_next(queue, 0, &event, NULL) == VSESSION_OK && event != NULL) {
        latest = vsession_event_time_ms(event);
        vsession_event_free(event);
    }
    return latest;
}

static void a_jump_of_the_wall_clock_changes_only_the_times_of_events(void)
{
    clean_server();
    vsession_error *error = NULL;
    CHECK_OK(vsession_queue_new(&queue, &error), error);
    vsession_config config = good_config();
    CHECK_OK(vsession_config_set_queue(config, queue, &error), error);
    CHECK_OK(vsession_config_set(config, "keepalive.interval_ms", "1000", &error), error);
    CHECK_OK(vsession_config_set(config, "keepalive.probe", "current_session", &error), error);
    vsession session = opened(config);
    CHECK_OK(vsession_login(session, NULL, &error), error);
    int64_t logged_in_ms = latest_event_ms();
    CHECK(logged_in_ms > 0);
    const int64_t jumps[] = {TEN_YEARS, -TEN_YEARS, 0};
    for (int i = 0; i < 3; i++) {
        __atomic_store_n(&jump_s, jumps[i], __ATOMIC_RELAXED);
        waits_and_deadlines_last_as_long_as_requested(session);
        CHECK_INT(vsession_get_epoch(session), 1);
        long before = counted("RetrievePropertiesEx"), probes = 0;
        int64_t start = monotonic_ms(), took = 0;
        while (took < 3500 || (probes < 2 && took < AT_ONCE_MS)) { /* on a busy machine the probes come late */
            sleep_ms(100);
            probes = counted("RetrievePropertiesEx") - before;
            took = monotonic_ms() - start;
        }
        /* A pause is at least 900 ms; one more probe may have been under way. */
        if (probes < 2 || probes > 2 + took / 900)
            check_failed(__FILE__, __LINE__, "%ld probes in %ld ms after a jump of %lld s", probes, (long)took, (long long)jumps[i]);
        CHECK_INT(vsession_get_state(session), VSESSION_STATE_ACTIVE);
    }
    latest_event_ms();
    __atomic_store_n(&jump_s, TEN_YEARS, __ATOMIC_RELAXED);
    CHECK_OK(vsession_close(session, NULL, &error), error);
    int64_t apart_s = (latest_event_ms() - logged_in_ms) / 1000;
    CHECK(apart_s >= TEN_YEARS && apart_s < TEN_YEARS + 120); /* so the library has seen the jump */
    vsession_queue_free(queue);
    CHECK_INT(counted("logins"), 1);
    CHECK_INT(counted("sessions"), 0);
}

int main(void)
{
    RUN(a_jump_of_the_wall_clock_changes_only_the_times_of_events);
    return finish();
}
