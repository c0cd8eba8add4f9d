/*
 * Callers that wait: at a server that is slow, silent or gone, and beside one that is well.
 *
 *     waiting load threads=64 seconds=4 timeout_ms=300 pause_ms=0 idempotent=0 max_connections=4
 *         logs in, says "ready", has threads call without end, says "ready" again, so that the driver can read the
 *         server's counters before the logout
 *     waiting logins hung=64 how=threads|async trials=3
 *         so many logins at BENCH_HUNG_URL, each of a session of its own, and beside them logins at BENCH_URL
 *     waiting probes hung=64 window_ms=10000 keepalive.interval_ms=1000
 *         keep-alive of so many sessions at BENCH_HUNG_URL, and of one at BENCH_URL; says "ready" when all have logged in
 *         and after the window
 *     waiting polls sessions=200 polls=10000 trials=20
 *         long polls; says "ready" after the logins, when all polls were started, and after the shutdown
 */

#include "library.h"

enum { LOGIN_THREADS = 8, MOST_MESSAGES = 16, LONGEST_MESSAGE = 400 };

static vsession session;
static const vsession_soap_call current_time = {
    .struct_size = sizeof(vsession_soap_call), .method = "CurrentTime", .this_type = "ServiceInstance"};

/* What calls failed with: how often each status and each message, whose numbers do not count. */
static struct {
    pthread_mutex_t lock;
    long statuses[256], not_run, early;
    struct {
        char text[LONGEST_MESSAGE];
        long count;
    } messages[MOST_MESSAGES];
} failures = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void note_failure(vsession_status status, const vsession_error *error, bool early) {
    char text[LONGEST_MESSAGE];
    size_t length = 0;
    const char *message = vsession_error_message(error);
    for (bool number = false; message && *message && length < sizeof text - 1; message++) {
        bool digit = *message >= '0' && *message <= '9';
        if (!(digit && number))
            text[length++] = digit ? '#' : *message == '"' || *message == '\\' || *message < ' ' ? '\'' : *message;
        number = digit;
    }
    text[length] = 0;
    pthread_mutex_lock(&failures.lock);
    failures.statuses[status & 255]++;
    failures.not_run += vsession_error_executed(error) == VSESSION_EXECUTED_NO;
    failures.early += early;
    for (int i = 0; i < MOST_MESSAGES; i++)
        if (!failures.messages[i].count || strcmp(failures.messages[i].text, text) == 0) {
            strcpy(failures.messages[i].text, text);
            failures.messages[i].count++;
            break;
        }
    pthread_mutex_unlock(&failures.lock);
}

static void print_failures(void) {
    const char *comma = "";
    printf("\"failed_not_run\":%ld,\"failed_early\":%ld,\"statuses\":{", failures.not_run, failures.early);
    for (int i = 0; i < 256; i++)
        if (failures.statuses[i]) {
            printf("%s\"%s\":%ld", comma, vsession_status_name(i), failures.statuses[i]);
            comma = ",";
        }
    printf("},\"messages\":{");
    for (int i = 0; i < MOST_MESSAGES && failures.messages[i].count; i++)
        printf("%s\"%s\":%ld", i ? "," : "", failures.messages[i].text, failures.messages[i].count);
    printf("}");
}

/* Calls without end. */

#define TENTH 100000000u /* of a second */
enum { MOST_TENTHS = 6000 };

static atomic_bool load_stop;
static uint64_t load_begin_ns, asked_each_tenth[MOST_TENTHS];
static pthread_barrier_t load_begin;

struct caller {
    pthread_t id;
    uint64_t asked, answered, room;
    uint64_t *ends, *latencies;
};

