/*
 * A program whose signals interrupt system calls (a handler without SA_RESTART, several hundred times a second in each of its
 * threads) notices nothing in the library: EINTR ends no call, login or wait.
 */
#include "check.h"

#include <signal.h>

enum { WORKERS = 4 };
static pthread_t workers[WORKERS];
static int ready, done; /* changed atomically */
static long interrupted;
static vsession shared;

static void on_signal(int number)
{
    (void)number;
    __atomic_add_fetch(&interrupted, 1, __ATOMIC_RELAXED);
}

/* Sends signals to the threads that work, until all are done. */
static void *pester(void *unused)
{
    (void)unused;
    while (__atomic_load_n(&ready, __ATOMIC_ACQUIRE) < WORKERS) sleep_ms(1);
    while (__atomic_load_n(&done, __ATOMIC_ACQUIRE) < WORKERS) {
        for (int i = 0; i < WORKERS; i++) pthread_kill(workers[i], SIGUSR1);
        sleep_ms(1);
    }
    return NULL;
}

static void *work(void *number)
{
    workers[*(int *)number] = pthread_self();
    __atomic_add_fetch(&ready, 1, __ATOMIC_RELEASE);
    vsession_error *error = NULL;
    for (int i = 0; i < 5; i++) {
        /* Its own: connects, shakes hands, logs in, and logs out again. */
        vsession own = good_session();
        CHECK_OK(vsession_login(own, NULL, &error), error);
        for (int j = 0; j < 10; j++) CHECK_OK(call_once(own, NULL, &error), error);
        CHECK_OK(vsession_close(own, NULL, &error), error);
        CHECK_OK(call_once(shared, NULL, &error), error); /* takes 50 ms, by the rule */
    }
    /* On a machine however slow, until there was much to be disturbed by. */
    while (__atomic_load_n(&interrupted, __ATOMIC_RELAXED) <= 500) CHECK_OK(call_once(shared, NULL, &error), error);
    /* A wait for nothing lasts as long as it was told, and ends without an error. */
    vsession_queue queue = {0};
    vsession_event *event = NULL;
    CHECK_OK(vsession_queue_new(&queue, &error), error);
    int64_t start = monotonic_ms();
    CHECK_OK(vsession_queue_next(queue, 300, &event, &error), error);
    int64_t took = monotonic_ms() - start;
    CHECK(event == NULL);
    CHECK(took >= 300 && took < AT_ONCE_MS);
    vsession_queue_free(queue);
    /* And so does a deadline. */
    vsession_call_options options = VSESSION_CALL_OPTIONS_INIT;
    options.timeout_ms = 20;
    CHECK_STATUS(call_once(shared, &options, &error), VSESSION_E_TIMEOUT, error);
    __atomic_add_fetch(&done, 1, __ATOMIC_RELEASE);
    while (__atomic_load_n(&done, __ATOMIC_ACQUIRE) < WORKERS) sleep_ms(1); /* a thread that is gone takes no signals */
    sleep_ms(20);
    return NULL;
}

static void signals_without_restart_disturb_nothing(void)
{
    clean_server();
    vsession_error *error = NULL;
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    CHECK_INT(sigaction(SIGUSR1, &action, NULL), 0);
    shared = good_session();
    CHECK_OK(vsession_login(shared, NULL, &error), error);
    add_rule("{\"method\":\"CurrentTime\",\"delay_ms\":50}");
    pthread_t threads[WORKERS], pestering;
    int numbers[WORKERS];
    for (int i = 0; i < WORKERS; i++) {
        numbers[i] = i;
        CHECK_INT(pthread_create(&threads[i], NULL, work, &numbers[i]), 0);
    }
    CHECK_INT(pthread_create(&pestering, NULL, pester, NULL), 0);
    for (int i = 0; i < WORKERS; i++) pthread_join(threads[i], NULL);
    pthread_join(pestering, NULL);
    CHECK_OK(vsession_close(shared, NULL, &error), error);
    CHECK_INT(counted("logins"), 1 + WORKERS * 5);
    CHECK_INT(counted("sessions"), 0);
}

int main(void)
{
    RUN(signals_without_restart_disturb_nothing);
    return finish();
}
