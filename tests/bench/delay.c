/* A longer network: runs a command with PGHOST and PGPORT pointing at a forwarder on this machine
 * that delivers everything so many milliseconds later, each way, and counts the round trips. It
 * delays and does not throttle: what is sent while earlier bytes are on their way travels with
 * them. delay MILLISECONDS COUNT-FILE COMMAND [ARG...] PGHOST (the directory of a socket) and
 * PGPORT name the server. The exit code is that of the command. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 16, READ_BYTES = 1 << 16, WAITING_MAX = 1 << 24 };

/* What was read at one time, on its way. */
struct piece {
    struct piece *next;
    int64_t due_ns;
    size_t size, sent;
    char data[];
};

/* One direction of a connection. */
struct way {
    int from, to;
    bool ended; /* nothing more comes */
    size_t waiting;
    struct piece *first, **last;
};

struct connection {
    bool open;
    bool answered; /* the server has answered since the client spoke last */
    struct way up, down;
};

/* All of it: this is a program of one loop. */
struct network {
    int64_t delay_ns;
    int listener;
    const char *socket; /* of the server */
    long round_trips;
    struct connection connections[CONNECTIONS_MAX];
};

static void die(const char *what)
{
    fprintf(stderr, "delay: %s: %s\n", what, strerror(errno));
    exit(2);
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int listen_somewhere(char *port, size_t size)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(fd, 8) != 0 || getsockname(fd, (struct sockaddr *)&address, &length) != 0)
        die("listen");
    snprintf(port, size, "%d", ntohs(address.sin_port));
    return fd;
}

static int connect_server(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        die(path);
    return fd;
}

static void way_open(struct way *way, int from, int to)
{
    *way = (struct way){.from = from, .to = to};
    way->last = &way->first;
}

static void way_close(struct way *way)
{
    while (way->first) {
        struct piece *piece = way->first;
        way->first = piece->next;
        free(piece);
    }
}

static void accept_one(struct network *network)
{
    int one = 1, client = accept4(network->listener, NULL, NULL, SOCK_CLOEXEC);
    if (client < 0)
        die("accept");
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    for (int i = 0; i < CONNECTIONS_MAX; i++) {
        struct connection *c = &network->connections[i];
        if (c->open)
            continue;
        int server = connect_server(network->socket);
        *c = (struct connection){.open = true, .answered = true};
        way_open(&c->up, client, server);
        way_open(&c->down, server, client);
        return;
    }
    close(client);
}

static void connection_close(struct connection *c)
{
    close(c->up.from);
    close(c->up.to);
    way_close(&c->up);
    way_close(&c->down);
    c->open = false;
}

/* Takes what has come; false: nothing more will. */
static bool way_read(struct way *way, int64_t delay_ns)
{
    struct piece *piece = malloc(sizeof *piece + READ_BYTES);
    if (!piece)
        die("memory");
    ssize_t got = recv(way->from, piece->data, READ_BYTES, MSG_DONTWAIT);
    if (got <= 0) {
        free(piece);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return true;
        way->ended = true;
        return false;
    }
    piece = realloc(piece, sizeof *piece + (size_t)got);
    piece->next = NULL;
    piece->due_ns = now_ns() + delay_ns;
    piece->size = (size_t)got;
    piece->sent = 0;
    *way->last = piece;
    way->last = &piece->next;
    way->waiting += piece->size;
    return true;
}

/* Delivers what has arrived by now. False: the other end is gone. *any: something was. */
static bool way_write(struct way *way, bool *any)
{
    while (way->first && way->first->due_ns <= now_ns()) {
        struct piece *piece = way->first;
        ssize_t sent = send(way->to, piece->data + piece->sent, piece->size - piece->sent,
                            MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0)
            return errno == EAGAIN || errno == EINTR;
        *any = true;
        piece->sent += (size_t)sent;
        if (piece->sent < piece->size)
            return true;
        way->waiting -= piece->size;
        way->first = piece->next;
        if (!way->first)
            way->last = &way->first;
        free(piece);
    }
    return true;
}

