/*
 * The floor: the least that a call can cost. A socket (or OpenSSL on it) stays open, and the request is
 * prepared beforehand and sent in one write. The reply is read up to its Content-Length or through its chunks; with
 * `gzip=1` the request asks for compression, and zlib inflates the reply. Nothing examines the XML.
 */

#include "common.h"
#include "soap.h"
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <strings.h>
#include <sys/socket.h>
#include <zlib.h>

struct connection {
    int socket;
    SSL *tls;
    char buffer[65536]; /* received bytes, beginning with the head */
    size_t length, taken;
    char text[65536]; /* the beginning of an inflated body */
    size_t text_length;
    z_stream inflater;
    bool gzip;
    size_t received; /* bytes of the head and of the body's data */
    char *request;
    size_t request_length;
};

static char host[128], port[16], cookie[256];
static SSL_CTX *context;

static struct connection *dial(void) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *addresses;
    struct connection *c = calloc(1, sizeof *c);
    int yes = 1;
    if (getaddrinfo(host, port, &hints, &addresses))
        fail("no address for %s", host);
    c->socket = socket(addresses->ai_family, SOCK_STREAM, 0);
    if (connect(c->socket, addresses->ai_addr, addresses->ai_addrlen))
        fail("no connection");
    freeaddrinfo(addresses);
    setsockopt(c->socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (inflateInit2(&c->inflater, 15 + 16) != Z_OK)
        fail("no zlib");
    if (context) {
        c->tls = SSL_new(context);
        SSL_set_fd(c->tls, c->socket);
        X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(c->tls), host);
        if (SSL_connect(c->tls) != 1)
            fail("no TLS: %s", ERR_error_string(ERR_get_error(), NULL));
    }
    return c;
}

static void prepare_request(struct connection *c, const char *body) {
    free(c->request);
    c->request = malloc(strlen(body) + 1024);
    c->request_length = (size_t)sprintf(c->request,
                                        "POST /sdk HTTP/1.1\r\nHost: %s:%s\r\nContent-Type: text/xml; charset=\"utf-8\"\r\n"
                                        "SOAPAction: urn:vim25/6.5\r\n%s%s%s%sContent-Length: %zu\r\n\r\n%s",
                                        host, port, argument("gzip", 0) ? "Accept-Encoding: gzip\r\n" : "", *cookie ? "Cookie: " : "", cookie, *cookie ? "\r\n" : "",
                                        strlen(body), body);
}

/* Reads what has arrived. If the buffer is full, its second half is reused. */
static void receive(struct connection *c) {
    if (c->length == sizeof c->buffer - 1)
        c->length = c->taken = sizeof c->buffer / 2;
    size_t room = sizeof c->buffer - 1 - c->length;
    ssize_t n = c->tls ? SSL_read(c->tls, c->buffer + c->length, (int)room) : read(c->socket, c->buffer + c->length, room);
    if (n <= 0)
        fail("no reply");
    c->length += (size_t)n;
    c->buffer[c->length] = '\0';
}

/* Inflates a piece of the body. What does not fit into `text` is discarded. */
static void inflate_piece(struct connection *c, char *data, size_t size) {
    char rest[32768];
    c->inflater.next_in = (Bytef *)data;
    c->inflater.avail_in = (uInt)size;
    while (c->inflater.avail_in) {
        bool fits = c->text_length + sizeof rest < sizeof c->text;
        c->inflater.next_out = (Bytef *)(fits ? c->text + c->text_length : rest);
        c->inflater.avail_out = sizeof rest;
        int result = inflate(&c->inflater, Z_NO_FLUSH);
        size_t made = sizeof rest - c->inflater.avail_out;
        c->received += made;
        c->text_length += fits ? made : 0;
        if (result == Z_STREAM_END)
            break;
        if (result != Z_OK)
            fail("not gzip");
    }
    c->text[c->text_length] = '\0';
}

/* Consumes `size` bytes of the body. */
static void take(struct connection *c, size_t size) {
    while (size) {
        if (c->taken == c->length)
            receive(c);
        size_t piece = c->length - c->taken;
        piece = piece < size ? piece : size;
        if (c->gzip)
            inflate_piece(c, c->buffer + c->taken, piece);
        else
            c->received += piece;
        c->taken += piece;
        size -= piece;
    }
}

/* Consumes the line before a chunk and returns the chunk's length. */
static size_t take_chunk_line(struct connection *c) {
    size_t size = 0;
    for (;;) {
        if (c->taken == c->length)
            receive(c);
        char byte = c->buffer[c->taken++];
        if (byte == '\n')
            return size;
        if (byte != '\r')
            size = size * 16 + (size_t)(byte <= '9' ? byte - '0' : (byte | 32) - 'a' + 10);
    }
}

