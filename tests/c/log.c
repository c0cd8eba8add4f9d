/*
 * The log reports what happens and never a secret. run.sh starts the simulator with a password that is not an ordinary
 * word, so finding it in a line means that it was logged.
 */
#include "check.h"

enum { MOST = 1 << 20 };
struct book {
    pthread_mutex_t lock;
    size_t length;
    int worst; /* the largest level seen */
    char text[MOST];
};

static struct book book = {PTHREAD_MUTEX_INITIALIZER, 0, 0, ""};
static vsession session;
static vsession_queue no_queue;

static void write_down(int32_t level, const char *message, void *data)
{
    struct book *mine = (struct book *)data;
    /* The library holds no lock here, so this function may call it. */
    (void)vsession_get_state(session);
    (void)vsession_queue_fd(no_queue);
    pthread_mutex_lock(&mine->lock);
    size_t length = strlen(message);
    if (mine->length + length + 2 < MOST) {
        memcpy(mine->text + mine->length, message, length);
        mine->length += length;
        mine->text[mine->length++] = '\n';
        mine->text[mine->length] = '\0';
    }
    if (level > mine->worst) mine->worst = level;
    pthread_mutex_unlock(&mine->lock);
}

static void empty_book(void)
{
    pthread_mutex_lock(&book.lock);
    book.length = 0;
    book.worst = 0;
    book.text[0] = '\0';
    pthread_mutex_unlock(&book.lock);
}

/* The value of the cookie, without quotes. */
static void read_cookie(char *value, size_t size)
{
    vsession_error *error = NULL;
    char *cookie = NULL;
    CHECK_OK(vsession_get_cookie(session, &cookie, &error), error);
    const char *from = cookie != NULL ? strchr(cookie, '=') + 1 : "";
    from += strspn(from, "\"");
    snprintf(value, size, "%.*s", (int)strcspn(from, "\";"), from);
    CHECK(strlen(value) > 8);
    vsession_string_free(cookie);
}

static void the_log_reports_everything_but_secrets(void)
{
    clean_server();
    empty_book();
    const char *password = test_env("VSESSION_TEST_PASSWORD"), *wrong = "Wr0ng-Pa55word";
    char first[256], second[256];
    vsession_error *error = NULL;
    /* First the wrong password, then the life of a session with every failure that is easy to cause. */
    vsession_set_log(VSESSION_LOG_DEBUG, write_down, &book);
    vsession_config config = good_config();
    CHECK_OK(vsession_config_set(config, "password", wrong, &error), error);
    session = opened(config);
    CHECK_STATUS(vsession_login(session, NULL, &error), VSESSION_E_INVALID_LOGIN, error);
    CHECK_OK(vsession_close(session, NULL, &error), error);
    CHECK_STATUS(vsession_config_new("https://u:Wr0ng-Pa55word@", &config, &error), VSESSION_E_INVALID_ARGUMENT, error);
    CHECK_STATUS(vsession_config_new("https://u:Wr0ng-Pa55word%zz@host/sdk", &config, &error), VSESSION_E_INVALID_ARGUMENT, error);

    session = good_session();
    CHECK_OK(call_once(session, NULL, &error), error);
    read_cookie(first, sizeof first);
    add_rule("{\"method\":\"CurrentTime\",\"times\":1,\"status\":502,\"body\":\"<html>\"}");
    add_rule("{\"method\":\"CurrentTime\",\"times\":1,\"reset\":\"before\"}");
    add_rule("{\"method\":\"CurrentTime\",\"times\":1,\"fault\":\"NoPermission\"}");
    add_rule("{\"method\":\"CurrentTime\",\"times\":1,\"hang\":true}");
    vsession_call_options options = VSESSION_CALL_OPTIONS_INIT;
    options.timeout_ms = 500;
    int failed = 0;
    for (int i = 0; i < 6; i++) failed += call_once(session, &options, NULL) != VSESSION_OK;
    CHECK(failed >= 3);
    CHECK(simulator_kill_sessions(control_port()));
    CHECK_OK(call_once(session, NULL, &error), error);
    read_cookie(second, sizeof second);
    CHECK(strcmp(first, second) != 0);
    CHECK_OK(vsession_close(session, NULL, &error), error);
    vsession_set_log(VSESSION_LOG_OFF, NULL, NULL);

    pthread_mutex_lock(&book.lock);
    CHECK_HAS(book.text, "logged in");
    CHECK_HAS(book.text, "InvalidLogin");
    CHECK_HAS(book.text, "ended on the server");
    CHECK_INT(book.worst, VSESSION_LOG_DEBUG);
    CHECK(strstr(book.text, password) == NULL);
    CHECK(strstr(book.text, wrong) == NULL);
    CHECK(strstr(book.text, first) == NULL);
    CHECK(strstr(book.text, second) == NULL);
    pthread_mutex_unlock(&book.lock);
}

