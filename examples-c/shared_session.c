/*
 * The demo: 16 threads share one session. They log in at the same moment, and one login reaches the server. In the middle
 * of their calls the simulator ends the session (a real server does not). The library replaces it once, and no call
 * fails.
 *
 *     shared_session [URL [CA.pem]]        without a URL it uses govc's variables (GOVC_URL, ...)
 *
 * VSESSION_TEST_CONTROL: the simulator's control port; not set with a real server.
 */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <time.h>

#include "simulator_control.h"
#include "vsession.h"

enum { THREADS = 16, CALLS = 300 };

static vsession session;
static vsession_queue queue;
static const char *control; /* NULL with a real server */
static pthread_barrier_t start;
static int64_t started_ms;

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Ends the program after a failure, and says what to do. */
static void need(vsession_status status, vsession_error *error, const char *what)
{
    if (status == VSESSION_OK) return;
    static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&once); /* never unlocked: all threads fail in the same way, and one message is enough */
    const char *hint = "";
    if (status == VSESSION_E_UNTRUSTED)
        hint = "\n  Pass the server's CA as the second argument or in GOVC_TLS_CA_CERTS, or set GOVC_INSECURE=1 for a test.";
    else if (status == VSESSION_E_INVALID_LOGIN)
        hint = "\n  Check user and password: URL=https://user:password@host/sdk, with % written as %25 and @ as %40.";
    else if (status == VSESSION_E_RESOLVE || status == VSESSION_E_CONNECT)
        hint = "\n  Check the host and the port in the URL, and that this machine reaches them.";
    fprintf(stderr, "%s: %s: %s%s\n", what, vsession_status_name(status), vsession_error_message(error), hint);
    vsession_error_free(error);
    exit(1);
}

struct work {
    pthread_t thread;
    bool kills; /* this thread makes the server end the session in the middle of its calls */
    long failed;
};

/* One of the threads: logs in together with the others, then calls. */
static void *work(void *argument)
{
    struct work *mine = (struct work *)argument;
    vsession_soap_call call = VSESSION_SOAP_CALL_INIT;
    call.method = "CurrentTime";
    call.this_type = "ServiceInstance";
    vsession_call_options within = VSESSION_CALL_OPTIONS_INIT;
    within.timeout_ms = 30000;

    pthread_barrier_wait(&start);
    vsession_error *error = NULL;
    vsession_status status = vsession_login(session, &within, &error);
    need(status, error, "login");

    for (int i = 0; i < CALLS; i++) {
        if (mine->kills && i == CALLS / 2) {
            printf("%7.3f s  the server ends the session\n", (double)(now_ms() - started_ms) / 1000);
            if (!simulator_kill_sessions(control)) {
                fprintf(stderr, "the control port %s does not answer; check VSESSION_TEST_CONTROL\n", control);
                exit(1);
            }
        }
        vsession_reply *reply = NULL;
        if (vsession_call(session, &call, &within, &reply, &error) != VSESSION_OK) {
            mine->failed++;
            fprintf(stderr, "call: %s: %s\n", vsession_status_name(vsession_error_status(error)), vsession_error_message(error));
            vsession_error_free(error);
        }
        vsession_reply_free(reply);
    }
    return NULL;
}