static void *caller_thread(void *mine) {
    struct caller *caller = mine;
    vsession_call_options options = VSESSION_CALL_OPTIONS_INIT;
    options.timeout_ms = (uint32_t)argument("timeout_ms", 300);
    options.idempotent = argument("idempotent", 0) != 0;
    useconds_t pause = (useconds_t)(argument("pause_ms", 0) * 1000);
    pthread_barrier_wait(&load_begin);
    while (!atomic_load(&load_stop)) {
        vsession_reply *reply = NULL;
        vsession_error *error = NULL;
        uint64_t begin = now_ns();
        vsession_status status = vsession_call(session, &current_time, &options, &reply, &error);
        uint64_t end = now_ns(), tenth = (begin - load_begin_ns) / TENTH;
        caller->asked++;
        if (tenth < MOST_TENTHS)
            __atomic_fetch_add(&asked_each_tenth[tenth], 1, __ATOMIC_RELAXED);
        if (status == VSESSION_OK) {
            if (caller->answered == caller->room) {
                caller->room = caller->room * 2 + 64;
                caller->ends = realloc(caller->ends, caller->room * sizeof *caller->ends);
                caller->latencies = realloc(caller->latencies, caller->room * sizeof *caller->latencies);
            }
            caller->ends[caller->answered] = end;
            caller->latencies[caller->answered++] = end - begin;
        } else {
            note_failure(status, error, end - begin < options.timeout_ms * 950000ull);
        }
        vsession_reply_free(reply);
        vsession_error_free(error);
        if (pause)
            usleep(pause);
    }
    return NULL;
}

/* Of each answered call, by threads: when it ended, and how long it took. */
static void print_answers(const struct caller *callers, long threads) {
    printf("\"answers\":[");
    for (long t = 0; t < threads; t++) {
        printf("%s[", t ? "," : "");
        for (uint64_t i = 0; i < callers[t].answered; i++)
            printf("%s[%llu,%llu]", i ? "," : "", (unsigned long long)callers[t].ends[i],
                   (unsigned long long)callers[t].latencies[i]);
        printf("]");
    }
    printf("],");
}

static void run_load(void) {
    long threads = (long)argument("threads", 16);
    struct caller *callers = calloc((size_t)threads, sizeof *callers);
    uint64_t asked = 0, answered = 0;
    vsession_error *error = NULL;
    session = open_with(config_for(environment("BENCH_URL")));
    need(vsession_login(session, NULL, &error), error, "login");
    pthread_barrier_init(&load_begin, NULL, (unsigned)threads + 1);
    for (long i = 0; i < threads; i++)
        if (pthread_create(&callers[i].id, NULL, caller_thread, &callers[i]))
            fail("no thread");
    wait_for_driver();
    uint64_t cpu = cpu_ns(), begin = load_begin_ns = now_ns();
    pthread_barrier_wait(&load_begin);
    usleep((useconds_t)(argument("seconds", 4) * 1e6));
    atomic_store(&load_stop, true);
    for (long i = 0; i < threads; i++)
        pthread_join(callers[i].id, NULL);
    cpu = cpu_ns() - cpu;
    uint64_t wall = now_ns() - begin;
    for (long i = 0; i < threads; i++) {
        asked += callers[i].asked;
        answered += callers[i].answered;
    }
    wait_for_driver();
    printf("{\"count\":%llu,\"asked\":%llu,\"wall_ns\":%llu,\"cpu_ns\":%llu,\"begin_ns\":%llu,", (unsigned long long)answered,
           (unsigned long long)asked, (unsigned long long)wall, (unsigned long long)cpu, (unsigned long long)begin);
    print_list("asked_each_tenth", asked_each_tenth, (long)(wall / TENTH) + 1);
    printf(",");
    print_answers(callers, threads);
    print_failures();
    printf("}\n");
    fflush(stdout);
    vsession_call_options closing = VSESSION_CALL_OPTIONS_INIT;
    closing.timeout_ms = 2000;
    vsession_close(session, &closing, NULL);
}

/* Logins at a server that hangs, each of a session of its own, whose name has the number in place of a `#`. */

static vsession open_hung(long number) {
    char url[512], *out = url;
    for (const char *in = environment("BENCH_HUNG_URL"); *in && out < url + sizeof url - 24; in++)
        out += *in == '#' ? sprintf(out, "%ld", number) : (*out = *in, 1);
    *out = 0;
    vsession_config config = config_for(url);
    vsession opened = open_with(config);
    vsession_config_free(config);
    return opened;
}

static void *hung_thread(void *one) {
    vsession_call_options options = VSESSION_CALL_OPTIONS_INIT;
    options.timeout_ms = 100000;
    vsession_login(*(vsession *)one, &options, NULL);
    return NULL;
}

