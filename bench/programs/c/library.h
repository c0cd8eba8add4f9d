/* What the C programs share that use the library: options out of the environment and the arguments, and checks. */

#ifndef BENCH_LIBRARY_H
#define BENCH_LIBRARY_H

#include "common.h"
#include <dirent.h>
#include <vsession.h>

static inline void need(vsession_status status, vsession_error *error, const char *what) {
    if (status != VSESSION_OK)
        fail("%s: %s: %s", what, vsession_status_name(status), vsession_error_message(error));
}

static inline void set_option(vsession_config config, const char *name, const char *value) {
    vsession_error *error = NULL;
    need(vsession_config_set(config, name, value, &error), error, name);
}

/* For the server at `url`, with the credentials of the environment and the options among the arguments. */
static inline vsession_config config_for(const char *url) {
    vsession_config config;
    vsession_error *error = NULL;
    static const char *const options[] = {"proxy",         "max_connections",       "http.compression",   "connect_timeout_ms",
                                          "idle_timeout_ms", "keepalive.interval_ms", "relogin.backoff_ms", "api_version"};
    need(vsession_config_new(url, &config, &error), error, "config");
    set_option(config, "username", environment("BENCH_USER"));
    set_option(config, "password", environment("BENCH_PASSWORD"));
    if (*environment("BENCH_CA"))
        set_option(config, "tls.ca_file", environment("BENCH_CA"));
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (text_argument(options[i], NULL))
            set_option(config, options[i], text_argument(options[i], NULL));
    return config;
}

static inline vsession open_with(vsession_config config) {
    vsession session;
    vsession_error *error = NULL;
    need(vsession_open(config, &session, &error), error, "open");
    return session;
}

/* How many entries a directory has: threads in /proc/self/task, descriptors in /proc/self/fd. */
static inline long entries(const char *directory) {
    long count = 0;
    DIR *open = opendir(directory);
    struct dirent *entry;
    while (open && (entry = readdir(open)))
        count += entry->d_name[0] != '.';
    if (open)
        closedir(open);
    return count;
}

#endif
