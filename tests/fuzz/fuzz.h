/*
 * A fuzz test of one parser: LLVMFuzzerTestOneInput, which libFuzzer can drive (clang
 * -fsanitize=fuzzer -DFUZZ_LIBFUZZER), and else a main of its own that mutates the seeds, always in
 * the same way, for FUZZ_ROUNDS rounds or FUZZ_SECONDS seconds, whichever ends first. A failing
 * input is written to ./fuzz-failure and named; "PROGRAM FILE" tries one again. */
#ifndef PGSWEEP_TESTS_FUZZ_H
#define PGSWEEP_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pgsweep/error.h"
#include "pgsweep/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must hold. abort() is what both drivers and the sanitizers notice. */
#define HOLDS(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);         \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* The input as a string of its own size, so that a read behind its end is seen. */
static inline char *fuzz_text(const void *ctx, const uint8_t *data, size_t size)
{
    char *text = mem_array(ctx, char, size + 1);
    memcpy(text, data, size);
    return text;
}

/* An error must say something, and something that error_print can print. */
static inline void fuzz_error(struct error *err, enum exit_code code)
{
    HOLDS(err->message && *err->message && err->code == code);
    error_clear(err);
}

#ifndef FUZZ_LIBFUZZER
#include <signal.h>
#include <time.h>
#include <unistd.h>

/* Given by each test: where to start from, and pieces worth inserting. End with NULL. */
static const char *const fuzz_seeds[];
static const char *const fuzz_pieces[];

enum { FUZZ_MAX = 4096 };
static uint8_t fuzz_input[FUZZ_MAX];
static size_t fuzz_size;
static uint64_t fuzz_state = 0x9e3779b97f4a7c15u;

/* xorshift64*, so that each run of each build sees the same inputs. */
static size_t fuzz_random(size_t below)
{
    fuzz_state ^= fuzz_state >> 12;
    fuzz_state ^= fuzz_state << 25;
    fuzz_state ^= fuzz_state >> 27;
    return (size_t)((fuzz_state * 0x2545f4914f6cdd1du) >> 33) % below;
}

static void fuzz_insert(size_t at, const void *what, size_t length)
{
    if (fuzz_size + length > FUZZ_MAX)
        return;
    memmove(fuzz_input + at + length, fuzz_input + at, fuzz_size - at);
    memcpy(fuzz_input + at, what, length);
    fuzz_size += length;
}

static size_t fuzz_count(const char *const *list)
{
    size_t n = 0;
    while (list[n])
        n++;
    return n;
}

static void fuzz_mutate(void)
{
    size_t at = fuzz_random(fuzz_size + 1);
    size_t left = fuzz_size - at;
    uint8_t byte = (uint8_t)fuzz_random(256);
    const char *piece;
    switch (fuzz_random(6)) {
    case 0: /* a byte becomes another */
        if (left)
            fuzz_input[at] = byte;
        break;
    case 1: /* some go */
        if (left) {
            size_t gone = 1 + fuzz_random(left < 8 ? left : 8);
            memmove(fuzz_input + at, fuzz_input + at + gone, left - gone);
            fuzz_size -= gone;
        }
        break;
    case 2: /* some are repeated */
        if (left) {
            uint8_t copy[32];
            size_t length = 1 + fuzz_random(left < sizeof copy ? left : sizeof copy);
            memcpy(copy, fuzz_input + at, length);
            fuzz_insert(fuzz_random(fuzz_size + 1), copy, length);
        }
        break;
    case 3:
        fuzz_insert(at, &byte, 1);
        break;
    default:
        piece = fuzz_pieces[fuzz_random(fuzz_count(fuzz_pieces))];
        fuzz_insert(at, piece, strlen(piece));
    }
}

static void fuzz_failed(int signal)
{
    FILE *file = fopen("fuzz-failure", "wb");
    if (file) {
        fwrite(fuzz_input, 1, fuzz_size, file);
        fclose(file);
    }
    (void)signal;
    _exit(1);
}

static int fuzz_one_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return EXIT_FAILURE;
    fuzz_size = fread(fuzz_input, 1, FUZZ_MAX, file);
    fclose(file);
    return LLVMFuzzerTestOneInput(fuzz_input, fuzz_size);
}

int main(int argc, char **argv)
{
    const char *rounds_text = getenv("FUZZ_ROUNDS"), *seconds_text = getenv("FUZZ_SECONDS");
    long rounds = rounds_text ? atol(rounds_text) : 100000;
    time_t end = time(NULL) + (seconds_text ? atol(seconds_text) : 3);
    size_t seeds = fuzz_count(fuzz_seeds);
    long round = 0;
    if (argc > 1)
        return fuzz_one_file(argv[1]);
    signal(SIGABRT, fuzz_failed);
    for (; round < rounds && (round % 256 || time(NULL) < end); round++) {
        const char *seed = fuzz_seeds[(size_t)round % seeds];
        fuzz_size = strlen(seed);
        memcpy(fuzz_input, seed, fuzz_size);
        /* The seeds themselves first; then a few changes, now and then many. */
        size_t changes = (size_t)round < seeds ? 0
                         : fuzz_random(16)     ? 1 + fuzz_random(6)
                                               : fuzz_random(60);
        for (size_t i = 0; i < changes; i++)
            fuzz_mutate();
        LLVMFuzzerTestOneInput(fuzz_input, fuzz_size);
    }
    printf("%ld inputs\n", round);
    return round >= (long)seeds ? EXIT_SUCCESS : EXIT_FAILURE;
}
#endif
#endif
