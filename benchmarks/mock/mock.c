/*
 * The scripted upstream of the benchmarks: an HTTP/1.1 keep-alive server on one thread that answers like a provider.
 *
 *     mock PORT PAYLOADS [PACE_MS]
 *
 * PORT 0 takes any free one. PAYLOADS is a folder written by benchmarks/data.py. PACE_MS is the time between two paced events (20).
 * Prints "listening PORT" once it does. Listens on 127.0.0.1 only, and ends by itself after 15 minutes or with its parent.
 *
 * POST /v1/chat/completions answers as OpenAI does, POST /v1/messages as Anthropic. What is answered is told by the model of the request:
 *
 *     bench-json       one JSON body with Content-Length
 *     bench-fast       a chunked stream, one chunk for each event, all in one write
 *     bench-split      the same bytes, one write for each event
 *     bench-paced      the same bytes, one event each PACE_MS
 *     bench-fast-50    as many events as it says: the first and last ones of the recording, and enough of the middle
 *
 * Whatever stands before "bench-" is ignored. Anything else is 404, a request that cannot be read 400, and both close the connection.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_REQUEST = 8 << 20, MAX_EVENTS = 20000, MAX_STREAMS = 64, LIFETIME_S = 900 };
enum mode { JSON, FAST, SPLIT, PACED };

/* A file in memory. */
struct text {
    char *data;
    size_t size;
};

/* A whole answer, head included, and where each event ends in it: the head goes with the first event, the last chunk with the last. */
struct answer {
    struct text text;
    size_t *ends;
    int events;
};

/* One way of speaking: its path, its recording, and how many events at both ends are not to be repeated. */
struct dialect {
    const char *path, *name;
    int opening, closing;
    struct text json, *event;
    int events;
    struct answer streams[MAX_STREAMS];
    int stream_count;
};

static struct dialect dialects[] = {
    {.path = "/v1/chat/completions", .name = "chat", .opening = 1, .closing = 3},
    {.path = "/v1/messages", .name = "messages", .opening = 3, .closing = 3},
};

struct connection {
    int fd;
    char *in;
    size_t in_size, in_room;
    const char *out; /* the answer being sent, or NULL */
    size_t sent, allowed;
    const struct answer *stream;
    int event;
    enum mode mode;
    bool close_after, wants_write, is_waiting;
    double due;
    struct connection *earlier, *later; /* in the queue of paced connections */
};

static const char NOT_FOUND[] =
    "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 45\r\nConnection: close\r\n\r\n"
    "{\"error\":{\"message\":\"no such path or model\"}}";
static const char BAD_REQUEST[] =
    "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: 38\r\nConnection: close\r\n\r\n"
    "{\"error\":{\"message\":\"cannot be read\"}}";
static const char CONTINUE[] = "HTTP/1.1 100 Continue\r\n\r\n";

static int poller;
static double pace = 0.020;
static struct text stream_head;
/* All paced connections wait equally long, so the queue is in order of time by itself. */
static struct connection *first_due, *last_due;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void *allocate(void *old, size_t size) {
    void *memory = realloc(old, size);
    if (!memory) die("memory");
    return memory;
}

static double clock_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

/* ---- recordings -------------------------------------------------------------------------------------------------------------- */

static struct text read_file(const char *folder, const char *name, const char *suffix) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s%s", folder, name, suffix);
    FILE *file = fopen(path, "rb");
    if (!file) die(path);
    fseek(file, 0, SEEK_END);
    struct text text = {NULL, ftell(file)};
    rewind(file);
    text.data = allocate(NULL, text.size + 1);
    if (fread(text.data, 1, text.size, file) != text.size) die(path);
    fclose(file);
    return text;
}

static void load_dialect(struct dialect *d, const char *folder) {
    d->json = read_file(folder, d->name, ".json");
    struct text sse = read_file(folder, d->name, ".sse");
    d->event = allocate(NULL, MAX_EVENTS * sizeof *d->event);
    char *from = sse.data, *end = sse.data + sse.size, *blank;
    while (d->events < MAX_EVENTS && (blank = memmem(from, end - from, "\n\n", 2))) {
        d->event[d->events++] = (struct text){from, blank + 2 - from};
        from = blank + 2;
    }
}

