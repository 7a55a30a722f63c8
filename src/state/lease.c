/* Locks with names, which one run holds at a time. Where the server's session is ours alone, an
 * advisory lock of the session says so: it ends with it. Through a pooler there is no such session:
 * a row of pgsweep.locks names the holder for as long as its lease lasts, every transaction of the
 * holder that may write renews it, and locks the row. Either looks at both. */
#define _GNU_SOURCE
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "internal.h"
#include "pgsweep/clock.h"
#include "pgsweep/db_sqlstate.h"
#include "pgsweep/mem.h"
#include "pgsweep/stop.h"
#include "pgsweep/template.h"

static const char LOCK[] = "sql/lock.sql";
#define LEASE "60 s"

/* "pgsw" in the upper half, a hash of the name in the lower (FNV-1a, 32 bits). */
int64_t run_lock_key(const char *name)
{
    uint32_t hash = 2166136261u;
    for (const char *p = name; *p; p++)
        hash = (hash ^ (uint32_t)(unsigned char)*p) * 16777619u;
    return (int64_t)(((uint64_t)0x70677377u << 32) | hash);
}

static struct db_statement lock_statement(const void *ctx, const char *name)
{
    return (struct db_statement){.name = mem_printf(ctx, "lock_%s", name),
                                 .sql = template_fill(ctx, LOCK, name, NULL),
                                 .why = template_why(ctx, LOCK, name)};
}

/* A name for this holder that no other one has. */
static char *new_token(const void *ctx)
{
    uint64_t noise[2] = {0, 0};
    if (getrandom(noise, sizeof noise, 0) != (ssize_t)sizeof noise) {
        noise[0] = (uint64_t)clock_now_us();
        noise[1] = (uint64_t)getpid();
    }
    return mem_printf(ctx, "%016llx%016llx", (unsigned long long)noise[0],
                      (unsigned long long)noise[1]);
}

/* From now on every transaction that may write begins with the look at the names that are held. */
static void watch(struct state *state)
{
    struct lease *lease = &state->lease;
    struct db_step step = {.statement = &lease->keep, .nparams = 3, .params = lease->params};
    talloc_free(lease->names_text);
    lease->names_text = db_array(state, lease->names, lease->count);
    lease->params[0] = lease->token;
    lease->params[1] = lease->names_text;
    lease->params[2] = LEASE;
    db_set_opening(state->db, lease->count > 0 && db_is_pooled(state->db) ? &step : NULL);
}

void lease_begin(struct state *state)
{
    struct lease *lease = &state->lease;
    lease->token = new_token(state);
    lease->enter = lock_statement(state, "enter");
    lease->row = lock_statement(state, "row");
    lease->look = lock_statement(state, "look");
    lease->occupy = lock_statement(state, "occupy");
    lease->occupy_own = lock_statement(state, "occupy_own");
    lease->keep = lock_statement(state, "keep");
    lease->release = lock_statement(state, "release");
    lease->release_one = lock_statement(state, "release_one");
    lease->unlock = (struct db_statement){
        .name = "unlock", .sql = template_fill(state, "sql/session.sql", "unlock", NULL)};
}

static void forget_name(struct lease *lease, const char *name)
{
    size_t kept = 0;
    for (size_t i = 0; i < lease->count; i++)
        if (strcmp(lease->names[i], name) != 0)
            lease->names[kept++] = lease->names[i];
    lease->count = kept;
}

/* What the row and the sessions say about a name. */
static void read_facts(const void *ctx, const struct db_rows *rows, struct lease_facts *facts)
{
    *facts = (struct lease_facts){.holder = ""};
    if (db_rows_count(rows) == 0)
        return;
    facts->holder = mem_strdup(ctx, db_rows_get(rows, 0, 0));
    facts->application = mem_strdup(ctx, db_rows_get(rows, 0, 1));
    facts->host = mem_strdup(ctx, db_rows_get(rows, 0, 2));
    facts->role = mem_strdup(ctx, db_rows_get(rows, 0, 3));
    facts->since = mem_strdup(ctx, db_rows_get(rows, 0, 4));
    facts->expires = mem_strdup(ctx, db_rows_get(rows, 0, 5));
    facts->leased = db_rows_bool(rows, 0, 6);
    facts->ends_in_ms = db_rows_int(rows, 0, 7);
    facts->at_work = db_rows_bool(rows, 0, 8);
    facts->session = db_rows_bool(rows, 0, 9);
}

