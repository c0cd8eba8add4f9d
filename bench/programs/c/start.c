/* Loads the library as a plug-in or another language does: dlopen, one login, one call, with the time of each. */

#include "common.h"
#include <dlfcn.h>
#include <vsession.h>

static void *library;

static void *function(const char *name) {
    void *found = dlsym(library, name);
    if (!found)
        fail("%s is missing", name);
    return found;
}

#define LOAD(name) __typeof__(&name) name##_ = (__typeof__(&name))function(#name)

static void run_start(void) {
    uint64_t begin = now_ns();
    library = dlopen(environment("BENCH_LIBRARY"), RTLD_NOW | RTLD_LOCAL);
    if (!library)
        fail("%s", dlerror());
    LOAD(vsession_config_new);
    LOAD(vsession_config_set);
    LOAD(vsession_open);
    LOAD(vsession_call);
    LOAD(vsession_reply_text);
    LOAD(vsession_close);
    uint64_t loaded = now_ns();
    vsession_config config;
    vsession session;
    vsession_reply *reply;
    vsession_soap_call call = VSESSION_SOAP_CALL_INIT;
    call.method = "CurrentTime";
    call.this_type = "ServiceInstance";
    const char *ca = environment("BENCH_CA");
    if (vsession_config_new_(environment("BENCH_URL"), &config, NULL) ||
        vsession_config_set_(config, "username", environment("BENCH_USER"), NULL) ||
        vsession_config_set_(config, "password", environment("BENCH_PASSWORD"), NULL) ||
        (*ca && vsession_config_set_(config, "tls.ca_file", ca, NULL)) || vsession_open_(config, &session, NULL) ||
        vsession_call_(session, &call, NULL, &reply, NULL) || !vsession_reply_text_(reply))
        fail("no first call");
    uint64_t done = now_ns();
    printf("{\"done_ns\":%llu,\"dlopen_ns\":%llu,\"from_dlopen_ns\":%llu}\n", (unsigned long long)done,
           (unsigned long long)(loaded - begin), (unsigned long long)(done - begin));
    fflush(stdout);
    vsession_close_(session, NULL, NULL);
}

int main(int argc, char **argv) {
    static const struct subcommand commands[] = {{"start", run_start}, {NULL, NULL}};
    return run_subcommand(argc, argv, commands);
}
