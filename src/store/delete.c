/* store_delete: groups keys into requests, keeps several in flight, repeats requests that may
 * succeed, and settles each key exactly once. client.c sends requests, verdict.c judges them. */
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "pgsweep/clock.h"
#include "pgsweep/mem.h"
#include "pgsweep/stop.h"

enum { ATTEMPTS_MAX = 3, BACKOFF_CAP_MS = 5000, POLL_MS = 100, STOP_GRACE_MS = 5000 };

struct item {
    const char *key;
    int bucket;
    size_t index; /* index in the caller's arrays */
    bool settled; /* the reply that is being read mentions the key */
};

struct run {
    struct store *store;
    const void *ctx;
    struct item *items; /* sorted by bucket and key, so that a request is a range and equal keys are
                           adjacent */
    size_t count;
    size_t next; /* the first item that is in no request yet */
    struct store_result *results;
    struct verdict *over; /* per bucket: text is set when no more requests are sent to it */
    char *stopped; /* the reason given for keys that a stop left undone; NULL: no stop was requested
                    */
    int64_t stop_ms; /* when the stop was requested */
};

static int item_compare(const void *left, const void *right)
{
    const struct item *a = left, *b = right;
    return a->bucket != b->bucket ? (a->bucket < b->bucket ? -1 : 1) : strcmp(a->key, b->key);
}

static void settle(struct run *run, size_t i, enum store_outcome outcome, char *text)
{
    run->results[run->items[i].index] = (struct store_result){.outcome = outcome, .error = text};
}

static void settle_range(struct run *run, size_t first, size_t end, enum store_outcome outcome,
                         char *text)
{
    for (size_t i = first; i < end; i++)
        settle(run, i, outcome, text);
}

/* Settles keys that cannot be sent; the others become items. */
static void collect(struct run *run, const struct store_object *objects, size_t n)
{
    const struct store_config *config = run->store->config;
    run->items = mem_array(run->store, struct item, n + 1);
    for (size_t i = 0; i < n; i++) {
        const char *problem = wire_key_problem(objects[i].key);
        int bucket = config_bucket(config, objects[i].bucket, strlen(objects[i].bucket));
        if (bucket < 0)
            problem = "NoSuchBucket: not a configured bucket";
        if (problem) {
            run->results[i] =
                (struct store_result){STORE_FAILED_PERMANENT, mem_strdup(run->ctx, problem)};
            continue;
        }
        run->items[run->count++] =
            (struct item){.key = objects[i].key, .bucket = bucket, .index = i};
    }
    qsort(run->items, run->count, sizeof *run->items, item_compare);
}

/* Marks the items of the request that have that key. Keys that were not in the request are
 * ignored. */
