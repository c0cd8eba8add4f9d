/*
 * The functions of functions.h that take a handle and return a status, as a table, and the objects that their calls use.
 */
#ifndef STATUS_FUNCTIONS_H
#define STATUS_FUNCTIONS_H

#include "functions.h"
#include "vsession.h"

static struct {
    vsession session;
    vsession_config config;
    vsession_cancel cancel;
    vsession_queue queue;
} good; /* handles that are alive */

static struct {
    vsession session;
    vsession_config config;
    vsession_cancel cancel;
    vsession_queue queue;
    vsession_info *info;
    vsession_reply *reply;
    vsession_event *event;
    char *cookie;
    bool active;
} result; /* what the calls would hand out */

static vsession_soap_call some_call = {sizeof(vsession_soap_call), "CurrentTime", "ServiceInstance", NULL, NULL, 0, NULL, NULL, NULL, NULL, NULL, 0, 0};

static vsession_http_request some_request = {
    sizeof(vsession_http_request), "POST", "/sdk/vim25/8.0.2.0/ServiceInstance/ServiceInstance/CurrentTime", NULL, 0, NULL, 0, VSESSION_THROUGH_VIM, 0, NULL, NULL, NULL};

static const char *const some_paths[] = {"serverClock"};

static inline int32_t take_page(void *data, const vsession_reply *page)
{
    (void)data;
    return page == NULL;
}

#define SPECIFICATION_OF(type, id, path) \
    "<specSet><propSet><type>" type "</type><pathSet>" path "</pathSet></propSet><objectSet><obj type=\"" type "\">" id "</obj></objectSet></specSet>"

static vsession_retrieval some_retrieval = {
    sizeof(vsession_retrieval), SPECIFICATION_OF("ServiceInstance", "ServiceInstance", "serverClock"), 0, 0, take_page, NULL};

/* Which handle a function takes. */
enum handle_kind { KIND_vsession, KIND_vsession_config, KIND_vsession_cancel, KIND_vsession_queue, KINDS };

struct status_function {
    const char *name;
    enum handle_kind kind;
    const char *argument;
    bool has_error;
    vsession_status (*call)(uint64_t id, vsession_error **e);
};

#define DEFINE_STATUS_FUNCTION(name, type, argument, has_error, expression) \
    static vsession_status on_##name(uint64_t id, vsession_error **e) \
    { \
        type h = {id}; \
        (void)e; \
        return expression; \
    }
#define LIST_STATUS_FUNCTION(name, type, argument, has_error, expression) {#name, KIND_##type, argument, has_error, on_##name},

STATUS_FUNCTIONS(DEFINE_STATUS_FUNCTION)
static const struct status_function status_functions[] = {STATUS_FUNCTIONS(LIST_STATUS_FUNCTION)};
enum { STATUS_FUNCTION_COUNT = sizeof status_functions / sizeof status_functions[0] };

#endif
