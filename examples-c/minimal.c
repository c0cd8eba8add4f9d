/* Prints the user and the server's time: minimal [URL [CA.pem]]; without a URL it uses govc's variables (GOVC_URL...). */
#include <stdio.h>
#include "vsession.h"

int main(int argc, char **argv)
{
    vsession_error *error = NULL;
    vsession_config config = {0};
    vsession session = {0};
    vsession_reply *reply = NULL;
    vsession_info *info = NULL;
    vsession_soap_call call = VSESSION_SOAP_CALL_INIT;
    call.method = "CurrentTime"; call.this_type = "ServiceInstance";
    vsession_call_options within = VSESSION_CALL_OPTIONS_INIT;
    within.timeout_ms = 10000; /* without options: two minutes */

    vsession_status status = argc > 1 ? vsession_config_new(argv[1], &config, &error) : vsession_config_from_env(&config, &error);
    if (!status && argc > 2) status = vsession_config_set(config, "tls.ca_file", argv[2], &error);
    if (!status) status = vsession_open(config, &session, &error);
    if (!status) status = vsession_call(session, &call, &within, &reply, &error); /* logs in first */
    if (!status) status = vsession_get_info(session, &info, &error);
    if (!status) printf("%s asked at %s\n", vsession_info_user_name(info), vsession_reply_text(reply));
    vsession_info_free(info); vsession_reply_free(reply);
    if (!status) status = vsession_close(session, &within, &error); /* logs out */
    else vsession_close(session, &within, NULL);
    if (status) fprintf(stderr, "%s: %s\n", vsession_status_name(status), vsession_error_message(error));
    vsession_error_free(error);
    vsession_config_free(config);
    return status ? 1 : 0;
}
