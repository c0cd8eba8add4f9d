/* Generated from include/vsession.h by 'tests/abi/check.py update'; do not edit. */

/* Each handle that a function with a status takes: a name, the handle's type, the argument, whether there is a place for
 * the error (`e`), and a call that is correct except for the handle `h`. */
#define STATUS_FUNCTIONS(X) \
    X(vsession_cancel_fire, vsession_cancel, "cancel", false, vsession_cancel_fire(h)) \
    X(vsession_cancel_reset, vsession_cancel, "cancel", false, vsession_cancel_reset(h)) \
    X(vsession_cancel_free, vsession_cancel, "cancel", false, vsession_cancel_free(h)) \
    X(vsession_config_set, vsession_config, "config", true, vsession_config_set(h, "locale", "en_US", e)) \
    X(vsession_config_set_queue, vsession_config, "config", true, vsession_config_set_queue(h, good.queue, e)) \
    X(vsession_config_set_queue_queue, vsession_queue, "queue", true, vsession_config_set_queue(good.config, h, e)) \
    X(vsession_config_set_keepalive_fn, vsession_config, "config", true, vsession_config_set_keepalive_fn(h, NULL, NULL, NULL, e)) \
    X(vsession_config_free, vsession_config, "config", false, vsession_config_free(h)) \
    X(vsession_config_set_credentials_fn, vsession_config, "config", true, vsession_config_set_credentials_fn(h, NULL, NULL, NULL, e)) \
    X(vsession_http, vsession, "session", true, vsession_http(h, &some_request, NULL, &result.reply, e)) \
    X(vsession_http_async, vsession, "session", true, vsession_http_async(h, &some_request, NULL, good.queue, 1, e)) \
    X(vsession_http_async_queue, vsession_queue, "queue", true, vsession_http_async(good.session, &some_request, NULL, h, 1, e)) \
    X(vsession_get_properties, vsession, "session", true, vsession_get_properties(h, "ServiceInstance", "ServiceInstance", some_paths, 1, NULL, &result.reply, e)) \
    X(vsession_retrieve, vsession, "session", true, vsession_retrieve(h, &some_retrieval, NULL, e)) \
    X(vsession_queue_next, vsession_queue, "queue", true, vsession_queue_next(h, 0, &result.event, e)) \
    X(vsession_queue_free, vsession_queue, "queue", false, vsession_queue_free(h)) \
    X(vsession_open, vsession_config, "config", true, vsession_open(h, &result.session, e)) \
    X(vsession_login, vsession, "session", true, vsession_login(h, NULL, e)) \
    X(vsession_logout, vsession, "session", true, vsession_logout(h, NULL, e)) \
    X(vsession_close, vsession, "session", true, vsession_close(h, NULL, e)) \
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
    X(vsession_wait_for_task, vsession, "session", true, vsession_wait_for_task(h, "task-7", NULL, NULL, &result.reply, e))

/* Each pointer that these functions take: the argument, and a call with NULL or with a string that is not UTF-8 instead. */
#define WRONG_POINTERS(X) \
    X("out", vsession_cancel_new(NULL, &error)) \
    X("url", vsession_config_new(NULL, &result.config, &error)) \
    X("url", vsession_config_new(BAD_TEXT, &result.config, &error)) \
    X("out", vsession_config_new("https://user:pass@host/sdk", NULL, &error)) \
    X("out", vsession_config_from_env(NULL, &error)) \
    X("name", vsession_config_set(good.config, NULL, "en_US", &error)) \
    X("name", vsession_config_set(good.config, BAD_TEXT, "en_US", &error)) \
    X("value", vsession_config_set(good.config, "locale", NULL, &error)) \
    X("value", vsession_config_set(good.config, "locale", BAD_TEXT, &error)) \
    X("request", vsession_http(good.session, NULL, NULL, &result.reply, &error)) \
    X("out", vsession_http(good.session, &some_request, NULL, NULL, &error)) \
    X("request", vsession_http_async(good.session, NULL, NULL, good.queue, 1, &error)) \
    X("type", vsession_get_properties(good.session, NULL, "ServiceInstance", some_paths, 1, NULL, &result.reply, &error)) \
    X("type", vsession_get_properties(good.session, BAD_TEXT, "ServiceInstance", some_paths, 1, NULL, &result.reply, &error)) \
    X("id", vsession_get_properties(good.session, "ServiceInstance", BAD_TEXT, some_paths, 1, NULL, &result.reply, &error)) \
    X("paths", vsession_get_properties(good.session, "ServiceInstance", "ServiceInstance", NULL, 1, NULL, &result.reply, &error)) \
    X("out", vsession_get_properties(good.session, "ServiceInstance", "ServiceInstance", some_paths, 1, NULL, NULL, &error)) \
    X("retrieval", vsession_retrieve(good.session, NULL, NULL, &error)) \
    X("out", vsession_queue_new(NULL, &error)) \
    X("out", vsession_queue_next(good.queue, 0, NULL, &error)) \
    X("out", vsession_open(good.config, NULL, &error)) \
    X("out", vsession_get_info(good.session, NULL, &error)) \
    X("out", vsession_is_active(good.session, NULL, NULL, &error)) \
    X("out", vsession_get_cookie(good.session, NULL, &error)) \
    X("call", vsession_call(good.session, NULL, NULL, &result.reply, &error)) \
    X("out", vsession_call(good.session, &some_call, NULL, NULL, &error)) \
    X("password", vsession_set_password(good.session, NULL, &error)) \
    X("password", vsession_set_password(good.session, BAD_TEXT, &error)) \
    X("call", vsession_call_async(good.session, NULL, NULL, good.queue, 1, &error)) \
    X("task_id", vsession_wait_for_task(good.session, NULL, NULL, NULL, &result.reply, &error)) \
    X("task_id", vsession_wait_for_task(good.session, BAD_TEXT, NULL, NULL, &result.reply, &error)) \
    X("out", vsession_wait_for_task(good.session, "task-7", NULL, NULL, NULL, &error))
