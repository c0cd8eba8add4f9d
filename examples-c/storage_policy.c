/*
 * Prints the names of the storage policies. They are kept by a service of vCenter's own, pbm, which knows the vim25 session: one
 * login serves both.
 *
 *     storage_policy [URL [CA.pem]]        without a URL it uses govc's variables (GOVC_URL, ...)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vsession.h"

/* Calls a method of pbm's ProfileManager, whose id is the same on every server. */
static vsession_status call_pbm(vsession session, const char *method, const char *arguments, vsession_reply **reply, vsession_error **error)
{
    vsession_call_options within = VSESSION_CALL_OPTIONS_INIT;
    within.timeout_ms = 30000; /* without options: two minutes */
    within.idempotent = 1;     /* both methods only read */
    vsession_soap_call call = VSESSION_SOAP_CALL_INIT;
    call.service_path = "/pbm";
    call.service_namespace = "urn:pbm";
    call.service_version = "2.0";
    call.method = method;
    call.this_type = "PbmProfileProfileManager";
    call.this_id = "ProfileManager";
    call.arguments = arguments;
    return vsession_call(session, &call, &within, reply, error);
}

/* The arguments of PbmRetrieveContent: each id that PbmQueryProfile found, as XML. The caller frees them. */
static char *arguments_with(const vsession_reply *ids)
{
    size_t length = 1;
    char *arguments = (char *)calloc(1, 1);
    for (vsession_node id = vsession_node_child(vsession_reply_root(ids), "returnval"); !vsession_node_is_null(id); id = vsession_node_next(id)) {
        vsession_text xml = vsession_node_xml(vsession_node_child(id, "uniqueId"));
        size_t more = xml.length + strlen("<profileIds></profileIds>");
        char *longer = (char *)realloc(arguments, length + more);
        if (longer == NULL) break;
        arguments = longer;
        sprintf(arguments + length - 1, "<profileIds>%.*s</profileIds>", (int)xml.length, xml.length ? xml.data : "");
        length += more;
    }
    return arguments;
}

static void print_names(const vsession_reply *policies)
{
    for (vsession_node policy = vsession_node_child(vsession_reply_root(policies), "returnval"); !vsession_node_is_null(policy); policy = vsession_node_next(policy)) {
        vsession_text name = vsession_node_text(vsession_node_child(policy, "name"));
        printf("%.*s\n", (int)name.length, name.length ? name.data : "");
    }
}

int main(int argc, char **argv)
{
    vsession_error *error = NULL;
    vsession_config config = {0};
    vsession session = {0};
    vsession_reply *ids = NULL, *policies = NULL;

    vsession_status status = argc > 1 ? vsession_config_new(argv[1], &config, &error) : vsession_config_from_env(&config, &error);
    if (!status && argc > 2) status = vsession_config_set(config, "tls.ca_file", argv[2], &error);
    if (!status) status = vsession_open(config, &session, &error);
    if (!status) status = call_pbm(session, "PbmQueryProfile", /* logs in first */
        "<resourceType><resourceType>STORAGE</resourceType></resourceType><profileCategory>REQUIREMENT</profileCategory>", &ids, &error);
    char *arguments = status ? NULL : arguments_with(ids);
    if (arguments != NULL && *arguments != '\0') status = call_pbm(session, "PbmRetrieveContent", arguments, &policies, &error);
    if (!status) print_names(policies); /* of a reply that is NULL there are none */
    free(arguments);
    vsession_reply_free(ids);
    vsession_reply_free(policies);

    if (!status) status = vsession_close(session, NULL, &error); /* logs out */
    else vsession_close(session, NULL, NULL);
    if (status) fprintf(stderr, "%s: %s\n", vsession_status_name(status), vsession_error_message(error));
    vsession_error_free(error);
    vsession_config_free(config);
    return status ? 1 : 0;
}
