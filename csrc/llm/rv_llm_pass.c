/* The stages of a pass. In the last layer only the tokens whose logits are wanted go on after their keys and values are stored. */
#include "rv_llm_pass.h"
#include "../rv_pool.h"
#include "../rv.h"

#include <string.h>

enum { HIDDEN_UNIT = 1024 }; /* columns of one token's inner layer that a thread takes at a time; a multiple of 256 */

static size_t take(atomic_size_t *next) { return atomic_fetch_add_explicit(next, 1, memory_order_relaxed); }

/* Which groups of activations some matrices need. */
static int needs(const rv_llm_matrix *m) { return rv_llm_group(m->type) == 32 ? 1 : rv_llm_group(m->type) == 256 ? 2 : 0; }

static const rv_llm_activations *activations(const rv_llm_pass *p, const rv_llm_matrix *m) {
    return rv_llm_group(m->type) == 256 ? &p->large : &p->small;
}

/* Each thread sets its own copy of the pass: the same everywhere. */
static void set_cols(rv_llm_pass *p, size_t cols) { p->small.cols = p->large.cols = cols; }

static void quantize(const rv_llm_pass *p, int kinds, size_t token, size_t col, size_t end) {
    if (kinds & 1) p->kernels.quantize(&p->small, token, 1, col, end);
    if (kinds & 2) p->kernels.quantize(&p->large, token, 1, col, end);
}

static void normalise(const rv_llm_pass *p, const rv_llm_runs *runs, const float *gain, int kinds, atomic_size_t *next) {
    const rv_llm_config *c = &p->model->config;
    for (size_t t; (t = take(next)) < runs->tokens;) {
        rv_rms_norm_f32(p->x + t * c->width, gain, c->epsilon, p->hidden + t * c->width, c->width);
        quantize(p, kinds, t, 0, c->width);
    }
    rv_pool_meet();
}

static void requantize(const rv_llm_pass *p, const rv_llm_runs *runs, int kinds, atomic_size_t *next) {
    for (size_t t; (t = take(next)) < runs->tokens;) quantize(p, kinds, t, 0, p->small.cols);
    rv_pool_meet();
}

/* hidden = silu(gate) * up, a piece of a token at a time. */
static void activate(const rv_llm_pass *p, const rv_llm_runs *runs, int kinds, atomic_size_t *next) {
    const size_t cols = p->model->config.inner, pieces = (cols + HIDDEN_UNIT - 1) / HIDDEN_UNIT;
    for (size_t unit; (unit = take(next)) < runs->tokens * pieces;) {
        const size_t token = unit / pieces, col = unit % pieces * HIDDEN_UNIT;
        const size_t end = col + HIDDEN_UNIT < cols ? col + HIDDEN_UNIT : cols, at = token * cols + col;
        rv_silu_f32(p->gate + at, p->hidden + at, end - col);
        rv_mul_f32(p->hidden + at, p->up + at, p->hidden + at, end - col);
        quantize(p, kinds, token, col, end);
    }
    rv_pool_meet();
}

static void multiply(const rv_llm_pass *p, const rv_llm_runs *runs, const rv_llm_linear *linears, size_t count,
                     atomic_size_t *next, void *scratch) {
    rv_llm_multiply(&p->kernels, linears, count, runs->span, runs->spans, p->threads, next, scratch);
    rv_pool_meet();
}

static rv_llm_linear linear(const rv_llm_pass *p, const rv_llm_matrix *matrix, const float *bias, float *out, float *onto) {
    return (rv_llm_linear){.matrix = matrix, .from = activations(p, matrix), .bias = bias, .out = out, .onto = onto};
}

static void place(const rv_llm_pass *p, size_t layer, atomic_size_t *next) {
    for (size_t t; (t = take(next)) < p->all.tokens;) {
        size_t i = 0;
        while (p->all.run[i].end <= t) i++;
        rv_llm_place(p, &p->all.run[i], layer, t);
    }
    rv_pool_meet();
}

/* Moves the tokens that are wanted to the front. */
static void keep_wanted(const rv_llm_pass *p, size_t thread) {
    const rv_llm_config *c = &p->model->config;
    const size_t queries = c->heads * c->head_dim;
    for (size_t i = 0; thread == 0 && i < p->wanted.tokens; i++) {
        const size_t from = p->wanted_from[i];
        memmove(p->x + i * c->width, p->x + from * c->width, c->width * sizeof *p->x);
        memmove(p->q + i * queries, p->q + from * queries, queries * sizeof *p->q);
    }
    rv_pool_meet();
}

