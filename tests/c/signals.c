/*
 * Signals interrupt the program's system calls: a handler without SA_RESTART runs several hundred times a second in each
 * thread. EINTR must not end a call, a login or a wait. The program's crash handlers also run for faults in callbacks.
 */
#include "check.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* Sends signals to the working threads until all are done. */
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
        /* A session of the thread's own: connect, handshake, login and logout. */
        vsession own = good_session();
        CHECK_OK(vsession_login(own, NULL, &error), error);
        for (int j = 0; j < 10; j++) CHECK_OK(call_once(own, NULL, &error), error);
        CHECK_OK(vsession_close(own, NULL, &error), error);
        CHECK_OK(call_once(shared, NULL, &error), error); /* the rule makes it take 50 ms */
    }
    /* However slow the machine, long enough to be interrupted often. */
    while (__atomic_load_n(&interrupted, __ATOMIC_RELAXED) <= 500) CHECK_OK(call_once(shared, NULL, &error), error);
    /* A wait without an event lasts as long as requested and ends without an error. */
    vsession_queue queue = {0};
    vsession_event *event = NULL;
    CHECK_OK(vsession_queue_new(&queue, &error), error);
    int64_t start = monotonic_ms();
    CHECK_OK(vsession_queue_next(queue, 300, &event, &error), error);
    int64_t took = monotonic_ms() - start;
    CHECK(event == NULL);
    CHECK(took >= 300 && took < AT_ONCE_MS);
    vsession_queue_free(queue);
    /* So does a deadline. */
    vsession_call_options options = VSESSION_CALL_OPTIONS_INIT;
    options.timeout_ms = 20;
    CHECK_STATUS(call_once(shared, &options, &error), VSESSION_E_TIMEOUT, error);
    __atomic_add_fetch(&done, 1, __ATOMIC_RELEASE);
    while (__atomic_load_n(&done, __ATOMIC_ACQUIRE) < WORKERS) sleep_ms(1); /* signals must not be sent to a thread that has ended */
    sleep_ms(20);
    return NULL;
}

static void signals_without_restart_do_not_disturb_calls(void)
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

enum { CAUGHT = 42, NEVER_CAME = 43 };

static void report_a_crash(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)info;
    (void)context;
    _exit(CAUGHT);
}

/* What the credentials function does: raise this signal, cause a fault (0), or report the blocked signals (-1). */
static int to_raise;

static int32_t crash(vsession session, vsession_credentials *credentials, void *data)
{
    (void)session;
    (void)data;
    if (to_raise == 0) *(volatile int *)data = 1;
    if (to_raise == SIGABRT) abort();
    if (to_raise > 0) raise(to_raise);
    if (to_raise < 0) {
        sigset_t blocked;
        pthread_sigmask(SIG_BLOCK, NULL, &blocked);
        for (int number = 1; number < SIGRTMAX; number++) {
            bool fault = number == SIGSEGV || number == SIGBUS || number == SIGFPE || number == SIGILL || number == SIGTRAP || number == SIGSYS;
            if (number == SIGKILL || number == SIGSTOP || (number > SIGSYS && number < SIGRTMIN)) continue; /* cannot be blocked, or used by the C library */
            if (sigismember(&blocked, number) != !fault) check_failed(__FILE__, __LINE__, "signal %d is %sblocked", number, fault ? "" : "not ");
        }
    }
    return vsession_credentials_set(credentials, "user", "pass");
}

static void log_in_with_a_function(void)
{
    vsession_error *error = NULL;
    vsession_config config = good_config();
    CHECK_OK(vsession_config_set_credentials_fn(config, crash, NULL, NULL, &error), error);
    vsession session = opened(config);
    CHECK_OK(vsession_login(session, NULL, &error), error);
    CHECK_OK(vsession_close(session, NULL, &error), error);
}

/* A callback runs on a thread of the library. A crash there must reach the program's handler as anywhere else. */
static void a_crash_in_a_callback_reaches_the_programs_handler(void)
{
    const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT, 0};
    clean_server();
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        if (signals[i] == 0 && getenv("VSESSION_TEST_THREADS") != NULL) continue; /* valgrind would report the fault */
        pid_t child = fork();
        if (child == 0) {
            alarm(60);
            struct sigaction action;
            memset(&action, 0, sizeof action);
            action.sa_sigaction = report_a_crash;
            action.sa_flags = SA_SIGINFO | SA_ONSTACK;
            for (size_t j = 0; j < sizeof signals / sizeof *signals; j++)
                if (signals[j] != 0) sigaction(signals[j], &action, NULL);
            to_raise = signals[i];
            log_in_with_a_function();
            _exit(NEVER_CAME);
        }
        int status = -1;
        CHECK_INT(waitpid(child, &status, 0), child);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != CAUGHT) check_failed(__FILE__, __LINE__, "signal %d: status %x", signals[i], (unsigned)status);
    }
}

/* All other signals are for the program's threads, whatever the signal mask of the thread that called first. */
static void the_librarys_threads_block_all_signals_but_faults(void)
{
    for (int blocked = 0; blocked < 2; blocked++) {
        pid_t child = fork();
        if (child == 0) {
            alarm(60);
            sigset_t all;
            sigfillset(&all);
            if (blocked) pthread_sigmask(SIG_SETMASK, &all, NULL);
            to_raise = -1;
            log_in_with_a_function();
            _exit(finish());
        }
        int status = -1;
        CHECK_INT(waitpid(child, &status, 0), child);
        CHECK_INT(status, 0);
    }
}

int main(void)
{
    RUN(a_crash_in_a_callback_reaches_the_programs_handler);
    RUN(the_librarys_threads_block_all_signals_but_faults);
    RUN(signals_without_restart_do_not_disturb_calls);
    return finish();
}
