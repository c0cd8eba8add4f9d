/* The program with which tests/stress/run.sh shows that the ThreadSanitizer finds a race: in itself with the argument `in-c`, and
 * in a library with a planted fault. Two threads set an option of one configuration, which a lock guards. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "vsession.h"

static vsession_config config;
static unsigned unguarded;
static int in_c;

static void *change(void *argument)
{
    (void)argument;
    for (int i = 0; i < 2000; i++) {
        vsession_config_set(config, "user_agent", i % 2 ? "one" : "another", NULL);
        if (in_c) unguarded++;
    }
    return NULL;
}

int main(int argc, char **argv)
{
    in_c = argc > 1 && strcmp(argv[1], "in-c") == 0;
    if (vsession_config_new("https://user:pass@localhost/sdk", &config, NULL) != VSESSION_OK) return 1;
    pthread_t other;
    pthread_create(&other, NULL, change, NULL);
    change(NULL);
    pthread_join(other, NULL);
    vsession_config_free(config);
    printf("%u\n", unguarded);
    return 0;
}
