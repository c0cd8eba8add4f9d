/* Reads properties of one object: property [URL [CA.pem [TYPE ID PATH...]]]; without a URL it uses govc's variables (GOVC_URL...).
 * For example: property https://user@vcenter/sdk ca.pem VirtualMachine vm-42 name runtime.powerState */
#include <stdio.h>
#include "vsession.h"

int main(int argc, char **argv)
{
    static const char *const usual[] = {"content.about.fullName", "serverClock"};
    const char *const *paths = argc > 5 ? (const char *const *)argv + 5 : usual;
    size_t count = argc > 5 ? (size_t)argc - 5 : 2;
    vsession_error *error = NULL;
    vsession_config config = {0};
    vsession session = {0};
    vsession_reply *reply = NULL;
    vsession_call_options within = VSESSION_CALL_OPTIONS_INIT;
    within.timeout_ms = 60000; /* without options: two minutes */

    vsession_status status = argc > 1 ? vsession_config_new(argv[1], &config, &error) : vsession_config_from_env(&config, &error);
    if (!status && argc > 2) status = vsession_config_set(config, "tls.ca_file", argv[2], &error);
    if (!status) status = vsession_open(config, &session, &error);
    if (!status) /* logs in first; without an id: the server's only object of the type */
        status = vsession_get_properties(session, argc > 5 ? argv[3] : "ServiceInstance", argc > 5 ? argv[4] : NULL, paths, count, &within, &reply, &error);
    vsession_node property = vsession_node_child(vsession_reply_root(reply), "returnval/objects/propSet"); /* none without a reply */
    for (; !vsession_node_is_null(property); property = vsession_node_next(property)) {
        vsession_node value = vsession_node_child(property, "val");
        vsession_text name = vsession_node_text(vsession_node_child(property, "name")), text = vsession_node_text(value);
        if (!text.data) text = vsession_node_xml(value); /* a structure or a list */
        printf("%.*s\t%.*s\n", (int)name.length, name.data, (int)text.length, text.data);
    }
    vsession_reply_free(reply);
    vsession_close(session, &within, NULL); /* logs out */
    if (status) fprintf(stderr, "%s: %s\n", vsession_status_name(status), vsession_error_message(error)); /* names the property */
    vsession_error_free(error);
    vsession_config_free(config);
    return status ? 1 : 0;
}
