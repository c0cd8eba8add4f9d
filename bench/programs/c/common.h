/*
 * What every C program of the benchmarks needs: arguments of the form key=value, clocks, threads that begin together,
 * and figures as one line of JSON. The environment names the server (BENCH_URL, BENCH_CA, ...).
 */

#ifndef BENCH_COMMON_H
#define BENCH_COMMON_H

#define _GNU_SOURCE
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define MOST_THREADS 256
/* Calls that each thread makes before anything is measured. */
#define WARM_UP 20

static int argument_count;
static char **arguments;

static inline void fail(const char *format, ...) {
    va_list list;
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
    exit(1);
}

static inline const char *text_argument(const char *name, const char *otherwise) {
    size_t length = strlen(name);
    for (int i = 2; i < argument_count; i++)
        if (strncmp(arguments[i], name, length) == 0 && arguments[i][length] == '=')
            return arguments[i] + length + 1;
    return otherwise;
}

static inline double argument(const char *name, double otherwise) {
    const char *text = text_argument(name, NULL);
    return text ? atof(text) : otherwise;
}

static inline const char *environment(const char *name) {
    const char *value = getenv(name);
    return value ? value : "";
}

static inline uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* User and system time of this process. */
static inline uint64_t cpu_ns(void) {
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return ((uint64_t)r.ru_utime.tv_sec + (uint64_t)r.ru_stime.tv_sec) * 1000000000u +
           ((uint64_t)r.ru_utime.tv_usec + (uint64_t)r.ru_stime.tv_usec) * 1000u;
}

/* A line of /proc/self/status in KiB: VmRSS (resident now) or VmHWM (the most ever). */
static inline long memory_kib(const char *field) {
    char line[256];
    long kib = 0;
    FILE *file = fopen("/proc/self/status", "r");
    if (!file)
        return 0;
    while (fgets(line, sizeof line, file))
        if (strncmp(line, field, strlen(field)) == 0)
            kib = atol(line + strlen(field) + 1);
    fclose(file);
    return kib;
}

/* Splits BENCH_URL (http://host:port/sdk). */
static inline bool server_address(char *host, size_t host_size, char *port, size_t port_size) {
    const char *url = environment("BENCH_URL");
    bool tls = strncmp(url, "https", 5) == 0;
    const char *begin = strstr(url, "://");
    if (!begin)
        fail("BENCH_URL is not set");
    begin += 3;
    const char *colon = strchr(begin, ':');
    const char *slash = strchr(begin, '/');
    if (!colon || !slash)
        fail("BENCH_URL has no port or no path");
    snprintf(host, host_size, "%.*s", (int)(colon - begin), begin);
    snprintf(port, port_size, "%.*s", (int)(slash - colon - 1), colon + 1);
    return tls;
}

/* The URL of a path on the server. Valid until the next call on the same thread. */
static inline const char *url_of(const char *path) {
    static _Thread_local char url[1024];
    const char *begin = environment("BENCH_URL");
    const char *host = strstr(begin, "://");
    if (!host)
        fail("BENCH_URL is not set");
    snprintf(url, sizeof url, "%.*s%s", (int)(host + 3 - begin + (long)strcspn(host + 3, "/")), begin, path);
    return url;
}

/* Says to the driver that everything is ready, and waits until it says go. */
static inline void wait_for_driver(void) {
    char line[64];
    printf("ready\n");
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin))
        exit(1);
}

static inline void print_list(const char *name, const uint64_t *values, long count) {
    printf("\"%s\":[", name);
    for (long i = 0; i < count; i++)
        printf("%s%llu", i ? "," : "", (unsigned long long)values[i]);
    printf("]");
}

static inline void print_figures(long count, uint64_t wall, uint64_t cpu) {
    printf("{\"count\":%ld,\"wall_ns\":%llu,\"cpu_ns\":%llu}\n", count, (unsigned long long)wall,
           (unsigned long long)cpu);
}

static inline void print_upload(size_t bytes, uint64_t wall, uint64_t cpu, long peak_kib) {
    printf("{\"count\":1,\"bytes\":%zu,\"wall_ns\":%llu,\"cpu_ns\":%llu,\"peak_kib\":%ld}\n", bytes, (unsigned long long)wall,
           (unsigned long long)cpu, peak_kib);
}

/* Work for many threads: each makes its own state, warms it up, and repeats one step. */
struct work {
    void *(*prepare)(int thread);
    void (*step)(void *state);
};