enum { NORM, QKV, PLACE, ATTEND, REQUANTIZE, OUTPUT, FFN_NORM, GATE_UP, ACTIVATE, DOWN, STAGES };

static void attention_half(rv_llm_pass *p, const rv_llm_runs *runs, size_t layer, size_t thread, void *scratch) {
    const rv_llm_config *c = &p->model->config;
    const rv_llm_block *b = &p->model->block[layer];
    atomic_size_t *next = p->next + layer * STAGES;
    set_cols(p, c->width);
    const rv_llm_linear qkv[] = {linear(p, &b->q, b->q_bias, p->q, NULL), linear(p, &b->k, b->k_bias, p->k, NULL),
                                 linear(p, &b->v, b->v_bias, p->v, NULL)};
    normalise(p, &p->all, b->attn_norm, needs(&b->q) | needs(&b->k) | needs(&b->v), next + NORM);
    multiply(p, &p->all, qkv, 3, next + QKV, scratch);
    place(p, layer, next + PLACE);
    if (runs != &p->all) keep_wanted(p, thread);
    if (!runs->tokens) return;
    rv_llm_attend(p, runs, layer, next + ATTEND, scratch);
    rv_pool_meet();
    set_cols(p, c->heads * c->head_dim);
    requantize(p, runs, needs(&b->attn_output), next + REQUANTIZE);
    const rv_llm_linear output = linear(p, &b->attn_output, b->attn_output_bias, p->gate, p->x);
    multiply(p, runs, &output, 1, next + OUTPUT, scratch);
}

static void feed_forward_half(rv_llm_pass *p, const rv_llm_runs *runs, size_t layer, void *scratch) {
    const rv_llm_config *c = &p->model->config;
    const rv_llm_block *b = &p->model->block[layer];
    atomic_size_t *next = p->next + layer * STAGES;
    set_cols(p, c->width);
    const rv_llm_linear wide[] = {linear(p, &b->gate, NULL, p->gate, NULL), linear(p, &b->up, NULL, p->up, NULL)};
    normalise(p, runs, b->ffn_norm, needs(&b->gate) | needs(&b->up), next + FFN_NORM);
    multiply(p, runs, wide, 2, next + GATE_UP, scratch);
    set_cols(p, c->inner);
    activate(p, runs, needs(&b->down), next + ACTIVATE);
    const rv_llm_linear down = linear(p, &b->down, NULL, p->gate, p->x);
    multiply(p, runs, &down, 1, next + DOWN, scratch);
}

static void embed(const rv_llm_pass *p, size_t thread) {
    const rv_llm_matrix *m = &p->model->embedding;
    for (size_t t = thread; t < p->all.tokens; t += p->threads)
        rv_llm_row_floats(m->type, m->data + (size_t)p->token[t] * m->row_bytes, m->cols, p->x + t * m->cols);
    for (size_t i = 0; i < p->all.runs; i++)
        for (size_t t = p->all.run[i].first + thread; t < p->all.run[i].end; t += p->threads)
            rv_llm_turns(p->model, p->all.run[i].position + t - p->all.run[i].first,
                         p->turns + t * p->model->config.rope_dims);
}

void rv_llm_pass_job(void *context, size_t thread) {
    rv_llm_pass *shared = context, own = *shared, *p = &own;
    const rv_llm *model = p->model;
    const size_t layers = model->config.layers;
    void *scratch = p->scratch + thread * p->scratch_bytes;
    embed(p, thread);
    for (size_t layer = 0; layer < layers; layer++) {
        if (thread == 0 && p->cancel && *p->cancel) shared->cancelled = 1;
        rv_pool_meet();
        if (shared->cancelled) return;
        const rv_llm_runs *runs = layer + 1 < layers ? &p->all : &p->wanted;
        attention_half(p, runs, layer, thread, scratch);
        if (runs->tokens) feed_forward_half(p, runs, layer, scratch);
    }
    if (!p->wanted.tokens) return;
    set_cols(p, model->config.width);
    atomic_size_t *next = p->next + layers * STAGES;
    normalise(p, &p->wanted, model->output_norm, needs(&model->output), next);
    const rv_llm_linear output = linear(p, &model->output, NULL, p->logits, NULL);
    multiply(p, &p->wanted, &output, 1, next + 1, scratch);
}

size_t rv_llm_counters(const rv_llm *model) { return model->config.layers * STAGES + 2; }
