/* The handle of the state schema: what a run keeps of it from one statement to the next. */
#include "internal.h"
#include "pgsweep/mem.h"

struct state *state_open(const void *ctx, struct gate *gate)
{
    struct state *state = mem_new(ctx, struct state);
    state->gate = gate;
    state->db = gate_db(gate);
    run_statements(state);
    letter_statements(state);
    lease_begin(state);
    return state;
}

struct gate *state_gate(const struct state *state)
{
    return state->gate;
}

struct db *state_db(const struct state *state)
{
    return state->db;
}
