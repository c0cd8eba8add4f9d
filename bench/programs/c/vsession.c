/* The library, used from C. */

#include "common.h"
#include "machines.h"
#include "soap.h"
#include <sys/mman.h>
#include <vsession.h>

static vsession session;
static const vsession_soap_call current_time = {
    .struct_size = sizeof(vsession_soap_call), .method = "CurrentTime", .this_type = "ServiceInstance"};
static _Atomic uint64_t sink;

static void check(vsession_status status, vsession_error *error, const char *what) {
    if (status != VSESSION_OK)
        fail("%s: %s: %s", what, vsession_status_name(status), vsession_error_message(error));
}

static void set(vsession_config config, const char *name, const char *value) {
    vsession_error *error = NULL;
    check(vsession_config_set(config, name, value, &error), error, name);
}

static void open_session(void) {
    vsession_config config;
    vsession_error *error = NULL;
    check(vsession_config_new(environment("BENCH_URL"), &config, &error), error, "config");
    set(config, "username", environment("BENCH_USER"));
    set(config, "password", environment("BENCH_PASSWORD"));
    if (*environment("BENCH_CA"))
        set(config, "tls.ca_file", environment("BENCH_CA"));
    static const char *const options[] = {"proxy", "max_connections", "http.compression", "rest"};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (text_argument(options[i], NULL))
            set(config, options[i], text_argument(options[i], NULL));
    check(vsession_open(config, &session, &error), error, "open");
    vsession_config_free(config);
}

/* Succeeds if the library has the option. */
static void run_knows(void) {
    vsession_config config;
    vsession_error *error = NULL;
    check(vsession_config_new("https://host/sdk", &config, &error), error, "config");
    set(config, text_argument("option", ""), "auto");
}

static void log_in(void) {
    vsession_error *error = NULL;
    check(vsession_login(session, NULL, &error), error, "login");
}

static void log_out(void) {
    vsession_error *error = NULL;
    check(vsession_logout(session, NULL, &error), error, "logout");
}

static vsession_reply *call(const char *method, const char *type, const char *id, const char *xml) {
    vsession_reply *reply = NULL;
    vsession_error *error = NULL;
    vsession_soap_call what = VSESSION_SOAP_CALL_INIT;
    what.method = method;
    what.this_type = type;
    what.this_id = id;
    what.arguments = xml;
    check(vsession_call(session, &what, NULL, &reply, &error), error, method);
    return reply;
}

static void current_time_step(void *nothing) {
    (void)nothing;
    vsession_reply *reply = NULL;
    vsession_error *error = NULL;
    check(vsession_call(session, &current_time, NULL, &reply, &error), error, "CurrentTime");
    if (!vsession_reply_text(reply))
        fail("no time in the reply");
    vsession_reply_free(reply);
}

static void run_call(void) {
    open_session();
    log_in();
    run_crew((struct work){.step = current_time_step});
    vsession_close(session, NULL, NULL);
}

static void login_step(void *nothing) {
    (void)nothing;
    log_in();
    log_out();
}

static void run_login(void) {
    open_session();
    run_crew((struct work){.step = login_step});
    vsession_close(session, NULL, NULL);
}

/* One login and one call, without a logout in between: the least that replacing a session takes. */
static void run_login_and_call(void) {
    long count = (long)argument("count", 10);
    uint64_t wall = 0;
    open_session();
    login_step(NULL);
    for (long i = 0; i < count; i++) {
        uint64_t begin = now_ns();
        log_in();
        current_time_step(NULL);
        wall += now_ns() - begin;
        log_out();
    }
    print_figures(count, wall, 0);
    vsession_close(session, NULL, NULL);
}

/* Every thread makes one call after the driver has ended the session on the server. */
static pthread_barrier_t begin_expired, end_expired;
static long trials;

static void *expired_thread(void *last) {
    for (long i = 0; i < trials; i++) {
        pthread_barrier_wait(&begin_expired);
        current_time_step(NULL);
        *(uint64_t *)last = now_ns();
        pthread_barrier_wait(&end_expired);
    }
    return NULL;
}