static void append(struct text *to, const void *data, size_t size) {
    to->data = allocate(to->data, to->size + size);
    memcpy(to->data + to->size, data, size);
    to->size += size;
}

/* The stream of `events` events, built once; NULL when so many (or few) cannot be made. */
static const struct answer *stream_of(struct dialect *d, int events) {
    for (int i = 0; i < d->stream_count; i++)
        if (d->streams[i].events == events) return &d->streams[i];
    int middle = d->events - d->opening - d->closing;
    if (events <= d->opening + d->closing || events > MAX_EVENTS || d->stream_count == MAX_STREAMS) return NULL;
    struct answer *a = &d->streams[d->stream_count++];
    a->events = events;
    a->ends = allocate(NULL, events * sizeof *a->ends);
    append(&a->text, stream_head.data, stream_head.size);
    for (int i = 0; i < events; i++) {
        int which = i < d->opening              ? i
                    : i >= events - d->closing ? d->events - (events - i)
                                               : d->opening + (i - d->opening) % middle;
        char size[32];
        append(&a->text, size, snprintf(size, sizeof size, "%zx\r\n", d->event[which].size));
        append(&a->text, d->event[which].data, d->event[which].size);
        append(&a->text, "\r\n", 2);
        if (i == events - 1) append(&a->text, "0\r\n\r\n", 5);
        a->ends[i] = a->text.size;
    }
    return a;
}

/* ---- the queue of paced connections ------------------------------------------------------------------------------------------ */

static void wait_for_pace(struct connection *c, double due) {
    c->due = due;
    c->is_waiting = true;
    c->earlier = last_due;
    c->later = NULL;
    *(last_due ? &last_due->later : &first_due) = c;
    last_due = c;
}

static void stop_waiting(struct connection *c) {
    if (!c->is_waiting) return;
    *(c->earlier ? &c->earlier->later : &first_due) = c->later;
    *(c->later ? &c->later->earlier : &last_due) = c->earlier;
    c->is_waiting = false;
}

/* ---- writing ----------------------------------------------------------------------------------------------------------------- */

static void close_connection(struct connection *c) {
    stop_waiting(c);
    close(c->fd);
    free(c->in);
    free(c);
}