static void a_level_suppresses_the_levels_below(void)
{
    clean_server();
    empty_book();
    vsession_error *error = NULL;
    vsession_config no_config = {0};
    vsession_set_log(VSESSION_LOG_INFO, write_down, &book);
    session = good_session();
    CHECK_OK(vsession_login(session, NULL, &error), error);
    CHECK_STATUS(vsession_open(no_config, &session, &error), VSESSION_E_INVALID_HANDLE, error);
    CHECK_OK(vsession_close(session, NULL, &error), error);
    pthread_mutex_lock(&book.lock);
    CHECK(book.length > 0);
    CHECK_INT(book.worst, VSESSION_LOG_INFO);
    pthread_mutex_unlock(&book.lock);
    vsession_set_log(VSESSION_LOG_OFF, NULL, NULL);
}

/* `tls.verify=false` causes a warning each time, whatever the level. There is none without that option or without TLS. */
static void trusting_any_server_is_a_warning(void)
{
    clean_server();
    vsession_error *error = NULL;
    for (int trusts_anybody = 0; trusts_anybody < 2; trusts_anybody++) {
        empty_book();
        vsession_set_log(VSESSION_LOG_WARNING, write_down, &book);
        vsession_config config = good_config();
        CHECK_OK(vsession_config_set(config, "tls.verify", trusts_anybody ? "false" : "true", &error), error);
        session = opened(config);
        CHECK_OK(call_once(session, NULL, &error), error);
        CHECK_OK(vsession_close(session, NULL, &error), error);
        vsession_set_log(VSESSION_LOG_OFF, NULL, NULL);
        pthread_mutex_lock(&book.lock);
        bool warned = trusts_anybody && over_tls();
        if (warned) CHECK_HAS(book.text, "tls.verify is false");
        CHECK_INT(book.worst, warned ? VSESSION_LOG_WARNING : 0);
        pthread_mutex_unlock(&book.lock);
    }
}

static void without_a_sink_nothing_is_logged(void)
{
    clean_server();
    empty_book();
    vsession_error *error = NULL;
    vsession_set_log(VSESSION_LOG_DEBUG, write_down, &book);
    vsession_set_log(VSESSION_LOG_DEBUG, NULL, NULL);
    session = good_session();
    CHECK_OK(vsession_login(session, NULL, &error), error);
    CHECK_OK(vsession_close(session, NULL, &error), error);
    vsession_set_log(VSESSION_LOG_OFF, write_down, &book);
    CHECK_STATUS(vsession_login(session, NULL, &error), VSESSION_E_CLOSED, error);
    pthread_mutex_lock(&book.lock);
    CHECK_INT(book.length, 0);
    pthread_mutex_unlock(&book.lock);
}

/* A warning for each session whose password anyone on the network can read. */
static void sending_a_readable_password_is_a_warning(void)
{
    static const struct {
        const char *url, *proxy;
        bool readable;
    } cases[] = {
        {"http://user:pass@vc.example.com/sdk", NULL, true},
        {"http://user:pass@192.0.2.1:8080/sdk", NULL, true},
        {"http://user:pass@localhost/sdk", "http://192.0.2.2:3128", true},
        {"https://user:pass@vc.example.com/sdk", NULL, false},
        {"http://user:pass@localhost/sdk", NULL, false},
        {"http://user:pass@127.0.0.2:8989/sdk", NULL, false},
        {"http://user:pass@[::1]/sdk", NULL, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        vsession_error *error = NULL;
        vsession_config config = {0};
        empty_book();
        CHECK_OK(vsession_config_new(cases[i].url, &config, &error), error);
        if (cases[i].proxy != NULL) CHECK_OK(vsession_config_set(config, "proxy", cases[i].proxy, &error), error);
        vsession_set_log(VSESSION_LOG_WARNING, write_down, &book);
        CHECK_OK(vsession_open(config, &session, &error), error);
        CHECK_OK(vsession_close(session, NULL, &error), error);
        vsession_set_log(VSESSION_LOG_OFF, NULL, NULL);
        vsession_config_free(config);
        if ((strstr(book.text, "readable for everybody") != NULL) != cases[i].readable)
            check_failed(__FILE__, __LINE__, "%s: '%s'", cases[i].url, book.text);
        CHECK(strstr(book.text, "pass@") == NULL);
    }
}

int main(void)
{
    RUN(the_log_reports_everything_but_secrets);
    RUN(a_level_suppresses_the_levels_below);
    RUN(trusting_any_server_is_a_warning);
    RUN(sending_a_readable_password_is_a_warning);
    RUN(without_a_sink_nothing_is_logged);
    return finish();
}
