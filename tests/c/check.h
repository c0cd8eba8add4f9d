/*
 * Shared by the test programs: checks that count failures, sessions with the simulator around the program
 * (tests/simulator/README.md, "with a command"), calls, and threads that start together.
 *
 * Every failed check is printed with its place. The program continues and exits with status 1.
 */
#ifndef CHECK_H
#define CHECK_H

#ifndef _XOPEN_SOURCE
#define _XOPEN_SOURCE 700
#endif
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <time.h>

#include "../../examples-c/simulator_control.h"
#include "vsession.h"

static int check_failures; /* atomic, because threads check too */

#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
static inline void check_failed(const char *file, int line, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fprintf(stderr, "%s:%d: %s\n", file, line, text);
    __atomic_add_fetch(&check_failures, 1, __ATOMIC_RELAXED);
}

#define CHECK(condition) \
    do { \
        if (!(condition)) check_failed(__FILE__, __LINE__, "failed: %s", #condition); \
    } while (0)

#define CHECK_INT(actual, expected) \
    do { \
        long long check_a = (long long)(actual), check_e = (long long)(expected); \
        if (check_a != check_e) check_failed(__FILE__, __LINE__, "%s is %lld, not %lld", #actual, check_a, check_e); \
    } while (0)

/* Two strings, either of which may be NULL. */
#define CHECK_TEXT(actual, expected) \
    do { \
        const char *check_a = (actual), *check_e = (expected); \
        if (check_a == NULL || check_e == NULL ? check_a != check_e : strcmp(check_a, check_e) != 0) \
            check_failed(__FILE__, __LINE__, "%s is '%s', not '%s'", #actual, check_a ? check_a : "(NULL)", check_e ? check_e : "(NULL)"); \
    } while (0)

#define CHECK_HAS(text, part) \
    do { \
        const char *check_t = (text); \
        if (check_t == NULL || strstr(check_t, part) == NULL) \
            check_failed(__FILE__, __LINE__, "'%s' does not hold '%s'", check_t ? check_t : "(NULL)", part); \
    } while (0)

/* A text with a length, which no NUL ends. */
#define CHECK_PIECE(actual, expected) \
    do { \
        vsession_text check_p = (actual); \
        if (check_p.data == NULL || check_p.length != strlen(expected) || memcmp(check_p.data, (expected), check_p.length) != 0) \
            check_failed(__FILE__, __LINE__, "%s is '%.*s', not '%s'", #actual, (int)check_p.length, check_p.data ? check_p.data : "", (expected)); \
    } while (0)

/* Checks a status, and prints the error's message if it is another. Frees `error` and sets it to NULL. */
#define CHECK_STATUS(call, expected, error) check_status(__FILE__, __LINE__, #call, (call), (expected), &(error))
#define CHECK_OK(call, error) CHECK_STATUS(call, VSESSION_OK, error)

static inline void check_status(const char *file, int line, const char *what, vsession_status actual, vsession_status expected, vsession_error **error)
{
    if (actual != expected)
        check_failed(file, line, "%s: %s, not %s (%s)", what, vsession_status_name(actual), vsession_status_name(expected), vsession_error_message(*error));
    if (actual != vsession_error_status(*error))
        check_failed(file, line, "%s: returned %s, but its error says %s", what, vsession_status_name(actual), vsession_status_name(vsession_error_status(*error)));
    vsession_error_free(*error);
    *error = NULL;
}

/* Runs a test and prints its name if it failed. */
#define RUN(test) \
    do { \
        int check_before = check_failures; \
        test(); \
        if (check_failures != check_before) fprintf(stderr, "failed: %s\n", #test); \
    } while (0)

static inline const char *test_env(const char *name)
{
    const char *value = getenv(name);
    if (value == NULL) {
        fprintf(stderr, "%s is not set; run tests/c/run.sh, or this program under 'simulator -- ...'\n", name);
        exit(2);
    }
    return value;
}

static inline const char *control_port(void)
{
    return test_env("VSESSION_TEST_CONTROL");
}

/* Whether the simulator uses TLS. Over plain HTTP there is no certificate. */
static inline bool over_tls(void)
{
    return strncmp(test_env("VSESSION_TEST_URL"), "https:", 6) == 0;
}

static inline long counted(const char *name)
{
    return simulator_count(control_port(), name);
}

/* Each test starts with a server that has no session and no rule, and with counters at zero. */
static inline void clean_server(void)
{
    char *a = simulator_request(control_port(), "POST", "/sessions/kill", "");
    char *b = simulator_request(control_port(), "DELETE", "/rules", "");
    char *c = simulator_request(control_port(), "POST", "/stats/reset", "");
    if (a == NULL || b == NULL || c == NULL) {
        fprintf(stderr, "the simulator does not answer\n");
        exit(2);
    }
    free(a);
    free(b);
    free(c);
}

static inline void add_rule(const char *json)
{
    char *answer = simulator_request(control_port(), "POST", "/rules", json);
    CHECK(answer != NULL);
    free(answer);
}

/* The number of threads for a test: fewer under valgrind, which is slow. */
static inline int thread_count(int usual)
{
    const char *value = getenv("VSESSION_TEST_THREADS");
    return value != NULL && atoi(value) > 0 ? atoi(value) : usual;
}

static inline vsession_config good_config(void)
{
    vsession_error *error = NULL;
    vsession_config config = {0};
    CHECK_OK(vsession_config_new(test_env("VSESSION_TEST_URL"), &config, &error), error);
    CHECK_OK(vsession_config_set(config, "tls.ca_file", test_env("VSESSION_TEST_CA"), &error), error);
    return config;
}

/* Opens a session and frees the configuration. */
static inline vsession opened(vsession_config config)
{
    vsession_error *error = NULL;
    vsession session = {0};
    CHECK_OK(vsession_open(config, &session, &error), error);
    CHECK_INT(vsession_config_free(config), VSESSION_OK);
    return session;
}

static inline vsession good_session(void)
{
    return opened(good_config());
}

static inline vsession_soap_call current_time(void)
{
    vsession_soap_call call = VSESSION_SOAP_CALL_INIT;
    call.method = "CurrentTime";
    call.this_type = "ServiceInstance";
    return call;
}

static inline vsession_status call_once(vsession session, const vsession_call_options *options, vsession_error **error)
{
    vsession_reply *reply = NULL;
    vsession_soap_call call = current_time();
    vsession_status status = vsession_call(session, &call, options, &reply, error);
    CHECK((status == VSESSION_OK) == (reply != NULL));
    vsession_reply_free(reply);
    return status;
}

static inline int64_t monotonic_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static inline void sleep_ms(long ms)
{
    struct timespec pause = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&pause, NULL);
}

/*
 * PATIENCE_MS is how long a test waits for what must happen, however slow the machine. AT_ONCE_MS is shorter, and shorter
 * than the deadlines of calls that must end in another way. Delays of milliseconds are the business of
 * tests/rust/phases.rs.
 */
enum { PATIENCE_MS = 60000, AT_ONCE_MS = 15000 };

/* Waits for a counter of the simulator to reach a value. */
static inline bool wait_for_count(const char *name, long value)
{
    for (int64_t end = monotonic_ms() + PATIENCE_MS; monotonic_ms() < end;) {
        if (counted(name) == value) return true;
        sleep_ms(10);
    }
    return false;
}

/* Runs `work` with `argument` on this many threads, which start at the same moment. */
enum { MOST_THREADS = 64 };
struct team {
    pthread_t threads[MOST_THREADS];
    pthread_barrier_t start;
    void (*work)(void *argument, int number);
    void *argument;
    int size, arrived;
};

static inline void *team_member(void *data)
{
    struct team *team = (struct team *)data;
    int number = __atomic_fetch_add(&team->arrived, 1, __ATOMIC_RELAXED);
    pthread_barrier_wait(&team->start);
    team->work(team->argument, number);
    return NULL;
}

static inline void team_start(struct team *team, int size, void (*work)(void *, int), void *argument)
{
    team->size = size;
    team->arrived = 0;
    team->work = work;
    team->argument = argument;
    pthread_barrier_init(&team->start, NULL, (unsigned)size);
    for (int i = 0; i < size; i++) {
        if (pthread_create(&team->threads[i], NULL, team_member, team) != 0) {
            fprintf(stderr, "no more threads\n");
            exit(2);
        }
    }
}

static inline void team_join(struct team *team)
{
    for (int i = 0; i < team->size; i++) pthread_join(team->threads[i], NULL);
    pthread_barrier_destroy(&team->start);
}

static inline int finish(void)
{
    return check_failures == 0 ? 0 : 1;
}

#endif
