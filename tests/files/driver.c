/* A bare command line for the file sweep, for tests and measurements: one call, its report as JSON.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "pgsweep/clock.h"
#include "pgsweep/files.h"
#include "pgsweep/stop.h"

enum { LIST_MAX = 32 };

struct driver {
    struct files_options options;
    struct files_room room; /* bytes 0: none is asked for */
    const char *protect[LIST_MAX];
    const char *protect_dirs[LIST_MAX];
    const char *active[LIST_MAX];
    size_t active_count;
    const char *on_listed; /* shell commands for the steps; DIRFD and NAME in the environment */
    const char *on_checked;
    const char *on_held;
    const char *on_moved;
    const char *on_deleted; /* ... at deletion number at */
    const char *only;       /* these for this name only */
    int64_t at;
    int64_t deletions;
    bool verbose;
};

static bool is_active(void *arg, const char *name)
{
    const struct driver *d = arg;
    for (size_t i = 0; i < d->active_count; i++)
        if (strcmp(d->active[i], name) == 0)
            return true;
    return false;
}

static void run(const char *command, const char *name)
{
    setenv("NAME", name ? name : "", 1);
    if (system(command) != 0)
        fprintf(stderr, "hook failed: %s\n", command);
}

static void on_step(void *arg, enum files_step step, int dirfd, const char *name)
{
    struct driver *d = arg;
    char link[64];
    char dir[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", dirfd);
    ssize_t n = readlink(link, dir, sizeof dir - 1);
    dir[n < 0 ? 0 : n] = '\0';
    setenv("DIR", dir, 1);
    if (step == FILES_STEP_LISTED && d->on_listed)
        run(d->on_listed, NULL);
    if (step == FILES_STEP_CHECKED && d->on_checked && (!d->only || strcmp(d->only, name) == 0))
        run(d->on_checked, name);
    if (step == FILES_STEP_MOVED && d->on_moved && (!d->only || strcmp(d->only, name) == 0))
        run(d->on_moved, name);
    if (step == FILES_STEP_HELD && d->on_held && (!d->only || strcmp(d->only, name) == 0))
        run(d->on_held, name);
}

static void on_event(void *arg, const struct files_event *event)
{
    struct driver *d = arg;
    if (event->kind == FILES_EVENT_ASIDE) {
        fprintf(stderr, "aside %s\n", event->path);
        return;
    }
    if (event->kind == FILES_EVENT_ERROR) {
        fprintf(stderr, "error %s %s: %s\n", event->action, event->path, strerror(event->error));
        return;
    }
    if (d->verbose)
        fprintf(stderr, "deleted %c %s %" PRId64 "\n", event->type, event->path, event->bytes);
    if (++d->deletions == d->at && d->on_deleted)
        run(d->on_deleted, NULL);
}

static struct timespec seconds(const char *text)
{
    struct timespec t = {0};
    char *end;
    t.tv_sec = strtoll(text, &end, 10);
    if (*end == '.') {
        char digits[10] = "000000000";
        memcpy(digits, end + 1, strnlen(end + 1, 9));
        t.tv_nsec = strtol(digits, NULL, 10);
    }
    return t;
}

/* "mtime,ctime": told apart by their first letters. */
static unsigned age_by(const char *words)
{
    unsigned mask = 0;
    for (const char *word = words; word; word = strchr(word, ',') ? strchr(word, ',') + 1 : NULL)
        mask |= FILES_AGE_BIT(word[0] == 'a'   ? FILES_AGE_ATIME
                              : word[0] == 'c' ? FILES_AGE_CTIME
                              : word[0] == 'b' ? FILES_AGE_BTIME
                                               : FILES_AGE_MTIME);
    return mask;
}

static bool parse_flag(struct driver *d, const char *word)
{
    struct files_options *o = &d->options;
    bool *flag = strcmp(word, "--dry-run") == 0              ? &o->dry_run
                 : strcmp(word, "--in-use") == 0             ? &o->in_use
                 : strcmp(word, "--no-default-protect") == 0 ? &o->no_default_protect
                 : strcmp(word, "--young-stay") == 0         ? &o->young_stay
                 : strcmp(word, "--no-openat2") == 0         ? &o->no_openat2
                 : strcmp(word, "--sees-all") == 0           ? &o->sees_all_processes
                 : strcmp(word, "--verbose") == 0            ? &d->verbose
                                                             : NULL;
    if (flag)
        *flag = true;
    return flag != NULL;
}

static bool parse_value(struct driver *d, const char *word, const char *value)
{
    struct files_options *o = &d->options;
    if (strcmp(word, "--older") == 0) {
        struct timespec age = seconds(value);
        clock_gettime(CLOCK_REALTIME, &o->cutoff);
        o->cutoff.tv_sec -= age.tv_sec;
    } else if (strcmp(word, "--cutoff") == 0) {
        o->cutoff = seconds(value);
    } else if (strcmp(word, "--age-by") == 0) {
        o->age_by = age_by(value);
    } else if (strcmp(word, "--protect") == 0 && o->protect_count < LIST_MAX) {
        d->protect[o->protect_count++] = value;
    } else if (strcmp(word, "--protect-dir") == 0 && o->protect_dir_count < LIST_MAX) {
        d->protect_dirs[o->protect_dir_count++] = value;
    } else if (strcmp(word, "--active") == 0 && d->active_count < LIST_MAX) {
        d->active[d->active_count++] = value;
    } else if (strcmp(word, "--max") == 0) {
        o->max_deletions = atoll(value);
    } else if (strcmp(word, "--max-ms") == 0) {
        o->deadline_ms = clock_now_ms() + atoll(value);
    } else if (strcmp(word, "--pause-every") == 0) {
        o->pause_every = atoll(value);
    } else if (strcmp(word, "--pause-ms") == 0) {
        o->pause_ms = atoll(value);
    } else if (strcmp(word, "--on-listed") == 0) {
        d->on_listed = value;
    } else if (strcmp(word, "--on-checked") == 0) {
        d->on_checked = value;
    } else if (strcmp(word, "--on-held") == 0) {
        d->on_held = value;
    } else if (strcmp(word, "--on-moved") == 0) {
        d->on_moved = value;
    } else if (strcmp(word, "--on-deleted") == 0) {
        d->on_deleted = value;
    } else if (strcmp(word, "--only") == 0) {
        d->only = value;
    } else if (strcmp(word, "--room") == 0) {
        d->room.bytes = atoll(value);
    } else if (strcmp(word, "--remember") == 0) {
        d->room.remembered = (size_t)atoll(value);
    } else if (strcmp(word, "--at") == 0) {
        d->at = atoll(value);
    } else {
        return false;
    }
    return true;
}

/* Of this program alone: getrusage counts what the parent had before exec, too. */
static long peak_kib(void)
{
    char line[128];
    long kib = 0;
    FILE *status = fopen("/proc/self/status", "re");
    while (status && fgets(line, sizeof line, status))
        if (sscanf(line, "VmHWM: %ld", &kib) == 1)
            break;
    if (status)
        fclose(status);
    return kib;
}

/* A JSON string; the texts have no control characters. */
static void print_string(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            putchar('\\');
        putchar(*text);
    }
    putchar('"');
}