enum lease_verdict lease_decide(const struct lease_facts *facts, const char *token,
                                const char *before)
{
    if (facts->session)
        return LEASE_OF_SESSION;
    bool ours = strcmp(facts->holder, token) == 0 ||
                (before && facts->application && strcmp(facts->application, before) == 0);
    if (ours && !facts->locked)
        return LEASE_FREE;
    if (facts->locked || (facts->leased && (facts->ends_in_ms > 0 || facts->at_work)))
        return LEASE_HELD;
    return LEASE_FREE;
}

/* Looks without locking anything. */
static bool look(struct state *state, const void *ctx, const char *const *params,
                 struct lease_facts *facts, struct error *err)
{
    struct db_rows *rows;
    if (!db_execute(state->db, ctx, &state->lease.look, 2, params, &rows, err))
        return false;
    read_facts(ctx, rows, facts);
    return true;
}

/* The row is locked by another session: of the holder, or of another run that looks at it. */
static bool look_only(struct state *state, const void *ctx, const char *const *params,
                      struct lease_facts *facts, struct error *err)
{
    db_rollback(state->db);
    if (!sqlstate_is(err, SQLSTATE_LOCK_NOT_AVAILABLE))
        return false;
    error_clear(err);
    facts->locked = true;
    bool ok = look(state, ctx, params, facts, err);
    facts->locked = true;
    return ok;
}

/* What attempts need to know. */
struct claim {
    const char *params[2]; /* of the look: name and advisory key */
    const char *token;     /* of the holder that we are to become */
    const char *before; /* application name of this run before it was cut off; NULL: it was not */
    char host[256];
};

/* Through a pooler. With the row locked it is looked at what it says, and whether a session has the
 * advisory lock; a run that is to have that one looks at the row afterwards. */
static bool occupy(struct state *state, const void *ctx, const struct claim *claim,
                   struct lease_facts *facts, bool *got, struct error *err)
{
    const struct lease *lease = &state->lease;
    struct db_step looks[] = {
        {.statement = &db_begin},
        {.statement = &lease->enter, .nparams = 1, .params = claim->params},
        {.statement = &lease->row, .nparams = 1, .params = claim->params},
        {.statement = &lease->look, .nparams = 2, .params = claim->params},
    };
    const char *params[] = {claim->params[0], claim->token, claim->host, LEASE};
    struct db_step steps[] = {
        {.statement = &lease->occupy, .nparams = 4, .params = params, .sync = true},
        {.statement = &db_commit},
    };
    if (!gate_batch(state->gate, ctx, looks, 4, NULL, err))
        return look_only(state, ctx, claim->params, facts, err);
    read_facts(ctx, looks[3].rows, facts);
    bool ok = true;
    if (lease_decide(facts, lease->token, claim->before) == LEASE_FREE)
        ok = *got = gate_batch(state->gate, ctx, steps, 2, NULL, err) && db_committed(&steps[1]);
    db_rollback(state->db);
    return ok;
}