/* True if the connection stays. */
static bool serve(struct network *network, struct connection *c, bool up_ready, bool down_ready)
{
    bool any = false, delivered = false;
    if (up_ready && way_read(&c->up, network->delay_ns) && c->answered) {
        network->round_trips++;
        c->answered = false;
    }
    if (down_ready)
        way_read(&c->down, network->delay_ns);
    if (!way_write(&c->up, &any) || !way_write(&c->down, &delivered))
        return false;
    c->answered = c->answered || delivered;
    /* An end travels as what came before it does. */
    return !(c->up.ended && !c->up.first) && !(c->down.ended && !c->down.first);
}

static void watch(struct pollfd *fd, const struct way *way)
{
    bool wants = !way->ended && way->waiting < WAITING_MAX;
    *fd = (struct pollfd){.fd = wants ? way->from : -1, .events = POLLIN};
}

static void note_due(const struct way *way, int64_t *next)
{
    if (way->first && (*next < 0 || way->first->due_ns < *next))
        *next = way->first->due_ns;
}

/* Forwards until the command has ended: then nobody has the other end of its pipe any more. */
static void run(struct network *network, int ended)
{
    enum { LISTENER, ENDED, FIRST };
    for (;;) {
        struct pollfd fds[FIRST + 2 * CONNECTIONS_MAX];
        int64_t next = -1;
        fds[LISTENER] = (struct pollfd){.fd = network->listener, .events = POLLIN};
        fds[ENDED] = (struct pollfd){.fd = ended, .events = POLLIN};
        for (int i = 0; i < CONNECTIONS_MAX; i++) {
            const struct connection *c = &network->connections[i];
            const struct way none = {.ended = true};
            watch(&fds[FIRST + 2 * i], c->open ? &c->up : &none);
            watch(&fds[FIRST + 2 * i + 1], c->open ? &c->down : &none);
            if (c->open) {
                note_due(&c->up, &next);
                note_due(&c->down, &next);
            }
        }
        int64_t wait = next < 0 ? -1 : next > now_ns() ? next - now_ns() : 0;
        struct timespec timeout = {.tv_sec = wait / 1000000000, .tv_nsec = wait % 1000000000};
        if (ppoll(fds, FIRST + 2 * CONNECTIONS_MAX, wait < 0 ? NULL : &timeout, NULL) < 0 &&
            errno != EINTR)
            die("poll");
        for (int i = 0; i < CONNECTIONS_MAX; i++)
            if (network->connections[i].open &&
                !serve(network, &network->connections[i], fds[FIRST + 2 * i].revents != 0,
                       fds[FIRST + 2 * i + 1].revents != 0))
                connection_close(&network->connections[i]);
        if (fds[LISTENER].revents)
            accept_one(network);
        if (fds[ENDED].revents)
            return;
    }
}

/* The command inherits one end of a pipe; its last process closes it. */
static pid_t start(char *const *command, const char *port)
{
    pid_t parent = getpid(), pid = fork();
    if (pid < 0)
        die("fork");
    if (pid > 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(2);
    setenv("PGHOST", "127.0.0.1", 1);
    setenv("PGPORT", port, 1);
    execvp(command[0], command);
    die(command[0]);
    return -1;
}

int main(int argc, char **argv)
{
    struct network *network = calloc(1, sizeof *network);
    const char *host = getenv("PGHOST"), *server_port = getenv("PGPORT");
    char port[16], path[120];
    int pipes[2], status = 0;
    if (argc < 4 || !network || !host || !server_port) {
        fprintf(stderr,
                "usage: delay MILLISECONDS COUNT-FILE COMMAND [ARG...], with PGHOST and PGPORT\n");
        return 2;
    }
    snprintf(path, sizeof path, "%s/.s.PGSQL.%s", host, server_port);
    network->delay_ns = (int64_t)(atof(argv[1]) * 1e6);
    network->socket = path;
    network->listener = listen_somewhere(port, sizeof port);
    if (pipe(pipes) != 0 || fcntl(pipes[0], F_SETFD, FD_CLOEXEC) != 0)
        die("pipe");
    pid_t pid = start(argv + 3, port);
    close(pipes[1]);
    prctl(PR_SET_TIMERSLACK, 1UL);
    run(network, pipes[0]);
    if (waitpid(pid, &status, 0) < 0)
        die("wait");
    FILE *count = fopen(argv[2], "w");
    if (!count || fprintf(count, "%ld\n", network->round_trips) < 0 || fclose(count) != 0)
        die(argv[2]);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 2;
}
