/*
 * Secrets do not stay in the memory of the process: the arguments of calls, and, once the session is closed, its cookie, its
 * password and that of its proxy. The program keeps its own copies masked and searches all writable memory.
 *
 *     simulator -password hush-of-the-password -- wiped [--keep]     with --keep it keeps a copy of each, which is its self-test
 */
#include "check.h"

#include <fcntl.h>

enum { MASK = 0x5a, MOST_SECRET = 512, LARGE = 3 << 20 };

struct secret {
    unsigned char masked[MOST_SECRET];
    size_t length;
};

static bool keep;
static volatile size_t sink;

static void wipe(volatile char *text, size_t length)
{
    while (length-- > 0) *text++ = 0;
}

/* Stores a text masked and overwrites the original. */
static struct secret masked(char *text, size_t length)
{
    struct secret secret;
    memset(&secret, 0, sizeof secret);
    CHECK(length >= 16 && length <= sizeof secret.masked);
    secret.length = length;
    for (size_t i = 0; i < length; i++) secret.masked[i] = (unsigned char)(text[i] ^ MASK);
    wipe(text, length);
    return secret;
}

static void put(char *place, const struct secret *secret)
{
    for (size_t i = 0; i < secret->length; i++) place[i] = (char)(secret->masked[i] ^ MASK);
}

/* How often the second half of a secret occurs in a piece of memory. Freed memory loses its first bytes to the allocator. */
static size_t copies_in(int memory, uintptr_t begin, uintptr_t end, const struct secret *secret)
{
    static unsigned char piece[1 << 16];
    const size_t half = secret->length / 2, length = secret->length - half;
    size_t found = 0;
    while (end - begin >= length) {
        /* The memory is not read in place, because another thread may unmap it. */
        size_t size = end - begin < sizeof piece ? end - begin : sizeof piece;
        ssize_t got = pread(memory, piece, size, (off_t)begin);
        if (got < (ssize_t)length) break;
        for (ssize_t i = 0; i < got; i++) piece[i] ^= MASK;
        for (size_t at = 0; at + length <= (size_t)got; at++)
            if (piece[at] == secret->masked[half] && memcmp(piece + at, secret->masked + half, length) == 0) found++;
        wipe((volatile char *)piece, sizeof piece);
        begin += (size_t)got - (length - 1);
    }
    return found;
}

static size_t copies(const struct secret *secret)
{
    size_t found = 0;
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "r");
    int memory = open("/proc/self/mem", O_RDONLY);
    CHECK(maps != NULL && memory >= 0);
    while (maps != NULL && fgets(line, sizeof line, maps) != NULL) {
        uintptr_t begin, end;
        char rights[5];
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s", &begin, &end, rights) == 3 && rights[1] == 'w')
            found += copies_in(memory, begin, end, secret);
    }
    if (maps != NULL) fclose(maps);
    close(memory);
    return found;
}

/* With --keep: a copy that is not overwritten. */
static void keep_a_copy(const struct secret *secret)
{
    if (!keep) return;
    char *copy = (char *)malloc(secret->length);
    put(copy, secret);
    sink += (size_t)copy[0];
}

/* Arguments of a call: one secret again and again in a text that has to be unescaped. */
static char *arguments(const struct secret *secret, size_t size)
{
    const char *before = "<x>&amp;", *after = "</x>";
    const size_t times = size / secret->length + 1;
    char *text = (char *)malloc(strlen(before) + times * secret->length + strlen(after) + 1);
    memcpy(text, before, strlen(before));
    for (size_t i = 0; i < times; i++) put(text + strlen(before) + i * secret->length, secret);
    memcpy(text + strlen(before) + times * secret->length, after, strlen(after) + 1);
    return text;
}

static vsession_config config_with(const struct secret *password)
{
    vsession_error *error = NULL;
    vsession_config config = good_config();
    char text[MOST_SECRET + 1];
    memset(text, 0, sizeof text);
    put(text, password);
    CHECK_OK(vsession_config_set(config, "password", text, &error), error);
    wipe(text, sizeof text);
    return config;
}

static vsession session_with(const struct secret *password)
{
    return opened(config_with(password));
}

