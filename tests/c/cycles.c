/*
 * Opens, logs in and closes a session again and again: the process must not grow, and the server must keep no session.
 *
 *     simulator -- cycles NUMBER
 */
#include "check.h"

#include <dirent.h>

/* The number of entries in a directory of /proc. */
static long entries(const char *folder)
{
    long count = 0;
    DIR *opened = opendir(folder);
    while (opened != NULL && readdir(opened) != NULL) count++;
    if (opened != NULL) closedir(opened);
    return count;
}

static long resident_kib(void)
{
    char line[256];
    long kib = -1;
    FILE *status = fopen("/proc/self/status", "r");
    while (status != NULL && fgets(line, sizeof line, status) != NULL)
        if (strncmp(line, "VmRSS:", 6) == 0) kib = strtol(line + 6, NULL, 10);
    if (status != NULL) fclose(status);
    return kib;
}

static void cycle(bool leak)
{
    vsession_error *error = NULL;
    vsession session = good_session();
    CHECK_OK(vsession_login(session, NULL, &error), error);
    if (!leak) CHECK_OK(vsession_close(session, NULL, &error), error);
}

int main(int count, char **arguments)
{
    long cycles = count > 1 ? atol(arguments[1]) : 1000;
    bool leak = count > 2 && strcmp(arguments[2], "leak") == 0; /* for the self-test: sessions that are never closed */
    clean_server();
    /* First, everything that is allocated once. */
    for (long i = 0; i < 300 + cycles / 10; i++) cycle(leak);
    long memory = resident_kib(), threads = entries("/proc/self/task"), descriptors = entries("/proc/self/fd");
    for (long i = 0; i < cycles && check_failures == 0; i++) cycle(leak);
    long grown = resident_kib() - memory;
    printf("%ld cycles: %ld KiB more, %ld threads more, %ld descriptors more\n", cycles, grown,
        entries("/proc/self/task") - threads, entries("/proc/self/fd") - descriptors);
    CHECK(grown < 1024);
    CHECK(entries("/proc/self/task") <= threads + 2);
    CHECK(entries("/proc/self/fd") <= descriptors + 2);
    CHECK_INT(counted("sessions"), 0);
    return check_failures != 0;
}
