/*
 * A closed-loop HTTP/1.1 load generator on one thread, for loopback only.
 *
 *     lg --port N --conns N --path P --body FILE [--secs S] [--warmup S] [--each N] [--limit S] [--think-ms T]
 *        [--header "Name: value"]... [--terminator TEXT] [--length N] [--host 127.0.0.1]
 *
 * Opens all connections first, then sends on all of them at once. Each sends its next request when the last answer is complete (and
 * --think-ms later). Without --each it measures --secs seconds after --warmup seconds; with --each every connection sends that many
 * requests and the run ends with the last answer. --limit ends any run.
 *
 * An answer is an error when the connection is lost in it, when it cannot be read, when a 200 with a stream does not have TERMINATOR in
 * its last 128 bytes, or a 200 does not have exactly --length bytes. Errors and other statuses count from the first moment, the warm-up
 * included; a thousand of them end the run.
 *
 * Prints one JSON object: conns, secs (of the window), measured (answers complete in the window), unfinished (with --each), rps,
 * lat_ms (request sent to answer complete), ttft_ms (to its first body byte), gapmax_ms (the longest silence within a stream), events
 * (server-sent ones), events_s, bytes (of bodies), MB_s, errors, non200, driver.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_HEAD = 16384, TAIL = 128, PIECE = 256 * 1024, MAX_FAILURES = 1000, MAX_CONNS = 20000 };
enum state { CONNECTING, READY, SENDING, HEAD, BODY, FINISHED };
enum framing { BY_LENGTH, BY_CHUNKS, BY_CLOSE };
enum chunk { CHUNK_SIZE, CHUNK_REST_OF_LINE, CHUNK_DATA, CHUNK_END, TRAILER };

struct connection {
    int fd;
    uint32_t wanted; /* what the poller looks for */
    enum state state;
    enum framing framing;
    enum chunk chunk;
    bool closes, is_stream, failed, trailer_has_text;
    int status, requests, newlines;
    size_t sent, head_size, left, payload, tail_size;
    double asked, first, last, due;
    char head[MAX_HEAD], tail[TAIL];
    struct connection *later; /* in the queue of those that think */
};

/* A growing list of durations, in seconds. */
struct series {
    double *item;
    size_t count, room;
};

static struct {
    const char *host, *path, *body, *terminator;
    int port, conns, each;
    double secs, warmup, limit, think;
    long length;
} options = {.host = "127.0.0.1", .path = "/", .terminator = "", .conns = 1, .secs = 1, .limit = 120, .length = -1};

static struct sockaddr_in address = {.sin_family = AF_INET};
static char headers[MAX_HEAD], *request, piece[PIECE];
static size_t request_size;
static struct connection *connections, *first_thinking, *last_thinking;
static int poller, finished;
static double window_from, window_to, last_answer;
static struct series latencies, first_bytes;
static double gap_max;
static long events, bytes, errors, non200;

static double clock_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static void die(const char *what) {
    fprintf(stderr, "lg: %s\n", what);
    exit(2);
}

static void add(struct series *to, double value) {
    if (to->count == to->room) {
        to->room = to->room ? 2 * to->room : 4096;
        to->item = realloc(to->item, to->room * sizeof *to->item);
        if (!to->item) die("no memory");
    }
    to->item[to->count++] = value;
}

static bool in_window(double now) { return now >= window_from && now < window_to; }

static void want(struct connection *c, uint32_t what) {
    if (c->wanted == what) return;
    c->wanted = what;
    struct epoll_event interest = {.events = what, .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &interest);
}

/* ---- sending ----------------------------------------------------------------------------------------------------------------- */

static void open_connection(struct connection *c) {
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) die("no socket: is the limit of open files too low?");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    c->state = CONNECTING;
    connect(c->fd, (struct sockaddr *)&address, sizeof address); /* how it went, the poller tells */
    struct epoll_event interest = {.events = c->wanted = EPOLLOUT, .data.ptr = c};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &interest)) die("epoll_ctl");
}

static void fail(struct connection *c) {
    errors++;
    close(c->fd);
    if (options.each && ++c->requests >= options.each) {
        c->state = FINISHED;
        finished++;
    } else {
        open_connection(c);
    }
}

static void send_request(struct connection *c) {
    if (c->state != SENDING) {
        c->state = SENDING;
        c->sent = 0;
        c->asked = clock_now();
    }
    ssize_t n = send(c->fd, request + c->sent, request_size - c->sent, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) {
        fail(c);
        return;
    }
    if (n > 0) c->sent += n;
    if (c->sent < request_size) {
        want(c, EPOLLOUT);
        return;
    }
    c->state = HEAD;
    c->head_size = c->payload = c->tail_size = 0;
    c->first = c->last = 0;
    c->newlines = 0;
    want(c, EPOLLIN);
}

