/* A session's state and identity as programs keep them without the library: a structure behind a pthread mutex. */

#include "common.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    int state;
    const char *key, *user, *full_name, *locale, *address;
} session = {3, "52a1c5a4-8f0e-1f9b-7c3d-0123456789ab", "administrator@vsphere.local", "Administrator vsphere.local", "en_US",
             "192.0.2.10"};
static _Atomic uint64_t sink;

static void state_loop(long count) {
    uint64_t sum = 0;
    for (long i = 0; i < count; i++) {
        pthread_mutex_lock(&lock);
        sum += (uint64_t)session.state;
        pthread_mutex_unlock(&lock);
    }
    sink += sum;
}

static void info_loop(long count) {
    uint64_t sum = 0;
    for (long i = 0; i < count; i++) {
        char *copy[5];
        pthread_mutex_lock(&lock);
        copy[0] = strdup(session.key);
        copy[1] = strdup(session.user);
        copy[2] = strdup(session.full_name);
        copy[3] = strdup(session.locale);
        copy[4] = strdup(session.address);
        pthread_mutex_unlock(&lock);
        for (int j = 0; j < 5; j++) {
            sum += (unsigned char)copy[j][0];
            free(copy[j]);
        }
    }
    sink += sum;
}

static void run_state(void) { run_tight(state_loop); }
static void run_info(void) { run_tight(info_loop); }

int main(int argc, char **argv) {
    static const struct subcommand commands[] = {{"state", run_state}, {"info", run_info}, {NULL, NULL}};
    return run_subcommand(argc, argv, commands);
}
