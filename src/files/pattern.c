/* Patterns of protected names: what they match, and which of them must be mistakes. No system
 * calls. */
#define _GNU_SOURCE
#include <ctype.h>
#include <fnmatch.h>
#include <limits.h>
#include <locale.h>
#include <string.h>
#include <wctype.h>

#include "pgsweep/files.h"
#include "pgsweep/mem.h"

const char *const files_default_protect[] = {"result*", "output*", NULL};

/* Some file systems limit names to 255 characters, not bytes: up to four times as many bytes. */
enum { COMPONENT_MAX = 4 * NAME_MAX };

static bool has_high_byte(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text >= 0x80)
            return true;
    return false;
}

/* Without a locale a character is one byte, so "?" would match only half of an umlaut. */
static bool matches_in_utf8(const char *pattern, const char *name, int flags)
{
    bool matters = has_high_byte(name) &&
                   (strpbrk(pattern, "?[") || ((flags & FNM_CASEFOLD) && has_high_byte(pattern)));
    locale_t utf8 = matters ? newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0) : (locale_t)0;
    if (!utf8)
        return false;
    locale_t before = uselocale(utf8);
    bool match = fnmatch(pattern, name, flags) == 0;
    uselocale(before);
    freelocale(utf8);
    return match;
}

/* An error of fnmatch counts as a match, because a match protects. */
static bool match_name(const char *pattern, const char *name, int flags)
{
    return fnmatch(pattern, name, flags) != FNM_NOMATCH || matches_in_utf8(pattern, name, flags);
}

/* Copies the component that begins at path; false if it does not fit. */
static bool copy_component(char *out, size_t room, const char *path)
{
    size_t length = strcspn(path, "/");
    if (length >= room)
        return false;
    memcpy(out, path, length);
    out[length] = '\0';
    return true;
}

static bool match_component(const char *pattern, const char *path, int flags)
{
    char one[COMPONENT_MAX * 4];
    char name[COMPONENT_MAX];
    return !copy_component(one, sizeof one, pattern) || !copy_component(name, sizeof name, path) ||
           match_name(one, name, flags);
}

static const char *next_component(const char *path)
{
    path += strcspn(path, "/");
    return path + strspn(path, "/");
}

static bool is_any_depth(const char *pattern)
{
    return pattern[0] == '*' && pattern[1] == '*' && (pattern[2] == '\0' || pattern[2] == '/');
}

/* "**" is tried with as few components as possible; only the last "**" has to be retried with
 * more. */
static bool match_path(const char *pattern, const char *path, int flags)
{
    const char *retry_pattern = NULL;
    const char *retry_path = NULL;
    for (;;) {
        if (is_any_depth(pattern)) {
            pattern = next_component(pattern);
            if (!*pattern)
                return *path; /* at the end it matches everything below, which is at least one name
                               */
            retry_pattern = pattern;
            retry_path = path;
        } else if (*pattern && *path && match_component(pattern, path, flags)) {
            pattern = next_component(pattern);
            path = next_component(path);
        } else if (!*pattern && !*path) {
            return true;
        } else if (retry_path && *retry_path) {
            retry_path = next_component(retry_path);
            pattern = retry_pattern;
            path = retry_path;
        } else {
            return false;
        }
    }
}

bool files_match_pattern(const char *pattern, const char *path, bool any_case)
{
    char trimmed[PATH_MAX];
    int flags = any_case ? FNM_CASEFOLD : 0;
    size_t length = strlen(pattern);
    if (length > 0 && pattern[length - 1] == '/' && length < sizeof trimmed) {
        while (length > 0 && pattern[length - 1] == '/')
            length--;
        memcpy(trimmed, pattern, length);
        trimmed[length] = '\0';
        pattern = trimmed;
    }
    if (!strchr(pattern, '/')) {
        const char *slash = strrchr(path, '/');
        return *pattern && match_component(pattern, slash ? slash + 1 : path, flags);
    }
    return match_path(pattern + strspn(pattern, "/"), path, flags);
}

