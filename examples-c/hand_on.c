/*
 * Runs a command with this program's session, so that the command needs no credentials: logs in, puts the session into the
 * command's environment, waits for its end, and logs out.
 *
 *     hand_on COMMAND [ARGUMENT...]      server and credentials are in govc's variables (GOVC_URL, ...)
 *
 * The command finds, all of one login:
 *
 *     VSESSION_COOKIE        vmware_soap_session="...", the Cookie header, for curl
 *     VSESSION_COOKIE_VALUE  its value, for govc, pyVmomi and VDDK
 *     VSESSION_USER          the user of the session
 *     VSESSION_EPOCH         the number of the login
 *
 * and GOVC_URL without user and password. docs/handing-on.md shows what the tools do with them. An environment is visible to
 * its own user only; arguments are visible to all users of the machine.
 */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "vsession.h"

extern char **environ;

enum { ADDED = 5, LONGEST = 4096 };

/* Adds NAME=value to the variables. False: there is no room, or the value is too long. */
static bool add(char **variables, size_t *count, const char *name, const char *value)
{
    char *variable = (char *)malloc(LONGEST);
    if (variable == NULL) return false;
    variables[(*count)++] = variable;
    return snprintf(variable, LONGEST, "%s=%s", name, value != NULL ? value : "") < LONGEST;
}

static bool is(const char *variable, const char *name)
{
    size_t length = strlen(name);
    return strncmp(variable, name, length) == 0 && variable[length] == '=';
}

/* The URL without user and password, in `url`. */
static void without_credentials(char *url)
{
    char *host = strstr(url, "://");
    host = host != NULL ? host + 3 : url;
    char *end = host + strcspn(host, "/"), *at = NULL;
    for (char *p = host; p < end; p++)
        if (*p == '@') at = p;
    if (at != NULL) memmove(host, at + 1, strlen(at + 1) + 1);
}

/* Runs the command with the session in its environment. Returns its exit status, or -1 if it could not be run. */
static int run(char **command, const vsession_info *info)
{
    size_t kept = 0, count = 0;
    while (environ[kept] != NULL) kept++;
    char **variables = (char **)calloc(kept + ADDED + 1, sizeof *variables);
    char url[LONGEST] = "", epoch[24];
    const char *given = getenv("GOVC_URL");
    bool good = variables != NULL && (given == NULL || strlen(given) < sizeof url);
    if (good && given != NULL) strcpy(url, given);
    without_credentials(url);
    snprintf(epoch, sizeof epoch, "%" PRIu64, vsession_info_epoch(info));
    good = good && add(variables, &count, "VSESSION_COOKIE", vsession_info_cookie(info))
        && add(variables, &count, "VSESSION_COOKIE_VALUE", vsession_info_cookie_value(info))
        && add(variables, &count, "VSESSION_USER", vsession_info_user_name(info))
        && add(variables, &count, "VSESSION_EPOCH", epoch) && add(variables, &count, "GOVC_URL", url);
    const size_t added = count;
    for (size_t i = 0; good && i < kept; i++)
        if (!is(environ[i], "GOVC_URL") && !is(environ[i], "GOVC_USERNAME") && !is(environ[i], "GOVC_PASSWORD"))
            variables[count++] = environ[i];
    pid_t process = 0;
    int status = -1;
    if (good && posix_spawnp(&process, command[0], NULL, NULL, command, variables) == 0)
        while (waitpid(process, &status, 0) < 0) continue; /* a signal of this program's own */
    for (size_t i = 0; variables != NULL && i < added; i++) {
        memset(variables[i], 0, LONGEST); /* the cookie is a secret */
        free(variables[i]);
    }
    free(variables);
    return status < 0 ? -1 : WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: %s COMMAND [ARGUMENT...]\n", argv[0]);
        return 2;
    }
    vsession_error *error = NULL;
    vsession_config config = {0};
    vsession session = {0};
    vsession_info *info = NULL;
    vsession_reply *reply = NULL;
    int ended = -1;
    vsession_call_options within = VSESSION_CALL_OPTIONS_INIT;
    within.timeout_ms = 30000;
    vsession_status status = vsession_config_from_env(&config, &error);
    if (!status) status = vsession_open(config, &session, &error);
    if (!status) status = vsession_login(session, &within, &error);
    if (!status) status = vsession_get_info(session, &info, &error);
    if (!status) {
        ended = run(argv + 1, info);
        if (ended < 0) fprintf(stderr, "%s could not be run\n", argv[1]);
        /* Is it still the session that the command had? */
        vsession_soap_call call = VSESSION_SOAP_CALL_INIT;
        call.method = "CurrentTime";
        call.this_type = "ServiceInstance";
        vsession_call_options same = within;
        same.require_epoch = vsession_info_epoch(info);
        same.no_relogin = 1;
        status = vsession_call(session, &call, &same, &reply, &error);
        if (status == VSESSION_E_NOT_AUTHENTICATED || status == VSESSION_E_SESSION_CHANGED)
            fprintf(stderr, "the session ended while %s ran; if it logs out, it ends the session for all who use it\n", argv[1]);
    }
    vsession_reply_free(reply);
    vsession_info_free(info);
    if (!status) status = vsession_close(session, &within, &error); /* logs out */
    else vsession_close(session, &within, NULL);
    if (status) fprintf(stderr, "%s: %s\n", vsession_status_name(status), vsession_error_message(error));
    vsession_error_free(error);
    vsession_config_free(config);
    return status || ended < 0 ? 1 : ended;
}