static void run_expired(void) {
    int threads = (int)argument("threads", 64);
    pthread_t ids[MOST_THREADS];
    uint64_t ends[MOST_THREADS];
    trials = (long)argument("trials", 5);
    uint64_t *walls = calloc((size_t)trials, sizeof *walls);
    pthread_barrier_init(&begin_expired, NULL, (unsigned)threads + 1);
    pthread_barrier_init(&end_expired, NULL, (unsigned)threads + 1);
    open_session();
    log_in();
    for (int i = 0; i < threads; i++)
        pthread_create(&ids[i], NULL, expired_thread, &ends[i]);
    uint64_t cpu = 0;
    for (long i = 0; i < trials; i++) {
        wait_for_driver();
        uint64_t cpu_before = cpu_ns(), begin = now_ns(), last = 0;
        pthread_barrier_wait(&begin_expired);
        pthread_barrier_wait(&end_expired);
        cpu += cpu_ns() - cpu_before;
        for (int t = 0; t < threads; t++)
            last = ends[t] > last ? ends[t] : last;
        walls[i] = last - begin;
    }
    for (int i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
    printf("{\"count\":%ld,\"cpu_ns\":%llu,", trials, (unsigned long long)cpu);
    print_list("walls_ns", walls, trials);
    printf("}\n");
    vsession_close(session, NULL, NULL);
}

static void save(const char *text, size_t length, const char *name) {
    FILE *file = name ? fopen(name, "w") : NULL;
    if (name && (!file || fwrite(text, 1, length, file) != length || fclose(file)))
        fail("%s cannot be written", name);
}

static char *copied(vsession_text text) {
    return text.data ? strndup(text.data, text.length) : NULL;
}

static vsession_text property(vsession_node machine, const char *name) {
    return vsession_node_text(vsession_node_property(machine, name));
}

/* As docs/replies.md shows. */
static struct machines machines_from_nodes(const vsession_reply *reply) {
    struct machines machines = {0};
    vsession_node object = vsession_node_child(vsession_reply_root(reply), "returnval/objects");
    for (; !vsession_node_is_null(object); object = vsession_node_next(object)) {
        struct machine *machine = add_machine(&machines);
        vsession_text state = property(object, "runtime.powerState"), memory = property(object, "config.hardware.memoryMB");
        machine->name = copied(property(object, "name"));
        machine->uuid = copied(property(object, "config.uuid"));
        machine->powered_on = state.length == strlen("poweredOn") && memcmp(state.data, "poweredOn", state.length) == 0;
        for (size_t i = 0; i < memory.length; i++)
            machine->memory_mb = 10 * machine->memory_mb + (memory.data[i] - '0');
    }
    return machines;
}

static void run_inventory(void) {
    char xml[2048];
    vsession_info *info = NULL;
    vsession_error *error = NULL;
    open_session();
    log_in();
    check(vsession_get_info(session, &info, &error), error, "info");
    snprintf(xml, sizeof xml, VIEW_ARGUMENTS, vsession_info_service_id(info, "rootFolder"));
    vsession_info_free(info);
    vsession_reply *view = call("CreateContainerView", "ViewManager", NULL, xml);
    snprintf(xml, sizeof xml, READ_ARGUMENTS, vsession_reply_text(view));
    long resident = memory_kib("VmRSS:");
    uint64_t cpu = cpu_ns(), begin = now_ns();
    vsession_reply *reply = call("RetrievePropertiesEx", "PropertyCollector", NULL, xml);
    size_t length;
    const char *text = vsession_reply_xml(reply, &length), *how = text_argument("parse", "nodes");
    uint64_t ready = cpu_ns();
    struct machines machines = {0}; /* none: what the library itself needs, the reply's text included */
    if (strcmp(how, "nodes") == 0)
        machines = machines_from_nodes(reply);
    else if (strcmp(how, "stream") == 0)
        machines = machines_from_stream(text, length);
    else if (strcmp(how, "tree") == 0)
        machines = machines_from_tree(text, length);
    uint64_t wall = now_ns() - begin;
    uint64_t read = cpu_ns() - ready;
    cpu = cpu_ns() - cpu;
    printf("{\"count\":%ld,\"wall_ns\":%llu,\"cpu_ns\":%llu,\"read_cpu_ns\":%llu,\"peak_kib\":%ld,\"bytes\":%zu}\n", machines.count,
           (unsigned long long)wall, (unsigned long long)cpu, (unsigned long long)read, memory_kib("VmHWM:") - resident, length);
    if (!all_complete(&machines))
        fail("a machine is not complete");
    free_machines(&machines);
    save(text, length, text_argument("save", NULL));
    vsession_reply_free(reply);
    vsession_reply_free(view);
    vsession_close(session, NULL, NULL);
}

/*
 * Cancels calls that are stuck. The driver determines the phase: after it first says go, calls get stuck
 * there, and then it says go whenever one is stuck. With `occupy`, another thread takes what the calls then wait for: the only
 * connection (`call`) or the login (`login`). `megabytes` is the size of the request.
 */
static vsession_cancel token, token_of_other;
static vsession_soap_call stuck_call;
static sem_t may_call, returned;
static uint64_t returned_at;

static void expect_cancelled(vsession_status status) {
    if (status != VSESSION_E_CANCELLED)
        fail("the call was not cancelled: %s", vsession_status_name(status));
}

static void *cancelled_thread(void *nothing) {
    (void)nothing;
    vsession_call_options options = VSESSION_CALL_OPTIONS_INIT;
    options.cancel = token;
    for (long i = 0; i < trials; i++) {
        vsession_reply *reply = NULL;
        sem_wait(&may_call);
        vsession_status status = vsession_call(session, &stuck_call, &options, &reply, NULL);
        returned_at = now_ns();
        expect_cancelled(status);
        sem_post(&returned);
    }
    return NULL;
}

static void *occupying_thread(void *what) {
    vsession_call_options options = VSESSION_CALL_OPTIONS_INIT;
    vsession_reply *reply = NULL;
    options.cancel = token_of_other;
    expect_cancelled(strcmp(what, "login") == 0 ? vsession_login(session, &options, NULL)
                                                : vsession_call(session, &current_time, &options, &reply, NULL));
    return NULL;
}

static void run_cancel(void) {
    pthread_t id, other;
    const char *occupy = text_argument("occupy", "");
    size_t large = (size_t)argument("megabytes", 0) << 20;
    char *padding = calloc(1, large + 1);
    trials = (long)argument("trials", 100);
    uint64_t *latencies = calloc((size_t)trials, sizeof *latencies);
    sem_init(&may_call, 0, 0);
    sem_init(&returned, 0, 0);
    vsession_error *error = NULL;
    check(vsession_cancel_new(&token, &error), error, "token");
    check(vsession_cancel_new(&token_of_other, &error), error, "token");
    stuck_call = current_time;
    if (large)
        stuck_call.arguments = memset(padding, ' ', large);
    open_session();
    if (strcmp(occupy, "login") != 0)
        log_in();
    if (*occupy)
        pthread_create(&other, NULL, occupying_thread, (void *)occupy);
    wait_for_driver();
    pthread_create(&id, NULL, cancelled_thread, NULL);
    for (long i = 0; i < trials; i++) {
        sem_post(&may_call);
        wait_for_driver();
        /* The driver has seen the request; the caller begins to wait a moment later. */
        usleep((useconds_t)(argument("wait_ms", 10) * 1000));
        uint64_t fired = now_ns();
        vsession_cancel_fire(token);
        sem_wait(&returned);
        latencies[i] = returned_at - fired;
        vsession_cancel_reset(token);
    }
    pthread_join(id, NULL);
    if (*occupy) {
        vsession_cancel_fire(token_of_other);
        pthread_join(other, NULL);
    }
    printf("{\"count\":%ld,", trials);
    print_list("latencies_ns", latencies, trials);
    printf("}\n");
    free(padding);
    /* The session is not closed: that would wait for the peer at which the calls are stuck. */
}

static void state_loop(long count) {
    uint64_t sum = 0;
    for (long i = 0; i < count; i++)
        sum += (uint64_t)vsession_get_state(session);
    sink += sum;
}

static void info_loop(long count) {
    uint64_t sum = 0;
    for (long i = 0; i < count; i++) {
        vsession_info *info = NULL;
        if (vsession_get_info(session, &info, NULL) != VSESSION_OK)
            fail("no info");
        sum += (unsigned char)vsession_info_key(info)[0];
        vsession_info_free(info);
    }
    sink += sum;
}

static void run_tight_loop(void (*loop)(long)) {
    open_session();
    log_in();
    run_tight(loop);
    vsession_close(session, NULL, NULL);
}

static void run_state(void) { run_tight_loop(state_loop); }
static void run_info(void) { run_tight_loop(info_loop); }

/*
 * One thread logs in and out continuously; others read state and identity. `lock` says how they read: `none` from the library;
 * `swap` from a copy behind a rwlock that the writer takes to replace the copy; `login` the same, with the lock held during the login.
 */
static enum { LOCK_NONE, LOCK_SWAP, LOCK_LOGIN } locking;
static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static struct {
    vsession_state state;
    char key[128], user[128], full_name[128], locale[16];
} copy;
static atomic_bool readers_stop;
static atomic_long written;

struct reader {
    uint64_t reads, sum, longest_wait;
    long waits;
};

static void replace_copy(void) {
    vsession_info *info = NULL;
    if (vsession_get_info(session, &info, NULL) != VSESSION_OK) {
        copy.state = VSESSION_STATE_LOGGED_OUT;
        return;
    }
    copy.state = VSESSION_STATE_ACTIVE;
    snprintf(copy.key, sizeof copy.key, "%s", vsession_info_key(info));
    snprintf(copy.user, sizeof copy.user, "%s", vsession_info_user_name(info));
    snprintf(copy.full_name, sizeof copy.full_name, "%s", vsession_info_full_name(info));
    snprintf(copy.locale, sizeof copy.locale, "%s", vsession_info_locale(info));
    vsession_info_free(info);
}

static void *writer_thread(void *nothing) {
    (void)nothing;
    while (!atomic_load(&readers_stop)) {
        if (locking == LOCK_LOGIN)
            pthread_rwlock_wrlock(&lock);
        log_out();
        log_in();
        if (locking == LOCK_SWAP)
            pthread_rwlock_wrlock(&lock);
        if (locking != LOCK_NONE) {
            replace_copy();
            pthread_rwlock_unlock(&lock);
        }
        written++;
    }
    return NULL;
}

static uint64_t read_once(void) {
    uint64_t seen = 0;
    if (locking == LOCK_NONE) {
        vsession_info *info = NULL;
        if (vsession_get_state(session) == VSESSION_STATE_ACTIVE && vsession_get_info(session, &info, NULL) == VSESSION_OK)
            seen = (unsigned char)vsession_info_key(info)[0];
        vsession_info_free(info);
        return seen;
    }
    char key[128], user[128], full_name[128], locale[16];
    pthread_rwlock_rdlock(&lock);
    if (copy.state == VSESSION_STATE_ACTIVE) {
        strcpy(key, copy.key);
        strcpy(user, copy.user);
        strcpy(full_name, copy.full_name);
        strcpy(locale, copy.locale);
        seen = (unsigned char)(key[0] + user[0] + full_name[0] + locale[0]);
    }
    pthread_rwlock_unlock(&lock);
    return seen;
}

/* How often this thread has been put to sleep. */
static long sleeps(void) {
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nvcsw;
}

static void *reader_thread(void *figures) {
    /* A read that took longer than this was interrupted or had to wait; the system says which. */
    const uint64_t SUSPICIOUS = 3000;
    struct reader *mine = figures;
    uint64_t seen = 0;
    /* Warm up: what a thread allocates once (its malloc arena) may wait for the kernel. */
    for (int i = 0; i < 1000; i++)
        seen += read_once();
    long slept = sleeps();
    uint64_t last = now_ns();
    while (!atomic_load_explicit(&readers_stop, memory_order_relaxed)) {
        seen += read_once();
        uint64_t now = now_ns(), took = now - last;
        last = now;
        mine->reads++;
        mine->sum += took;
        if (took > SUSPICIOUS) {
            long before = slept;
            slept = sleeps();
            mine->waits += slept - before;
            if (slept > before && took > mine->longest_wait)
                mine->longest_wait = took;
            last = now_ns();
        }
    }
    sink += seen;
    return NULL;
}

static void run_contention(void) {
    const char *name = text_argument("lock", "none");
    int threads = (int)argument("threads", 2);
    struct reader readers[MOST_THREADS] = {0};
    pthread_t ids[MOST_THREADS], writer;
    locking = strcmp(name, "swap") == 0 ? LOCK_SWAP : strcmp(name, "login") == 0 ? LOCK_LOGIN : LOCK_NONE;
    open_session();
    log_in();
    replace_copy();
    for (int i = 0; i < threads; i++)
        pthread_create(&ids[i], NULL, reader_thread, &readers[i]);
    pthread_create(&writer, NULL, writer_thread, NULL);
    usleep((useconds_t)(argument("seconds", 1) * 1e6));
    atomic_store(&readers_stop, true);
    pthread_join(writer, NULL);
    uint64_t reads = 0, sum = 0, longest_wait = 0;
    long waits = 0;
    for (int i = 0; i < threads; i++) {
        pthread_join(ids[i], NULL);
        reads += readers[i].reads;
        sum += readers[i].sum;
        waits += readers[i].waits;
        longest_wait = readers[i].longest_wait > longest_wait ? readers[i].longest_wait : longest_wait;
    }
    printf("{\"count\":%llu,\"ns\":%.2f,\"longest_wait_ns\":%llu,\"waits\":%ld,\"logins\":%ld}\n", (unsigned long long)reads,
           (double)sum / (double)reads, (unsigned long long)longest_wait, waits, atomic_load(&written));
    vsession_close(session, NULL, NULL);
}

/* Whose request it is; see the case about HTTP. */
static int32_t through(void) {
    const char *whose = text_argument("through", "none");
    return strcmp(whose, "rest") == 0 ? VSESSION_THROUGH_REST : strcmp(whose, "vim") == 0 ? VSESSION_THROUGH_VIM : VSESSION_THROUGH_NONE;
}

static void send_request(const vsession_http_request *request) {
    vsession_reply *reply = NULL;
    vsession_error *error = NULL;
    check(vsession_http(session, request, NULL, &reply, &error), error, request->path);
    vsession_reply_body(reply, NULL);
    vsession_reply_free(reply);
}

static vsession_http_request small_get = VSESSION_HTTP_REQUEST_INIT;

static void get_step(void *nothing) {
    (void)nothing;
    send_request(&small_get);
}

static void prepare_get(void) {
    small_get.method = "GET";
    small_get.path = text_argument("path", "");
    small_get.through = through();
}

static void run_get(void) {
    prepare_get();
    open_session();
    run_crew((struct work){.step = get_step});
    vsession_close(session, NULL, NULL);
}

static void get_login_step(void *nothing) {
    open_session();
    get_step(nothing);
    vsession_close(session, NULL, NULL);
}

static void run_get_login(void) {
    prepare_get();
    run_crew((struct work){.step = get_login_step});
}

static void run_upload(void) {
    size_t size = (size_t)argument("megabytes", 1) << 20;
    /* Pages that nobody has written take no memory. */
    void *zeros = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (zeros == MAP_FAILED)
        fail("no memory for %zu bytes", size);
    vsession_http_request upload = VSESSION_HTTP_REQUEST_INIT;
    upload.method = "PUT";
    upload.path = text_argument("path", "");
    upload.body = zeros;
    upload.body_length = size;
    upload.through = VSESSION_THROUGH_VIM;
    open_session();
    log_in();
    current_time_step(NULL);
    long resident = memory_kib("VmRSS:");
    uint64_t cpu = cpu_ns(), begin = now_ns();
    send_request(&upload);
    print_upload(size, now_ns() - begin, cpu_ns() - cpu, memory_kib("VmHWM:") - resident);
    vsession_close(session, NULL, NULL);
}

int main(int argc, char **argv) {
    static const struct subcommand commands[] = {
        {"call", run_call},           {"login", run_login}, {"login-and-call", run_login_and_call},
        {"expired", run_expired},     {"cancel", run_cancel}, {"inventory", run_inventory},
        {"knows", run_knows},
        {"state", run_state},         {"info", run_info},   {"contention", run_contention},
        {"get", run_get},             {"get-login", run_get_login}, {"upload", run_upload},
        {NULL, NULL},
    };
    return run_subcommand(argc, argv, commands);
}