static void next_request(struct connection *c, double now) {
    if (options.each && ++c->requests >= options.each) {
        c->state = FINISHED;
        finished++;
        close(c->fd);
    } else if (options.think > 0) {
        c->state = READY;
        c->due = now + options.think;
        c->later = NULL;
        *(last_thinking ? &last_thinking->later : &first_thinking) = c;
        last_thinking = c;
    } else {
        send_request(c);
    }
}

/* ---- receiving --------------------------------------------------------------------------------------------------------------- */

/* Counts the empty lines: one ends each event. */
static long count_events(struct connection *c, const char *data, size_t size) {
    long found = 0;
    const char *at = data, *end = data + size;
    while (at < end) {
        if (*at == '\n') {
            if (++c->newlines == 2) found++;
        } else if (*at != '\r') {
            c->newlines = 0;
            if (!(at = memchr(at, '\n', end - at))) break;
            continue;
        }
        at++;
    }
    return found;
}

static void keep_tail(struct connection *c, const char *data, size_t size) {
    if (size >= TAIL) {
        memcpy(c->tail, data + size - TAIL, TAIL);
        c->tail_size = TAIL;
        return;
    }
    size_t keep = c->tail_size + size > TAIL ? TAIL - size : c->tail_size;
    memmove(c->tail, c->tail + c->tail_size - keep, keep);
    memcpy(c->tail + keep, data, size);
    c->tail_size = keep + size;
}

static void take_payload(struct connection *c, const char *data, size_t size, double now) {
    if (!size) return;
    if (!c->first) c->first = c->last = now;
    c->payload += size;
    long found = c->is_stream ? count_events(c, data, size) : 0;
    keep_tail(c, data, size);
    if (!in_window(now)) return;
    bytes += size;
    events += found;
    if (now - c->last > gap_max) gap_max = now - c->last;
    c->last = now;
}

/* Takes body bytes; true when the body is complete. Sets `failed` when they cannot be read. */
static bool take_body(struct connection *c, const char *data, size_t size, double now) {
    if (c->framing == BY_CLOSE) take_payload(c, data, size, now);
    if (c->framing == BY_LENGTH) {
        size_t n = size < c->left ? size : c->left;
        take_payload(c, data, n, now);
        c->left -= n;
        c->failed |= n < size; /* we asked once: nothing may follow */
        return !c->left;
    }
    for (const char *end = data + size; c->framing == BY_CHUNKS && data < end;) {
        char byte = *data;
        switch (c->chunk) {
        case CHUNK_SIZE:
            if (byte >= '0' && byte <= '9') c->left = c->left * 16 + byte - '0';
            else if ((byte | 32) >= 'a' && (byte | 32) <= 'f') c->left = c->left * 16 + (byte | 32) - 'a' + 10;
            else if (byte == '\n') c->chunk = c->left ? CHUNK_DATA : TRAILER;
            else if (byte == '\r' || byte == ';' || byte == ' ') c->chunk = CHUNK_REST_OF_LINE;
            else c->failed = true;
            c->trailer_has_text = false;
            data++;
            break;
        case CHUNK_REST_OF_LINE:
            if (byte == '\n') c->chunk = c->left ? CHUNK_DATA : TRAILER;
            data++;
            break;
        case CHUNK_DATA: {
            size_t n = (size_t)(end - data) < c->left ? (size_t)(end - data) : c->left;
            take_payload(c, data, n, now);
            data += n;
            if (!(c->left -= n)) c->chunk = CHUNK_END;
            break;
        }
        case CHUNK_END:
            if (byte == '\n') c->chunk = CHUNK_SIZE;
            else if (byte != '\r') c->failed = true;
            data++;
            break;
        case TRAILER:
            data++;
            if (byte == '\n' && !c->trailer_has_text) {
                c->failed |= data < end;
                return true;
            }
            c->trailer_has_text = byte != '\n' && (byte != '\r' || c->trailer_has_text);
            break;
        }
        if (c->failed) return false;
    }
    return false;
}

static const char *header(struct connection *c, const char *name) {
    size_t length = strlen(name);
    for (const char *line = strstr(c->head, "\r\n"); line; line = strstr(line + 2, "\r\n"))
        if (!strncasecmp(line + 2, name, length) && line[2 + length] == ':') return line + 3 + length + strspn(line + 3 + length, " ");
    return NULL;
}

static bool starts(const char *value, const char *word) { return value && !strncasecmp(value, word, strlen(word)); }

