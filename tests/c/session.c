/* The life of one session, on vCenter and on ESXi: login, identity, logout, another login, close. */
#include "check.h"

static void nothing_is_sent_before_the_login(void)
{
    clean_server();
    vsession_error *error = NULL;
    vsession session = good_session();
    vsession_info *info = NULL;
    char *cookie = NULL;
    bool active = true;
    CHECK_INT(vsession_get_state(session), VSESSION_STATE_LOGGED_OUT);
    CHECK_INT(vsession_get_epoch(session), 0);
    CHECK_STATUS(vsession_get_info(session, &info, &error), VSESSION_E_NOT_AUTHENTICATED, error);
    CHECK_STATUS(vsession_get_cookie(session, &cookie, &error), VSESSION_E_NOT_AUTHENTICATED, error);
    CHECK_STATUS(vsession_refresh(session, NULL, &info, &error), VSESSION_E_NOT_AUTHENTICATED, error);
    CHECK_OK(vsession_is_active(session, NULL, &active, &error), error);
    CHECK(!active);
    CHECK(info == NULL && cookie == NULL);
    CHECK_OK(vsession_logout(session, NULL, &error), error);
    CHECK_OK(vsession_close(session, NULL, &error), error);
    CHECK_INT(counted("requests"), 0);
}

static void a_login_yields_the_identity_and_the_server(void)
{
    clean_server();
    vsession_error *error = NULL;
    vsession session = good_session();
    CHECK_OK(vsession_login(session, NULL, &error), error);
    CHECK_OK(vsession_login(session, NULL, &error), error);
    CHECK_INT(counted("logins"), 1);
    CHECK_INT(vsession_get_state(session), VSESSION_STATE_ACTIVE);
    CHECK_INT(vsession_get_epoch(session), 1);

    vsession_info *info = NULL;
    CHECK_OK(vsession_get_info(session, &info, &error), error);
    CHECK_INT(vsession_info_epoch(info), 1);
    CHECK_TEXT(vsession_info_user_name(info), test_env("VSESSION_TEST_USER"));
    CHECK(vsession_info_full_name(info) != NULL);
    int64_t now = (int64_t)time(NULL) * 1000;
    CHECK(vsession_info_login_time_ms(info) > now - 60000 && vsession_info_login_time_ms(info) < now + 60000);
    CHECK(vsession_info_last_active_ms(info) >= vsession_info_login_time_ms(info) - 1000);
    CHECK(vsession_info_call_count(info) >= -1);
    CHECK_TEXT(vsession_info_locale(info), "en_US");
    CHECK_TEXT(vsession_info_message_locale(info), "en_US");
    CHECK_HAS(vsession_info_ip_address(info), "127.0.0.1");
    CHECK_HAS(vsession_info_user_agent(info), "libvsession/");
    CHECK(!vsession_info_is_extension(info));
    const char *mode = getenv("VSESSION_TEST_MODE");
    bool esx = mode != NULL && strcmp(mode, "esx") == 0;
    CHECK_TEXT(vsession_info_about(info, "apiType"), esx ? "HostAgent" : "VirtualCenter");
    CHECK_TEXT(vsession_info_service_type(info, "rootFolder"), "Folder");
    CHECK_TEXT(vsession_info_service_id(info, "rootFolder"), esx ? "ha-folder-root" : "group-d1");
    CHECK_TEXT(vsession_info_service_id(info, "sessionManager"), esx ? "ha-sessionmgr" : "SessionManager");
    CHECK_TEXT(vsession_info_about(info, "noSuchField"), NULL);
    CHECK_TEXT(vsession_info_service_id(info, "noSuchObject"), NULL);

    /* The server uses the same key for the session. */
    char *sessions = simulator_request(control_port(), "GET", "/sessions", "");
    CHECK_HAS(sessions, vsession_info_key(info));
    free(sessions);

    /* A snapshot outlives its session. */
    CHECK_OK(vsession_close(session, NULL, &error), error);
    CHECK_TEXT(vsession_info_user_name(info), test_env("VSESSION_TEST_USER"));
    vsession_info_free(info);
    CHECK_INT(counted("sessions"), 0);
    CHECK_INT(counted("logouts"), 1);
}

