/* Printing a report in the form that was asked for. The forms are in the other files of this room.
 */
#define _GNU_SOURCE

#include "pgsweep/mem.h"
#include "pgsweep/report.h"
#include "pgsweep/text.h"

static void print_text(const struct report *report, FILE *out)
{
    if (report->files)
        report_print_files(report, out);
    else if (report->dry_run && report->plan)
        report_print_tree(report, out);
    else if (report->plan)
        report_print_summary(report, out);
}

void report_print(const struct report *report, enum report_format format, FILE *out)
{
    char *text = NULL;
    size_t size = 0;
    if (format == REPORT_JSON) {
        report_print_json(report, out);
        return;
    }
    FILE *memory = mem_check(open_memstream(&text, &size));
    print_text(report, memory);
    if (fclose(memory) == 0) {
        char *shown = text_lines(NULL, text);
        fputs(shown, out);
        talloc_free(shown);
    }
    free(text);
}