/* Reads the head, whose last line is cut off already. */
static void read_head(struct connection *c) {
    const char *length = header(c, "content-length");
    c->status = strncmp(c->head, "HTTP/1.", 7) ? 0 : atoi(c->head + 9);
    c->failed = c->status < 200;
    c->closes = starts(header(c, "connection"), "close") || c->head[7] == '0';
    c->is_stream = starts(header(c, "content-type"), "text/event-stream");
    c->framing = starts(header(c, "transfer-encoding"), "chunked") ? BY_CHUNKS : length ? BY_LENGTH : BY_CLOSE;
    c->left = c->framing == BY_LENGTH ? strtoul(length, NULL, 10) : 0;
    c->chunk = CHUNK_SIZE;
}

static void answer_complete(struct connection *c, double now) {
    bool whole = !c->is_stream || memmem(c->tail, c->tail_size, options.terminator, strlen(options.terminator));
    bool exact = options.length < 0 || c->payload == (size_t)options.length;
    last_answer = now;
    if (c->status != 200) non200++;
    else if (!whole || !exact) errors++;
    else if (in_window(now)) {
        add(&latencies, now - c->asked);
        add(&first_bytes, c->first - c->asked);
    }
    if (c->closes || c->framing == BY_CLOSE) {
        close(c->fd);
        c->fd = -1;
        if (options.each && c->requests + 1 >= options.each) {
            c->requests++;
            c->state = FINISHED;
            finished++;
        } else {
            c->requests++;
            open_connection(c);
        }
        return;
    }
    next_request(c, now);
}

static void receive(struct connection *c) {
    ssize_t n = recv(c->fd, piece, sizeof piece, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    double now = clock_now();
    const char *data = piece;
    size_t size = n > 0 ? n : 0;
    if (n <= 0) {
        if (!n && c->state == BODY && c->framing == BY_CLOSE) answer_complete(c, now);
        else fail(c);
        return;
    }
    if (c->state == HEAD) {
        size_t before = c->head_size, room = MAX_HEAD - 1 - before, copied = size < room ? size : room;
        memcpy(c->head + before, data, copied);
        c->head_size += copied;
        char *end = memmem(c->head, c->head_size, "\r\n\r\n", 4);
        if (!end) {
            if (c->head_size == MAX_HEAD - 1) fail(c);
            return;
        }
        end[2] = 0; /* the copy ends here; the body is read from the piece */
        size_t from_piece = end + 4 - c->head - before;
        data += from_piece;
        size -= from_piece;
        read_head(c);
        c->state = BODY;
    }
    bool complete = c->failed ? false : take_body(c, data, size, now);
    if (c->failed) fail(c);
    else if (complete) answer_complete(c, now);
}

/* ---- the loop ---------------------------------------------------------------------------------------------------------------- */

static void handle(struct connection *c, uint32_t what) {
    int trouble = 0;
    socklen_t size = sizeof trouble;
    switch (c->state) {
    case CONNECTING:
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &trouble, &size);
        if (trouble || what & EPOLLERR) {
            fail(c);
            return;
        }
        c->state = READY;
        if (window_from) send_request(c);
        else want(c, 0);
        break;
    case SENDING:
        send_request(c);
        break;
    case HEAD:
    case BODY:
        receive(c);
        break;
    case READY: /* nothing was asked: it can only have been closed */
        if (window_from && what & (EPOLLIN | EPOLLHUP | EPOLLERR)) c->due = 0;
        break;
    case FINISHED:
        break;
    }
}

/* Waits for what happens until `until`, at most. */
static void poll_once(double until) {
    struct epoll_event ready[256];
    if (first_thinking && first_thinking->due < until) until = first_thinking->due;
    double wait = (until - clock_now()) * 1000;
    int n = epoll_wait(poller, ready, 256, wait > 0 ? (int)wait + 1 : 0);
    for (int i = 0; i < n; i++) handle(ready[i].data.ptr, ready[i].events);
    double now = first_thinking ? clock_now() : 0;
    while (first_thinking && first_thinking->due <= now) {
        struct connection *c = first_thinking;
        if (!(first_thinking = c->later)) last_thinking = NULL;
        send_request(c);
    }
}

static bool all_connected(void) {
    for (int i = 0; i < options.conns; i++)
        if (connections[i].state == CONNECTING) return false;
    return true;
}

static void run(void) {
    double started = clock_now(), hard_end = started + options.limit;
    for (int i = 0; i < options.conns; i++) open_connection(&connections[i]);
    while (!all_connected() && errors < MAX_FAILURES && clock_now() < hard_end) poll_once(hard_end);
    double begun = clock_now();
    window_from = begun + options.warmup;
    window_to = options.each ? hard_end : fmin(hard_end, window_from + options.secs);
    for (int i = 0; i < options.conns; i++)
        if (connections[i].state == READY) send_request(&connections[i]);
    while (clock_now() < window_to && finished < options.conns && errors + non200 < MAX_FAILURES) poll_once(window_to);
    if (options.each) window_to = last_answer > begun ? last_answer : clock_now();
}

