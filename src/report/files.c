/* Prints the report on files for people. */
#include <inttypes.h>
#include <string.h>

#include "pgsweep/files.h"
#include "pgsweep/mem.h"
#include "pgsweep/report.h"
#include "pgsweep/text.h"

static void print_part(const char *one, const char *many, int64_t n, void *scratch,
                       const char **separator, FILE *out)
{
    if (n == 0)
        return;
    fprintf(out, "%s%s %s", *separator, text_count(scratch, n), n == 1 ? one : many);
    *separator = ", ";
}

static const char *error_word(int code)
{
    return code ? strerror(code) : "others";
}

static void print_errors(const struct files_report *files, void *scratch, FILE *out)
{
    if (files->failed == 0)
        return;
    fprintf(out, "  %-10s %12s  ", "errors", text_count(scratch, files->failed));
    for (size_t i = 0; i < files->error_count; i++)
        fprintf(out, "%s%s %s", i ? ", " : "", text_count(scratch, files->errors[i].count),
                error_word(files->errors[i].code));
    fputc('\n', out);
}

/* The words for people; those of files_kept_word are for machines. */
static const char *const kept_words[FILES_KEPT_COUNT] = {
    [FILES_KEPT_FRESH] = "fresh",
    [FILES_KEPT_ENOUGH] = "not needed for min_free",
    [FILES_KEPT_FUTURE] = "with a time in the future",
    [FILES_KEPT_NO_TIME] = "without the time that age_by names",
    [FILES_KEPT_OPEN] = "open",
    [FILES_KEPT_LOCKED] = "locked",
    [FILES_KEPT_PROTECTED] = "protected",
    [FILES_KEPT_OWNER] = "of other users",
    [FILES_KEPT_SPECIAL] = "special (FIFO, socket, device)",
    [FILES_KEPT_OTHER_FS] = "on other file systems",
    [FILES_KEPT_ACTIVE_JOB] = "of active jobs",
    [FILES_KEPT_UNTESTED] = "could not be tested for use",
    [FILES_KEPT_CHANGED] = "replaced meanwhile",
    [FILES_KEPT_MOVED] = "moved away meanwhile",
    [FILES_KEPT_NOT_EMPTY] = "not empty",
    [FILES_KEPT_UNFINISHED] = "not finished"};

static void print_rooms(const struct report *report, void *scratch, FILE *out)
{
    const struct policy *policy = report->policy;
    for (size_t i = 0; i < policy->root_count && report->rooms; i++) {
        const struct files_room *room = &report->rooms[i];
        if (room->found)
            fprintf(out, "  %-10s %12s  before, %s %s; %s wanted (%s): %s%s%s\n", "free",
                    text_bytes(scratch, room->before), text_bytes(scratch, room->after),
                    report->dry_run ? "then" : "after", text_bytes(scratch, room->wanted),
                    policy->files.min_free.value, room->reached ? "reached" : "not reached",
                    policy->root_count > 1 ? ", " : "",
                    policy->root_count > 1 ? text_escape(scratch, policy->roots[i].value,
                                                         strlen(policy->roots[i].value))
                                           : "");
    }
}

/* Prints the kept entries, including directories that are not empty, so that the printed numbers
 * add up to scanned. */
static void print_kept(const struct files_report *files, void *scratch, FILE *out)
{
    const char *separator = "  ";
    fprintf(out, "  %-10s %12s", "kept",
            text_count(scratch, files_kept(files) + files->kept[FILES_KEPT_NOT_EMPTY]));
    for (int i = 0; i < FILES_KEPT_COUNT; i++)
        print_part(kept_words[i], kept_words[i], files->kept[i], scratch, &separator, out);
    fputc('\n', out);
}

void report_print_files(const struct report *report, FILE *out)
{
    const struct files_report *files = report->files;
    void *scratch = talloc_new(NULL);
    const char *separator = "  ";
    unsigned age_by = report->policy->files.age_by;
    fprintf(out, "%s: %s, %s%s < %s (%s)\n", report->policy->name, report->file_roots,
            age_by & (age_by - 1) ? "the youngest of " : "", policy_age_by_text(scratch, age_by),
            report->file_cutoff, report->policy->retain.value);
    fprintf(out, "  %-10s %12s\n", "scanned", text_count(scratch, files->scanned));
    fprintf(out, "  %-10s %12s", report->dry_run ? "delete" : "deleted",
            text_count(scratch, files_deleted(files)));
    print_part("file", "files", files->deleted_files, scratch, &separator, out);
    print_part("link", "links", files->deleted_links, scratch, &separator, out);
    print_part("directory", "directories", files->deleted_directories, scratch, &separator, out);
    print_part("special", "special", files->deleted_special, scratch, &separator, out);
    if (files_deleted(files) > 0)
        fprintf(out, "; %s", text_bytes(scratch, files->bytes_freed));
    fputc('\n', out);
    print_kept(files, scratch, out);
    if (files->vanished > 0)
        fprintf(out, "  %-10s %12s  removed by others meanwhile\n", "vanished",
                text_count(scratch, files->vanished));
    print_errors(files, scratch, out);
    print_rooms(report, scratch, out);
    for (size_t i = 0; i < report->remark_count; i++)
        fprintf(out, "  note: %s\n", report->remarks[i]);
    if (report->limit)
        fprintf(out, "  stopped at %s; the next run goes on\n", report->limit);
    if (report->signal)
        fprintf(out, "  stopped by signal %d; the next run goes on\n", report->signal);
    if (report->dry_run)
        fputs("  dry run: nothing was changed\n", out);
    else
        fprintf(out, "  in %s\n", text_duration(scratch, report->duration_ms));
    talloc_free(scratch);
}