static void a_reply_holds_what_the_server_sent(void)
{
    clean_server();
    vsession_error *error = NULL;
    vsession session = good_session();
    vsession_soap_call call = current_time();
    vsession_call_options options = VSESSION_CALL_OPTIONS_INIT;
    vsession_reply *reply = NULL;
    options.operation_id = "the-operation";
    CHECK_OK(vsession_call(session, &call, &options, &reply, &error), error);
    size_t whole = 0, part = 0;
    const char *xml = vsession_reply_xml(reply, &whole), *response = vsession_reply_response(reply, &part);
    CHECK(xml != NULL && strlen(xml) == whole);
    CHECK_HAS(xml, "CurrentTimeResponse");
    CHECK(response > xml && response + part < xml + whole);
    CHECK(response != NULL && strncmp(response, "<CurrentTimeResponse", 20) == 0 && response[part - 1] == '>');
    CHECK_INT(vsession_reply_epoch(reply), 1);
    CHECK_TEXT(vsession_reply_operation_id(reply), "the-operation");
    const char *text = vsession_reply_text(reply);
    CHECK(text != NULL && text[0] == '2' && strchr(text, 'T') != NULL);
    char *log = simulator_request(control_port(), "GET", "/log", "");
    CHECK_HAS(log, "\"operation_id\":\"the-operation\"");
    free(log);
    CHECK_OK(vsession_close(session, NULL, &error), error);
    CHECK(xml == vsession_reply_xml(reply, NULL));
    vsession_reply_free(reply);
}

static void a_fault_is_an_error_with_its_name_and_xml(void)
{
    clean_server();
    vsession_error *error = NULL;
    vsession session = good_session();
    vsession_soap_call call = VSESSION_SOAP_CALL_INIT;
    vsession_reply *reply = NULL;
    call.method = "Destroy_Task";
    call.this_type = "VirtualMachine";
    call.this_id = "no-such-vm";
    CHECK_INT(vsession_call(session, &call, NULL, &reply, &error), VSESSION_E_FAULT);
    CHECK(reply == NULL);
    CHECK_TEXT(vsession_error_fault_name(error), "ManagedObjectNotFound");
    CHECK_HAS(vsession_error_fault_xml(error), "no-such-vm");
    CHECK(vsession_error_fault_string(error) != NULL && vsession_error_fault_code(error) != NULL);
    CHECK_HAS(vsession_error_body(error, NULL), "Envelope");
    vsession_node fault = vsession_error_fault_root(error), object = vsession_node_child(fault, "obj");
    CHECK_PIECE(vsession_node_name(fault), "ManagedObjectNotFoundFault");
    CHECK_PIECE(vsession_node_type(fault), "ManagedObjectNotFound");
    CHECK_PIECE(vsession_node_text(object), "no-such-vm");
    CHECK_PIECE(vsession_node_attribute(object, "type"), "VirtualMachine");
    CHECK_INT(vsession_error_http_status(error), 500);
    CHECK(vsession_error_operation_id(error) != NULL);
    CHECK_INT(vsession_error_executed(error), VSESSION_EXECUTED_YES);
    CHECK_INT(vsession_error_os_error(error), 0);
    CHECK(!vsession_error_retriable(error));
    vsession_error_free(error);
    error = NULL;
    CHECK_OK(vsession_close(session, NULL, &error), error);
}

static void refresh_and_is_active_ask_the_server(void)
{
    clean_server();
    vsession_error *error = NULL;
    vsession session = good_session();
    CHECK_OK(vsession_login(session, NULL, &error), error);
    vsession_info *info = NULL;
    long before = counted("requests");
    CHECK_OK(vsession_refresh(session, NULL, &info, &error), error);
    CHECK_OK(vsession_refresh(session, NULL, NULL, &error), error);
    CHECK(counted("requests") >= before + 2);
    CHECK_TEXT(vsession_info_user_name(info), test_env("VSESSION_TEST_USER"));
    vsession_info_free(info);
    info = NULL;
    bool active = false;
    CHECK_OK(vsession_is_active(session, NULL, &active, &error), error);
    CHECK(active);

    CHECK(simulator_kill_sessions(control_port()));
    CHECK_OK(vsession_is_active(session, NULL, &active, &error), error);
    CHECK(!active);
    CHECK_INT(vsession_get_state(session), VSESSION_STATE_EXPIRED);
    CHECK_STATUS(vsession_refresh(session, NULL, &info, &error), VSESSION_E_NOT_AUTHENTICATED, error);
    CHECK(info == NULL);
    CHECK_INT(counted("logins"), 1);
    CHECK_OK(vsession_close(session, NULL, &error), error);
}

static void the_cookie_is_the_one_from_the_server(void)
{
    clean_server();
    vsession_error *error = NULL;
    vsession session = good_session();
    CHECK_OK(call_once(session, NULL, &error), error);
    char *cookie = NULL;
    CHECK_OK(vsession_get_cookie(session, &cookie, &error), error);
    CHECK(cookie != NULL && strncmp(cookie, "vmware_soap_session=", 20) == 0 && strlen(cookie) > 30);
    /* The server saw requests with exactly this value; its log escapes the quotes. */
    char *log = simulator_request(control_port(), "GET", "/log", "");
    char *value = cookie + 20 + strspn(cookie + 20, "\"");
    vsession_info *info = NULL;
    CHECK_OK(vsession_get_info(session, &info, &error), error);
    CHECK_TEXT(vsession_info_cookie(info), cookie);
    value[strcspn(value, "\"")] = '\0';
    CHECK_TEXT(vsession_info_cookie_value(info), value);
    CHECK_HAS(log, value);
    free(log);
    vsession_string_free(cookie);
    vsession_info_free(info);
    CHECK_OK(vsession_close(session, NULL, &error), error);
}