/* With an advisory lock of the session, which is given back where the row says no. */
static bool occupy_own(struct state *state, const void *ctx, const struct claim *claim,
                       struct lease_facts *facts, bool *got, struct error *err)
{
    const char *params[] = {claim->params[0], claim->token, claim->host, state->lease.token,
                            claim->before};
    struct db_step step = {.statement = &state->lease.occupy_own, .nparams = 5, .params = params};
    int64_t key = run_lock_key(claim->params[0]);
    bool advisory = false;
    if (!db_try_lock(state->db, key, &advisory, err))
        return false;
    facts->session = !advisory;
    if (!advisory)
        return true;
    bool ok = gate_batch(state->gate, ctx, &step, 1, NULL, err);
    *got = ok && db_rows_count(step.rows) > 0;
    if (!*got)
        ok = ok ? look(state, ctx, claim->params, facts, err)
                : look_only(state, ctx, claim->params, facts, err);
    if (!*got && !db_is_lost(state->db)) {
        struct error ignored = ERROR_INIT;
        (void)db_unlock(state->db, key, &ignored);
        error_clear(&ignored);
    }
    return ok;
}

static bool attempt(struct state *state, const void *ctx, const char *name, const char *token,
                    const char *before, struct lease_facts *facts, bool *got, struct error *err)
{
    struct claim claim = {
        .params = {name, mem_printf(ctx, "%lld", (long long)run_lock_key(name))},
        .token = token,
        .before = before,
        .host = "?",
    };
    gethostname(claim.host, sizeof claim.host - 1);
    *facts = (struct lease_facts){.holder = ""};
    *got = false;
    return (db_is_pooled(state->db) ? occupy : occupy_own)(state, ctx, &claim, facts, got, err);
}

bool lease_try(struct state *state, const void *ctx, const char *name, struct lease_facts *facts,
               bool *got, struct error *err)
{
    struct lease *lease = &state->lease;
    if (!attempt(state, ctx, name, lease->token, NULL, facts, got, err))
        return false;
    if (!*got)
        return true;
    forget_name(lease, name);
    lease->names[lease->count++] = name;
    watch(state);
    return true;
}

bool lease_try_again(struct state *state, const void *ctx, const char *name, const char *before,
                     struct lease_facts *facts, bool *got, struct error *err)
{
    struct lease *lease = &state->lease;
    char *token = new_token(state);
    /* What the lost session has not done yet must not be done behind our back: it knows the old
     * token only. */
    db_set_opening(state->db, NULL);
    bool ok = attempt(state, ctx, name, token, before, facts, got, err);
    if (!*got) {
        talloc_free(token);
        return ok;
    }
    const char *old[] = {lease->token};
    struct db_step release = {.statement = &lease->release, .nparams = 1, .params = old};
    ok = gate_batch(state->gate, ctx, &release, 1, NULL, err);
    lease->token = token;
    lease->count = 0;
    lease->names[lease->count++] = name;
    watch(state);
    return ok;
}

void lease_end(struct state *state, const char *name)
{
    struct lease *lease = &state->lease;
    struct error ignored = ERROR_INIT;
    const char *params[] = {lease->token, name};
    void *scratch = talloc_new(state);
    forget_name(lease, name);
    watch(state);
    if (!db_is_lost(state->db)) {
        const char *key = mem_printf(scratch, "%lld", (long long)run_lock_key(name));
        /* The session gives its lock back whatever becomes of the row. */
        struct db_step steps[] = {
            {.statement = &lease->release_one, .nparams = 2, .params = params, .sync = true},
            {.statement = &lease->unlock, .nparams = 1, .params = &key},
        };
        (void)gate_batch(state->gate, scratch, steps, db_is_pooled(state->db) ? 1 : 2, NULL,
                         &ignored);
    }
    error_clear(&ignored);
    talloc_free(scratch);
}

void state_wait(struct state *state, int64_t ms)
{
    enum { SLICE_MS = 1000 };
    struct error ignored = ERROR_INIT;
    int64_t end = clock_now_ms() + ms;
    for (int64_t left = ms; left > 0 && !stop_requested(); left = end - clock_now_ms()) {
        clock_sleep_ms(left < SLICE_MS ? left : SLICE_MS);
        if (!db_keep_open(state->db, &ignored))
            error_clear(&ignored); /* the next transaction meets the same trouble */
    }
}
