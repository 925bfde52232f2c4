/* Rotary positions, the cache's rows, and attention. */
#include "rv_llm_pass.h"
#include "../rv.h"

#include <math.h>
#include <string.h>

void rv_llm_turns(const rv_llm *model, size_t position, float *turns) {
    for (size_t i = 0; i < model->config.rope_dims / 2; i++) {
        const double angle = (double)position * model->frequencies[i];
        turns[2 * i] = (float)cos(angle) * model->config.rope_magnitude;
        turns[2 * i + 1] = (float)sin(angle) * model->config.rope_magnitude;
    }
}

static void turn(const rv_llm_config *c, const float *turns, float *head) {
    const size_t pairs = c->rope_dims / 2, step = c->rope_half_split ? 1 : 2, apart = c->rope_half_split ? pairs : 1;
    for (size_t i = 0; i < pairs; i++) {
        float *a = head + i * step, *b = a + apart;
        const float x = *a, y = *b, cosine = turns[2 * i], sine = turns[2 * i + 1];
        *a = x * cosine - y * sine;
        *b = x * sine + y * cosine;
    }
}

static void turn_heads(const rv_llm_config *c, const float *turns, const float *norm, float *heads, size_t count) {
    for (size_t h = 0; h < count; h++, heads += c->head_dim) {
        if (norm) rv_rms_norm_f32(heads, norm, c->epsilon, heads, c->head_dim);
        turn(c, turns, heads);
    }
}

/* One head's key and value of one position into the cache. */
static void keep_floats(const rv_llm *model, const float *k, const float *v, size_t position, float *keys, float *values) {
    const size_t dims = model->config.head_dim;
    keys += position / RV_KEY_BLOCK * RV_KEY_BLOCK * dims + position % RV_KEY_BLOCK;
    for (size_t d = 0; d < dims; d++) keys[d * RV_KEY_BLOCK] = k[d];
    memcpy(values + position * model->value_stride, v, dims * sizeof *v);
}

static void keep_halves(const rv_llm_pass *pass, const float *k, const float *v, size_t position, uint16_t *keys,
                        uint16_t *values) {
    const size_t dims = pass->model->config.head_dim;
    uint16_t halves[1 << 10];
    keys += position / RV_KEY_BLOCK * RV_KEY_BLOCK * dims + position % RV_KEY_BLOCK;
    pass->kernels.halves(k, halves, dims);
    for (size_t d = 0; d < dims; d++) keys[d * RV_KEY_BLOCK] = halves[d];
    pass->kernels.halves(v, values + position * pass->model->value_stride, dims);
}

void rv_llm_place(const rv_llm_pass *pass, const rv_llm_run *run, size_t layer, size_t token) {
    const rv_llm_config *c = &pass->model->config;
    const rv_llm_block *block = &pass->model->block[layer];
    const float *turns = pass->turns + token * c->rope_dims;
    float *q = pass->q + token * c->heads * c->head_dim, *k = pass->k + token * c->kv_heads * c->head_dim;
    const float *v = pass->v + token * c->kv_heads * c->head_dim;
    turn_heads(c, turns, block->q_norm, q, c->heads);
    rv_scale_f32(q, 1 / sqrtf((float)c->head_dim), q, c->heads * c->head_dim);
    turn_heads(c, turns, block->k_norm, k, c->kv_heads);
    const size_t position = run->position + token - run->first;
    for (size_t h = 0; h < c->kv_heads; h++, k += c->head_dim, v += c->head_dim) {
        void *keys = rv_llm_keys(run->cache, layer, h), *values = rv_llm_values(run->cache, layer, h);
        if (c->cache_type == RV_LLM_F32) keep_floats(pass->model, k, v, position, keys, values);
        else keep_halves(pass, k, v, position, keys, values);
    }
}

size_t rv_llm_attend_bytes(size_t positions) {
    return RV_LLM_QUERIES * ((positions + 3 * RV_KEY_BLOCK) / 16 * 16) * sizeof(float);
}

/* Queries that share keys: those of every token of a run, for all heads of a group. */
static void attend_unit(const rv_llm_pass *pass, const rv_llm_run *run, size_t layer, size_t kv_head, size_t first,
                        size_t count, float *scores) {
    const rv_llm_config *c = &pass->model->config;
    const size_t group = c->heads / c->kv_heads;
    float query[RV_LLM_QUERIES * (1 << 10)], out[RV_LLM_QUERIES * (1 << 10)];
    rv_llm_attention a = {.query = query,
                          .queries = count,
                          .query_stride = c->head_dim,
                          .head_dim = c->head_dim,
                          .keys = rv_llm_keys(run->cache, layer, kv_head),
                          .values = rv_llm_values(run->cache, layer, kv_head),
                          .wide = c->cache_type == RV_LLM_F32,
                          .value_stride = pass->model->value_stride,
                          .scores = scores,
                          .out = out};
    for (size_t i = 0; i < count; i++) {
        const size_t token = run->first + (first + i) / group, head = kv_head * group + (first + i) % group;
        const size_t end = run->position + token - run->first + 1;
        a.first[i] = c->window && end > c->window ? end - c->window : 0;
        a.end[i] = end;
        const float *from = pass->q + (token * c->heads + head) * c->head_dim;
        for (size_t d = 0; d < c->head_dim; d++) query[i * c->head_dim + d] = from[d];
    }
    pass->kernels.attend(&a);
    for (size_t i = 0; i < count; i++) {
        const size_t token = run->first + (first + i) / group, head = kv_head * group + (first + i) % group;
        float *to = pass->hidden + (token * c->heads + head) * c->head_dim;
        for (size_t d = 0; d < c->head_dim; d++) to[d] = out[i * c->head_dim + d];
    }
}

/* The later a query, the more there is to do: the last come first, so that threads end together. */
void rv_llm_attend(const rv_llm_pass *pass, const rv_llm_runs *runs, size_t layer, atomic_size_t *next, void *scratch) {
    const rv_llm_config *c = &pass->model->config;
    const size_t group = c->heads / c->kv_heads;
    for (;;) {
        size_t unit = atomic_fetch_add_explicit(next, 1, memory_order_relaxed), i = 0, queries = 0, tiles = 0;
        for (; i < runs->runs; i++) {
            queries = (runs->run[i].end - runs->run[i].first) * group;
            tiles = (queries + RV_LLM_QUERIES - 1) / RV_LLM_QUERIES;
            if (unit < tiles * c->kv_heads) break;
            unit -= tiles * c->kv_heads;
        }
        if (i == runs->runs) return;
        const size_t first = (tiles - 1 - unit / c->kv_heads) * RV_LLM_QUERIES, left = queries - first;
        attend_unit(pass, &runs->run[i], layer, unit % c->kv_heads, first,
                    left < RV_LLM_QUERIES ? left : RV_LLM_QUERIES, scratch);
    }
}