static void on_entry(void *user, const char *key, const char *code, const char *message)
{
    const struct slot *slot = user;
    struct run *run = slot->user;
    size_t low = slot->first, high = slot->end;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(run->items[middle].key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    enum store_outcome outcome = code ? wire_code_outcome(code) : STORE_DELETED;
    char *text = NULL;
    for (size_t i = low; i < slot->end && strcmp(run->items[i].key, key) == 0; i++) {
        /* If a key is reported both as deleted and as failed, the failure counts. */
        if (run->items[i].settled && outcome == STORE_DELETED)
            continue;
        if (outcome != STORE_DELETED && !text)
            text = verdict_text(run->ctx, code, message);
        settle(run, i, outcome, text);
        run->items[i].settled = true;
    }
}

/* Puts the next keys into an idle slot; false if none are left. */
static bool fill(struct run *run, struct slot *slot)
{
    for (; run->next < run->count; run->next++) {
        const struct verdict *over = &run->over[run->items[run->next].bucket];
        if (!over->text)
            break;
        settle(run, run->next, over->outcome, over->text);
    }
    if (run->next == run->count)
        return false;
    slot->user = run;
    slot->bucket = run->items[run->next].bucket;
    slot->first = run->next;
    slot->attempts = 0;
    size_t keys = 0;
    wire_body_begin(run->store, &slot->body);
    for (; run->next < run->count && run->items[run->next].bucket == slot->bucket; run->next++) {
        const char *key = run->items[run->next].key;
        if (run->next > slot->first && strcmp(run->items[run->next - 1].key, key) == 0)
            continue;
        if (keys == WIRE_KEYS_MAX || !wire_body_add(run->store, &slot->body, key))
            break;
        keys++;
    }
    wire_body_end(run->store, &slot->body);
    slot->end = run->next;
    return true;
}

static void send_slot(struct run *run, struct slot *slot)
{
    char *text = NULL;
    for (size_t i = slot->first; i < slot->end; i++)
        run->items[i].settled = false;
    if (client_send(run->store, slot, on_entry, run->ctx, &text))
        return;
    settle_range(run, slot->first, slot->end, STORE_FAILED_RETRYABLE, text);
    slot->state = SLOT_IDLE;
}

/* Called when a request has ended: settles its keys, or schedules a repetition. */
static void finish(struct run *run, struct slot *slot, CURLcode code)
{
    struct verdict v = client_verdict(run->store, slot, code, run->ctx);
    curl_multi_remove_handle(run->store->multi, slot->easy);
    slot->state = SLOT_IDLE;
    if (v.good) {
        char *text = NULL;
        for (size_t i = slot->first; i < slot->end; i++) {
            if (run->items[i].settled)
                continue;
            if (!text)
                text = verdict_text(run->ctx, "NotConfirmed",
                                    "the reply of the object store does not mention this key");
            settle(run, i, STORE_FAILED_RETRYABLE, text);
        }
        return;
    }
    if (v.again && slot->attempts < ATTEMPTS_MAX && !stop_requested()) {
        slot->not_before =
            clock_now_ms() +
            clock_backoff_ms(slot->attempts, run->store->config->backoff_ms, BACKOFF_CAP_MS);
        slot->state = SLOT_WAITING;
        return;
    }
    settle_range(run, slot->first, slot->end, v.outcome, v.text);
    if (v.ends_bucket)
        run->over[slot->bucket] = v;
}

/* Gives up the keys that a stop leaves undone: those that were never sent or wait for another try;
 * those in flight when the stop is forced or no answer comes soon. */
static void give_up(struct run *run)
{
    if (!run->stopped) {
        run->stopped = verdict_text(run->ctx, "Stopped",
                                    "stopped by a signal before the object store confirmed it");
        run->stop_ms = clock_now_ms();
    }
    bool at_once = stop_forced() || clock_now_ms() - run->stop_ms >= STOP_GRACE_MS;
    settle_range(run, run->next, run->count, STORE_STOPPED, run->stopped);
    run->next = run->count;
    for (int i = 0; i < run->store->slot_count; i++) {
        struct slot *slot = &run->store->slots[i];
        bool drop = slot->state == SLOT_WAITING || (slot->state == SLOT_RUNNING && at_once);
        if (!drop)
            continue;
        if (slot->state == SLOT_RUNNING)
            curl_multi_remove_handle(run->store->multi, slot->easy);
        settle_range(run, slot->first, slot->end, STORE_STOPPED, run->stopped);
        slot->state = SLOT_IDLE;
    }
}

/* Sends the requests that are due. Returns how many slots are busy; *wait_ms: how long to wait at
 * most before the next call. */
static int start_slots(struct run *run, int *wait_ms)
{
    int busy = 0;
    *wait_ms = POLL_MS;
    for (int i = 0; i < run->store->slot_count; i++) {
        struct slot *slot = &run->store->slots[i];
        int64_t left = slot->not_before - clock_now_ms();
        if (slot->state == SLOT_WAITING && left <= 0)
            send_slot(run, slot);
        while (slot->state == SLOT_IDLE && fill(run, slot))
            send_slot(run, slot);
        if (slot->state == SLOT_WAITING && left < *wait_ms)
            *wait_ms = (int)left;
        busy += slot->state != SLOT_IDLE;
    }
    return busy;
}

static void work(struct run *run)
{
    CURLM *multi = run->store->multi;
    int wait_ms = 0;
    for (;;) {
        if (stop_requested())
            give_up(run);
        if (start_slots(run, &wait_ms) == 0)
            return;
        int running = 0, left = 0;
        bool finished = false;
        curl_multi_perform(multi, &running);
        for (CURLMsg *message; (message = curl_multi_info_read(multi, &left));) {
            struct slot *slot = NULL;
            CURLcode code = message->data.result;
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&slot);
            finish(run, slot, code);
            finished = true;
        }
        if (!finished)
            curl_multi_poll(multi, NULL, 0, wait_ms, NULL);
    }
}

size_t store_delete(struct store *store, const void *ctx, const struct store_object *objects,
                    size_t n, struct store_result *results)
{
    struct run run = {.store = store, .ctx = ctx, .results = results};
    size_t deleted = 0;
    collect(&run, objects, n);
    run.over = mem_array(store, struct verdict, store->config->bucket_count);
    work(&run);
    for (size_t i = 0; i < n; i++)
        deleted += results[i].outcome == STORE_DELETED;
    talloc_free(run.items);
    talloc_free(run.over);
    return deleted;
}
