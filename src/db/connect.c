/* Making a connection, making it again, and describing it. What a session looks like is in
 * session.c. */
#define _GNU_SOURCE
#include <netdb.h>
#include <string.h>
#include <termios.h>

#include "internal.h"
#include "pgsweep/db_sqlstate.h"
#include "pgsweep/mem.h"
#include "pgsweep/stop.h"

static int db_destructor(struct db *db)
{
    db_close(db);
    if (db->password)
        explicit_bzero(db->password, strlen(db->password));
    return 0;
}

bool db_is_configured(const struct db_options *options)
{
    static const char *const variables[] = {"PGDATABASE", "PGHOST", "PGHOSTADDR", "PGSERVICE"};
    if (options->dbname || options->host)
        return true;
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
        const char *value = getenv(variables[i]);
        if (value && *value)
            return true;
    }
    return false;
}

/* Asks for the password on the terminal; NULL if there is none. */
static char *ask_password(struct db *db)
{
    FILE *tty = fopen("/dev/tty", "r+");
    if (!tty)
        return NULL;
    struct termios saved;
    bool hidden = tcgetattr(fileno(tty), &saved) == 0;
    if (hidden) {
        struct termios quiet = saved;
        quiet.c_lflag &= (tcflag_t)~ECHO;
        tcsetattr(fileno(tty), TCSAFLUSH, &quiet);
    }
    fputs("Password: ", tty);
    fflush(tty);
    char line[1024];
    char *got = fgets(line, sizeof line, tty);
    if (hidden)
        tcsetattr(fileno(tty), TCSAFLUSH, &saved);
    fputc('\n', tty);
    fclose(tty);
    if (!got)
        return NULL;
    line[strcspn(line, "\n")] = '\0';
    char *password = mem_strdup(db, line);
    explicit_bzero(line, sizeof line);
    return password;
}

/* Whether a URI was split in the wrong places because its password has an "@" or "/" that is not
 * percent-encoded. Parts of the password would be shown as a host, a port or a database. */
static bool looks_torn(const PQconninfoOption *parsed)
{
    for (const PQconninfoOption *o = parsed; o->keyword; o++) {
        if (!o->val || !*o->val)
            continue;
        if (strcmp(o->keyword, "port") == 0 && o->val[strspn(o->val, "0123456789,")] != '\0')
            return true;
        if ((strcmp(o->keyword, "host") == 0 || strcmp(o->keyword, "dbname") == 0) &&
            strchr(o->val + 1, '@'))
            return true;
    }
    return false;
}

static bool check_conninfo(const struct db_options *options, struct error *err)
{
    const char *text = options->dbname;
    bool uri =
        text && (strncmp(text, "postgresql://", 13) == 0 || strncmp(text, "postgres://", 11) == 0);
    if (!text || (!uri && !strchr(text, '=')))
        return true;
    char *why = NULL;
    PQconninfoOption *parsed = PQconninfoParse(text, &why);
    bool torn = parsed && uri && looks_torn(parsed);
    PQconninfoFree(parsed);
    if (parsed && !torn)
        return true;
    if (torn) {
        error_set(err, SWEEP_USAGE, "the connection string given as --dbname is not a proper URI");
        return error_hint(
            err, "In postgresql://USER:PASSWORD@HOST/DBNAME, write characters such as @ and / in "
                 "the password as %%40 and %%2F; better, keep the password in ~/.pgpass.");
    }
    /* Neither the string nor libpq's message about it is shown: both may contain a password. */
    error_set(err, SWEEP_USAGE, "the connection string given as --dbname cannot be parsed");
    if (why && !strstr(text, "password") && !strchr(text, '@'))
        error_detail(err, "%s", why);
    PQfreemem(why);
    return error_hint(err, "Write it as \"host=db.example.com dbname=app user=sweeper\" or as "
                           "postgresql://sweeper@db.example.com/app.");
}

static void describe(struct db *db)
{
    const char *host = PQhost(db->conn);
    const char *name = PQdb(db->conn);
    talloc_free(db->where);
    db->where = mem_printf(db, "database \"%s\" on %s%s%s", name ? name : "?",
                           host && *host ? host : "the local socket",
                           host && *host == '/' ? ", port " : ":",
                           PQport(db->conn) ? PQport(db->conn) : "?");
}

/* Whether the only host given does not exist: most likely its name is misspelt. */
static bool names_no_host(const PGconn *conn)
{
    const char *message = PQerrorMessage(conn);
    const char *end = strchr(message, '\n');
    return strstr(message, gai_strerror(EAI_NONAME)) && (!end || end[1] == '\0');
}

static bool establish(struct db *db, bool first, struct error *err)
{
    struct db_refusal why;
    if (db->options.always_prompt && !db->password)
        db->password = ask_password(db);
    db->conn = db_open(db, NULL, first, &why);
    if (PQstatus(db->conn) != CONNECTION_OK && PQconnectionNeedsPassword(db->conn) &&
        !db->password && !db->options.never_prompt) {
        db->password = ask_password(db);
        if (db->password) {
            PQfinish(db->conn);
            db->conn = db_open(db, NULL, first, &why);
        }
    }
    if (!db->conn && stop_requested()) {
        error_set(err, SWEEP_UNREACHABLE, "a signal arrived before the connection was established");
        error_sqlstate(err, sqlstate_code(SQLSTATE_CONNECTION_UNABLE));
        return false;
    }
    if (!db->conn)
        return error_set(err, SWEEP_INTERNAL, "out of memory");
    if (PQstatus(db->conn) != CONNECTION_OK) {
        error_set(err, SWEEP_UNREACHABLE, "cannot connect to PostgreSQL");
        error_sqlstate(err, first && names_no_host(db->conn)
                                ? sqlstate_code(SQLSTATE_CONNECTION_REFUSED)
                                : why.sqlstate);
        db->refused = true;
        error_detail(err, "%s", PQerrorMessage(db->conn));
        if (PQconnectionNeedsPassword(db->conn))
            return error_hint(err, "Put the password into ~/.pgpass (or the file named by "
                                   "PGPASSFILE), or use -W on a terminal.");
        return error_hint(err, "Check -h, -p, -U, -d and the PG* environment variables; try the "
                               "same with psql.");
    }
    describe(db);
    return db_session_setup(db, err);
}

bool db_connect(const void *ctx, const struct db_options *options, struct db **out,
                struct error *err)
{
    *out = NULL;
    if (!check_conninfo(options, err))
        return false;
    struct db *db = mem_new(ctx, struct db);
    talloc_set_destructor(db, db_destructor);
    db->options = *options;
    db->options.dbname = mem_strdup(db, options->dbname);
    db->options.host = mem_strdup(db, options->host);
    db->options.port = mem_strdup(db, options->port);
    db->options.user = mem_strdup(db, options->user);
    db->options.application_name =
        mem_strdup(db, options->application_name ? options->application_name : "pgsweep");
    if (!establish(db, true, err)) {
        talloc_free(db);
        return false;
    }
    *out = db;
    return true;
}

bool db_reconnect(struct db *db, struct error *err)
{
    db_close(db);
    db->given_up = NULL;
    db->refused = false;
    db->prepared_count = 0;
    db->fastest_us = 0;
    db->broken = false;
    return establish(db, false, err);
}
