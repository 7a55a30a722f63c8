/* Start, run one command, exit code. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "pgsweep/command.h"

static int run(const struct cli_options *options, struct error *err)
{
    switch (options->command) {
    case COMMAND_INIT:
        return command_init(options, err);
    case COMMAND_LIST:
        return command_list(options, err);
    case COMMAND_SHOW:
        return command_show(options, err);
    case COMMAND_HELP:
        return command_help(options, err);
    case COMMAND_VERSION:
        puts("pgsweep " PGSWEEP_VERSION);
        return SWEEP_OK;
    default:
        return command_sweep(options, err);
    }
}

/* A standard stream that was closed must not become the connection to the server. Standard output is
 * filled so that writing to it still fails: a report that nobody gets is an error. */
static void fill_standard_streams(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDONLY);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

int main(int argc, char **argv)
{
    fill_standard_streams();
    struct cli_options options;
    struct error err = ERROR_INIT;
    int code = cli_parse(argc, argv, &options, &err) ? run(&options, &err) : (int)err.code;
    if (err.message)
        error_print(&err);
    error_clear(&err);
    /* A report that could not be written (a full disk, a closed pipe) must not look like success. */
    if ((fflush(stdout) != 0 || ferror(stdout)) && code == SWEEP_OK) {
        fputs("pgsweep: error: the report could not be written to standard output\n", stderr);
        code = SWEEP_SOME_FAILED;
    }
    return code;
}
