/*
 * Talks to the control port of the test simulator (tests/simulator/README.md): just enough HTTP for small requests to a
 * server on this machine. A program for a real vCenter needs none of this.
 */
#ifndef SIMULATOR_CONTROL_H
#define SIMULATOR_CONTROL_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * Sends a request to `control` (http://127.0.0.1:PORT) and returns the answer's body, which the caller frees. NULL: there
 * was no answer with status 200.
 */
static inline char *simulator_request(const char *control, const char *method, const char *path, const char *body)
{
    struct sockaddr_in address;
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const char *port = strrchr(control, ':');
    address.sin_port = htons((uint16_t)(port != NULL ? atoi(port + 1) : 0));

    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0) return NULL;
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
        close(fd);
        return NULL;
    }
    char head[512];
    int length = snprintf(head, sizeof head, "%s %s HTTP/1.0\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n", method, path, strlen(body));
    const size_t rest_length = strlen(body);
    bool sent = length > 0 && (size_t)length < sizeof head &&
        send(fd, head, (size_t)length, MSG_NOSIGNAL | (rest_length > 0 ? MSG_MORE : 0)) == length &&
        send(fd, body, rest_length, MSG_NOSIGNAL) == (ssize_t)rest_length;

    /* HTTP/1.0: the end of the connection ends the answer. */
    char *answer = NULL;
    size_t used = 0;
    ssize_t got = 1;
    while (sent && got > 0) {
        char *larger = (char *)realloc(answer, used + 4096 + 1);
        if (larger == NULL) break;
        answer = larger;
        got = recv(fd, answer + used, 4096, 0);
        if (got > 0) used += (size_t)got;
        answer[used] = '\0';
    }
    close(fd);
    char *rest = answer != NULL ? strstr(answer, "\r\n\r\n") : NULL;
    if (rest == NULL || strstr(answer, " 200 ") == NULL || strstr(answer, " 200 ") > rest) {
        free(answer);
        return NULL;
    }
    memmove(answer, rest + 4, strlen(rest + 4) + 1);
    return answer;
}

/* A counter of GET /stats, or -1. `name` may be in any of its objects: "logins", "CurrentTime". */
static inline long simulator_count(const char *control, const char *name)
{
    char *stats = simulator_request(control, "GET", "/stats", "");
    if (stats == NULL) return -1;
    char key[128];
    snprintf(key, sizeof key, "\"%s\":", name);
    const char *found = strstr(stats, key);
    long count = found != NULL ? strtol(found + strlen(key), NULL, 10) : 0;
    free(stats);
    return count;
}

/* Ends every session on the server, as an administrator or an idle timeout would. */
static inline bool simulator_kill_sessions(const char *control)
{
    char *answer = simulator_request(control, "POST", "/sessions/kill", "");
    bool killed = answer != NULL;
    free(answer);
    return killed;
}

#endif
