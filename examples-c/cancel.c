/*
 * Two ways to end a call early: a deadline, and a token that another thread fires. WaitForUpdatesEx takes long,
 * because the server answers it only when something changes.
 *
 *     cancel [URL [CA.pem]]        without a URL it uses govc's variables (GOVC_URL, ...)
 */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "vsession.h"

static vsession_cancel token;

/* Stands for a user who presses Cancel. */
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

static vsession_status call(vsession session, const char *method, const char *arguments, const vsession_call_options *options,
    vsession_reply **reply, vsession_error **error)
{
    vsession_soap_call call = VSESSION_SOAP_CALL_INIT;
    call.method = method;
    call.this_type = "PropertyCollector";
    call.arguments = arguments;
    return vsession_call(session, &call, options, reply, error);
}

/* Tells the server to watch the root folder's name, which hardly ever changes, and sets `next` to the arguments for waiting. */
static vsession_status begin_watching(vsession session, char *next, size_t size, vsession_error **error)
{
    vsession_info *info = NULL;
    vsession_reply *reply = NULL;
    char filter[512];
    vsession_status status = vsession_get_info(session, &info, error);
    if (status) return status;
    snprintf(filter, sizeof filter,
        "<spec><propSet><type>Folder</type><pathSet>name</pathSet></propSet>"
        "<objectSet><obj type=\"Folder\">%s</obj></objectSet></spec><partialUpdates>false</partialUpdates>",
        vsession_info_service_id(info, "rootFolder"));
    vsession_info_free(info);
    status = call(session, "CreateFilter", filter, NULL, &reply, error);
    vsession_reply_free(reply);
    if (status) return status;

    /* The first wait ends at once, with the present values. */
    status = call(session, "WaitForUpdatesEx", "<version></version>", NULL, &reply, error);
    if (status) return status;
    const char *version = strstr(vsession_reply_xml(reply, NULL), "<version>");
    int length = version != NULL ? (int)strcspn(version + 9, "<") : 0;
    snprintf(next, size, "<version>%.*s</version>", length, version != NULL ? version + 9 : "");
    vsession_reply_free(reply);
    return VSESSION_OK;
}

/* Makes the long call. Returns whether it ended with the wanted status. */
static int wait_for_updates(vsession session, const char *arguments, const vsession_call_options *options, vsession_status wanted)
{
    vsession_error *error = NULL;
    vsession_reply *reply = NULL;
    vsession_status status = call(session, "WaitForUpdatesEx", arguments, options, &reply, &error);
    printf("%s: %s\n", vsession_status_name(status), vsession_error_message(error));
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
    vsession_call_options soon = VSESSION_CALL_OPTIONS_INIT;
    soon.timeout_ms = 10000;
    if (!status) status = vsession_login(session, &soon, &error);
    char next[128];
    if (!status) status = begin_watching(session, next, sizeof next, &error);
    if (status) {
        vsession_close(session, &soon, NULL); /* logs out */
        return fail("start", error);
    }

    vsession_call_options options = VSESSION_CALL_OPTIONS_INIT;
    options.timeout_ms = 300;
    int good = wait_for_updates(session, next, &options, VSESSION_E_TIMEOUT);

    pthread_t thread;
    if (pthread_create(&thread, NULL, press_cancel, NULL) != 0) {
        fprintf(stderr, "the system could not start a thread\n");
        return 1;
    }
    options.timeout_ms = VSESSION_NO_TIMEOUT;
    options.cancel = token;
    good = wait_for_updates(session, next, &options, VSESSION_E_CANCELLED) && good;
    pthread_join(thread, NULL);

    /* The session can still be used. */
    if (vsession_close(session, &soon, &error) != VSESSION_OK) return fail("close", error);
    vsession_cancel_free(token);
    vsession_config_free(config);
    return good ? 0 : 1;
}