static void want(struct connection *c, bool write) {
    if (c->wants_write == write) return;
    struct epoll_event interest = {.events = EPOLLIN | (write ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &interest);
    c->wants_write = write;
}

/* Sends what may go now. True when the answer is complete; false when it is not, with the connection closed if `*gone`. */
static bool send_answer(struct connection *c, bool *gone) {
    *gone = false;
    while (c->sent < c->allowed) {
        size_t until = c->mode == SPLIT ? c->stream->ends[c->event] : c->allowed;
        ssize_t n = send(c->fd, c->out + c->sent, until - c->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            want(c, true);
            return false;
        }
        if (n < 0) {
            close_connection(c);
            *gone = true;
            return false;
        }
        c->sent += n;
        if (c->mode == SPLIT && c->sent == until) c->event++;
    }
    want(c, false);
    if (c->mode == PACED && c->event < c->stream->events) return false;
    c->out = NULL;
    if (!c->close_after) return true;
    shutdown(c->fd, SHUT_WR);
    close_connection(c);
    *gone = true;
    return false;
}

static void start_answer(struct connection *c, enum mode mode, const struct answer *stream, const char *out, size_t size) {
    c->mode = mode;
    c->stream = stream;
    c->out = out;
    c->sent = 0;
    c->event = 0;
    c->allowed = size;
    if (mode == PACED) {
        c->allowed = stream->ends[c->event++];
        if (c->event < stream->events) wait_for_pace(c, clock_now() + pace);
    }
}

static void refuse(struct connection *c, const char *answer) {
    c->close_after = true;
    start_answer(c, JSON, NULL, answer, strlen(answer));
}

/* ---- reading ----------------------------------------------------------------------------------------------------------------- */

/* The value of a header within a head, its length in *size; NULL when absent. */
static const char *header(const char *head, const char *end, const char *name, size_t *size) {
    size_t length = strlen(name);
    for (const char *line = memchr(head, '\n', end - head); line && ++line < end; line = memchr(line, '\n', end - line)) {
        if ((size_t)(end - line) <= length || strncasecmp(line, name, length) || line[length] != ':') continue;
        const char *value = line + length + 1, *stop = memchr(value, '\r', end - value);
        while (stop && value < stop && *value == ' ') value++;
        *size = (stop ? stop : end) - value;
        return value;
    }
    return NULL;
}

static bool has(const char *value, size_t size, const char *word) {
    size_t length = strlen(word);
    for (; value && size >= length; value++, size--)
        if (!strncasecmp(value, word, length)) return true;
    return false;
}

/*
 * Takes the chunks off a body, in place in the connection's buffer. Returns the number of bytes of the request from `body` on, 0 when
 * more must come, -1 when it is malformed; the length of the data itself is in *size. Starts anew with each piece, from a copy: bodies
 * of a benchmark are small.
 */
static long take_chunks(const char *body, size_t have, char *into, size_t *size) {
    const char *at = body, *end = body + have;
    *size = 0;
    for (;;) {
        const char *eol = memmem(at, end - at, "\r\n", 2);
        if (!eol) return 0;
        char *stop;
        unsigned long chunk = strtoul(at, &stop, 16);
        if (stop == at || chunk > MAX_REQUEST) return -1;
        at = eol + 2;
        if (!chunk) {
            if (end - at >= 2 && !memcmp(at, "\r\n", 2)) return at + 2 - body;
            const char *trailer = memmem(at, end - at, "\r\n\r\n", 4);
            return trailer ? trailer + 4 - body : 0;
        }
        if ((size_t)(end - at) < chunk + 2) return 0;
        memcpy(into + *size, at, chunk);
        *size += chunk;
        at += chunk;
        if (memcmp(at, "\r\n", 2)) return -1;
        at += 2;
    }
}

/* Finds the request's model. An escaped quote keeps a "model" inside of a text from being taken for the key. */
static const char *find_model(const char *body, size_t size, size_t *length) {
    const char *at = body, *end = body + size;
    while ((at = memmem(at, end - at, "\"model\"", 7))) {
        bool escaped = at > body && at[-1] == '\\';
        at += 7;
        const char *value = at;
        while (value < end && (*value == ' ' || *value == ':')) value++;
        if (escaped || value == at || value >= end || *value != '"') continue;
        const char *stop = memchr(value + 1, '"', end - value - 1);
        if (!stop) return NULL;
        *length = stop - value - 1;
        return value + 1;
    }
    return NULL;
}

static void answer_request(struct connection *c, const char *path, size_t path_size, const char *body, size_t size) {
    struct dialect *d = NULL;
    for (size_t i = 0; i < sizeof dialects / sizeof *dialects; i++)
        if (strlen(dialects[i].path) == path_size && !memcmp(dialects[i].path, path, path_size)) d = &dialects[i];
    size_t length = 0;
    const char *model = d ? find_model(body, size, &length) : NULL;
    const char *bench = model ? memmem(model, length, "bench-", 6) : NULL;
    char name[32] = "", word[32] = "";
    int events = d ? d->events : 0;
    if (bench) snprintf(name, sizeof name, "%.*s", (int)(model + length - bench - 6), bench + 6);
    if (sscanf(name, "%31[a-z]-%d", word, &events) < 1) {
        refuse(c, NOT_FOUND);
        return;
    }
    if (!strcmp(word, "json")) {
        start_answer(c, JSON, NULL, d->json.data, d->json.size);
        return;
    }
    enum mode mode = !strcmp(word, "fast") ? FAST : !strcmp(word, "split") ? SPLIT : !strcmp(word, "paced") ? PACED : JSON;
    const struct answer *stream = mode == JSON ? NULL : stream_of(d, events);
    if (!stream)
        refuse(c, NOT_FOUND);
    else
        start_answer(c, mode, stream, stream->text.data, stream->text.size);
}

/* Answers the first request in the buffer, if it is whole. */
static void read_request(struct connection *c) {
    const char *head_end = memmem(c->in, c->in_size, "\r\n\r\n", 4);
    if (!head_end) return;
    const char *body = head_end + 4, *value;
    size_t have = c->in + c->in_size - body, size = 0, taken, n = 0;
    bool chunked = (value = header(c->in, head_end + 2, "transfer-encoding", &n)) && has(value, n, "chunked");
    bool has_length = (value = header(c->in, head_end + 2, "content-length", &n)) != NULL;
    char *copy = NULL;
    if (chunked) {
        copy = allocate(NULL, have + 1);
        long used = take_chunks(body, have, copy, &size);
        taken = used > 0 ? (size_t)used : 0;
        if (used < 0) refuse(c, BAD_REQUEST);
    } else {
        size = taken = has_length ? strtoul(value, NULL, 10) : 0;
    }
    bool whole = !c->out && (chunked ? taken > 0 : have >= size);
    if (whole) {
        value = header(c->in, head_end + 2, "connection", &n);
        bool old = !!memmem(c->in, head_end - c->in, " HTTP/1.0\r", 10);
        c->close_after = has(value, n, "close") || (old && !has(value, n, "keep-alive"));
        const char *path = memchr(c->in, ' ', head_end - c->in);
        const char *path_end = path ? path + 1 + strcspn(path + 1, " ?\r") : NULL;
        if (path && !memcmp(c->in, "POST ", 5))
            answer_request(c, path + 1, path_end - path - 1, copy ? copy : body, size);
        else
            refuse(c, NOT_FOUND);
        size_t used = body - c->in + taken;
        memmove(c->in, c->in + used, c->in_size - used);
        c->in_size -= used;
    } else if (!c->out && !have && (value = header(c->in, head_end + 2, "expect", &n)) && has(value, n, "100-continue")) {
        send(c->fd, CONTINUE, sizeof CONTINUE - 1, MSG_NOSIGNAL);
    }
    free(copy);
}

/* Answers what is in the buffer, one request after the other. */
static void serve(struct connection *c) {
    bool gone = false;
    for (;;) {
        if (!c->out) read_request(c);
        if (!c->out || !send_answer(c, &gone) || gone) return;
    }
}

static void receive(struct connection *c) {
    if (c->in_room - c->in_size < 16384) {
        c->in_room += c->in_room + 32768;
        c->in = allocate(c->in, c->in_room);
    }
    ssize_t n = recv(c->fd, c->in + c->in_size, c->in_room - c->in_size, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0 || c->in_size + n > MAX_REQUEST) {
        close_connection(c);
        return;
    }
    c->in_size += n;
    if (!c->out) serve(c);
}

/* ---- the loop ---------------------------------------------------------------------------------------------------------------- */

static void accept_all(int listener) {
    int fd, on = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct connection *c = allocate(NULL, sizeof *c);
        *c = (struct connection){.fd = fd};
        struct epoll_event interest = {.events = EPOLLIN, .data.ptr = c};
        if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &interest)) close_connection(c);
    }
}

