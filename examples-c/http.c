/* Makes an HTTP request through the session and writes the reply to the standard output: http [URL [CA.pem [PATH]]]; without a URL it
 * uses govc's variables (GOVC_URL...). PATH is by default a question to VI JSON (from vCenter 8.0 U1 on). */
#include <stdint.h>
#include <stdio.h>
#include "vsession.h"

/* Takes a piece of the body, so that a file of any size needs no memory. A negative number would end the request. */
static int64_t write_piece(void *file, char *bytes, size_t length)
{
    return fwrite(bytes, 1, length, (FILE *)file) == length ? (int64_t)length : -1;
}

int main(int argc, char **argv)
{
    vsession_error *error = NULL;
    vsession_config config = {0};
    vsession session = {0};
    vsession_reply *reply = NULL;
    vsession_http_request request = VSESSION_HTTP_REQUEST_INIT;
    request.through = VSESSION_THROUGH_VIM; /* logs in first */
    request.method = argc > 3 ? "GET" : "POST";
    request.path = argc > 3 ? argv[3] : "/sdk/vim25/8.0.1.0/ServiceInstance/ServiceInstance/CurrentTime";
    request.write_reply = write_piece;
    request.data = stdout;
    vsession_call_options within = VSESSION_CALL_OPTIONS_INIT;
    within.timeout_ms = 60000; /* without options: two minutes */

    vsession_status status = argc > 1 ? vsession_config_new(argv[1], &config, &error) : vsession_config_from_env(&config, &error);
    if (!status && argc > 2) status = vsession_config_set(config, "tls.ca_file", argv[2], &error);
    if (!status) status = vsession_open(config, &session, &error);
    if (!status) status = vsession_http(session, &request, &within, &reply, &error);
    if (!status) fprintf(stderr, "\nHTTP %d %s\n", (int)vsession_reply_http_status(reply), vsession_reply_header(reply, "Content-Type"));
    vsession_reply_free(reply);
    if (!status) status = vsession_close(session, &within, &error); /* logs out */
    else vsession_close(session, &within, NULL);
    if (status == VSESSION_E_REST) fprintf(stderr, "%s\n", vsession_error_service_error(error)); /* for example NOT_FOUND */
    if (status) fprintf(stderr, "%s: %s\n", vsession_status_name(status), vsession_error_message(error));
    vsession_error_free(error);
    vsession_config_free(config);
    return status ? 1 : 0;
}