static void calls_leave_no_copy_of_their_arguments(const struct secret *password)
{
    char text[] = "hush-of-the-arguments-0123456789-abcdefghijklmnop";
    const struct secret secret = masked(text, strlen(text));
    CHECK_INT(copies(&secret), 0);
    vsession_error *error = NULL;
    vsession session = session_with(password);
    vsession_queue queue = {0};
    CHECK_OK(vsession_queue_new(&queue, &error), error);
    CHECK_OK(vsession_login(session, NULL, &error), error);
    for (size_t size = 1; size <= LARGE; size = size == 1 ? 20000 : size == 20000 ? (size_t)LARGE : (size_t)LARGE + 1) {
        for (int asynchronous = 0; asynchronous < 2; asynchronous++) {
            char *xml = arguments(&secret, size);
            const size_t length = strlen(xml);
            vsession_soap_call call = current_time();
            call.arguments = xml;
            if (asynchronous) {
                vsession_event *event = NULL;
                CHECK_OK(vsession_call_async(session, &call, NULL, queue, 1, &error), error);
                wipe(xml, length);
                CHECK_OK(vsession_queue_next(queue, PATIENCE_MS, &event, &error), error);
                CHECK(event != NULL && vsession_event_reply(event) != NULL);
                vsession_event_free(event);
            } else {
                vsession_reply *reply = NULL;
                CHECK_OK(vsession_call(session, &call, NULL, &reply, &error), error);
                vsession_reply_free(reply);
                wipe(xml, length);
            }
            free(xml);
            keep_a_copy(&secret);
            /* An asynchronous call reports its completion before its worker has finished. */
            size_t left = copies(&secret);
            for (int i = 0; asynchronous && left > 0 && i < 20; i++) {
                sleep_ms(50);
                left = copies(&secret);
            }
            if (left != 0) check_failed(__FILE__, __LINE__, "%zu copies after a call with %zu bytes of arguments (asynchronous: %d)", left, length, asynchronous);
        }
    }
    CHECK_OK(vsession_close(session, NULL, &error), error);
    CHECK_INT(vsession_queue_free(queue), VSESSION_OK);
}

static void a_closed_session_leaves_no_copy_of_its_cookie_and_password(const struct secret *password)
{
    vsession_error *error = NULL;
    vsession session = session_with(password);
    CHECK_OK(vsession_login(session, NULL, &error), error);
    CHECK(copies(password) > 0); /* kept for the next login */
    char *string = NULL;
    CHECK_OK(vsession_get_cookie(session, &string, &error), error);
    /* The cookie's name and the start of its value: the value alone is also the session's key, which the simulator
     * publishes. */
    CHECK(strncmp(string, "vmware_soap_session=", 20) == 0 && strlen(string) > 40);
    const struct secret cookie = masked(string, 36);
    vsession_string_free(string);
    CHECK(copies(&cookie) > 0);
    for (int i = 0; i < 3; i++) CHECK_OK(call_once(session, NULL, &error), error);
    CHECK_OK(vsession_close(session, NULL, &error), error);
    CHECK_OK(vsession_shutdown(PATIENCE_MS, &error), error);
    keep_a_copy(password);
    keep_a_copy(&cookie);
    CHECK_INT(copies(password), 0);
    /* Over TLS the reply with the cookie passed through the memory of rustls, which frees it without wiping. */
    if (!over_tls()) CHECK_INT(copies(&cookie), 0);
}

/* Reads to the end of a CONNECT request, or `most` bytes, and discards them. */
static void read_request(int connection, size_t most)
{
    static char buffer[2048];
    size_t length = 0;
    while (length < most && (length < 4 || memcmp(buffer + length - 4, "\r\n\r\n", 4) != 0)) {
        ssize_t got = recv(connection, buffer + length, 1, 0);
        if (got <= 0) break;
        length++;
    }
    wipe((volatile char *)buffer, sizeof buffer);
}

/* A proxy that refuses the credentials of one connection. It speaks HTTP, or SOCKS 5 with credentials of `socks` bytes. */
struct proxy {
    int listener;
    size_t socks;
};

static void *refuse(void *argument)
{
    const struct proxy *proxy = (const struct proxy *)argument;
    int connection = accept(proxy->listener, NULL, NULL);
    CHECK(connection >= 0);
    if (proxy->socks > 0) {
        read_request(connection, 4);
        CHECK_INT(send(connection, "\5\2", 2, MSG_NOSIGNAL), 2);
        read_request(connection, proxy->socks);
        CHECK_INT(send(connection, "\1\1", 2, MSG_NOSIGNAL), 2);
    } else {
        const char *answer = "HTTP/1.1 407 Other Credentials\r\n\r\n";
        read_request(connection, 2048);
        CHECK_INT(send(connection, answer, strlen(answer), MSG_NOSIGNAL), (ssize_t)strlen(answer));
    }
    close(connection);
    return NULL;
}

