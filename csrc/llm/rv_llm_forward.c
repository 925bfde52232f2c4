/* From parts to passes: checks what was asked, gets the memory, and runs pass after pass until all tokens are through. */
#include "rv_llm_pass.h"
#include "../rv_pool.h"

#include <stdlib.h>
#include <string.h>

static int check(const rv_llm *model, const rv_llm_part *parts, size_t count) {
    int answer = RV_LLM_OK;
    size_t seen = 0;
    for (; seen < count && !answer; seen++) {
        const rv_llm_part *part = &parts[seen];
        if (!part->cache || part->cache->model != model || part->cache->busy || part->logits > part->count) {
            answer = RV_LLM_BAD_CACHE;
            break;
        }
        part->cache->busy = 1;
        if (part->count > part->cache->capacity - part->cache->length) answer = RV_LLM_CONTEXT_FULL;
        for (size_t i = 0; i < part->count && !answer; i++)
            if (part->tokens[i] < 0 || (size_t)part->tokens[i] >= model->config.vocabulary) answer = RV_LLM_BAD_TOKEN;
    }
    for (size_t i = 0; i < seen; i++) parts[i].cache->busy = 0;
    return answer;
}

/* Hands out pieces of one block of memory; with base NULL it only counts. */
typedef struct arena {
    uint8_t *base;
    size_t used;
} arena;

static void *piece(arena *a, size_t count, size_t size) {
    void *at = a->base ? a->base + a->used : NULL;
    a->used += (count * size + 63) / 64 * 64;
    return at;
}

static size_t most(size_t a, size_t b) { return a > b ? a : b; }

static rv_llm_runs room_for_runs(arena *a, size_t runs) {
    rv_llm_run *run = piece(a, runs, sizeof *run);
    rv_llm_span *span = piece(a, runs, sizeof *span);
    return (rv_llm_runs){.run = run, .span = span};
}

static rv_llm_activations room_for_activations(arena *a, float *x, size_t tokens, size_t cols, size_t group) {
    int8_t *q = piece(a, tokens * cols, 1);
    float *scales = piece(a, tokens * (cols / group), sizeof *scales);
    int16_t *sums = piece(a, tokens * (cols / RV_SUM), sizeof *sums);
    return (rv_llm_activations){.group = group, .x = x, .q = q, .scales = scales, .sums = sums};
}

static void lay_out(rv_llm_pass *p, arena *a, size_t tokens, size_t runs, size_t positions) {
    const rv_llm_config *c = &p->model->config;
    const size_t queries = c->heads * c->head_dim, keys = c->kv_heads * c->head_dim;
    const size_t widest = most(most(c->width, queries), c->inner);
    p->all = room_for_runs(a, runs);
    p->wanted = room_for_runs(a, runs);
    p->token = piece(a, tokens, sizeof *p->token);
    p->wanted_from = piece(a, tokens, sizeof *p->wanted_from);
    p->x = piece(a, tokens * c->width, sizeof *p->x);
    p->q = piece(a, tokens * queries, sizeof *p->q);
    p->k = piece(a, tokens * keys, sizeof *p->k);
    p->v = piece(a, tokens * keys, sizeof *p->v);
    p->gate = piece(a, tokens * most(c->inner, c->width), sizeof *p->gate);
    p->up = piece(a, tokens * c->inner, sizeof *p->up);
    p->turns = piece(a, tokens * c->rope_dims, sizeof *p->turns);
    p->hidden = piece(a, tokens * widest, sizeof *p->hidden);
    p->small = room_for_activations(a, p->hidden, tokens, widest, 32);
    p->large = room_for_activations(a, p->hidden, tokens, widest, 256);
    p->next = piece(a, rv_llm_counters(p->model), sizeof *p->next);
    p->scratch_bytes = (most(rv_llm_panel_bytes(widest), rv_llm_attend_bytes(positions)) + 63) / 64 * 64;
    p->scratch = piece(a, p->threads, p->scratch_bytes);
}

