/*
 * Two ways to end a call early: a deadline, and a token that another thread fires. WaitForUpdatesEx is a call that lasts,
 * because the server answers it only when something changes.
 *
 *     cancel [URL [CA.pem]]        without a URL govc's variables (GOVC_URL, ...) count
 */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdio.h>
#include <time.h>

#include "vsession.h"

static vsession_cancel token;

/* The thread of a person who loses patience. */
static void *press_cancel(void *unused)
{
    (void)unused;
    struct timespec half_a_second = {0, 500 * 1000 * 1000};
    nanosleep(&half_a_second, NULL);
    vsession_cancel_fire(token);
    return NULL;
}

static int fail(const char *what, vsession_error *error)
{
    fprintf(stderr, "%s: %s: %s\n", what, vsession_status_name(vsession_error_status(error)), vsession_error_message(error));
    vsession_error_free(error);
    return 1;
}

/* Makes the call that lasts; whether it ended with the wanted status. */
static int wait_for_updates(vsession session, const vsession_call_options *options, vsession_status wanted)
{
    vsession_error *error = NULL;
    vsession_reply *reply = NULL;
    vsession_soap_call call = VSESSION_SOAP_CALL_INIT;
    call.method = "WaitForUpdatesEx";
    call.this_type = "PropertyCollector";
    vsession_status status = vsession_call(session, &call, options, &reply, &error);
    printf("the call ended: %s: %s\n", vsession_status_name(status), vsession_error_message(error));
    vsession_reply_free(reply);
    vsession_error_free(error);
    return status == wanted;
}

int main(int argc, char **argv)
{
    vsession_error *error = NULL;
    vsession_config config = {0};
    vsession session = {0};
    vsession_status status = argc > 1 ? vsession_config_new(argv[1], &config, &error) : vsession_config_from_env(&config, &error);
    if (!status && argc > 2) status = vsession_config_set(config, "tls.ca_file", argv[2], &error);
    if (!status) status = vsession_open(config, &session, &error);
    if (!status) status = vsession_cancel_new(&token, &error);
    if (!status) status = vsession_login(session, NULL, &error);
    if (status) return fail("start", error);

    vsession_call_options options = VSESSION_CALL_OPTIONS_INIT;
    options.timeout_ms = 300;
    int good = wait_for_updates(session, &options, VSESSION_E_TIMEOUT);

    pthread_t thread;
    if (pthread_create(&thread, NULL, press_cancel, NULL) != 0) {
        fprintf(stderr, "no thread\n");
        return 1;
    }
    options.timeout_ms = VSESSION_NO_TIMEOUT;
    options.cancel = token;
    good = wait_for_updates(session, &options, VSESSION_E_CANCELLED) && good;
    pthread_join(thread, NULL);

    /* The session is none the worse for it. */
    if (vsession_close(session, NULL, &error) != VSESSION_OK) return fail("close", error);
    vsession_cancel_free(token);
    vsession_config_free(config);
    return good ? 0 : 1;
}
