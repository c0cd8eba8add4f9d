/* Prints the power state and the name of each virtual machine: power_states [URL [CA.pem]]; without a URL it uses govc's variables
 * (GOVC_URL...). It reads the replies without an XML library. */
#include <stdio.h>
#include <stdlib.h>
#include "vsession.h"

/* Name and power state of all machines in a view. */
#define READ_VIEW \
    "<specSet><propSet><type>VirtualMachine</type><pathSet>name</pathSet><pathSet>runtime.powerState</pathSet></propSet>" \
    "<objectSet><obj type=\"ContainerView\">%.*s</obj><skip>true</skip><selectSet xsi:type=\"TraversalSpec\">" \
    "<type>ContainerView</type><path>view</path><skip>false</skip></selectSet></objectSet></specSet>"
#define MAKE_VIEW "<container type=\"Folder\">%s</container><type>VirtualMachine</type><recursive>true</recursive>"

static vsession session;
static vsession_call_options within = VSESSION_CALL_OPTIONS_INIT;
static vsession_error *error;

static vsession_status call(const char *method, const char *type, const char *arguments, vsession_reply **reply)
{
    vsession_soap_call call = VSESSION_SOAP_CALL_INIT;
    call.method = method;
    call.this_type = type;
    call.arguments = arguments;
    return vsession_call(session, &call, &within, reply, &error);
}

/* A text has a length, and no NUL ends it. One that does not exist has the length 0. */
static void print_text(vsession_text text) { printf("%.*s", (int)text.length, text.length ? text.data : ""); }

/* Takes a page; returning anything but 0 would end the retrieval. */
static int32_t print_page(void *data, const vsession_reply *page)
{
    (void)data;
    for (vsession_node machine = vsession_node_child(vsession_reply_root(page), "returnval/objects"); !vsession_node_is_null(machine);
         machine = vsession_node_next(machine)) {
        print_text(vsession_node_text(vsession_node_property(machine, "runtime.powerState")));
        printf("\t");
        print_text(vsession_node_text(vsession_node_property(machine, "name")));
        printf("\n");
    }
    return 0;
}

static vsession_status print_machines(void)
{
    char arguments[1024];
    vsession_info *info = NULL;
    vsession_reply *view = NULL;
    vsession_retrieval machines = VSESSION_RETRIEVAL_INIT;
    vsession_status status = vsession_login(session, &within, &error);
    if (!status) status = vsession_get_info(session, &info, &error);
    if (status) return status;
    snprintf(arguments, sizeof arguments, MAKE_VIEW, vsession_info_service_id(info, "rootFolder"));
    vsession_info_free(info);
    status = call("CreateContainerView", "ViewManager", arguments, &view);
    if (status) return status;
    within.require_epoch = vsession_reply_epoch(view); /* the view and its pages end with the session */
    vsession_text id = vsession_node_text(vsession_node_child(vsession_reply_root(view), "returnval"));
    snprintf(arguments, sizeof arguments, READ_VIEW, (int)id.length, id.data);
    machines.specifications = arguments;
    machines.max_objects = 100; /* in a page */
    machines.on_page = print_page;
    status = vsession_retrieve(session, &machines, &within, &error);
    vsession_reply_free(view); /* logging out ends the view on the server */
    return status;
}

int main(int argc, char **argv)
{
    vsession_config config = {0};
    within.timeout_ms = 60000; /* without options: two minutes */
    vsession_status status = argc > 1 ? vsession_config_new(argv[1], &config, &error) : vsession_config_from_env(&config, &error);
    if (!status && argc > 2) status = vsession_config_set(config, "tls.ca_file", argv[2], &error);
    if (!status) status = vsession_open(config, &session, &error);
    if (!status) status = print_machines();
    within.require_epoch = 0;
    if (!status) status = vsession_close(session, &within, &error); /* logs out */
    else vsession_close(session, &within, NULL);
    if (status) fprintf(stderr, "%s: %s\n", vsession_status_name(status), vsession_error_message(error));
    vsession_error_free(error);
    vsession_config_free(config);
    return status ? 1 : 0;
}