/* Logs in at the server that is well, by the way in question, and returns how long that took. */
static uint64_t log_in_beside(vsession_config config, vsession_queue queue) {
    vsession_error *error = NULL;
    vsession_call_options options = VSESSION_CALL_OPTIONS_INIT;
    vsession_status status;
    options.timeout_ms = 20000;
    vsession one = open_with(config);
    uint64_t begin = now_ns();
    if (strcmp(text_argument("how", "threads"), "async") == 0) {
        vsession_event *event = NULL;
        need(vsession_call_async(one, &current_time, &options, queue, UINT64_MAX, &error), error, "async");
        do {
            vsession_event_free(event);
            need(vsession_queue_next(queue, 120000, &event, &error), error, "queue");
        } while (vsession_event_tag(event) != UINT64_MAX);
        const vsession_error *failed = vsession_event_error(event);
        status = failed ? vsession_error_status(failed) : VSESSION_OK;
        if (failed)
            note_failure(status, failed, false);
        vsession_event_free(event);
    } else if ((status = vsession_login(one, &options, &error)) != VSESSION_OK) {
        note_failure(status, error, false);
    }
    uint64_t took = now_ns() - begin;
    options.timeout_ms = 1000;
    vsession_close(one, &options, NULL);
    return took;
}

static void run_logins(void) {
    long hung = (long)argument("hung", 64), trials = (long)argument("trials", 3);
    bool async = strcmp(text_argument("how", "threads"), "async") == 0;
    vsession *sessions = calloc((size_t)hung + 1, sizeof *sessions);
    uint64_t *latencies = calloc((size_t)trials, sizeof *latencies);
    vsession_config well = config_for(environment("BENCH_URL"));
    vsession_queue queue;
    vsession_error *error = NULL;
    need(vsession_queue_new(&queue, &error), error, "queue");
    vsession_call_options options = VSESSION_CALL_OPTIONS_INIT;
    options.timeout_ms = 100000;
    for (long i = 0; i < hung; i++) {
        pthread_t id;
        sessions[i] = open_hung(i);
        if (async)
            need(vsession_call_async(sessions[i], &current_time, &options, queue, (uint64_t)i, &error), error, "async");
        else if (pthread_create(&id, NULL, hung_thread, &sessions[i]))
            fail("no thread");
    }
    usleep((useconds_t)(argument("settle_ms", 300) * 1000));
    for (long i = 0; i < trials; i++)
        latencies[i] = log_in_beside(well, queue);
    printf("{\"count\":%ld,\"threads\":%ld,", trials, entries("/proc/self/task") - (async ? 1 : 1 + hung));
    print_list("latencies_ns", latencies, trials);
    printf(",");
    print_failures();
    printf("}\n");
    fflush(stdout);
    _exit(0); /* nobody answers who could be logged out */
}

static void on_threads(void *(*work)(void *)) {
    pthread_t ids[LOGIN_THREADS];
    for (long i = 0; i < LOGIN_THREADS; i++)
        if (pthread_create(&ids[i], NULL, work, (void *)(intptr_t)i))
            fail("no thread");
    for (int i = 0; i < LOGIN_THREADS; i++)
        pthread_join(ids[i], NULL);
}

static vsession *many;
static long many_count;

static void *log_in_some(void *first) {
    vsession_error *error = NULL;
    for (long i = (long)(intptr_t)first; i < many_count; i += LOGIN_THREADS)
        need(vsession_login(many[i], NULL, &error), error, "login");
    return NULL;
}

static void run_probes(void) {
    vsession_error *error = NULL;
    many_count = (long)argument("hung", 64);
    many = calloc((size_t)many_count + 1, sizeof *many);
    for (long i = 0; i < many_count; i++)
        many[i] = open_hung(i);
    session = open_with(config_for(environment("BENCH_URL")));
    on_threads(log_in_some);
    need(vsession_login(session, NULL, &error), error, "login");
    wait_for_driver();
    usleep((useconds_t)(argument("window_ms", 10000) * 1000));
    long threads = entries("/proc/self/task");
    wait_for_driver();
    printf("{\"count\":%ld,\"threads\":%ld}\n", many_count, threads);
    fflush(stdout);
    _exit(0);
}

/* Long polls. */

