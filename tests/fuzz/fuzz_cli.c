/* The command line: each line of the input is a word. */
#include "fuzz.h"
#include "pgsweep/cli.h"

#ifndef FUZZ_LIBFUZZER
static const char *const fuzz_seeds[] = {
    "jobs\n--dry-run\n--retain\n30 days",
    "jobs\n-dpassword=x",
    "jobs\n--dbname=postgres://u:p@h/d",
    "init\n--role=x\n-e",
    "show\njobs\n--chunk=5",
    "list\n--policy-dir\nd",
    "-nqh\nx\n-p5432\njobs",
    "--help",
    "jobs\n--\n-x",
    NULL,
};
static const char *const fuzz_pieces[] = {
    "\n",
    "\n-",
    "\n--",
    "=",
    "-n",
    "--dry-run",
    "--dry",
    "--re",
    "-d",
    "-h",
    "-W",
    "-w",
    "-V",
    "--version",
    "--help",
    "\njobs",
    "\ninit",
    "\nshow",
    "--format=json",
    "--quiet",
    "-v",
    "--policy-dir",
    "\xff",
    NULL,
};
#endif

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = ERROR_INIT;
    struct cli_options options;
    void *ctx = talloc_new(NULL);
    char *rest = fuzz_text(ctx, data, size);
    char **argv = mem_array(ctx, char *, size + 3);
    int argc = 0;
    bool previews = false;
    argv[argc++] = mem_strdup(ctx, "pgsweep");
    while (rest) {
        char *end = strchr(rest, '\n');
        if (end)
            *end++ = '\0';
        argv[argc++] = mem_strdup(ctx, rest);
        rest = end;
    }
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        previews = previews || strcmp(argv[i], "--dry-run") == 0;
    if (cli_parse(argc, argv, &options, &err)) {
        HOLDS(!err.message);
        HOLDS(options.command == COMMAND_SWEEP || !options.dry_run ||
              options.command >= COMMAND_HELP);
        HOLDS((options.command == COMMAND_SWEEP || options.command == COMMAND_SHOW) ==
              (options.policy != NULL));
        HOLDS(!(options.quiet && options.verbose));
        /* Whoever wrote --dry-run does not get a live run. */
        HOLDS(options.command != COMMAND_SWEEP || !previews || options.dry_run);
        char *dbname = mem_strdup(ctx, options.dbname);
        cli_hide_password(ctx, &options);
        HOLDS(!dbname || strcmp(dbname, options.dbname) == 0);
    } else {
        fuzz_error(&err, SWEEP_USAGE);
    }
    talloc_free(ctx);
    return 0;
}
