/* The report on files, for people. */
#include <inttypes.h>
#include <string.h>

#include "pgsweep/files.h"
#include "pgsweep/mem.h"
#include "pgsweep/report.h"
#include "pgsweep/text.h"

static void print_part(const char *word, int64_t n, void *scratch, const char **separator, FILE *out)
{
    if (n == 0)
        return;
    fprintf(out, "%s%s %s", *separator, word, text_count(scratch, n));
    *separator = ", ";
}

static void print_errors(const struct files_report *files, void *scratch, FILE *out)
{
    if (files->failed == 0)
        return;
    fprintf(out, "  %-10s %12s  ", "errors", text_count(scratch, files->failed));
    for (size_t i = 0; i < files->error_count; i++)
        fprintf(out, "%s%s %s", i ? ", " : "",
                files->errors[i].code ? strerror(files->errors[i].code) : "others",
                text_count(scratch, files->errors[i].count));
    fputc('\n', out);
}

void report_print_files(const struct report *report, FILE *out)
{
    const struct files_report *files = report->files;
    void *scratch = talloc_new(NULL);
    const char *separator = "  ";
    fprintf(out, "%s: %s, %s < %s (%s)\n", report->policy->name, report->file_roots,
            policy_age_by_names[report->policy->age_by], report->file_cutoff, report->policy->retain.value);
    fprintf(out, "  %-10s %12s\n", "scanned", text_count(scratch, files->scanned));
    fprintf(out, "  %-10s %12s", report->dry_run ? "delete" : "deleted", text_count(scratch, files_deleted(files)));
    print_part("files", files->deleted_files, scratch, &separator, out);
    print_part("links", files->deleted_links, scratch, &separator, out);
    print_part("directories", files->deleted_directories, scratch, &separator, out);
    print_part("special", files->deleted_special, scratch, &separator, out);
    fprintf(out, "%s%s\n", separator, text_bytes(scratch, files->bytes_freed));
    fprintf(out, "  %-10s %12s", "kept", text_count(scratch, files_kept(files)));
    separator = "  ";
    for (int i = 0; i < FILES_KEPT_COUNT; i++)
        print_part(files_kept_word((enum files_kept)i), files->kept[i], scratch, &separator, out);
    fputc('\n', out);
    if (files->vanished > 0)
        fprintf(out, "  %-10s %12s  gone by themselves meanwhile\n", "vanished", text_count(scratch, files->vanished));
    print_errors(files, scratch, out);
    for (size_t i = 0; i < report->remark_count; i++)
        fprintf(out, "  note: %s\n", report->remarks[i]);
    if (report->limit)
        fprintf(out, "  stopped at %s; the next run goes on\n", report->limit);
    if (report->signal)
        fprintf(out, "  stopped by signal %d\n", report->signal);
    if (report->dry_run)
        fputs("  dry run: nothing was changed\n", out);
    else
        fprintf(out, "  in %s\n", text_duration(scratch, report->duration_ms));
    talloc_free(scratch);
}