/* What has been read of a pattern so far. */
struct reading {
    const char *at;
    bool is_path;     /* the pattern has a slash */
    size_t literal;   /* the minimum number of bytes of a matching name */
    const char *flaw; /* why the pattern is refused; NULL: it is valid so far */
    const char *advice;
};

static void refuse(struct reading *r, const char *flaw, const char *advice)
{
    r->flaw = flaw;
    r->advice = advice;
}

/* Reads "[:alpha:]"; the position is at its "[:". */
static void read_class(struct reading *r)
{
    char name[16] = "";
    const char *end = strstr(r->at, ":]");
    size_t length = end ? (size_t)(end - r->at) - 2 : sizeof name;
    if (end == r->at + 1 || length >= sizeof name) {
        refuse(r, "has a \"[:\" without its \":]\"",
               "Write a class as [[:digit:]], a literal \"[\" as \"\\[\".");
        return;
    }
    memcpy(name, r->at + 2, length);
    if (!wctype(name))
        refuse(r, "names a class of characters that does not exist",
               "The classes are alnum, alpha, blank, cntrl, digit, "
               "graph, lower, print, punct, space, upper and xdigit, as in [[:digit:]].");
    r->at = end + 2;
}

static const char *const lone_bracket =
    "Write a literal \"[\" as \"\\[\" and a literal \"]\" as \"\\]\".";

/* Reads "[...]"; the position is at its "[". A "]" right after the "[", or after "[!", is one of
 * its characters. */
static void read_bracket(struct reading *r)
{
    const char *start;
    bool in_range = false;
    unsigned char low = 0;
    r->at++;
    r->at += *r->at == '!' || *r->at == '^';
    start = r->at;
    r->literal++;
    while (!r->flaw && (*r->at != ']' || r->at == start)) {
        if (!*r->at || *r->at == '/') {
            refuse(r,
                   *r->at ? "has a slash between \"[\" and \"]\", where a slash cannot match"
                          : "has a \"[\" without its \"]\"",
                   lone_bracket);
            return;
        }
        if (r->at[0] == '[' && r->at[1] == ':') {
            read_class(r);
            continue;
        }
        if (r->at[0] == '-' && r->at != start && r->at[1] != ']' && !in_range) {
            in_range = true;
            r->at++;
            continue;
        }
        r->at += r->at[0] == '\\' && r->at[1] && r->at[1] != '/';
        unsigned char c = (unsigned char)*r->at++;
        if (in_range && c < low && c < 0x80 && low < 0x80)
            refuse(r, "has a range whose end comes before its start",
                   "Write the smaller character first, as in [a-z].");
        low = c;
        in_range = false;
    }
    r->at += !r->flaw;
}

/* Reads one component, up to the slash after it or the end. */
static void read_component(struct reading *r)
{
    const char *start = r->at;
    r->literal = 0;
    while (!r->flaw && *r->at && *r->at != '/') {
        if (*r->at == '\\') {
            if (!r->at[1] || r->at[1] == '/')
                refuse(r,
                       r->at[1] ? "has a backslash before a slash"
                                : "ends with a backslash that quotes nothing",
                       "A backslash quotes the character after it; write a literal backslash as "
                       "\"\\\\\".");
            r->at += 2;
            r->literal++;
        } else if (*r->at == '[') {
            read_bracket(r);
        } else if (*r->at == ']') {
            refuse(r, "has a \"]\" without its \"[\"", lone_bracket);
        } else {
            r->literal += *r->at != '*';
            r->at++;
        }
    }
    size_t length = (size_t)(r->at - start);
    if (r->flaw)
        return;
    if (length == 0)
        refuse(r, "has two slashes in a row, so it would match nothing", "Write one slash.");
    else if (length == 1 && start[0] == '.')
        refuse(r, "has a \".\" between slashes, so it would match nothing",
               "Patterns are relative to the root: leave the \".\" out.");
    else if (length == 2 && start[0] == '.' && start[1] == '.')
        refuse(r, "has a \"..\" between slashes, so it would match nothing",
               "Patterns are relative to the root and never lead out of it; protect any other "
               "directory by its path (--protect-dir, protect_dirs).");
    else if (r->literal > COMPONENT_MAX)
        refuse(r, "has a component longer than any file name", "Give a shorter pattern.");
    else if (r->is_path && length > 2 && memmem(start, length, "**", 2))
        refuse(r, "has a \"**\" that is only part of a name",
               "To match any depth, \"**\" must stand alone between slashes, as in "
               "\"frames/**/*.mov\"; otherwise write one \"*\".");
}