/* One request and its reply. Head and body stay in the buffer if they fit. */
static void exchange(struct connection *c) {
    ssize_t n = c->tls ? SSL_write(c->tls, c->request, (int)c->request_length)
                       : write(c->socket, c->request, c->request_length);
    if (n != (ssize_t)c->request_length)
        fail("not sent");
    c->length = c->text_length = 0;
    char *end;
    do
        receive(c);
    while (!(end = strstr(c->buffer, "\r\n\r\n")));
    if (strncmp(c->buffer, "HTTP/1.1 200", 12) != 0)
        fail("the server answered %.12s", c->buffer);
    c->taken = c->received = (size_t)(end + 4 - c->buffer);
    *end = '\0'; /* so that no search for a header goes on into the body */
    char *length = strcasestr(c->buffer, "content-length:");
    c->gzip = strcasestr(c->buffer, "content-encoding: gzip") != NULL;
    bool chunked = !length && strcasestr(c->buffer, "transfer-encoding: chunked");
    *end = '\r';
    if (c->gzip)
        inflateReset(&c->inflater);
    if (length)
        take(c, (size_t)atol(length + 15));
    else if (!chunked)
        fail("no Content-Length and no chunks");
    for (size_t size; chunked && (size = take_chunk_line(c));) {
        take(c, size);
        take_chunk_line(c);
    }
    if (chunked)
        take_chunk_line(c);
}

static void log_in(struct connection *c) {
    char body[1024];
    cookie[0] = '\0';
    snprintf(body, sizeof body, LOGIN, environment("BENCH_USER"), environment("BENCH_PASSWORD"));
    prepare_request(c, body);
    exchange(c);
    char *set = strcasestr(c->buffer, "set-cookie:");
    if (!set)
        fail("no cookie");
    set += 11 + strspn(set + 11, " ");
    snprintf(cookie, sizeof cookie, "%.*s", (int)strcspn(set, ";\r"), set);
}

static void log_out(struct connection *c) {
    prepare_request(c, LOGOUT);
    exchange(c);
}

static void begin(void) {
    if (server_address(host, sizeof host, port, sizeof port)) {
        context = SSL_CTX_new(TLS_client_method());
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
        if (SSL_CTX_load_verify_locations(context, environment("BENCH_CA"), NULL) != 1)
            fail("no CA");
    }
}

static void *prepare_call(int thread) {
    (void)thread;
    struct connection *c = dial();
    prepare_request(c, CURRENT_TIME);
    return c;
}

static void call_step(void *connection) { exchange(connection); }

static void run_call(void) {
    begin();
    struct connection *c = dial();
    log_in(c);
    run_crew((struct work){.prepare = prepare_call, .step = call_step});
    log_out(c);
}

static void *prepare_login(int thread) {
    (void)thread;
    return dial();
}

static void login_step(void *connection) {
    log_in(connection);
    log_out(connection);
}

static void run_login(void) {
    begin();
    run_crew((struct work){.prepare = prepare_login, .step = login_step});
}

/* The text between `<name ...>` and the next tag in the reply. */
static char *element(struct connection *c, const char *name) {
    char tag[64];
    snprintf(tag, sizeof tag, "<%s ", name);
    char *found = strstr(c->gzip ? c->text : c->buffer, tag);
    found = found ? strchr(found, '>') : NULL;
    if (!found)
        fail("no %s in the reply", name);
    return strndup(found + 1, strcspn(found + 1, "<"));
}

/* Reads all bytes of the reply and does nothing with them. */
static void run_inventory(void) {
    char body[4096];
    begin();
    struct connection *c = dial();
    log_in(c);
    prepare_request(c, CONTENT);
    exchange(c);
    char *manager = element(c, "viewManager"), *root = element(c, "rootFolder");
    char *collector = element(c, "propertyCollector");
    snprintf(body, sizeof body, CREATE_VIEW, manager, root);
    prepare_request(c, body);
    exchange(c);
    snprintf(body, sizeof body, READ, collector, element(c, "returnval"));
    prepare_request(c, body);
    uint64_t cpu = cpu_ns(), start = now_ns();
    exchange(c);
    uint64_t wall = now_ns() - start;
    printf("{\"wall_ns\":%llu,\"cpu_ns\":%llu,\"bytes\":%zu}\n", (unsigned long long)wall,
           (unsigned long long)(cpu_ns() - cpu), c->received);
    log_out(c);
}

int main(int argc, char **argv) {
    static const struct subcommand commands[] = {
        {"call", run_call}, {"login", run_login}, {"inventory", run_inventory}, {NULL, NULL}};
    return run_subcommand(argc, argv, commands);
}
