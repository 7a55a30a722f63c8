/* What a plan notes for people. */

#include "internal.h"
#include "pgsweep/mem.h"

void plan_note(struct plan *plan, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    size_t i = mem_grow(plan, &plan->notes, &plan->note_count);
    plan->notes[i] = mem_check(talloc_vasprintf(plan, format, args));
    va_end(args);
}