/* Sends the events that are due; returns the milliseconds until the next one, -1 when nobody waits. */
static int send_due(void) {
    double now = clock_now();
    while (first_due && first_due->due <= now) {
        struct connection *c = first_due;
        double due = c->due + pace;
        stop_waiting(c);
        c->allowed = c->stream->ends[c->event++];
        if (c->event < c->stream->events) wait_for_pace(c, due);
        serve(c);
    }
    return first_due ? (int)((first_due->due - now) * 1000) + 1 : -1;
}

static int listen_on(int port) {
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 4096)) die("listen");
    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("listening %d\n", ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

int main(int argc, char **argv) {
    if (argc < 3) {
        fprintf(stderr, "usage: mock PORT PAYLOADS [PACE_MS]\n");
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    alarm(LIFETIME_S);
    stream_head = read_file(argv[2], "stream", ".head");
    for (size_t i = 0; i < sizeof dialects / sizeof *dialects; i++) load_dialect(&dialects[i], argv[2]);
    if (argc > 3) pace = atof(argv[3]) / 1000;
    poller = epoll_create1(EPOLL_CLOEXEC);
    int listener = listen_on(atoi(argv[1]));
    struct epoll_event interest = {.events = EPOLLIN, .data.ptr = NULL}, ready[256];
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &interest);
    for (;;) {
        int n = epoll_wait(poller, ready, 256, send_due());
        if (n < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < n; i++) {
            struct connection *c = ready[i].data.ptr;
            if (!c)
                accept_all(listener);
            else if (ready[i].events & EPOLLOUT && c->out)
                serve(c);
            else
                receive(c);
        }
    }
}
