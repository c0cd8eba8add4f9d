/*
 * The library as a plug-in: it is loaded and unloaded repeatedly while its threads work. Two plug-ins can bring two copies
 * of it into one process, and neither copy knows of the other.
 *
 *     simulator -- loading LIBRARY COPY
 *
 * The program is not linked against the library.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* RTLD_NOLOAD */
#endif
#include "check.h"

#include <dirent.h>
#include <dlfcn.h>
#include <sys/wait.h>

/* The functions that the tests use, looked up by name. */
#define FUNCTIONS(X) \
    X(vsession_config_new) X(vsession_config_set) X(vsession_config_free) X(vsession_config_set_queue) X(vsession_open) X(vsession_login) \
    X(vsession_close) X(vsession_call) X(vsession_call_async) X(vsession_reply_free) X(vsession_error_free) X(vsession_error_message) \
    X(vsession_get_state) X(vsession_get_epoch) X(vsession_keepalive_start) X(vsession_queue_new) X(vsession_queue_next) X(vsession_queue_free) \
    X(vsession_event_get_kind) X(vsession_event_free) X(vsession_shutdown) X(vsession_after_fork_child) X(vsession_set_log)

struct library {
    void *loaded;
#define MEMBER(name) __typeof__(&name) name;
    FUNCTIONS(MEMBER)
};

static const char *first_path, *second_path;

static struct library load(const char *path)
{
    struct library library;
    library.loaded = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library.loaded == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        exit(2);
    }
#define FIND(name) *(void **)&library.name = dlsym(library.loaded, #name);
    FUNCTIONS(FIND)
    CHECK(library.vsession_set_log != NULL);
    return library;
}

