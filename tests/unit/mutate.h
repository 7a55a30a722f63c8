/* Mutations of valid inputs for the short fuzz loops of the unit tests: the same on every machine.
 */
#ifndef PGSWEEP_TESTS_MUTATE_H
#define PGSWEEP_TESTS_MUTATE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* xorshift, never with a state of 0 */
static inline uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    return *state ^= *state << 5;
}

/* Changes up to four places of text (length bytes of room); returns the new length. */
static inline size_t mutate(char *text, size_t length, size_t room, uint32_t *state)
{
    static const char interesting[] = "<>&;%/?#@:.\"'+ \n[]!-=aS3";
    for (uint32_t n = next_random(state) % 4 + 1; n > 0 && length > 0; n--) {
        size_t at = next_random(state) % length;
        switch (next_random(state) % 5) {
        case 0:
            text[at] = (char)next_random(state);
            break;
        case 1:
            text[at] = interesting[next_random(state) % (sizeof interesting - 1)];
            break;
        case 2:
            memmove(text + at, text + at + 1, length - at - 1);
            length--;
            break;
        case 3:
            length = at;
            break;
        default: {
            size_t piece = next_random(state) % (length - at) + 1;
            if (length + piece < room) {
                memmove(text + at + piece, text + at, length - at);
                length += piece;
            }
        }
        }
    }
    return length;
}

#endif