static void add_run(rv_llm_runs *runs, rv_llm_cache *cache, size_t position, size_t count, int few) {
    rv_llm_span *last = runs->spans ? &runs->span[runs->spans - 1] : NULL;
    const size_t first = runs->tokens, end = first + count;
    runs->run[runs->runs++] = (rv_llm_run){.cache = cache, .first = first, .end = end, .position = position};
    runs->tokens = end;
    if (last && last->few == few) last->end = end;
    else runs->span[runs->spans++] = (rv_llm_span){.first = first, .end = end, .few = few};
}

/* How far the parts have come: all before `part` are through, and `done` tokens of it. */
typedef struct progress {
    size_t part, done;
} progress;

static void fill(rv_llm_pass *p, const rv_llm_part *parts, size_t count, progress *at) {
    p->all.runs = p->all.spans = p->all.tokens = p->wanted.runs = p->wanted.spans = p->wanted.tokens = 0;
    while (at->part < count && p->all.tokens < RV_PASS_TOKENS) {
        const rv_llm_part *part = &parts[at->part];
        const size_t room = RV_PASS_TOKENS - p->all.tokens, left = part->count - at->done;
        const size_t some = left < room ? left : room, unwanted = part->count - part->logits;
        const size_t position = part->cache->length + at->done;
        const size_t skipped = unwanted > at->done ? unwanted - at->done : 0;
        for (size_t i = 0; i < some; i++) p->token[p->all.tokens + i] = part->tokens[at->done + i];
        for (size_t i = skipped; i < some; i++) p->wanted_from[p->wanted.tokens + i - skipped] = p->all.tokens + i;
        if (some) add_run(&p->all, part->cache, position, some, part->count <= RV_LLM_TOGETHER);
        if (some > skipped) add_run(&p->wanted, part->cache, position + skipped, some - skipped, part->logits <= RV_LLM_TOGETHER);
        at->done += some;
        if (at->done < part->count) return;
        *at = (progress){.part = at->part + 1};
    }
}

static int run_passes(rv_llm_pass *p, const rv_llm_part *parts, size_t count, float *logits) {
    progress at = {0};
    while (at.part < count) {
        fill(p, parts, count, &at);
        memset(p->next, 0, rv_llm_counters(p->model) * sizeof *p->next);
        p->logits = logits;
        rv_pool_run(rv_llm_pass_job, p);
        if (p->cancelled) return RV_LLM_CANCELLED;
        logits += p->wanted.tokens * p->model->config.vocabulary;
    }
    for (size_t i = 0; i < count; i++) parts[i].cache->length += parts[i].count;
    return RV_LLM_OK;
}

static int run(rv_llm_pass *p, const rv_llm_part *parts, size_t count, float *logits) {
    const int wrong = check(p->model, parts, count);
    if (wrong) return wrong;
    size_t tokens = 0, positions = 0;
    for (size_t i = 0; i < count; i++) {
        positions = most(positions, parts[i].cache->length + parts[i].count);
        if (tokens < RV_PASS_TOKENS) tokens += parts[i].count < RV_PASS_TOKENS ? parts[i].count : RV_PASS_TOKENS;
    }
    if (tokens > RV_PASS_TOKENS) tokens = RV_PASS_TOKENS;
    arena memory = {0};
    lay_out(p, &memory, tokens, count, positions);
    memory.base = aligned_alloc(64, memory.used + 64);
    if (!memory.base) return RV_LLM_OUT_OF_MEMORY;
    memory.used = 0;
    lay_out(p, &memory, tokens, count, positions);
    const int answer = run_passes(p, parts, count, logits);
    free(memory.base);
    return answer;
}

int rv_llm_forward(rv_llm *model, const rv_llm_part *parts, size_t count, float *logits, const volatile int *cancel) {
    rv_llm_pass pass = {.model = model, .cancel = cancel, .kernels = rv_llm_kernels_in_use()};
    pass.threads = rv_pool_take(cancel);
    if (!pass.threads) return RV_LLM_CANCELLED;
    const int answer = run(&pass, parts, count, logits);
    rv_pool_release();
    return answer;
}

size_t rv_llm_set_threads(size_t threads) { return rv_pool_set_threads(threads); }
size_t rv_llm_threads(void) { return rv_pool_threads(); }