static vsession_event *next_completion(vsession_queue queue, uint32_t timeout_ms) {
    vsession_event *event = NULL;
    vsession_error *error = NULL;
    need(vsession_queue_next(queue, timeout_ms, &event, &error), error, "queue");
    return event;
}

static void run_polls(void) {
    long polls = (long)argument("polls", 1000), trials = (long)argument("trials", 20), completed = 0;
    vsession_queue queue;
    vsession_error *error = NULL;
    many_count = (long)argument("sessions", 20);
    many = calloc((size_t)many_count, sizeof *many);
    vsession_cancel *tokens = calloc((size_t)polls, sizeof *tokens);
    uint64_t *latencies = calloc((size_t)trials, sizeof *latencies);
    need(vsession_queue_new(&queue, &error), error, "queue");
    for (long i = 0; i < many_count; i++) {
        /* Sessions with equal options share their connections; these do not. */
        char agent[32], most[32];
        vsession_config config = config_for(environment("BENCH_URL"));
        snprintf(agent, sizeof agent, "bench/%ld", i);
        snprintf(most, sizeof most, "%ld", (polls + many_count - 1) / many_count);
        set_option(config, "user_agent", agent);
        set_option(config, "max_long_polls", most);
        set_option(config, "max_async_calls", most);
        many[i] = open_with(config);
        vsession_config_free(config);
    }
    on_threads(log_in_some);
    for (long i = 0; i < polls; i++)
        need(vsession_cancel_new(&tokens[i], &error), error, "token");
    wait_for_driver();
    long rss = memory_kib("VmRSS"), fds = entries("/proc/self/fd");
    vsession_soap_call poll = VSESSION_SOAP_CALL_INIT;
    poll.method = "WaitForUpdatesEx";
    poll.this_type = "PropertyCollector";
    uint64_t cpu = cpu_ns(), begin = now_ns();
    for (long i = 0; i < polls; i++) {
        vsession_call_options options = VSESSION_CALL_OPTIONS_INIT;
        options.timeout_ms = VSESSION_NO_TIMEOUT;
        options.cancel = tokens[i];
        need(vsession_call_async(many[i % many_count], &poll, &options, queue, (uint64_t)i, &error), error, "async");
    }
    uint64_t started = now_ns() - begin;
    wait_for_driver();
    cpu = cpu_ns() - cpu;
    long rss_polls = memory_kib("VmRSS"), threads = entries("/proc/self/task"), fds_polls = entries("/proc/self/fd");
    /* Polls all over the list, from the first one on, each by its own token. */
    for (long i = 0; i < trials; i++) {
        long one = i * (polls / trials);
        uint64_t fired = now_ns();
        vsession_event *event;
        vsession_cancel_fire(tokens[one]);
        for (bool mine = false; !mine; vsession_event_free(event)) {
            event = next_completion(queue, 60000);
            if (!event)
                fail("poll %ld was not cancelled", one);
            mine = vsession_event_tag(event) == (uint64_t)one;
            completed++;
        }
        latencies[i] = now_ns() - fired;
    }
    begin = now_ns();
    vsession_status status = vsession_shutdown(60000, &error);
    uint64_t closed = now_ns() - begin;
    if (status != VSESSION_OK)
        note_failure(status, error, false);
    for (vsession_event *event; (event = next_completion(queue, 0)); vsession_event_free(event))
        completed += vsession_event_get_kind(event) == VSESSION_EVENT_COMPLETION;
    wait_for_driver();
    printf("{\"count\":%ld,\"start_ns\":%llu,\"cpu_ns\":%llu,\"bytes\":%ld,\"threads\":%ld,\"fds\":%ld,\"close_ns\":%llu,"
           "\"threads_after\":%ld,\"missing\":%ld,",
           polls, (unsigned long long)started, (unsigned long long)cpu, (rss_polls - rss) * 1024, threads - 1, fds_polls - fds,
           (unsigned long long)closed, entries("/proc/self/task") - 1, polls - completed);
    print_list("latencies_ns", latencies, trials);
    printf(",");
    print_failures();
    printf("}\n");
}

int main(int argc, char **argv) {
    static const struct subcommand commands[] = {
        {"load", run_load}, {"logins", run_logins}, {"probes", run_probes}, {"polls", run_polls}, {NULL, NULL}};
    return run_subcommand(argc, argv, commands);
}
