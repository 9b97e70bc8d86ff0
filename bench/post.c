/* A load of HTTP requests that are all the same: counts of statuses, latencies, and no request left without its end.
 *
 *     post ADDRESS PORT FILE CONNECTIONS SECONDS [RATE]
 *
 * FILE holds one whole request. Without RATE each connection sends the next one after an answer. With RATE, so many
 * requests a second are due in all; the time of one counts from when it was due, also if no connection was free.
 * When the time is over, what is open is waited for, so that the counts can be compared with what a topic holds.
 * Prints a line of JSON. Only answers with Content-Length are understood. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { STATUSES = 600, PATIENCE = 30 };

struct connection {
    int socket;
    int busy;
    size_t sent, got;
    double since;
    char answer[16 * 1024];
};

static struct sockaddr_in server;
static char *request;
static size_t length;
static int epoll;
static long statuses[STATUSES], unanswered;
static uint32_t *times;
static size_t count, room;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

/* Whether the connection is being made: a server that is gone is asked again later. */
static int reach(struct connection *c) {
    c->socket = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (c->socket < 0) die("socket");
    int one = 1;
    setsockopt(c->socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(c->socket, (struct sockaddr *)&server, sizeof server) < 0 && errno != EINPROGRESS) {
        close(c->socket);
        c->socket = -1;
        return 0;
    }
    struct epoll_event event = {EPOLLIN | EPOLLOUT | EPOLLET, {.ptr = c}};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->socket, &event) < 0) die("epoll_ctl");
    return 1;
}

static void lose(struct connection *c) {
    close(c->socket);
    c->socket = -1;
    if (c->busy) unanswered++;
    c->busy = 0;
}

static void send_more(struct connection *c) {
    while (c->busy && c->sent < length) {
        ssize_t n = send(c->socket, request + c->sent, length - c->sent, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno != EAGAIN && errno != ENOTCONN && errno != EINTR) lose(c);
            return;
        }
        c->sent += n;
    }
}

static void begin(struct connection *c, double due) {
    c->busy = 1;
    c->sent = c->got = 0;
    c->since = due;
    if (c->socket >= 0 || reach(c)) {
        send_more(c);
    } else {
        unanswered++;
        c->busy = 0;
    }
}

/* The length of the whole answer; 0 where its head is not there yet. */
static size_t whole(struct connection *c) {
    c->answer[c->got] = 0;
    char *end = strstr(c->answer, "\r\n\r\n");
    if (!end) return 0;
    char *line = strcasestr(c->answer, "\r\ncontent-length:");
    if (!line || line > end) {
        fprintf(stderr, "an answer without a length:\n%s\n", c->answer);
        exit(1);
    }
    return end + 4 - c->answer + strtoul(line + 17, NULL, 10);
}

static void read_more(struct connection *c) {
    for (;;) {
        ssize_t n = recv(c->socket, c->answer + c->got, sizeof c->answer - 1 - c->got, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (n <= 0) {
            lose(c);
            return;
        }
        c->got += n;
        size_t all = whole(c);
        if (all >= sizeof c->answer) die("an answer of more than 16 KiB");
        if (!all || c->got < all) continue;
        int status = atoi(c->answer + 9);
        statuses[status > 0 && status < STATUSES ? status : 0]++;
        if (count == room) {
            room = room ? 2 * room : 1 << 16;
            times = realloc(times, room * sizeof *times);
            if (!times) die("realloc");
        }
        times[count++] = (now() - c->since) * 1e6;
        c->busy = 0;
        if (strcasestr(c->answer, "\r\nconnection: close")) lose(c);
        return;
    }
}

static int ascending(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static uint32_t at(double part) {
    return count ? times[(size_t)(part * (count - 1))] : 0;
}

int main(int argc, char **argv) {
    if (argc < 6) {
        fprintf(stderr, "usage: post ADDRESS PORT FILE CONNECTIONS SECONDS [RATE]\n");
        return 2;
    }
    server.sin_family = AF_INET;
    server.sin_port = htons(atoi(argv[2]));
    if (inet_pton(AF_INET, argv[1], &server.sin_addr) != 1) die("an IPv4 address");
    FILE *file = fopen(argv[3], "rb");
    if (!file) die(argv[3]);
    request = malloc(16 << 20);
    length = fread(request, 1, 16 << 20, file);
    int connections = atoi(argv[4]);
    double seconds = atof(argv[5]), rate = argc > 6 ? atof(argv[6]) : 0;
    struct connection *all = calloc(connections, sizeof *all);
    epoll = epoll_create1(0);
    for (int i = 0; i < connections; i++) all[i].socket = -1;
    double start = now(), end = start + seconds, t = start;
    long due = 0;
    int next = 0;
    for (;;) {
        t = now();
        int open = 0;
        if (t < end) {
            /* Those that are free, in turn. */
            for (int i = 0; i < connections; i++) {
                struct connection *c = &all[(next + i) % connections];
                if (c->busy) continue;
                double when = rate ? start + due / rate : t;
                if (when > t) break;
                due++;
                begin(c, when);
            }
            next = (next + 1) % connections;
        }
        for (int i = 0; i < connections; i++) open += all[i].busy;
        if (t >= end && (!open || t >= end + PATIENCE)) break;
        struct epoll_event events[256];
        /* To the next one that is due, to the nanosecond: a millisecond would be in the latencies. */
        double left = rate && t < end ? start + due / rate - now() : 0.02;
        struct timespec wait = {0, left <= 0 ? (open < connections ? 0 : 1000000) : left >= 0.02 ? 20000000 : left * 1e9};
        int n = epoll_pwait2(epoll, events, 256, &wait, NULL);
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            if (c->socket >= 0 && events[i].events & EPOLLOUT) send_more(c);
            if (c->socket >= 0 && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) read_more(c);
        }
    }
    for (int i = 0; i < connections; i++) unanswered += all[i].busy;
    qsort(times, count, sizeof *times, ascending);
    printf("{\"seconds\":%.3f,\"unanswered\":%ld,\"p50\":%u,\"p99\":%u,\"p999\":%u,\"max\":%u,\"statuses\":{", t - start,
                  unanswered, at(0.5), at(0.99), at(0.999), at(1));
    const char *comma = "";
    for (int status = 0; status < STATUSES; status++) {
        if (!statuses[status]) continue;
        printf("%s\"%d\":%ld", comma, status, statuses[status]);
        comma = ",";
    }
    printf("}}\n");
    return 0;
}
