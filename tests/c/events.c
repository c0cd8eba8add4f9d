/* The event queue: its events, their order, and when its descriptor is readable. */
#include "check.h"

#include <poll.h>

static vsession_queue new_queue(void)
{
    vsession_error *error = NULL;
    vsession_queue queue = {0};
    CHECK_OK(vsession_queue_new(&queue, &error), error);
    return queue;
}

static vsession session_with(vsession_queue queue)
{
    vsession_error *error = NULL;
    vsession_config config = good_config();
    CHECK_OK(vsession_config_set_queue(config, queue, &error), error);
    return opened(config);
}

static bool readable(vsession_queue queue)
{
    struct pollfd waiting = {vsession_queue_fd(queue), POLLIN, 0};
    return poll(&waiting, 1, 0) == 1;
}

static vsession_event *next(vsession_queue queue)
{
    vsession_error *error = NULL;
    vsession_event *event = NULL;
    CHECK_OK(vsession_queue_next(queue, 0, &event, &error), error);
    return event;
}

static void expect_change(vsession_queue queue, vsession session, int from, int to, int reason)
{
    vsession_event *event = next(queue);
    CHECK(event != NULL);
    CHECK_INT(vsession_event_get_kind(event), VSESSION_EVENT_STATE_CHANGED);
    CHECK_INT(vsession_event_session(event).id, session.id);
    CHECK_INT(vsession_event_service(event), VSESSION_SERVICE_VIM);
    CHECK_INT(vsession_event_old_state(event), from);
    CHECK_INT(vsession_event_new_state(event), to);
    CHECK_INT(vsession_event_reason(event), reason);
    CHECK_INT(vsession_event_merged(event), 0);
    int64_t now = (int64_t)time(NULL) * 1000;
    CHECK(vsession_event_time_ms(event) > now - 60000 && vsession_event_time_ms(event) < now + 60000);
    vsession_event_free(event);
}

static void a_session_reports_its_whole_life_in_order(void)
{
    clean_server();
    vsession_error *error = NULL;
    vsession_queue queue = new_queue();
    vsession session = session_with(queue);
    CHECK(!readable(queue));
    CHECK_OK(call_once(session, NULL, &error), error);
    CHECK(readable(queue));
    expect_change(queue, session, VSESSION_STATE_LOGGED_OUT, VSESSION_STATE_LOGGING_IN, VSESSION_REASON_LOGIN);
    CHECK(readable(queue));
    expect_change(queue, session, VSESSION_STATE_LOGGING_IN, VSESSION_STATE_ACTIVE, VSESSION_REASON_LOGIN);
    CHECK(!readable(queue));

    CHECK(simulator_kill_sessions(control_port()));
    CHECK_OK(call_once(session, NULL, &error), error);
    expect_change(queue, session, VSESSION_STATE_ACTIVE, VSESSION_STATE_EXPIRED, VSESSION_REASON_EXPIRED);
    expect_change(queue, session, VSESSION_STATE_EXPIRED, VSESSION_STATE_LOGGING_IN, VSESSION_REASON_RELOGIN);
    expect_change(queue, session, VSESSION_STATE_LOGGING_IN, VSESSION_STATE_ACTIVE, VSESSION_REASON_RELOGIN);
    vsession_event *event = next(queue);
    CHECK_INT(vsession_event_get_kind(event), VSESSION_EVENT_SESSION_REPLACED);
    CHECK_INT(vsession_event_old_epoch(event), 1);
    CHECK_INT(vsession_event_new_epoch(event), 2);
    vsession_event_free(event);

    CHECK_OK(vsession_logout(session, NULL, &error), error);
    expect_change(queue, session, VSESSION_STATE_ACTIVE, VSESSION_STATE_LOGGED_OUT, VSESSION_REASON_LOGOUT);
    CHECK_OK(vsession_close(session, NULL, &error), error);
    expect_change(queue, session, VSESSION_STATE_LOGGED_OUT, VSESSION_STATE_CLOSED, VSESSION_REASON_CLOSE);
    CHECK(!readable(queue));
    CHECK(next(queue) == NULL);
    CHECK_INT(vsession_queue_free(queue), VSESSION_OK);
}

static void the_change_to_active_carries_the_epochs_before_and_after(void)
{
    clean_server();
    vsession_error *error = NULL;
    vsession_queue queue = new_queue();
    vsession session = session_with(queue);
    CHECK_OK(vsession_login(session, NULL, &error), error);
    vsession_event *event;
    bool seen = false;
    while ((event = next(queue)) != NULL) {
        if (vsession_event_new_state(event) == VSESSION_STATE_ACTIVE) {
            seen = true;
            CHECK_INT(vsession_event_old_epoch(event), 0);
            CHECK_INT(vsession_event_new_epoch(event), 1);
        }
        vsession_event_free(event);
    }
    CHECK(seen);
    CHECK_OK(vsession_close(session, NULL, &error), error);
    CHECK_INT(vsession_queue_free(queue), VSESSION_OK);
}

