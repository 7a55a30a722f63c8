/* One function per command: what main runs. Each returns the exit code; where it is not SWEEP_OK
 * and err has a message, main prints it. */
#ifndef PGSWEEP_COMMAND_H
#define PGSWEEP_COMMAND_H

#include "pgsweep/cli.h"
#include "pgsweep/error.h"

int command_sweep(const struct cli_options *options, struct error *err);
int command_init(const struct cli_options *options, struct error *err);
int command_list(const struct cli_options *options, struct error *err);
int command_show(const struct cli_options *options, struct error *err);
int command_dlq(const struct cli_options *options, struct error *err);
int command_objects(const struct cli_options *options, struct error *err);
int command_grants(const struct cli_options *options, struct error *err);
int command_help(const struct cli_options *options, struct error *err);

#endif
