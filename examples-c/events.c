/*
 * Watches a session with epoll, as a program with its own event loop would, while a thread makes calls.
 *
 *     events [URL [CA.pem]]        without a URL it uses govc's variables (GOVC_URL, ...)
 */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "vsession.h"

static vsession session;

static int fail(const char *what, vsession_error *error)
{
    fprintf(stderr, "%s: %s: %s\n", what, vsession_status_name(vsession_error_status(error)), vsession_error_message(error));
    vsession_error_free(error);
    return 1;
}

/* Makes a few calls, the first of which logs in, and closes the session. The loop in main gets that as the last event. */
static void *calls(void *result)
{
    int *failed = (int *)result;
    vsession_error *error = NULL;
    vsession_soap_call call = VSESSION_SOAP_CALL_INIT;
    call.method = "CurrentTime";
    call.this_type = "ServiceInstance";
    vsession_call_options within = VSESSION_CALL_OPTIONS_INIT;
    within.timeout_ms = 10000;
    for (int i = 0; i < 10; i++) {
        vsession_reply *reply = NULL;
        if (vsession_call(session, &call, &within, &reply, &error) != VSESSION_OK) *failed += fail("call", error);
        vsession_reply_free(reply);
    }
    if (vsession_close(session, &within, &error) != VSESSION_OK) *failed += fail("close", error);
    return NULL;
}

int main(int argc, char **argv)
{
    vsession_error *error = NULL;
    vsession_config config = {0};
    vsession_queue queue = {0};
    vsession_status status = argc > 1 ? vsession_config_new(argv[1], &config, &error) : vsession_config_from_env(&config, &error);
    if (!status && argc > 2) status = vsession_config_set(config, "tls.ca_file", argv[2], &error);
    if (!status) status = vsession_queue_new(&queue, &error);
    if (!status) status = vsession_config_set_queue(config, queue, &error);
    if (!status) status = vsession_open(config, &session, &error);
    if (status) return fail("start", error);

    int loop = epoll_create1(0);
    struct epoll_event interest = {EPOLLIN, {NULL}}, ready;
    if (loop < 0 || epoll_ctl(loop, EPOLL_CTL_ADD, vsession_queue_fd(queue), &interest) != 0) {
        perror("epoll");
        return 1;
    }
    int failed = 0;
    pthread_t thread;
    if (pthread_create(&thread, NULL, calls, &failed) != 0) {
        fprintf(stderr, "the system could not start a thread\n");
        return 1;
    }
    for (vsession_state state = VSESSION_STATE_LOGGED_OUT; state != VSESSION_STATE_CLOSED;) {
        if (epoll_wait(loop, &ready, 1, -1) < 1) continue;
        /* Take all events; the descriptor stays readable until then. */
        vsession_event *event = NULL;
        while (vsession_queue_next(queue, 0, &event, NULL) == VSESSION_OK && event != NULL) {
            state = vsession_event_new_state(event);
            printf("%s: %s -> %s (%s)\n", vsession_event_kind_name(vsession_event_get_kind(event)),
                vsession_state_name(vsession_event_old_state(event)), vsession_state_name(state),
                vsession_reason_name(vsession_event_reason(event)));
            if (vsession_event_error(event) != NULL) printf("  because: %s\n", vsession_error_message(vsession_event_error(event)));
            vsession_event_free(event);
        }
    }
    pthread_join(thread, NULL);
    close(loop);
    vsession_queue_free(queue);
    vsession_config_free(config);
    return failed == 0 ? 0 : 1;
}