static void print_report(const struct files_report *r, const char *outcome, const char *reason)
{
    printf("{\"outcome\":\"%s\",\"reason\":", outcome);
    print_string(reason ? reason : "");
    printf(",\"scanned\":%" PRId64 ",\"directories\":%" PRId64 ",\"files\":%" PRId64
           ",\"links\":%" PRId64 ",\"dirs\":%" PRId64 ",\"special\":%" PRId64 ",\"bytes\":%" PRId64
           ",\"kept\":{",
           r->scanned, r->directories, r->deleted_files, r->deleted_links, r->deleted_directories,
           r->deleted_special, r->bytes_freed);
    const char *comma = "";
    for (int i = 0; i < FILES_KEPT_COUNT; i++) {
        if (r->kept[i] == 0)
            continue;
        printf("%s\"%s\":%" PRId64, comma, files_kept_word((enum files_kept)i), r->kept[i]);
        comma = ",";
    }
    printf("},\"vanished\":%" PRId64 ",\"failed\":%" PRId64 ",\"errors\":{", r->vanished,
           r->failed);
    for (size_t i = 0; i < r->error_count; i++) {
        const char *name = strerrorname_np(r->errors[i].code);
        printf("%s\"%s\":%" PRId64, i ? "," : "", name ? name : "other", r->errors[i].count);
    }
    printf("},\"untested\":%" PRId64 ",\"unguarded\":%" PRId64 ",\"aside\":%" PRId64
           ",\"unlocked\":%" PRId64,
           r->untested, r->unguarded, r->set_aside, r->unlocked);
    printf(",\"limit\":%s,\"stopped\":%s,\"ms\":%" PRId64 ",\"max_rss_kib\":%ld}\n",
           r->limit_reached ? "true" : "false", r->stopped ? "true" : "false", r->duration_ms,
           peak_kib());
}

static bool run_command(struct driver *d, const char *command, const char *name, struct error *err)
{
    static const char *const outcomes[] = {"removed", "missing", "kept", "refused"};
    struct files_report report = {0};
    enum files_tree_outcome outcome = FILES_TREE_MISSING;
    const char *reason = NULL;
    bool missing = false;
    bool ok;
    if (strcmp(command, "check") == 0)
        ok = files_check_root(&d->options, &missing, err);
    else if (strcmp(command, "tree") == 0)
        ok = files_remove_tree(&d->options, name, &outcome, &reason, &report, err);
    else if (strcmp(command, "finish") == 0)
        ok = files_finish_trash(&d->options, &report, err);
    else if (d->room.bytes > 0)
        ok = files_sweep_for_room(&d->options, &d->room, &report, err);
    else
        ok = files_sweep(&d->options, &report, err);
    if (ok)
        print_report(&report,
                     strcmp(command, "tree") == 0 ? outcomes[outcome]
                     : missing                    ? "missing"
                                                  : "done",
                     reason);
    return ok;
}

int main(int argc, char **argv)
{
    struct driver d = {.at = 1, .room.share = -1};
    struct error err = ERROR_INIT;
    if (argc < 3)
        return SWEEP_USAGE;
    int i = 3;
    const char *name = strcmp(argv[1], "tree") == 0 && argc > 3 ? argv[i++] : "";
    d.options.root = argv[2];
    d.options.protect = d.protect;
    d.options.protect_dirs = d.protect_dirs;
    d.options.is_active = is_active;
    d.options.is_active_arg = &d;
    for (; i < argc; i++) {
        if (parse_flag(&d, argv[i]))
            continue;
        if (i + 1 >= argc || !parse_value(&d, argv[i], argv[i + 1])) {
            fprintf(stderr, "driver: what is %s?\n", argv[i]);
            return SWEEP_USAGE;
        }
        i++;
    }
    if (d.verbose || d.on_deleted || getenv("EVENTS"))
        d.options.on_event = on_event;
    d.options.on_event_arg = &d;
    d.options.errors_only = !d.verbose && !d.on_deleted;
    if (d.on_listed || d.on_checked || d.on_held || d.on_moved)
        d.options.on_step = on_step;
    d.options.on_step_arg = &d;
    stop_install();
    if (run_command(&d, argv[1], name, &err))
        return SWEEP_OK;
    error_print(&err);
    int code = err.code;
    error_clear(&err);
    return code;
}
