/* What every unit test program shares: a talloc context per test, and main. */
#ifndef PGSWEEP_TESTS_UNIT_H
#define PGSWEEP_TESTS_UNIT_H

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "pgsweep/error.h"
#include "pgsweep/mem.h"

static void *ctx;
static struct error err;

static void unit_setup(void)
{
    ctx = talloc_new(NULL);
    err = (struct error)ERROR_INIT;
}

static void unit_teardown(void)
{
    talloc_free(ctx);
    ctx = NULL;
    error_clear(&err);
}

static int unit_run(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

/* That text is part of the message, detail or hint. */
#define ck_says(part, text)                                                                        \
    do {                                                                                           \
        const char *in_ = (part), *what_ = (text);                                                 \
        ck_assert_msg(in_ &&strstr(in_, what_), "\"%s\" is not in: %s", what_,                     \
                      in_ ? in_ : "(nothing)");                                                    \
    } while (0)

#endif
