/*
 * One thread drives a thousand sessions: it starts a call on each, waits with poll for completions, and blocks nowhere else.
 * The first call of a session logs it in. A program with many vCenters would make a configuration for each; here all
 * sessions are with one server.
 *
 *     many_sessions [NUMBER [URL [CA.pem]]]        default 1000; without a URL it uses govc's variables (GOVC_URL, ...)
 */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "vsession.h"

enum { ROUNDS = 3 };

static int fail(const char *what, vsession_error *error)
{
    fprintf(stderr, "%s: %s: %s\n", what, vsession_status_name(vsession_error_status(error)), vsession_error_message(error));
    vsession_error_free(error);
    return 1;
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Asks the server of a session for its time. The end of the call is an event with the session's number as its tag. */
static vsession_status start_call(vsession session, vsession_queue queue, uint64_t number, vsession_error **error)
{
    vsession_call_options options = VSESSION_CALL_OPTIONS_INIT;
    options.timeout_ms = 120000; /* from now on, so it includes the wait for the calls of the other sessions */
    options.idempotent = 1;
    vsession_soap_call call = VSESSION_SOAP_CALL_INIT;
    call.method = "CurrentTime";
    call.this_type = "ServiceInstance";
    return vsession_call_async(session, &call, &options, queue, number, error);
}

struct counts {
    long logins, answered, failed, under_way;
};

/* Handles one event: a change of state, or the end of a call, after which the next call starts. */
static void handle(const vsession_event *event, vsession *sessions, int *rounds_left, vsession_queue queue, struct counts *counts)
{
    if (vsession_event_get_kind(event) == VSESSION_EVENT_STATE_CHANGED) {
        if (vsession_event_new_state(event) == VSESSION_STATE_ACTIVE) counts->logins++;
        return;
    }
    if (vsession_event_get_kind(event) != VSESSION_EVENT_COMPLETION) return;
    uint64_t number = vsession_event_tag(event);
    counts->under_way--;
    if (vsession_event_reply(event) != NULL) {
        counts->answered++;
    } else {
        const vsession_error *why = vsession_event_error(event);
        if (counts->failed++ == 0) fprintf(stderr, "session %" PRIu64 ": %s\n", number, vsession_error_message(why));
    }
    if (--rounds_left[number] > 0) {
        vsession_error *error = NULL;
        if (start_call(sessions[number], queue, number, &error) == VSESSION_OK)
            counts->under_way++;
        else
            counts->failed += fail("call", error);
    }
}

int main(int argc, char **argv)
{
    long number = argc > 1 ? atol(argv[1]) : 1000;
    if (number < 1) {
        fprintf(stderr, "usage: many_sessions [NUMBER [URL [CA.pem]]]\n");
        return 2;
    }
    vsession_error *error = NULL;
    vsession_config config = {0};
    vsession_queue queue = {0};
    vsession_status status = argc > 2 ? vsession_config_new(argv[2], &config, &error) : vsession_config_from_env(&config, &error);
    if (!status && argc > 3) status = vsession_config_set(config, "tls.ca_file", argv[3], &error);
    if (!status) status = vsession_queue_new(&queue, &error);
    if (!status) status = vsession_config_set_queue(config, queue, &error);
    if (status) return fail("start", error);

    vsession *sessions = (vsession *)calloc((size_t)number, sizeof *sessions);
    int *rounds_left = (int *)calloc((size_t)number, sizeof *rounds_left);
    if (sessions == NULL || rounds_left == NULL) {
        fprintf(stderr, "no memory for %ld sessions\n", number);
        return 1;
    }
    double begin = seconds();
    struct counts counts = {0, 0, 0, 0};
    for (long i = 0; i < number; i++) {
        rounds_left[i] = ROUNDS;
        status = vsession_open(config, &sessions[i], &error);
        if (!status) status = start_call(sessions[i], queue, (uint64_t)i, &error);
        if (status)
            counts.failed += fail("open", error);
        else
            counts.under_way++;
    }
    struct pollfd waiting = {vsession_queue_fd(queue), POLLIN, 0};
    while (counts.under_way > 0 && poll(&waiting, 1, -1) >= 0) {
        /* Take all events; the descriptor stays readable until then. */
        vsession_event *event = NULL;
        while (vsession_queue_next(queue, 0, &event, NULL) == VSESSION_OK && event != NULL) {
            handle(event, sessions, rounds_left, queue, &counts);
            vsession_event_free(event);
        }
    }
    printf("%ld sessions: %ld logins, %ld calls answered, %ld failed, in %.1f s\n", number, counts.logins, counts.answered,
        counts.failed, seconds() - begin);

    begin = seconds();
    status = vsession_shutdown(60000, &error); /* closes every session, which logs it out */
    if (status) counts.failed += fail("shutdown", error);
    printf("closed in %.1f s\n", seconds() - begin);
    vsession_queue_free(queue);
    vsession_config_free(config);
    free(rounds_left);
    free(sessions);
    return counts.failed == 0 ? 0 : 1;
}