/* A call of the library that must succeed. */
#define MUST(library, expression) \
    do { \
        vsession_error *error = NULL; \
        if ((expression) != VSESSION_OK) \
            check_failed(__FILE__, __LINE__, "%s: %s", #expression, (library)->vsession_error_message(error)); \
        (library)->vsession_error_free(error); \
    } while (0)

static vsession_config configured(const struct library *library)
{
    vsession_config config = {0};
    MUST(library, library->vsession_config_new(test_env("VSESSION_TEST_URL"), &config, &error));
    MUST(library, library->vsession_config_set(config, "tls.ca_file", test_env("VSESSION_TEST_CA"), &error));
    return config;
}

static vsession logged_in(const struct library *library)
{
    vsession session = {0};
    vsession_config config = configured(library);
    MUST(library, library->vsession_open(config, &session, &error));
    MUST(library, library->vsession_login(session, NULL, &error));
    MUST(library, library->vsession_config_free(config));
    return session;
}

static vsession_status call_with(const struct library *library, vsession session)
{
    vsession_reply *reply = NULL;
    vsession_soap_call call = current_time();
    vsession_status status = library->vsession_call(session, &call, NULL, &reply, NULL);
    library->vsession_reply_free(reply);
    return status;
}

static long threads_of_this_process(void)
{
    long count = 0;
    DIR *tasks = opendir("/proc/self/task");
    while (tasks != NULL && readdir(tasks) != NULL) count++;
    if (tasks != NULL) closedir(tasks);
    return count;
}

static void *uses_it_up(void *data)
{
    struct library library = load(first_path);
    (void)data;
    vsession session = logged_in(&library);
    MUST(&library, library.vsession_close(session, NULL, &error));
    MUST(&library, library.vsession_shutdown(10000, &error));
    return library.loaded;
}

/* Unloading must not remove code that a thread may be about to run, such as a fork handler. */
static void an_unused_library_stays_loaded(void)
{
    pthread_t thread;
    CHECK_INT(pthread_create(&thread, NULL, uses_it_up, NULL), 0);
    void *loaded = NULL;
    pthread_join(thread, &loaded);
    /* No thread-local value of the library is left, which would keep it loaded too. */
    CHECK_INT(dlclose(loaded), 0);
    void *still_there = dlopen(first_path, RTLD_NOW | RTLD_NOLOAD);
    CHECK(still_there != NULL);
    if (still_there != NULL) dlclose(still_there);
}

/* A thread whose thread-local values in the library are dropped at its end, after the library was unloaded. */
struct late {
    struct library *library;
    vsession session;
    pthread_barrier_t used, unloaded;
};

static void *ends_late(void *data)
{
    struct late *late = (struct late *)data;
    CHECK_INT(call_with(late->library, late->session), VSESSION_OK);
    pthread_barrier_wait(&late->used);
    pthread_barrier_wait(&late->unloaded);
    return NULL;
}

static void unloading_while_threads_work_does_no_harm(void)
{
    clean_server();
    for (int round = 0; round < 30; round++) {
        struct library library = load(first_path);
        struct late late;
        pthread_t thread;
        vsession_queue queue = {0};
        vsession_soap_call call = current_time();
        late.library = &library;
        late.session = logged_in(&library);
        pthread_barrier_init(&late.used, NULL, 2);
        pthread_barrier_init(&late.unloaded, NULL, 2);
        CHECK_INT(pthread_create(&thread, NULL, ends_late, &late), 0);
        pthread_barrier_wait(&late.used);
        MUST(&library, library.vsession_queue_new(&queue, &error));
        MUST(&library, library.vsession_keepalive_start(late.session, 1000, &error));
        for (uint64_t i = 0; i < 8; i++) MUST(&library, library.vsession_call_async(late.session, &call, NULL, queue, i, &error));
        /* The workers, the timer and the connections of the library exist and are busy. */
        CHECK_INT(dlclose(library.loaded), 0);
        pthread_barrier_wait(&late.unloaded);
        pthread_join(thread, NULL);
        pthread_barrier_destroy(&late.used);
        pthread_barrier_destroy(&late.unloaded);
        /* The library stays loaded with all its state. */
        struct library again = load(first_path);
        CHECK(again.vsession_call == library.vsession_call);
        CHECK_INT(again.vsession_get_state(late.session), VSESSION_STATE_ACTIVE);
        for (int i = 0; i < 8; i++) {
            vsession_event *event = NULL;
            MUST(&again, again.vsession_queue_next(queue, 10000, &event, &error));
            CHECK_INT(again.vsession_event_get_kind(event), VSESSION_EVENT_COMPLETION);
            again.vsession_event_free(event);
        }
        MUST(&again, again.vsession_close(late.session, NULL, &error));
        MUST(&again, again.vsession_queue_free(queue));
        CHECK_INT(dlclose(again.loaded), 0);
    }
    CHECK_INT(counted("logins"), 30);
    CHECK_INT(counted("sessions"), 0);
}

static void shutdown_before_unloading_leaves_no_thread(void)
{
    struct library library = load(first_path);
    MUST(&library, library.vsession_shutdown(10000, &error)); /* including those of the previous test */
    long before = threads_of_this_process();
    for (int round = 0; round < 10; round++) {
        struct library again = load(first_path);
        logged_in(&again);
        MUST(&again, again.vsession_shutdown(10000, &error));
        CHECK_INT(dlclose(again.loaded), 0);
        CHECK_INT(threads_of_this_process(), before);
    }
    CHECK_INT(dlclose(library.loaded), 0);
    CHECK_INT(counted("sessions"), 0);
}

static struct library copies[2];
static vsession sessions[2];
static int stop;

static void call_with_both(void *unused, int number)
{
    (void)unused;
    for (int i = number; !__atomic_load_n(&stop, __ATOMIC_RELAXED); i++) CHECK_INT(call_with(&copies[i % 2], sessions[i % 2]), VSESSION_OK);
}

/* In a child: one copy is told that the process is new, and works; the other still refuses. */
static void start_one_copy_afresh(int which)
{
    struct library *fresh = &copies[which], *other = &copies[1 - which];
    CHECK_INT(call_with(fresh, sessions[which]), VSESSION_E_FORKED);
    CHECK_INT(call_with(other, sessions[1 - which]), VSESSION_E_FORKED);
    MUST(fresh, fresh->vsession_after_fork_child(&error));
    CHECK_INT(call_with(other, sessions[1 - which]), VSESSION_E_FORKED);
    vsession own = logged_in(fresh);
    CHECK_INT(call_with(fresh, own), VSESSION_OK);
    MUST(fresh, fresh->vsession_close(own, NULL, &error));
    MUST(other, other->vsession_after_fork_child(&error));
    own = logged_in(other);
    MUST(other, other->vsession_close(own, NULL, &error));
}

static void two_copies_in_one_process_are_independent(void)
{
    clean_server();
    copies[0] = load(first_path);
    copies[1] = load(second_path);
    CHECK(copies[0].vsession_call != copies[1].vsession_call);
    for (int i = 0; i < 2; i++) sessions[i] = logged_in(&copies[i]);
    CHECK_INT(counted("sessions"), 2);
    struct team team;
    team_start(&team, 4, call_with_both, NULL);
    for (int i = 0; i < 10; i++) {
        pid_t child = fork();
        if (child == 0) {
            alarm(60);
            start_one_copy_afresh(i % 2);
            if (i % 4 < 2) _exit(finish());
            exit(finish());
        }
        int status = -1;
        CHECK_INT(waitpid(child, &status, 0), child);
        CHECK_INT(status, 0);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    team_join(&team);
    /* One copy ends; the other does not notice. */
    MUST(&copies[0], copies[0].vsession_shutdown(10000, &error));
    CHECK_INT(copies[0].vsession_get_state(sessions[0]), VSESSION_STATE_CLOSED);
    CHECK_INT(dlclose(copies[0].loaded), 0);
    CHECK_INT(copies[1].vsession_get_state(sessions[1]), VSESSION_STATE_ACTIVE);
    CHECK_INT(copies[1].vsession_get_epoch(sessions[1]), 1);
    CHECK_INT(call_with(&copies[1], sessions[1]), VSESSION_OK);
    MUST(&copies[1], copies[1].vsession_close(sessions[1], NULL, &error));
    CHECK_INT(counted("sessions"), 0);
    CHECK_INT(counted("logins"), 2 + 10 * 2);
}

int main(int count, char **arguments)
{
    if (count < 3) return 2;
    first_path = arguments[1];
    second_path = arguments[2];
    RUN(an_unused_library_stays_loaded);
    RUN(unloading_while_threads_work_does_no_harm);
    RUN(shutdown_before_unloading_leaves_no_thread);
    RUN(two_copies_in_one_process_are_independent);
    return finish();
}