static void print_event(const vsession_event *event)
{
    double at = (double)(vsession_event_time_ms(event) - started_ms) / 1000;
    uint64_t old_epoch = vsession_event_old_epoch(event), new_epoch = vsession_event_new_epoch(event);
    if (vsession_event_get_kind(event) == VSESSION_EVENT_STATE_CHANGED)
        printf("%7.3f s  %s -> %s (%s)", at, vsession_state_name(vsession_event_old_state(event)),
            vsession_state_name(vsession_event_new_state(event)), vsession_reason_name(vsession_event_reason(event)));
    else
        printf("%7.3f s  %s", at, vsession_event_kind_name(vsession_event_get_kind(event)));
    if (old_epoch != new_epoch) printf(", epoch %" PRIu64 " -> %" PRIu64, old_epoch, new_epoch);
    if (vsession_event_get_kind(event) == VSESSION_EVENT_STATE_CHANGED && vsession_event_new_state(event) == VSESSION_STATE_ACTIVE) {
        vsession_info *info = NULL;
        if (vsession_get_info(session, &info, NULL) == VSESSION_OK)
            printf(": %s, session %.8s..., epoch %" PRIu64, vsession_info_user_name(info), vsession_info_key(info), vsession_info_epoch(info));
        vsession_info_free(info);
    }
    printf("\n");
}

/* Prints what happens to the session until it is closed. */
static void *watch(void *unused)
{
    (void)unused;
    struct pollfd waiting = {vsession_queue_fd(queue), POLLIN, 0};
    bool closed = false;
    while (!closed && poll(&waiting, 1, -1) >= 0) {
        vsession_event *event = NULL;
        if (vsession_queue_next(queue, 0, &event, NULL) != VSESSION_OK) break;
        if (event == NULL) continue;
        print_event(event);
        closed = vsession_event_new_state(event) == VSESSION_STATE_CLOSED;
        vsession_event_free(event);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0); /* line by line, into a pipe too */
    control = getenv("VSESSION_TEST_CONTROL");
    if (control != NULL && *control == '\0') control = NULL;
    vsession_error *error = NULL;
    vsession_config config = {0};
    if (argc > 1)
        need(vsession_config_new(argv[1], &config, &error), error, "the URL");
    else
        need(vsession_config_from_env(&config, &error), error, "usage: shared_session https://user:password@host/sdk [CA.pem]");
    if (argc > 2) need(vsession_config_set(config, "tls.ca_file", argv[2], &error), error, "the CA file");
    need(vsession_queue_new(&queue, &error), error, "the event queue");
    need(vsession_config_set_queue(config, queue, &error), error, "the event queue");
    need(vsession_open(config, &session, &error), error, "the session");

    started_ms = now_ms();
    pthread_barrier_init(&start, NULL, THREADS);
    pthread_t watcher;
    struct work threads[THREADS];
    memset(threads, 0, sizeof threads);
    threads[0].kills = control != NULL;
    bool running = pthread_create(&watcher, NULL, watch, NULL) == 0;
    for (int i = 0; i < THREADS; i++)
        running = running && pthread_create(&threads[i].thread, NULL, work, &threads[i]) == 0;
    if (!running) {
        fprintf(stderr, "the system could not start all threads; raise the limit (ulimit -u)\n");
        return 1;
    }
    long failed = 0;
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i].thread, NULL);
        failed += threads[i].failed;
    }
    uint64_t epochs = vsession_get_epoch(session);
    vsession_call_options soon = VSESSION_CALL_OPTIONS_INIT;
    soon.timeout_ms = 5000;
    need(vsession_close(session, &soon, &error), error, "close"); /* logs out */
    pthread_join(watcher, NULL);
    vsession_queue_free(queue);
    vsession_config_free(config);
    pthread_barrier_destroy(&start);

    if (control == NULL) {
        printf("demo: calls %d, failed %ld, logins %" PRIu64 " (as this program saw them)\n", THREADS * CALLS, failed, epochs);
        return failed == 0 ? 0 : 1;
    }
    long logins = simulator_count(control, "logins"), left = simulator_count(control, "sessions");
    for (int tries = 0; tries < 20 && left != 0; tries++) {
        struct timespec pause = {0, 50 * 1000 * 1000};
        nanosleep(&pause, NULL);
        left = simulator_count(control, "sessions");
    }
    printf("demo: calls %d, failed %ld, logins %ld, sessions left %ld\n", THREADS * CALLS, failed, logins, left);
    return failed == 0 && logins == 2 && left == 0 ? 0 : 1;
}