static void base64(const char *text, size_t length, char *out)
{
    const char *digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i + 2 < length; i += 3, out += 4) {
        const unsigned bits = (unsigned)(unsigned char)text[i] << 16 | (unsigned)(unsigned char)text[i + 1] << 8 | (unsigned char)text[i + 2];
        for (int digit = 0; digit < 4; digit++) out[digit] = digits[bits >> (18 - 6 * digit) & 63];
    }
}

/* Neither in plain text nor in base64, as HTTP sends it. */
static void a_closed_session_leaves_no_copy_of_the_proxy_password(const struct secret *password, size_t length, bool socks)
{
    enum { LONGEST = 240 };
    char text[LONGEST], encoded[LONGEST / 3 * 4], option[LONGEST + 64];
    /* A multiple of three, like the length of "us:", so that the password has its own base64 text. */
    CHECK(length % 3 == 0 && length <= LONGEST);
    for (size_t i = 0; i < length; i++) text[i] = (char)((socks ? 'A' : 'a') + (i + length) * (i + 7) / 5 % 26);
    base64(text, length, encoded);
    const struct secret secret = masked(text, length), sent = masked(encoded, length / 3 * 4);
    struct sockaddr_in address;
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    struct proxy proxy = {socket(AF_INET, SOCK_STREAM, 0), 0};
    if (socks) proxy.socks = 3 + strlen("us") + length;
    CHECK(bind(proxy.listener, (struct sockaddr *)&address, size) == 0 && listen(proxy.listener, 1) == 0);
    CHECK(getsockname(proxy.listener, (struct sockaddr *)&address, &size) == 0);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, refuse, &proxy) == 0);

    vsession_error *error = NULL;
    vsession_config config = config_with(password);
    const size_t before = (size_t)snprintf(option, sizeof option, "%s://us:", socks ? "socks5" : "http");
    put(option + before, &secret);
    snprintf(option + before + length, sizeof option - before - length, "@127.0.0.1:%d", ntohs(address.sin_port));
    CHECK_OK(vsession_config_set(config, "proxy", option, &error), error);
    wipe(option, sizeof option);
    vsession session = opened(config);
    CHECK(copies(&secret) > 0);
    CHECK_STATUS(vsession_login(session, NULL, &error), VSESSION_E_PROXY, error);
    pthread_join(thread, NULL);
    close(proxy.listener);
    CHECK_OK(vsession_close(session, NULL, &error), error);
    CHECK_OK(vsession_shutdown(PATIENCE_MS, &error), error);
    keep_a_copy(&secret);
    keep_a_copy(&sent);
    CHECK_INT(copies(&secret), 0);
    CHECK_INT(copies(&sent), 0);
}

/* Takes the password out of the environment, which is in the memory of the process too. */
static struct secret password_of_the_environment(void)
{
    char *url = (char *)(uintptr_t)test_env("VSESSION_TEST_URL");
    char *at = strchr(url, '@');
    char *colon = at;
    while (colon != NULL && *colon != ':') colon--;
    CHECK(colon > strchr(url, '/') && at != NULL);
    const size_t length = strlen(at);
    memmove(colon, at, length + 1);
    wipe(colon + length, (size_t)(at - colon));
    char *password = (char *)(uintptr_t)test_env("VSESSION_TEST_PASSWORD");
    return masked(password, strlen(password));
}

int main(int argc, char **argv)
{
    keep = argc > 1 && strcmp(argv[1], "--keep") == 0;
    const struct secret password = password_of_the_environment();
    CHECK_INT(copies(&password), 0);
    clean_server();
    calls_leave_no_copy_of_their_arguments(&password);
    a_closed_session_leaves_no_copy_of_its_cookie_and_password(&password);
    for (size_t length = 30; length <= 240; length += 30)
        for (int socks = 0; socks < 2; socks++) a_closed_session_leaves_no_copy_of_the_proxy_password(&password, length, socks);
    return finish();
}
