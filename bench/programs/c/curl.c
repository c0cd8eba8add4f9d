/* A vSphere client as people write it in C today: libcurl for HTTP, libxml2 for the replies, envelopes by hand. */

#include "common.h"
#include "machines.h"
#include "soap.h"
#include <curl/curl.h>

struct client {
    CURL *curl;
    struct curl_slist *headers;
    char *reply;
    size_t length, room;
    char cookie[256];
};

static char session_cookie[256];

static size_t receive(char *data, size_t size, size_t count, void *to) {
    struct client *c = to;
    size *= count;
    if (c->length + size + 1 > c->room) {
        c->room = 2 * (c->length + size + 1);
        c->reply = realloc(c->reply, c->room);
    }
    memcpy(c->reply + c->length, data, size);
    c->length += size;
    c->reply[c->length] = '\0';
    return size;
}

static size_t receive_header(char *data, size_t size, size_t count, void *to) {
    struct client *c = to;
    size *= count;
    if (size > 11 && strncasecmp(data, "Set-Cookie:", 11) == 0) {
        char *value = data + 11 + strspn(data + 11, " ");
        snprintf(c->cookie, sizeof c->cookie, "%.*s", (int)strcspn(value, ";\r\n"), value);
    }
    return size;
}

static struct client *new_client(void) {
    struct client *c = calloc(1, sizeof *c);
    c->curl = curl_easy_init();
    c->headers = curl_slist_append(NULL, "Content-Type: text/xml; charset=\"utf-8\"");
    c->headers = curl_slist_append(c->headers, "SOAPAction: urn:vim25/6.5");
    c->headers = curl_slist_append(c->headers, "Expect:");
    curl_easy_setopt(c->curl, CURLOPT_URL, environment("BENCH_URL"));
    curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, c->headers);
    curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c->curl, CURLOPT_TIMEOUT, 120L);
    curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, receive);
    curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, c);
    curl_easy_setopt(c->curl, CURLOPT_HEADERFUNCTION, receive_header);
    curl_easy_setopt(c->curl, CURLOPT_HEADERDATA, c);
    if (argument("gzip", 0))
        curl_easy_setopt(c->curl, CURLOPT_ACCEPT_ENCODING, "gzip");
    if (*environment("BENCH_CA"))
        curl_easy_setopt(c->curl, CURLOPT_CAINFO, environment("BENCH_CA"));
    if (*session_cookie)
        curl_easy_setopt(c->curl, CURLOPT_COOKIE, session_cookie);
    return c;
}

static void post(struct client *c, const char *body) {
    long status = 0;
    c->length = 0;
    curl_easy_setopt(c->curl, CURLOPT_POSTFIELDSIZE, (long)strlen(body));
    curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, body);
    CURLcode code = curl_easy_perform(c->curl);
    if (code != CURLE_OK)
        fail("libcurl: %s", curl_easy_strerror(code));
    curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status != 200)
        fail("the server answered %ld: %s", status, c->reply);
}

static xmlNode *response(xmlDoc *document) {
    xmlNode *node = document ? xmlDocGetRootElement(document) : NULL;
    node = node ? child_element(node, "Body") : NULL;
    node = node ? child_element(node, NULL) : NULL;
    if (!node)
        fail("not SOAP");
    return node;
}

/* The text of the return value. */
static char *returned_text(struct client *c) {
    xmlDoc *document = xmlReadMemory(c->reply, (int)c->length, NULL, NULL, XML_PARSE_NONET);
    xmlNode *value = child_element(response(document), "returnval");
    char *text = value ? strdup(node_text(value)) : NULL;
    xmlFreeDoc(document);
    return text;
}

static void log_in(struct client *c) {
    char body[1024];
    curl_easy_setopt(c->curl, CURLOPT_COOKIE, NULL);
    snprintf(body, sizeof body, LOGIN, environment("BENCH_USER"), environment("BENCH_PASSWORD"));
    post(c, body);
    xmlDoc *document = xmlReadMemory(c->reply, (int)c->length, NULL, NULL, XML_PARSE_NONET);
    xmlNode *user = child_element(response(document), "returnval");
    if (!user || !*node_text(child_element(user, "key")))
        fail("no session");
    xmlFreeDoc(document);
    curl_easy_setopt(c->curl, CURLOPT_COOKIE, c->cookie);
}

static void log_out(struct client *c) {
    post(c, LOGOUT);
    free(returned_text(c));
}

static void *prepare_client(int thread) {
    (void)thread;
    return new_client();
}

static void call_step(void *client) {
    post(client, CURRENT_TIME);
    char *time = returned_text(client);
    if (!time)
        fail("no time in the reply");
    free(time);
}

static struct client *first_client(void) {
    curl_global_init(CURL_GLOBAL_DEFAULT);
    xmlInitParser();
    struct client *c = new_client();
    log_in(c);
    strcpy(session_cookie, c->cookie);
    return c;
}

static void run_call(void) {
    struct client *c = first_client();
    run_crew((struct work){.prepare = prepare_client, .step = call_step});
    log_out(c);
}

static void login_step(void *client) {
    log_in(client);
    log_out(client);
}

static void run_login(void) {
    curl_global_init(CURL_GLOBAL_DEFAULT);
    xmlInitParser();
    run_crew((struct work){.prepare = prepare_client, .step = login_step});
}

static void run_start(void) {
    struct client *c = first_client();
    call_step(c);
    printf("{\"done_ns\":%llu}\n", (unsigned long long)now_ns());
    fflush(stdout);
    log_out(c);
}

static void run_inventory(void) {
    char body[4096], *view;
    struct client *c = first_client();
    post(c, CONTENT);
    xmlDoc *document = xmlReadMemory(c->reply, (int)c->length, NULL, NULL, XML_PARSE_NONET);
    xmlNode *content = child_element(response(document), "returnval");
    snprintf(body, sizeof body, CREATE_VIEW, node_text(child_element(content, "viewManager")),
             node_text(child_element(content, "rootFolder")));
    char *collector = strdup(node_text(child_element(content, "propertyCollector")));
    xmlFreeDoc(document);
    post(c, body);
    view = returned_text(c);
    snprintf(body, sizeof body, READ, collector, view);
    long resident = memory_kib("VmRSS:");
    uint64_t cpu = cpu_ns(), begin = now_ns();
    post(c, body);
    struct machines machines = machines_from_tree(c->reply, c->length);
    uint64_t wall = now_ns() - begin;
    cpu = cpu_ns() - cpu;
    printf("{\"count\":%ld,\"wall_ns\":%llu,\"cpu_ns\":%llu,\"peak_kib\":%ld,\"bytes\":%zu}\n", machines.count,
           (unsigned long long)wall, (unsigned long long)cpu, memory_kib("VmHWM:") - resident, c->length);
    if (!all_complete(&machines))
        fail("a machine is not complete");
    free_machines(&machines);
    free(view);
    free(collector);
    log_out(c);
}

int main(int argc, char **argv) {
    static const struct subcommand commands[] = {
        {"call", run_call}, {"login", run_login}, {"start", run_start}, {"inventory", run_inventory}, {NULL, NULL},
    };
    return run_subcommand(argc, argv, commands);
}
