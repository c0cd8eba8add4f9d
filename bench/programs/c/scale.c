/*
 * Many sessions of one process: what each costs while it is idle, and what keeping them alive costs.
 *
 *     scale rest sessions=1000        logs in, waits until the connections are gone, measures, closes
 *     scale alive sessions=1000 interval_ms=10000 window_ms=20000
 *                                     the same, and measures the keep-alive for a while; says "ready" before and after,
 *                                     so that the driver can look at the server's counters
 */

#include "library.h"

enum { LOGIN_THREADS = 8 };

static vsession *sessions;
static long session_count;

/* The configuration of a session: servers take turns where BENCH_URLS names some, separated by blanks. */
static vsession_config *configs;
static long config_count;

static void make_configs(void) {
    char *urls = strdup(*environment("BENCH_URLS") ? environment("BENCH_URLS") : environment("BENCH_URL"));
    for (char *rest = urls, *url; (url = strsep(&rest, " "));) {
        configs = realloc(configs, (size_t)(config_count + 1) * sizeof *configs);
        configs[config_count] = config_for(url);
        set_option(configs[config_count], "idle_timeout_ms", text_argument("idle_ms", "1000"));
        set_option(configs[config_count], "keepalive.interval_ms", text_argument("interval_ms", "600000"));
        config_count++;
    }
    free(urls);
}

static void *log_in_some(void *first) {
    vsession_error *error = NULL;
    for (long i = (long)(intptr_t)first; i < session_count; i += LOGIN_THREADS)
        need(vsession_login(sessions[i], NULL, &error), error, "login");
    return NULL;
}

static void *close_some(void *first) {
    vsession_error *error = NULL;
    for (long i = (long)(intptr_t)first; i < session_count; i += LOGIN_THREADS)
        need(vsession_close(sessions[i], NULL, &error), error, "close");
    return NULL;
}

static void on_threads(void *(*work)(void *)) {
    pthread_t ids[LOGIN_THREADS];
    for (long i = 0; i < LOGIN_THREADS; i++)
        if (pthread_create(&ids[i], NULL, work, (void *)(intptr_t)i))
            fail("no thread");
    for (int i = 0; i < LOGIN_THREADS; i++)
        pthread_join(ids[i], NULL);
}

/* Long enough for idle connections and idle threads to end. */
static void rest(void) {
    usleep(7000000);
}

static void run(bool alive) {
    make_configs();
    vsession one;
    vsession_error *error = NULL;
    session_count = (long)argument("sessions", 1000);
    if (session_count < 1)
        fail("sessions must be 1 or more");
    sessions = calloc((size_t)session_count, sizeof *sessions);
    for (long i = 0; i < session_count; i++)
        sessions[i].id = 1; /* makes the memory resident before anything is measured */

    /* What the first session allocates for all does not count. */
    need(vsession_open(configs[0], &one, &error), error, "open");
    need(vsession_login(one, NULL, &error), error, "login");
    long rss_one = memory_kib("VmRSS");

    uint64_t cpu = cpu_ns(), begin = now_ns();
    for (long i = 0; i < session_count; i++)
        need(vsession_open(configs[i % config_count], &sessions[i], &error), error, "open");
    uint64_t open_ns = now_ns() - begin, open_cpu = cpu_ns() - cpu;
    long rss_open = memory_kib("VmRSS");
    begin = now_ns();
    on_threads(log_in_some);
    uint64_t login_ns = now_ns() - begin;
    long threads_busy = entries("/proc/self/task"), fds_busy = entries("/proc/self/fd");
    if (!alive)
        rest();
    long rss_rest = memory_kib("VmRSS"), threads = entries("/proc/self/task"), fds = entries("/proc/self/fd");
    uint64_t window_cpu = 0;
    long most_threads = threads, most_fds = fds;
    if (alive) {
        usleep((useconds_t)(argument("settle_ms", 0) * 1e3));
        wait_for_driver();
        cpu = cpu_ns();
        begin = now_ns();
        uint64_t window = (uint64_t)(argument("window_ms", 10000) * 1e6);
        while (now_ns() - begin < window) {
            usleep(200000);
            long t = entries("/proc/self/task"), f = entries("/proc/self/fd");
            most_threads = t > most_threads ? t : most_threads;
            most_fds = f > most_fds ? f : most_fds;
        }
        window_cpu = cpu_ns() - cpu;
        wait_for_driver();
        rss_rest = memory_kib("VmRSS");
    }
    printf("{\"sessions\":%ld,\"rss_one_kib\":%ld,\"rss_open_kib\":%ld,\"rss_rest_kib\":%ld,"
           "\"bytes_a_session\":%.0f,\"open_ns\":%llu,\"open_cpu_ns\":%llu,\"login_ns\":%llu,\"threads\":%ld,\"fds\":%ld,"
           "\"threads_busy\":%ld,\"fds_busy\":%ld,\"most_threads\":%ld,\"most_fds\":%ld,\"window_cpu_ns\":%llu}\n",
           session_count, rss_one, rss_open, rss_rest, 1024.0 * (double)(rss_rest - rss_one) / (double)session_count,
           (unsigned long long)open_ns, (unsigned long long)open_cpu, (unsigned long long)login_ns, threads, fds, threads_busy, fds_busy, most_threads,
           most_fds, (unsigned long long)window_cpu);
    fflush(stdout);
    if (argument("close", 1) != 0) {
        on_threads(close_some);
        need(vsession_shutdown(60000, &error), error, "shutdown");
    }
}

static void run_rest(void) { run(false); }
static void run_alive(void) { run(true); }

int main(int argc, char **argv) {
    static const struct subcommand commands[] = {{"rest", run_rest}, {"alive", run_alive}, {NULL, NULL}};
    return run_subcommand(argc, argv, commands);
}
