/* Splits SQL conditions into tokens: enough to make sure that a condition is one expression, to
 * find a subquery, and to insert the cutoff. PostgreSQL alone decides what the condition means.
 * (Manual: "Lexical Structure".) */
#include <ctype.h>
#include <string.h>

#include "pgsweep/mem.h"
#include "pgsweep/policy.h"

enum token {
    T_END,
    T_WORD,
    T_QUOTED, /* "identifier" */
    T_STRING,
    T_OPEN,
    T_CLOSE,
    T_CUTOFF, /* :cutoff */
    T_PARAM,  /* $1 */
    T_SEMICOLON,
    T_OTHER,
    T_BROKEN, /* something is not closed; scanner.broken says what */
};

struct scanner {
    const char *p;     /* where the next token begins */
    const char *start; /* the token just read: [start, p) */
    const char *broken;
};

static bool word_start(char c)
{
    return isalpha((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

static bool word_part(char c)
{
    return word_start(c) || isdigit((unsigned char)c) || c == '$';
}

/* Block comments nest. False when the end is missing. */
static bool skip_comment(struct scanner *s)
{
    int depth = 0;
    do {
        if (s->p[0] == '/' && s->p[1] == '*')
            depth++, s->p += 2;
        else if (s->p[0] == '*' && s->p[1] == '/')
            depth--, s->p += 2;
        else if (*s->p)
            s->p++;
        else
            return false;
    } while (depth > 0);
    return true;
}

static bool skip_blank(struct scanner *s)
{
    for (;;) {
        if (isspace((unsigned char)*s->p))
            s->p++;
        else if (s->p[0] == '-' && s->p[1] == '-')
            s->p += strcspn(s->p, "\r\n");
        else if (s->p[0] == '/' && s->p[1] == '*') {
            if (!skip_comment(s))
                return false;
        } else
            return true;
    }
}

/* Reads from the opening quote to behind the closing one; a doubled quote is a quote character. */
static enum token quoted(struct scanner *s, char quote, bool backslash, enum token token)
{
    for (s->p++; *s->p; s->p++) {
        if (backslash && *s->p == '\\' && s->p[1]) {
            s->p++;
        } else if (*s->p == quote) {
            if (s->p[1] != quote) {
                s->p++;
                return token;
            }
            s->p++;
        }
    }
    s->broken = "a quote is not closed";
    return T_BROKEN;
}

/* E'...' and its continuation on a later line, in which a backslash still escapes although it does
 * not begin with E. (Two strings without a line break between them are an error in any case.) */
static enum token escape_string(struct scanner *s)
{
    for (;;) {
        enum token token = quoted(s, '\'', true, T_STRING);
        const char *end = s->p;
        if (token == T_STRING && skip_blank(s) && *s->p == '\'')
            continue;
        s->p = end;
        return token;
    }
}

/* $tag$ ... $tag$, or a parameter such as $1. */
static enum token dollar(struct scanner *s)
{
    const char *end = s->p + 1;
    if (isdigit((unsigned char)*end)) {
        while (isdigit((unsigned char)*end))
            end++;
        s->p = end;
        return T_PARAM;
    }
    while (word_part(*end) && *end != '$')
        end++;
    if (*end != '$') {
        s->p++;
        return T_OTHER;
    }
    size_t tag = (size_t)(end - s->p) + 1;
    for (const char *q = end + 1; *q; q++) {
        if (*q == '$' && strncmp(q, s->p, tag) == 0) {
            s->p = q + tag;
            return T_STRING;
        }
    }
    s->broken = "a dollar quote is not closed";
    return T_BROKEN;
}

static enum token word(struct scanner *s)
{
    if ((*s->p == 'e' || *s->p == 'E') && s->p[1] == '\'') {
        s->p++;
        return escape_string(s);
    }
    while (word_part(*s->p))
        s->p++;
    return T_WORD;
}

static enum token next_token(struct scanner *s)
{
    if (!skip_blank(s)) {
        s->broken = "a comment is not closed";
        return T_BROKEN;
    }
    s->start = s->p;
    char c = *s->p;
    if (c == '\0')
        return T_END;
    if (c == '\'')
        return quoted(s, '\'', false, T_STRING);
    if (c == '"')
        return quoted(s, '"', false, T_QUOTED);
    if (c == '$')
        return dollar(s);
    if (word_start(c))
        return word(s);
    if (c == ':' && s->p[1] == ':') {
        s->p += 2;
        return T_OTHER;
    }
    if (c == ':' && strncmp(s->p, ":cutoff", 7) == 0 && !word_part(s->p[7])) {
        s->p += 7;
        return T_CUTOFF;
    }
    s->p++;
    return c == '(' || c == '['   ? T_OPEN
           : c == ')' || c == ']' ? T_CLOSE
           : c == ';'             ? T_SEMICOLON
                                  : T_OTHER;
}

/* Words that are no function call even when an opening bracket follows. */
static bool is_keyword(const char *name)
{
    static const char *const words[] = {
        "and",      "or",    "not",    "in",       "any",    "all",    "some",    "exists",
        "as",       "on",    "case",   "when",     "then",   "else",   "between", "like",
        "ilike",    "is",    "from",   "where",    "values", "array",  "row",     "using",
        "filter",   "over",  "within", "by",       "join",   "select", "having",  "coalesce",
        "greatest", "least", "nullif", "interval", "cast",   "extract"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(words[i], name) == 0)
            return true;
    return false;
}

static bool is_subquery_word(const char *name)
{
    return !strcmp(name, "select") || !strcmp(name, "table") || !strcmp(name, "with") ||
           !strcmp(name, "values");
}

/* The name that a word or quoted identifier denotes. */
static char *token_name(const void *ctx, const struct scanner *s, enum token token)
{
    size_t len = (size_t)(s->p - s->start);
    char *name = mem_array(ctx, char, len + 1);
    char *w = name;
    if (token == T_WORD) {
        for (size_t i = 0; i < len; i++)
            *w++ = (char)tolower((unsigned char)s->start[i]);
        return name;
    }
    for (size_t i = 1; i + 1 < len; i++) {
        *w++ = s->start[i];
        if (s->start[i] == '"')
            i++;
    }
    return name;
}

static bool broken(const struct setting *condition, const char *what, struct error *err)
{
    error_set(err, SWEEP_USAGE, "%s: the condition is not one SQL expression: %s",
              condition->origin, what);
    return error_detail(err, "Condition: %s", condition->value);
}

struct reader {
    char brackets[64];
    int depth;
    const char *wrong;
};

/* Tracks the nesting of brackets; a mistake is noted in reader->wrong. */
static void read_bracket(struct reader *r, enum token token, char bracket)
{
    if (token == T_CLOSE) {
        if (r->depth == 0 || r->brackets[--r->depth] != (bracket == ')' ? '(' : '['))
            r->wrong = "a closing bracket has no opening one";
    } else if (r->depth == (int)sizeof r->brackets) {
        r->wrong = "brackets are nested too deeply";
    } else {
        r->brackets[r->depth++] = bracket;
    }
}

static const char *refuse_token(const struct scanner *s, enum token token)
{
    if (token == T_BROKEN)
        return s->broken;
    if (token == T_SEMICOLON)
        return "it contains a semicolon";
    if (token == T_PARAM)
        return "it contains a parameter ($1); the only value that pgsweep supplies is :cutoff";
    return NULL;
}

bool condition_check(const void *ctx, const struct setting *condition,
                     struct condition_facts *facts, struct error *err)
{
    struct scanner s = {.p = condition->value};
    struct reader r = {.wrong = NULL};
    struct condition_facts unused;
    char *name = NULL;
    bool something = false;
    void *scratch = talloc_new(ctx);
    if (!facts)
        facts = &unused;
    *facts = (struct condition_facts){0};
    for (enum token token; !r.wrong && (token = next_token(&s)) != T_END; something = true) {
        r.wrong = refuse_token(&s, token);
        if (token == T_OPEN || token == T_CLOSE)
            read_bracket(&r, token, *s.start);
        if (token == T_OPEN && name && *s.start == '(' && !is_keyword(name)) {
            size_t i = mem_grow(ctx, &facts->calls, &facts->call_count);
            facts->calls[i] = mem_strdup(ctx, name);
        }
        name = token == T_WORD || token == T_QUOTED ? token_name(scratch, &s, token) : NULL;
        if (token == T_WORD && is_subquery_word(name))
            facts->subquery = true;
    }
    if (!r.wrong && r.depth > 0)
        r.wrong = "a bracket is not closed";
    if (!r.wrong && !something)
        r.wrong = "it is empty";
    talloc_free(scratch);
    return r.wrong ? broken(condition, r.wrong, err) : true;
}

size_t condition_cutoffs(const char *text)
{
    struct scanner s = {.p = text};
    size_t count = 0;
    for (enum token token; (token = next_token(&s)) != T_END && token != T_BROKEN;)
        count += token == T_CUTOFF;
    return count;
}

void condition_append(PQExpBuffer out, const char *text, const char *const *cutoffs, size_t count)
{
    struct scanner s = {.p = text};
    const char *done = text;
    size_t use = 0;
    appendPQExpBufferChar(out, '(');
    for (enum token token; (token = next_token(&s)) != T_END && token != T_BROKEN;) {
        if (token == T_CUTOFF) {
            appendBinaryPQExpBuffer(out, done, (size_t)(s.start - done));
            appendPQExpBufferStr(out, cutoffs[use + 1 < count ? use : count - 1]);
            use++;
            done = s.p;
        }
    }
    appendPQExpBufferStr(out, done);
    /* The bracket is on a line of its own because the text may end in a comment. */
    appendPQExpBufferStr(out, strstr(done, "--") ? "\n)" : ")");
}

static void add_word(const void *ctx, const char ***list, size_t *count, const char *word)
{
    size_t i = mem_grow(ctx, list, count);
    (*list)[i] = word;
}

bool condition_words(const void *ctx, const char *text, struct condition_words *words)
{
    static const char operator_characters[] = "+-*/<>=~!@#%^&|`?";
    struct scanner s = {.p = text};
    const char *name = NULL;
    enum token token;
    *words = (struct condition_words){0};
    while ((token = next_token(&s)) != T_END && token != T_BROKEN) {
        if (token == T_OPEN && *s.start == '(' && name)
            add_word(ctx, &words->calls, &words->call_count, name);
        name = token == T_WORD || token == T_QUOTED ? token_name(ctx, &s, token) : NULL;
        if (name)
            add_word(ctx, &words->words, &words->word_count, name);
        size_t length = token == T_OTHER ? strspn(s.start, operator_characters) : 0;
        if (length == 0)
            continue;
        s.p = s.start + length;
        add_word(ctx, &words->operators, &words->operator_count,
                 mem_printf(ctx, "%.*s", (int)length, s.start));
    }
    return token == T_END;
}
