/* The values of the settings that a session, or each transaction of a pooled one, is given. */

#include "internal.h"
#include "pgsweep/mem.h"

const char *db_plan_cache_mode(const struct db *db)
{
    return db->custom_plans ? "force_custom_plan" : "auto";
}

int db_setting_params(const struct db *db, const void *ctx, const char **params)
{
    const struct db_limits *limits = &db->options.limits;
    int n = 0;
    params[n++] = db->search_path;
    params[n++] = db->options.application_name;
    params[n++] = mem_printf(ctx, "%lld", (long long)limits->lock_timeout_ms);
    params[n++] = mem_printf(ctx, "%lld", (long long)limits->statement_timeout_ms);
    params[n++] = mem_printf(ctx, "%lld", (long long)limits->idle_in_transaction_ms);
    params[n++] = db->async ? "off" : db->synchronous_commit;
    params[n++] = db_plan_cache_mode(db);
    if (!db->pooled)
        return n;
    params[n++] = db->role;
    for (size_t i = 0; i < DB_LOCALE_SETTINGS; i++)
        params[n++] = db->locale[i];
    return n;
}

bool db_refuse_replica(const struct db *db, struct error *err)
{
    error_set(err, SWEEP_REFUSED,
              "session_replication_role is \"replica\" for role %s in %s: no foreign key would act "
              "and no "
              "trigger would fire",
              db_user(db), db->where);
    return error_hint(
        err, "Nothing was touched. Remove the setting (ALTER ROLE or ALTER DATABASE ... RESET "
             "session_replication_role; PGOPTIONS), or run as a role that may change it.");
}
