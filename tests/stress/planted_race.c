/* A race for the ThreadSanitizer to find: the self-test of tests/stress/run.sh. */
#include <pthread.h>
#include <stdio.h>

#include "vsession.h"

#ifdef NOT_IN_C
static __thread
#else
static
#endif
    unsigned shared; /* both threads change it, deliberately without synchronization */

static void *count(void *argument)
{
    (void)argument;
    for (int i = 0; i < 100000; i++) shared += vsession_version_number() != 0;
    return NULL;
}

int main(void)
{
    pthread_t other;
    pthread_create(&other, NULL, count, NULL);
    count(NULL);
    pthread_join(other, NULL);
    printf("%u\n", shared);
    return 0;
}
