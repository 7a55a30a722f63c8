/* Start, run one command, exit code. */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "pgsweep/command.h"
#include "pgsweep/mem.h"
#include "pgsweep/stop.h"

static int run(const struct cli_options *options, struct error *err)
{
    switch (options->command) {
    case COMMAND_INIT:
        return command_init(options, err);
    case COMMAND_LIST:
        return command_list(options, err);
    case COMMAND_SHOW:
        return command_show(options, err);
    case COMMAND_DLQ:
        return command_dlq(options, err);
    case COMMAND_OBJECTS:
        return command_objects(options, err);
    case COMMAND_GRANTS:
        return command_grants(options, err);
    case COMMAND_COMPLETION:
        return cli_print_completion(options->verb, stdout, err) ? SWEEP_OK : (int)err->code;
    case COMMAND_HELP:
        return command_help(options, err);
    case COMMAND_VERSION:
        puts("pgsweep " PGSWEEP_VERSION);
        return SWEEP_OK;
    default:
        return command_sweep(options, err);
    }
}

/* A standard stream that is closed would become the database connection's descriptor, and what is
 * printed would be sent to the server. Opened the wrong way round, so that its use still fails. */
static void hold_standard_streams(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) == -1 &&
            open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
            exit(SWEEP_INTERNAL);
}

/* Whoever read a listing had enough of it: "| head". */
static bool reader_left(void)
{
    struct pollfd out = {.fd = STDOUT_FILENO};
    return poll(&out, 1, 0) == 1 && (out.revents & POLLERR);
}

int main(int argc, char **argv)
{
    hold_standard_streams();
    struct cli_options options;
    void *ctx = mem_check(talloc_new(NULL));
    struct error err = ERROR_INIT;
    int code;
    if (cli_parse(argc, argv, &options, &err)) {
        cli_hide_password(ctx, &options);
        code = run(&options, &err);
    } else {
        code = (int)err.code;
    }
    if (err.message)
        error_print(&err);
    error_clear(&err);
    talloc_free(ctx);
    /* A report that could not be written (a full disk, a closed pipe) must not look like success.
     */
    bool sweeps = options.command == COMMAND_SWEEP;
    if ((fflush(stdout) != 0 || ferror(stdout)) && code == SWEEP_OK && (sweeps || !reader_left())) {
        fputs("pgsweep: error: the report could not be written to standard output\n", stderr);
        code = SWEEP_SOME_FAILED;
    }
    if (stop_requested()) {
        /* A thread that a signal left waiting for the network may use what exit would clean up. */
        fflush(NULL);
        _exit(code);
    }
    return code;
}
