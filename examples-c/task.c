/* Powers a machine on, or does something else that is a task, and shows its progress: task [URL [CA.pem [ID [METHOD]]]]; without a URL it
 * uses govc's variables (GOVC_URL...). For example: task https://user@vcenter/sdk ca.pem vm-42 PowerOffVM_Task */
#include <stdio.h>
#include "vsession.h"

static void on_progress(void *data, const char *state, int32_t percent)
{
    if (percent >= 0) printf("%s: %s, %d %%\n", (const char *)data, state, (int)percent);
    else printf("%s: %s\n", (const char *)data, state);
}

int main(int argc, char **argv)
{
    vsession_error *error = NULL;
    vsession_config config = {0};
    vsession session = {0};
    vsession_reply *started = NULL, *ended = NULL;
    vsession_soap_call call = VSESSION_SOAP_CALL_INIT;
    call.method = argc > 4 ? argv[4] : "PowerOnVM_Task";
    call.this_type = "VirtualMachine";
    call.this_id = argc > 3 ? argv[3] : "vm-42";
    vsession_task_wait wait = VSESSION_TASK_WAIT_INIT;
    wait.on_progress = on_progress;
    wait.data = (void *)call.method;

    vsession_status status = argc > 1 ? vsession_config_new(argv[1], &config, &error) : vsession_config_from_env(&config, &error);
    if (!status && argc > 2) status = vsession_config_set(config, "tls.ca_file", argv[2], &error);
    if (!status) status = vsession_open(config, &session, &error);
    if (!status) status = vsession_call(session, &call, NULL, &started, &error); /* logs in first; returns the task's id */
    if (!status) status = vsession_wait_for_task(session, vsession_reply_text(started), &wait, NULL, &ended, &error); /* as long as it takes */
    if (!status) printf("%s: done\n", call.method);
    vsession_reply_free(started);
    vsession_reply_free(ended);
    vsession_close(session, NULL, NULL); /* logs out */
    if (status) fprintf(stderr, "%s: %s\n", vsession_status_name(status), vsession_error_message(error));
    if (vsession_error_fault_name(error) != NULL) fprintf(stderr, "the fault is %s\n", vsession_error_fault_name(error)); /* for example InvalidPowerState */
    vsession_error_free(error);
    vsession_config_free(config);
    return status ? 1 : 0;
}
