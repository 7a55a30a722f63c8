/* A distance between a client and a server, for measurements: what is sent arrives so many microseconds
 * later, each way, and nothing waits for anything else.
 *     latency MICROSECONDS SERVER-SOCKET COMMAND [ARG...]
 * runs COMMAND with PGHOST and PGPORT so that its connections go to the server's unix socket
 * (/tmp/dir/.s.PGSQL.5432) with that delay; exits as the command does. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PIPES_MAX = 256, READ_BYTES = 65536, QUEUED_MAX = 16 << 20 };

/* Bytes on their way. */
struct parcel {
    struct parcel *next;
    int64_t due_ns;
    size_t size, sent;
    char bytes[];
};

/* One direction of one connection. */
struct pipe {
    int from, to;
    int closed; /* from has no more */
    size_t queued;
    struct parcel *first, **last;
};

static struct pipe pipes[PIPES_MAX];
static int pipe_count;
static volatile sig_atomic_t ended;

static void on_child(int number)
{
    (void)number;
    ended = 1;
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void fail(const char *what)
{
    perror(what);
    exit(125);
}

static void add_pipe(int from, int to)
{
    if (pipe_count == PIPES_MAX)
        fail("latency: too many connections");
    struct pipe *p = &pipes[pipe_count++];
    *p = (struct pipe){.from = from, .to = to};
    p->last = &p->first;
}

static void connect_pair(int listener, const char *path)
{
    int client = accept(listener, NULL, NULL);
    int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int one = 1;
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    if (client < 0 || server < 0 ||
        connect(server, (struct sockaddr *)&address, sizeof address) != 0) {
        perror("latency: connect");
        close(client);
        close(server);
        return;
    }
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    add_pipe(client, server);
    add_pipe(server, client);
}

static void take(struct pipe *p, int64_t delay_ns)
{
    struct parcel *parcel = malloc(sizeof *parcel + READ_BYTES);
    if (!parcel)
        fail("latency");
    ssize_t n = recv(p->from, parcel->bytes, READ_BYTES, 0);
    if (n <= 0) {
        p->closed = 1;
        free(parcel);
        return;
    }
    parcel->next = NULL;
    parcel->due_ns = now_ns() + delay_ns;
    parcel->size = (size_t)n;
    parcel->sent = 0;
    p->queued += parcel->size;
    *p->last = parcel;
    p->last = &parcel->next;
}

static void deliver(struct pipe *p, int64_t now)
{
    while (p->first && p->first->due_ns <= now) {
        struct parcel *parcel = p->first;
        ssize_t n = send(p->to, parcel->bytes + parcel->sent, parcel->size - parcel->sent,
                         MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n > 0)
            parcel->sent += (size_t)n;
        if (n >= 0 && parcel->sent < parcel->size)
            return;
        p->queued -= parcel->size;
        p->first = parcel->next;
        if (!p->first)
            p->last = &p->first;
        free(parcel);
    }
    if (p->closed == 1 && !p->first) {
        shutdown(p->to, SHUT_WR);
        p->closed = 2;
    }
}

/* Waits until something can be read, or is due. */
static void turn(int listener, const char *path, int64_t delay_ns)
{
    struct pollfd polled[PIPES_MAX + 1] = {{.fd = listener, .events = POLLIN}};
    int64_t wait = INT64_C(1000000000), now = now_ns();
    for (int i = 0; i < pipe_count; i++) {
        struct pipe *p = &pipes[i];
        deliver(p, now);
        polled[i + 1].fd = p->closed || p->queued > QUEUED_MAX ? -1 : p->from;
        polled[i + 1].events = POLLIN;
        if (p->first && p->first->due_ns - now < wait)
            wait = p->first->due_ns > now ? p->first->due_ns - now : 100000;
    }
    struct timespec timeout = {.tv_sec = wait / 1000000000, .tv_nsec = wait % 1000000000};
    int count = pipe_count;
    if (ppoll(polled, (nfds_t)count + 1, &timeout, NULL) <= 0)
        return;
    for (int i = 0; i < count; i++)
        if (polled[i + 1].revents)
            take(&pipes[i], delay_ns);
    if (polled[0].revents)
        connect_pair(listener, path);
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: latency MICROSECONDS SERVER-SOCKET COMMAND [ARG...]\n");
        return 125;
    }
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in here = {.sin_family = AF_INET};
    socklen_t size = sizeof here;
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener, (struct sockaddr *)&here, size) != 0 || listen(listener, 64) != 0 ||
        getsockname(listener, (struct sockaddr *)&here, &size) != 0)
        fail("latency: listen");
    char port[16];
    snprintf(port, sizeof port, "%d", ntohs(here.sin_port));
    signal(SIGCHLD, on_child);
    pid_t child = fork();
    if (child == 0) {
        setenv("PGHOST", "127.0.0.1", 1);
        setenv("PGPORT", port, 1);
        execvp(argv[3], argv + 3);
        fail(argv[3]);
    }
    while (!ended)
        turn(listener, argv[2], strtoll(argv[1], NULL, 10) * 1000);
    int status;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