/* ---- the report -------------------------------------------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The nearest rank, in milliseconds. */
static double percentile(struct series *s, double share) {
    if (!s->count) return 0;
    size_t rank = (size_t)ceil(share * s->count);
    return s->item[rank ? rank - 1 : 0] * 1000;
}

static void report(void) {
    double secs = window_to - window_from, sum = 0;
    if (secs <= 0) secs = 1e-9;
    for (size_t i = 0; i < latencies.count; i++) sum += latencies.item[i];
    if (latencies.count) qsort(latencies.item, latencies.count, sizeof(double), by_size);
    if (first_bytes.count) qsort(first_bytes.item, first_bytes.count, sizeof(double), by_size);
    long unfinished = options.each ? (long)options.conns * options.each - (long)latencies.count : 0;
    printf("{\"conns\": %d, \"secs\": %.4f, \"measured\": %zu, \"unfinished\": %ld, \"rps\": %.2f, ", options.conns, secs,
           latencies.count, unfinished, latencies.count / secs);
    printf("\"lat_ms\": {\"mean\": %.4f, \"p50\": %.4f, \"p90\": %.4f, \"p99\": %.4f, \"max\": %.4f}, ",
           latencies.count ? sum / latencies.count * 1000 : 0, percentile(&latencies, .5), percentile(&latencies, .9),
           percentile(&latencies, .99), percentile(&latencies, 1));
    printf("\"ttft_ms\": {\"p50\": %.4f, \"p90\": %.4f, \"p99\": %.4f}, ", percentile(&first_bytes, .5),
           percentile(&first_bytes, .9), percentile(&first_bytes, .99));
    printf("\"gapmax_ms\": %.3f, \"events\": %ld, \"events_s\": %.1f, \"bytes\": %ld, \"MB_s\": %.3f, ", gap_max * 1000, events,
           events / secs, bytes, bytes / secs / 1e6);
    printf("\"errors\": %ld, \"non200\": %ld, \"driver\": \"c\"}\n", errors, non200);
}

/* ---- the start --------------------------------------------------------------------------------------------------------------- */

static char *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (!file) die("cannot read the body");
    fseek(file, 0, SEEK_END);
    *size = ftell(file);
    rewind(file);
    char *data = malloc(*size + 1);
    if (!data || fread(data, 1, *size, file) != *size) die("cannot read the body");
    fclose(file);
    return data;
}

static void read_options(int argc, char **argv) {
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *name = argv[i], *value = argv[i + 1];
        if (!strcmp(name, "--host")) options.host = value;
        else if (!strcmp(name, "--port")) options.port = atoi(value);
        else if (!strcmp(name, "--conns")) options.conns = atoi(value);
        else if (!strcmp(name, "--secs")) options.secs = atof(value);
        else if (!strcmp(name, "--warmup")) options.warmup = atof(value);
        else if (!strcmp(name, "--each")) options.each = atoi(value);
        else if (!strcmp(name, "--limit")) options.limit = atof(value);
        else if (!strcmp(name, "--think-ms")) options.think = atof(value) / 1000;
        else if (!strcmp(name, "--path")) options.path = value;
        else if (!strcmp(name, "--body")) options.body = value;
        else if (!strcmp(name, "--terminator")) options.terminator = value;
        else if (!strcmp(name, "--length")) options.length = atol(value);
        else if (!strcmp(name, "--header")) {
            if (strlen(headers) + strlen(value) + 3 > sizeof headers) die("too many headers");
            strcat(strcat(headers, value), "\r\n");
        } else die("unknown option; see the top of lg.c");
    }
    if (argc % 2 == 0 || !options.port || !options.body) die("needs pairs of options, --port and --body among them");
    if (options.conns < 1 || options.conns > MAX_CONNS) die("--conns is out of range");
    if (inet_pton(AF_INET, options.host, &address.sin_addr) != 1 || ntohl(address.sin_addr.s_addr) >> 24 != 127)
        die("loopback only: --host must be an address in 127.0.0.0/8");
    address.sin_port = htons(options.port);
}

int main(int argc, char **argv) {
    size_t body_size, room = MAX_HEAD + 4096;
    read_options(argc, argv);
    char *body = read_file(options.body, &body_size);
    request = malloc(room + strlen(options.path) + body_size);
    connections = calloc(options.conns, sizeof *connections);
    if (!request || !connections) die("no memory");
    request_size = sprintf(request, "POST %s HTTP/1.1\r\nHost: %s:%d\r\n%sContent-Length: %zu\r\n\r\n", options.path, options.host,
                           options.port, headers, body_size);
    memcpy(request + request_size, body, body_size);
    request_size += body_size;
    poller = epoll_create1(EPOLL_CLOEXEC);
    alarm((unsigned)options.limit + 30);
    run();
    report();
    return 0;
}
