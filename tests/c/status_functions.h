/*
 * Every function that takes a handle and returns a status, one line each: the type of the handle, what the error's message
 * calls it, whether there is a place for an error, and a call that is right but for the handle `h`. `e` is that place.
 * tests/abi/check.py fails when an exported function is neither here nor in boundary.c.
 */
#ifndef STATUS_FUNCTIONS_H
#define STATUS_FUNCTIONS_H

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

static vsession_soap_call some_call = {sizeof(vsession_soap_call), "CurrentTime", "ServiceInstance", NULL, NULL, 0};

#define STATUS_FUNCTIONS(X) \
    X(vsession_open, vsession_config, "config", true, vsession_open(h, &result.session, e)) \
    X(vsession_config_set, vsession_config, "config", true, vsession_config_set(h, "locale", "en_US", e)) \
    X(vsession_config_set_queue, vsession_config, "config", true, vsession_config_set_queue(h, good.queue, e)) \
    X(vsession_config_set_queue_queue, vsession_queue, "queue", true, vsession_config_set_queue(good.config, h, e)) \
    X(vsession_config_set_credentials_fn, vsession_config, "config", true, vsession_config_set_credentials_fn(h, NULL, NULL, NULL, e)) \
    X(vsession_config_set_keepalive_fn, vsession_config, "config", true, vsession_config_set_keepalive_fn(h, NULL, NULL, NULL, e)) \
    X(vsession_config_free, vsession_config, "config", false, vsession_config_free(h)) \
    X(vsession_cancel_fire, vsession_cancel, "cancel", false, vsession_cancel_fire(h)) \
    X(vsession_cancel_reset, vsession_cancel, "cancel", false, vsession_cancel_reset(h)) \
    X(vsession_cancel_free, vsession_cancel, "cancel", false, vsession_cancel_free(h)) \
    X(vsession_queue_next, vsession_queue, "queue", true, vsession_queue_next(h, 0, &result.event, e)) \
    X(vsession_queue_free, vsession_queue, "queue", false, vsession_queue_free(h)) \
    X(vsession_login, vsession, "session", true, vsession_login(h, NULL, e)) \
    X(vsession_logout, vsession, "session", true, vsession_logout(h, NULL, e)) \
    X(vsession_get_info, vsession, "session", true, vsession_get_info(h, &result.info, e)) \
    X(vsession_refresh, vsession, "session", true, vsession_refresh(h, NULL, &result.info, e)) \
    X(vsession_is_active, vsession, "session", true, vsession_is_active(h, NULL, &result.active, e)) \
    X(vsession_get_cookie, vsession, "session", true, vsession_get_cookie(h, &result.cookie, e)) \
    X(vsession_call, vsession, "session", true, vsession_call(h, &some_call, NULL, &result.reply, e)) \
    X(vsession_keepalive_start, vsession, "session", true, vsession_keepalive_start(h, 1000, e)) \
    X(vsession_keepalive_stop, vsession, "session", true, vsession_keepalive_stop(h, e)) \
    X(vsession_set_password, vsession, "session", true, vsession_set_password(h, "pass", e)) \
    X(vsession_call_async, vsession, "session", true, vsession_call_async(h, &some_call, NULL, good.queue, 1, e)) \
    X(vsession_call_async_queue, vsession_queue, "queue", true, vsession_call_async(good.session, &some_call, NULL, h, 1, e)) \
    X(vsession_close, vsession, "session", true, vsession_close(h, NULL, e))

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
