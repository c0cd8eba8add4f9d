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
static char rest_id[256];

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

/* The programs on HTTP. A session is a REST session, which logs in with Basic, or the vim25 session in the header of VI JSON. */

static void request(struct client *c, const char *method, const char *path, long wanted) {
    long status = 0;
    char id[300];
    struct curl_slist *headers = NULL;
    if (*rest_id) {
        snprintf(id, sizeof id, "vmware-api-session-id: %s", rest_id);
        headers = curl_slist_append(NULL, id);
    }
    c->length = 0;
    curl_easy_setopt(c->curl, CURLOPT_URL, url_of(path));
    curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(c->curl, CURLOPT_CUSTOMREQUEST, method);
    CURLcode code = curl_easy_perform(c->curl);
    curl_slist_free_all(headers);
    if (code != CURLE_OK)
        fail("libcurl: %s", curl_easy_strerror(code));
    curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status != wanted)
        fail("%s %s: the server answered %ld: %.*s", method, path, status, (int)c->length, c->reply ? c->reply : "");
}

static void rest_log_in(struct client *c) {
    char login[300];
    snprintf(login, sizeof login, "%s:%s", environment("BENCH_USER"), environment("BENCH_PASSWORD"));
    *rest_id = '\0';
    curl_easy_setopt(c->curl, CURLOPT_USERPWD, login);
    request(c, "POST", "/api/session", 201);
    curl_easy_setopt(c->curl, CURLOPT_USERPWD, NULL);
    snprintf(rest_id, sizeof rest_id, "%.*s", (int)c->length - 2, c->reply + 1);
}

static void rest_log_out(struct client *c) {
    request(c, "DELETE", "/api/session", 204);
    *rest_id = '\0';
}

static void *prepare_get(int thread) {
    (void)thread;
    struct client *c = new_client();
    curl_easy_setopt(c->curl, CURLOPT_COOKIE, NULL);
    return c;
}

static void get_step(void *client) {
    request(client, "GET", text_argument("path", ""), 200);
}

static void run_get(void) {
    const char *through = text_argument("through", "none");
    struct client *c = NULL;
    if (strcmp(through, "vim") == 0) {
        c = first_client();
        strcpy(rest_id, strchr(session_cookie, '=') + 1);
    } else if (strcmp(through, "rest") == 0) {
        curl_global_init(CURL_GLOBAL_DEFAULT);
        rest_log_in(c = prepare_get(0));
    }
    run_crew((struct work){.prepare = prepare_get, .step = get_step});
    if (strcmp(through, "vim") == 0)
        log_out(c);
    else if (c)
        rest_log_out(c);
}

/* A client of its own comes and goes. */
static void get_login_step(void *nothing) {
    (void)nothing;
    struct client *c = prepare_get(0);
    rest_log_in(c);
    get_step(c);
    rest_log_out(c);
    curl_easy_cleanup(c->curl);
    curl_slist_free_all(c->headers);
    free(c->reply);
    free(c);
}

static void run_get_login(void) {
    curl_global_init(CURL_GLOBAL_DEFAULT);
    run_crew((struct work){.step = get_login_step});
}

static size_t zeros(char *to, size_t size, size_t count, void *left) {
    size_t length = size * count, *remain = left;
    length = length < *remain ? length : *remain;
    memset(to, 0, length);
    *remain -= length;
    return length;
}

static void run_upload(void) {
    size_t size = (size_t)argument("megabytes", 1) << 20, left = size;
    long status = 0;
    struct client *c = first_client();
    struct client *sender = new_client();
    call_step(sender);
    curl_easy_setopt(sender->curl, CURLOPT_URL, url_of(text_argument("path", "")));
    curl_easy_setopt(sender->curl, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(sender->curl, CURLOPT_UPLOAD_BUFFERSIZE, 512L * 1024);
    curl_easy_setopt(sender->curl, CURLOPT_READFUNCTION, zeros);
    curl_easy_setopt(sender->curl, CURLOPT_READDATA, &left);
    curl_easy_setopt(sender->curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)size);
    long resident = memory_kib("VmRSS:");
    uint64_t cpu = cpu_ns(), begin = now_ns();
    CURLcode code = curl_easy_perform(sender->curl);
    if (code != CURLE_OK)
        fail("libcurl: %s", curl_easy_strerror(code));
    curl_easy_getinfo(sender->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status != 200 && status != 201)
        fail("the server answered %ld", status);
    print_upload(size, now_ns() - begin, cpu_ns() - cpu, memory_kib("VmHWM:") - resident);
    log_out(c);
}

int main(int argc, char **argv) {
    static const struct subcommand commands[] = {
        {"call", run_call}, {"login", run_login}, {"start", run_start}, {"inventory", run_inventory},
        {"get", run_get},   {"get-login", run_get_login}, {"upload", run_upload}, {NULL, NULL},
    };
    return run_subcommand(argc, argv, commands);
}