/* Expands "*.{mov,MOV}" to "*.mov", "*.MOV" for a hint; NULL if there are no such braces. */
static char *expand_braces(const void *ctx, const char *pattern)
{
    const char *open = strchr(pattern, '{');
    const char *close = open ? strchr(open, '}') : NULL;
    char *list = NULL;
    if (!close || (open > pattern && open[-1] == '\\') ||
        !memchr(open, ',', (size_t)(close - open)))
        return NULL;
    for (const char *p = open; p < close;) {
        p++;
        int length = (int)strcspn(p, ",}");
        char *one =
            mem_printf(ctx, "\"%.*s%.*s%s\"", (int)(open - pattern), pattern, length, p, close + 1);
        list = list ? mem_check(talloc_asprintf_append(list, ", %s", one)) : one;
        p += length;
    }
    return list;
}

static bool has_list(const char *pattern)
{
    for (const char *p = pattern; (p = strchr(p, ',')) != NULL; p++)
        if (p[1 + strspn(p + 1, " ")] == '*')
            return true;
    return false;
}

/* Finds a mistake in a valid pattern: it would match something, but hardly what its author
 * meant. */
static const char *find_slip(const void *ctx, const char *pattern, const char **advice)
{
    char *expanded = expand_braces(ctx, pattern);
    size_t length = strlen(pattern);
    if (expanded) {
        *advice = mem_printf(
            ctx, "Give each pattern separately: %s. Write a literal \"{\" as \"\\{\".", expanded);
        return "has braces, which are not expanded";
    }
    if (pattern[0] == '!') {
        *advice = "Each pattern protects more names; none can exclude names. Write a literal \"!\" "
                  "as \"\\!\".";
        return "begins with \"!\", which does not negate";
    }
    if (pattern[0] == '~' && (!pattern[1] || strchr(pattern, '/'))) {
        *advice = "Patterns are relative to the root; to protect a directory, give its full path "
                  "(--protect-dir, protect_dirs). Write a literal \"~\" as \"\\~\".";
        return "begins with \"~\", which is not expanded";
    }
    if (isspace((unsigned char)pattern[0]) || isspace((unsigned char)pattern[length - 1])) {
        *advice = "Leave the blank out. Write a literal blank as \"[ ]\".";
        return "begins or ends with a blank";
    }
    if (has_list(pattern)) {
        *advice = "Give each pattern separately. Write a literal comma as \"[,]\".";
        return "looks like several patterns in one";
    }
    return NULL;
}

const char *files_refuse_pattern(const void *ctx, const char *pattern, const char **advice)
{
    struct reading r = {.at = pattern + strspn(pattern, "/"),
                        .is_path = strchr(pattern, '/') != NULL};
    *advice =
        "Give the name of a file or directory, or a pattern such as \"*.mov\" or \"final/*.mov\".";
    if (!*r.at)
        return "matches nothing";
    if (strlen(pattern) >= PATH_MAX) {
        *advice = "Give a shorter pattern.";
        return "is longer than any path";
    }
    if (strcmp(pattern, ".") == 0 || strcmp(pattern, "..") == 0) {
        *advice = "Patterns name files and directories below the root. To keep everything there, "
                  "do not sweep it.";
        return "matches nothing";
    }
    const char *slip = find_slip(ctx, pattern, advice);
    if (slip)
        return slip;
    if (r.at > pattern + 1) {
        *advice = "Write one slash.";
        return "begins with several slashes";
    }
    while (!r.flaw && *r.at) {
        read_component(&r);
        r.at += !r.flaw && *r.at == '/';
    }
    if (r.flaw)
        *advice = r.advice;
    return r.flaw;
}