static void a_refused_login_is_reported_with_its_error(void)
{
    clean_server();
    vsession_error *error = NULL;
    vsession_queue queue = new_queue();
    vsession_config config = good_config();
    CHECK_OK(vsession_config_set(config, "password", "wrong", &error), error);
    CHECK_OK(vsession_config_set_queue(config, queue, &error), error);
    vsession session = opened(config);
    CHECK_STATUS(vsession_login(session, NULL, &error), VSESSION_E_INVALID_LOGIN, error);
    expect_change(queue, session, VSESSION_STATE_LOGGED_OUT, VSESSION_STATE_LOGGING_IN, VSESSION_REASON_LOGIN);
    vsession_event *event = next(queue);
    CHECK_INT(vsession_event_new_state(event), VSESSION_STATE_REJECTED);
    CHECK_INT(vsession_event_reason(event), VSESSION_REASON_REFUSED);
    CHECK_OK(vsession_close(session, NULL, &error), error);
    /* The event and its error outlive the session. */
    CHECK_INT(vsession_error_status(vsession_event_error(event)), VSESSION_E_INVALID_LOGIN);
    CHECK_TEXT(vsession_error_fault_name(vsession_event_error(event)), "InvalidLogin");
    vsession_event_free(event);
    CHECK_INT(vsession_queue_free(queue), VSESSION_OK); /* while it still holds the event of the close */
}

static void sessions_share_a_queue(void)
{
    clean_server();
    vsession_error *error = NULL;
    vsession_queue queue = new_queue();
    vsession one = session_with(queue), other = session_with(queue);
    CHECK_OK(vsession_close(one, NULL, &error), error);
    CHECK_OK(vsession_close(other, NULL, &error), error);
    expect_change(queue, one, VSESSION_STATE_LOGGED_OUT, VSESSION_STATE_CLOSED, VSESSION_REASON_CLOSE);
    expect_change(queue, other, VSESSION_STATE_LOGGED_OUT, VSESSION_STATE_CLOSED, VSESSION_REASON_CLOSE);
    CHECK_INT(vsession_queue_free(queue), VSESSION_OK);
}

static void a_wait_lasts_as_long_as_requested(void)
{
    vsession_error *error = NULL;
    vsession_event *event = NULL;
    vsession_queue queue = new_queue();
    int64_t began = monotonic_ms();
    CHECK_OK(vsession_queue_next(queue, 150, &event, &error), error);
    CHECK(event == NULL);
    int64_t took = monotonic_ms() - began;
    CHECK(took >= 140 && took < AT_ONCE_MS);
    CHECK_INT(vsession_queue_free(queue), VSESSION_OK);
}

static void wait_on(void *queue, int number)
{
    (void)number;
    vsession_error *error = NULL;
    vsession_event *event = NULL;
    CHECK_STATUS(vsession_queue_next(*(vsession_queue *)queue, 60000, &event, &error), VSESSION_E_CLOSED, error);
    CHECK(event == NULL);
}

static void freeing_a_queue_ends_the_waits(void)
{
    vsession_queue queue = new_queue();
    struct team team;
    team_start(&team, 4, wait_on, &queue);
    sleep_ms(100);
    int64_t began = monotonic_ms();
    CHECK_INT(vsession_queue_free(queue), VSESSION_OK);
    team_join(&team);
    CHECK(monotonic_ms() - began < AT_ONCE_MS);
}

static void a_session_works_without_its_queue(void)
{
    clean_server();
    vsession_error *error = NULL;
    vsession_queue queue = new_queue();
    vsession session = session_with(queue);
    CHECK_INT(vsession_queue_free(queue), VSESSION_OK);
    CHECK_OK(call_once(session, NULL, &error), error);
    CHECK_OK(vsession_close(session, NULL, &error), error);
}

static void an_asynchronous_call_uses_the_object_that_it_names(void)
{
    clean_server();
    vsession_error *error = NULL;
    vsession_queue queue = new_queue();
    vsession session = good_session();
    vsession_soap_call call = current_time();
    const char *const ids[] = {"ServiceInstance", "nobody"};
    for (uint64_t i = 0; i < 2; i++) {
        vsession_event *event = NULL;
        call.this_id = ids[i];
        CHECK_OK(vsession_call_async(session, &call, NULL, queue, i, &error), error);
        CHECK_OK(vsession_queue_next(queue, 10000, &event, &error), error);
        CHECK_INT(vsession_event_tag(event), i);
        CHECK_TEXT(vsession_error_fault_name(vsession_event_error(event)), i == 0 ? NULL : "ManagedObjectNotFound");
        CHECK((vsession_event_reply(event) != NULL) == (i == 0));
        vsession_event_free(event);
    }
    CHECK_OK(vsession_close(session, NULL, &error), error);
    CHECK_INT(vsession_queue_free(queue), VSESSION_OK);
}

int main(void)
{
    RUN(a_session_reports_its_whole_life_in_order);
    RUN(the_change_to_active_carries_the_epochs_before_and_after);
    RUN(a_refused_login_is_reported_with_its_error);
    RUN(sessions_share_a_queue);
    RUN(a_wait_lasts_as_long_as_requested);
    RUN(freeing_a_queue_ends_the_waits);
    RUN(a_session_works_without_its_queue);
    RUN(an_asynchronous_call_uses_the_object_that_it_names);
    return finish();
}
