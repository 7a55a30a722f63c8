/* The roots of queued directories: which of them may be acted on here, and by which rules. The
 * queue is written by whoever sweeps, perhaps with a policy of yesterday; so a root counts only if
 * the policy, as this host has it now, has its working directories there. */
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"
#include "pgsweep/mem.h"
#include "pgsweep/text.h"

/* So many roots are told one by one. */
enum { TOLD = 5 };

static char *shown(const struct places *places, const char *text)
{
    return text_escape(places->ctx, text, strlen(text));
}

void places_note_error(void *arg, const struct files_event *event)
{
    struct first_error *first = arg;
    if (event->kind == FILES_EVENT_ERROR && !first->text)
        first->text = mem_printf(first->ctx, "cannot %s %s: %s", event->action, event->path,
                                 strerror(event->error));
}

static const struct policy *find_policy(const struct places *places, const char *name)
{
    for (size_t i = 0; i < places->present_count; i++)
        if (strcmp(places->present[i]->name, name) == 0)
            return places->present[i];
    return NULL;
}

static bool same_path(const struct places *places, const char *a, const char *b)
{
    struct error ignored = ERROR_INIT;
    char *x = files_clean_root(places->ctx, a, &ignored);
    char *y = x ? files_clean_root(places->ctx, b, &ignored) : NULL;
    error_clear(&ignored);
    return x && y && strcmp(x, y) == 0;
}

/* NULL: the root is the one of its policy. */
static const char *find_breach(const struct places *places, const struct policy *policy,
                               const struct place *place)
{
    if (!policy)
        return mem_printf(places->ctx, "there is no policy %s here", shown(places, place->policy));
    const struct setting root = policy_working_root(policy);
    if (!root.value)
        return mem_printf(places->ctx, "policy %s has no working directories",
                          shown(places, place->policy));
    if (same_path(places, place->root, root.value))
        return NULL;
    return mem_printf(places->ctx, "policy %s has its working directories below %s (%s)",
                      shown(places, place->policy), shown(places, root.value), root.origin);
}

/* What is younger stays. */
static bool add_cutoff(struct files_options *how, const struct setting *retain,
                       struct timespec clock, struct error *err)
{
    struct timespec cutoff;
    if (!retain->value || strcmp(retain->value, POLICY_RETAIN_NONE) == 0)
        return true;
    if (!interval_before(retain, "retain", clock, &cutoff, err))
        return false;
    if (!how->young_stay || files_is_before(cutoff, how->cutoff))
        how->cutoff = cutoff;
    how->young_stay = true;
    return true;
}

/* Who wrote the rules in the queue is not known: the stricter of them and of the policy's count. */
static bool read_rules(const struct places *places, const struct policy *policy,
                       struct place *place, struct error *err)
{
    struct policy_file_rules rules = policy->files;
    struct timespec clock;
    if (*place->rules && !file_rules_read(places->ctx, place->rules, &rules))
        return error_set(err, SWEEP_SOME_FAILED, "its rules in the queue are damaged: \"%s\"",
                         shown(places, place->rules));
    if (*place->rules)
        file_rules_tighten(places->ctx, &rules, &policy->files);
    place->how = (struct files_options){
        .root = place->root, .on_event = places_note_error, .errors_only = true};
    file_rules_apply(places->ctx, &rules, &place->how);
    clock_gettime(CLOCK_REALTIME, &clock);
    return add_cutoff(&place->how, &rules.retain, clock, err) &&
           add_cutoff(&place->how, &policy->files.retain, clock, err);
}

/* What a killed run left in the trash is finished. */
static void open_place(struct places *places, struct place *place)
{
    struct first_error first = {.ctx = places->ctx, .text = NULL};
    struct files_report report = {0};
    struct error why = ERROR_INIT;
    place->how.shared = files_shared_new(places->ctx);
    struct files_options options = place->how;
    options.on_event_arg = &first;
    if (!files_check_root(&options, NULL, &why))
        place->unusable = mem_strdup(places->ctx, why.message);
    else if (!files_finish_trash(&options, &report, &why))
        place->error = mem_strdup(places->ctx, why.message);
    else
        place->error = first.text;
    places->report->directories.bytes_freed += report.bytes_freed;
    error_clear(&why);
}

static void look_at(struct places *places, struct place *place)
{
    const struct policy *policy = find_policy(places, place->policy);
    struct error why = ERROR_INIT;
    place->missing = access(place->root, F_OK) != 0 && errno == ENOENT;
    if (!place->missing)
        place->elsewhere = find_breach(places, policy, place);
    if ((place->missing || place->elsewhere) && places->told++ >= TOLD)
        return;
    if (place->missing)
        report_remark(places->report,
                      "%s does not exist on this host: its working directories stay queued",
                      shown(places, place->root));
    else if (place->elsewhere)
        report_remark(places->report, "working directories below %s stay queued: %s",
                      shown(places, place->root), place->elsewhere);
    else if (!read_rules(places, policy, place, &why))
        place->unusable = mem_strdup(places->ctx, why.message);
    else
        open_place(places, place);
    error_clear(&why);
}

const struct place *places_find(struct places *places, const char *policy, const char *root,
                                const char *rules)
{
    for (size_t i = 0; i < places->count; i++) {
        const struct place *p = &places->all[i];
        if (strcmp(p->root, root) == 0 && strcmp(p->rules, rules) == 0 &&
            strcmp(p->policy, policy) == 0)
            return p;
    }
    size_t i = mem_grow(places->ctx, &places->all, &places->count);
    places->all[i] = (struct place){.policy = mem_strdup(places->ctx, policy),
                                    .root = mem_strdup(places->ctx, root),
                                    .rules = mem_strdup(places->ctx, rules)};
    look_at(places, &places->all[i]);
    return &places->all[i];
}

void places_finish(struct places *places)
{
    for (size_t i = 0; i < places->count; i++) {
        const struct place *place = &places->all[i];
        struct files_options options = place->how;
        struct files_report report = {0};
        struct error why = ERROR_INIT;
        options.on_event = NULL;
        if (place->missing || place->elsewhere || place->unusable)
            continue;
        if (!files_finish_trash(&options, &report, &why))
            error_clear(&why); /* reported when the first directory met it */
        places->report->directories.bytes_freed += report.bytes_freed;
    }
}