static void after_a_logout_only_an_explicit_login_starts_again(void)
{
    clean_server();
    vsession_error *error = NULL;
    vsession session = good_session();
    CHECK_OK(vsession_login(session, NULL, &error), error);
    CHECK_OK(vsession_logout(session, NULL, &error), error);
    CHECK_INT(vsession_get_state(session), VSESSION_STATE_LOGGED_OUT);
    CHECK_INT(counted("sessions"), 0);
    CHECK_STATUS(call_once(session, NULL, &error), VSESSION_E_NOT_AUTHENTICATED, error);
    CHECK_INT(counted("logins"), 1);

    CHECK_OK(vsession_login(session, NULL, &error), error);
    CHECK_INT(vsession_get_epoch(session), 2);
    CHECK_INT(vsession_get_state(session), VSESSION_STATE_ACTIVE);
    CHECK_OK(call_once(session, NULL, &error), error);
    vsession_call_options options = VSESSION_CALL_OPTIONS_INIT;
    options.require_epoch = 1;
    CHECK_STATUS(call_once(session, &options, &error), VSESSION_E_SESSION_CHANGED, error);
    options.require_epoch = 2;
    CHECK_OK(call_once(session, &options, &error), error);
    CHECK_INT(counted("logins"), 2);

    CHECK_OK(vsession_close(session, NULL, &error), error);
    CHECK_INT(vsession_get_state(session), VSESSION_STATE_CLOSED);
    CHECK_INT(counted("sessions"), 0);
}

static void an_ended_session_is_replaced_once(void)
{
    clean_server();
    vsession_error *error = NULL;
    vsession session = good_session();
    CHECK_OK(call_once(session, NULL, &error), error);
    CHECK(simulator_kill_sessions(control_port()));
    vsession_call_options options = VSESSION_CALL_OPTIONS_INIT;
    options.no_relogin = 1;
    CHECK_STATUS(call_once(session, &options, &error), VSESSION_E_NOT_AUTHENTICATED, error);
    CHECK_INT(counted("logins"), 1);
    CHECK_OK(call_once(session, NULL, &error), error);
    CHECK_INT(vsession_get_epoch(session), 2);
    CHECK_INT(counted("logins"), 2);
    CHECK_OK(vsession_close(session, NULL, &error), error);
}

static void a_refused_password_is_tried_once(void)
{
    clean_server();
    vsession_error *error = NULL;
    vsession_config config = good_config();
    CHECK_OK(vsession_config_set(config, "password", "not the password", &error), error);
    vsession session = opened(config);
    CHECK_INT(vsession_login(session, NULL, &error), VSESSION_E_INVALID_LOGIN);
    CHECK_TEXT(vsession_error_fault_name(error), "InvalidLogin");
    CHECK_HAS(vsession_error_fault_xml(error), "InvalidLogin");
    CHECK(strstr(vsession_error_message(error), "not the password") == NULL);
    CHECK_INT(vsession_error_status(error), VSESSION_E_INVALID_LOGIN);
    vsession_error_free(error);
    error = NULL;
    CHECK_INT(counted("login_failures"), 1);
    CHECK_INT(vsession_get_state(session), VSESSION_STATE_REJECTED);

    for (int i = 0; i < 5; i++) CHECK_STATUS(call_once(session, NULL, &error), VSESSION_E_INVALID_LOGIN, error);
    CHECK_INT(counted("login_failures"), 1);
    CHECK_INT(counted("logins"), 0);
    CHECK_OK(vsession_close(session, NULL, &error), error);
}

static void close_leaves_the_servers_session_when_the_option_says_so(void)
{
    clean_server();
    vsession_error *error = NULL;
    vsession_config config = good_config();
    CHECK_OK(vsession_config_set(config, "close.logout", "false", &error), error);
    vsession session = opened(config);
    CHECK_OK(vsession_login(session, NULL, &error), error);
    CHECK_OK(vsession_close(session, NULL, &error), error);
    CHECK_INT(counted("sessions"), 1);
    CHECK_INT(counted("logouts"), 0);
    clean_server();
}

int main(void)
{
    RUN(nothing_is_sent_before_the_login);
    RUN(a_login_yields_the_identity_and_the_server);
    RUN(a_reply_holds_what_the_server_sent);
    RUN(a_fault_is_an_error_with_its_name_and_xml);
    RUN(refresh_and_is_active_ask_the_server);
    RUN(the_cookie_is_the_one_from_the_server);
    RUN(after_a_logout_only_an_explicit_login_starts_again);
    RUN(an_ended_session_is_replaced_once);
    RUN(a_refused_password_is_tried_once);
    RUN(close_leaves_the_servers_session_when_the_option_says_so);
    return finish();
}
