/*
 * Runs the object store module alone, for tests/integration/test_store_s3.py.
 *
 * usage: store_driver [requests [timeout_ms [backoff_ms [calls [pause_ms]]]]] < objects.json
 * The input is a JSON array of [bucket, key]; a bucket of null: the key is a value to resolve. The
 * same objects are deleted `calls` times, with a pause in between. The output is one JSON object:
 * setup, error, hint, describe, requests, deleted, results. The configuration comes from the
 * environment. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "pgsweep/clock.h"
#include "pgsweep/mem.h"
#include "pgsweep/stop.h"
#include "pgsweep/store.h"

static const char *const OUTCOMES[] = {"deleted", "retryable", "permanent", "stopped"};

static json_t *text_or_null(const char *text)
{
    return text ? json_string(text) : json_null();
}

static void run(void *ctx, const struct store_config *config, json_t *input, int calls,
                int pause_ms, json_t *output)
{
    struct error err = ERROR_INIT;
    struct store *store = NULL;
    size_t n = 0;
    struct store_object *objects = mem_array(ctx, struct store_object, json_array_size(input) + 1);
    json_t *foreign = json_array(), *results = json_array();
    for (size_t i = 0; i < json_array_size(input); i++) {
        json_t *pair = json_array_get(input, i);
        const char *bucket = json_string_value(json_array_get(pair, 0));
        const char *key = json_string_value(json_array_get(pair, 1));
        if (bucket) {
            objects[n++] = (struct store_object){bucket, key};
            continue;
        }
        struct store_location location = store_resolve(ctx, config, key);
        if (location.kind == STORE_OBJECT)
            objects[n++] = (struct store_object){location.bucket, location.key};
        else if (location.kind == STORE_FOREIGN)
            json_array_append_new(foreign, json_string(location.reason));
    }
    struct store_result *result = mem_array(ctx, struct store_result, n + 1);
    if (!store_new(ctx, config, &store, &err)) {
        error_print(&err);
        exit(1);
    }
    size_t deleted = 0;
    for (int call = 0; call < calls; call++) {
        clock_sleep_ms(call > 0 ? pause_ms : 0);
        deleted = store_delete(store, ctx, objects, n, result);
    }
    for (size_t i = 0; i < n; i++)
        json_array_append_new(results,
                              json_pack("{s:s, s:s, s:o, s:s}", "bucket", objects[i].bucket, "key",
                                        objects[i].key, "error", text_or_null(result[i].error),
                                        "outcome", OUTCOMES[result[i].outcome]));
    char *describe = store_config_describe(ctx, config);
    json_object_set_new(output, "describe", json_string(describe));
    json_object_set_new(output, "requests", json_integer((json_int_t)store_requests_sent(store)));
    json_object_set_new(output, "deleted", json_integer((json_int_t)deleted));
    json_object_set_new(output, "results", results);
    json_object_set_new(output, "foreign", foreign);
    talloc_free(store);
}

int main(int argc, char **argv)
{
    stop_install();
    void *ctx = talloc_new(NULL);
    struct error err = ERROR_INIT;
    struct store_config *config = NULL;
    struct store_options options = {.requests = argc > 1 ? atoi(argv[1]) : 0,
                                    .timeout_ms = argc > 2 ? atoi(argv[2]) : 0,
                                    .backoff_ms = argc > 3 ? atoi(argv[3]) : 0};
    json_t *input = json_loadf(stdin, JSON_ALLOW_NUL, NULL);
    json_t *output = json_object();
    enum store_setup setup = store_config_load(ctx, &options, &config, &err);
    static const char *const setups[] = {"ready", "not configured", "misconfigured"};
    json_object_set_new(output, "setup", json_string(setups[setup]));
    json_object_set_new(output, "error", text_or_null(err.message));
    json_object_set_new(output, "hint", text_or_null(err.hint));
    if (setup == STORE_READY)
        run(ctx, config, input, argc > 4 ? atoi(argv[4]) : 1, argc > 5 ? atoi(argv[5]) : 0, output);
    json_dumpf(output, stdout, 0);
    json_decref(output);
    json_decref(input);
    error_clear(&err);
    talloc_free(ctx);
    return 0;
}