static struct {
    struct work work;
    pthread_barrier_t barrier;
    atomic_bool stop;
    long count; /* steps of each thread; 0: until told to stop */
    atomic_long done;
} crew;

static inline void *crew_member(void *number) {
    void *state = crew.work.prepare ? crew.work.prepare((int)(intptr_t)number) : NULL;
    for (int i = 0; i < WARM_UP; i++)
        crew.work.step(state);
    pthread_barrier_wait(&crew.barrier);
    pthread_barrier_wait(&crew.barrier);
    long done = 0;
    while (crew.count ? done < crew.count : !atomic_load_explicit(&crew.stop, memory_order_relaxed)) {
        crew.work.step(state);
        done++;
    }
    atomic_fetch_add(&crew.done, done);
    return NULL;
}

/* Runs the work on `threads` threads, for `seconds` or `count` steps in all, and prints the figures. */
static inline void run_crew(struct work work) {
    int threads = (int)argument("threads", 1);
    double seconds = argument("seconds", 0);
    pthread_t ids[MOST_THREADS];
    if (threads < 1 || threads > MOST_THREADS)
        fail("threads must be 1 to %d", MOST_THREADS);
    crew.work = work;
    crew.count = seconds > 0 ? 0 : (long)argument("count", 1000) / threads;
    pthread_barrier_init(&crew.barrier, NULL, (unsigned)threads + 1);
    for (int i = 0; i < threads; i++)
        if (pthread_create(&ids[i], NULL, crew_member, (void *)(intptr_t)i))
            fail("no thread");
    pthread_barrier_wait(&crew.barrier);
    uint64_t cpu = cpu_ns(), begin = now_ns();
    pthread_barrier_wait(&crew.barrier);
    if (seconds > 0) {
        usleep((useconds_t)(seconds * 1e6));
        atomic_store(&crew.stop, true);
    }
    for (int i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
    uint64_t wall = now_ns() - begin;
    print_figures(crew.done, wall, cpu_ns() - cpu);
}

/*
 * Runs a tight loop on `threads` threads, `count` rounds each, and prints the nanoseconds that one round took. It times the
 * rounds in slices and takes the median slice: a slice during which the thread lost its core says nothing about the
 * loop, whereas waits for a lock are in all slices.
 */
#define SLICES 200

static long slice_rounds;
static void (*tight_loop)(long rounds);
static pthread_barrier_t tight_barrier;

static inline int compare_times(const void *a, const void *b) {
    uint64_t one = *(const uint64_t *)a, other = *(const uint64_t *)b;
    return (one > other) - (one < other);
}

static inline void *tight_thread(void *median) {
    uint64_t times[SLICES];
    tight_loop(10 * slice_rounds);
    pthread_barrier_wait(&tight_barrier);
    for (int i = 0; i < SLICES; i++) {
        uint64_t begin = now_ns();
        tight_loop(slice_rounds);
        times[i] = now_ns() - begin;
    }
    qsort(times, SLICES, sizeof *times, compare_times);
    *(uint64_t *)median = times[SLICES / 2];
    return NULL;
}

static inline void run_tight(void (*loop)(long rounds)) {
    int threads = (int)argument("threads", 1);
    pthread_t ids[MOST_THREADS];
    uint64_t medians[MOST_THREADS], sum = 0;
    tight_loop = loop;
    slice_rounds = (long)argument("count", 1000000) / SLICES;
    pthread_barrier_init(&tight_barrier, NULL, (unsigned)threads);
    for (int i = 0; i < threads; i++)
        pthread_create(&ids[i], NULL, tight_thread, &medians[i]);
    for (int i = 0; i < threads; i++) {
        pthread_join(ids[i], NULL);
        sum += medians[i];
    }
    printf("{\"count\":%ld,\"ns\":%.4f}\n", SLICES * slice_rounds, (double)sum / threads / (double)slice_rounds);
}

/* Runs the subcommand that the first argument names. */
struct subcommand {
    const char *name;
    void (*run)(void);
};

static inline int run_subcommand(int argc, char **argv, const struct subcommand *commands) {
    argument_count = argc;
    arguments = argv;
    for (; argc > 1 && commands->name; commands++)
        if (strcmp(commands->name, argv[1]) == 0) {
            commands->run();
            return 0;
        }
    fail("usage: %s SUBCOMMAND [key=value ...]", argv[0]);
    return 1;
}

#endif
