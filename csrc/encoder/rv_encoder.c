/* The encoder's pass over a few texts. Linear layers see one long row of tokens, attention sees each text alone, so nothing
 * is padded. A panel of 32 rows is exactly one head, and exactly one block of the next product's activations: a head's
 * queries, keys and values, and a slice of the inner layer, are made, used and quantised while they are in the cache. Any of
 * several threads may take a panel: the bits are the same. */
#include "rv_encoder_kernels.h"
#include "../rv.h"
#include "../rv_pool.h"

#include <string.h>

extern const rv_encoder_kernels rv_encoder_scalar;
#if defined(__x86_64__)
extern const rv_encoder_kernels rv_encoder_sse41, rv_encoder_avx2, rv_encoder_avx512;
#elif defined(__aarch64__)
extern const rv_encoder_kernels rv_encoder_neon, rv_encoder_neon_dotprod;
#endif

/* AVX-512 without VNNI multiplies bytes no better than AVX2 does. */
const rv_encoder_kernels *rv_encoder_kernels_in_use(void) {
    const char *name = rv_in_use();
#if defined(__x86_64__)
    if (!strcmp(name, "sse41")) return &rv_encoder_sse41;
    if (!strcmp(name, "avx2")) return &rv_encoder_avx2;
    if (!strcmp(name, "avx512")) return rv_cpu_features() & RV_HAS_VNNI ? &rv_encoder_avx512 : &rv_encoder_avx2;
#elif defined(__aarch64__)
    if (!strcmp(name, "neon"))
        return rv_cpu_features() & RV_HAS_DOTPROD ? &rv_encoder_neon_dotprod : &rv_encoder_neon;
#endif
    (void)name;
    return &rv_encoder_scalar;
}

static float half(const uint8_t *p) {
    const uint32_t bits = (uint32_t)p[0] | (uint32_t)p[1] << 8;
    const uint32_t sign = bits >> 15, exponent = bits >> 10 & 31, fraction = bits & 1023;
    float value;
    if (exponent == 0) {
        value = (float)fraction * 0x1p-24f;
        return sign ? -value : value;
    }
    const uint32_t wide = sign << 31 | (exponent == 31 ? 255 : exponent + 112) << 23 | fraction << 13;
    memcpy(&value, &wide, sizeof value);
    return value;
}

enum { Q8_0_BLOCK = 2 + RV_BLOCK };

void rv_encoder_pack(const uint8_t *q8_0, size_t rows, size_t cols, float factor, uint8_t *packed) {
    const size_t blocks = cols / RV_BLOCK;
    for (size_t row = 0; row < rows; row++)
        for (size_t b = 0; b < blocks; b++) {
            const uint8_t *from = q8_0 + (row * blocks + b) * Q8_0_BLOCK;
            uint8_t *block = packed + (row / RV_PANEL * blocks + b) * RV_PANEL_BLOCK;
            const size_t r = row % RV_PANEL;
            ((float *)block)[r] = half(from) * factor;
            for (size_t k = 0; k < RV_BLOCK / 4; k++)
                memcpy(block + 4 * RV_PANEL + (k * RV_PANEL + r) * 4, from + 2 + 4 * k, 4);
        }
}

/* Activations as `quantize` makes them. */
struct rows {
    size_t blocks;
    int8_t *q;
    float *scales;
    int32_t *excess;
};

enum { STEPS = 6, MOST_THREADS = 12 };

struct pass;

/* One thread of a pass: how far it is, and what it makes a panel in. */
struct worker {
    const struct pass *pass;
    const rv_encoder_layer *layer;
    float *query, *key, *value, *keys, *seen, *scores;
};

/* `x`: the tokens' hidden states. `steps`: STEPS of them a layer. */
struct pass {
    const rv_encoder *encoder;
    const rv_encoder_kernels *kernels;
    const int64_t *ends;
    size_t texts, tokens, key_stride, threads;
    float *x;
    struct rows wide, heads, inner;
    rv_pool_step *steps;
    struct worker worker[MOST_THREADS];
};

static void *take(uint8_t **at, size_t bytes) {
    void *place = *at;
    *at += (bytes + 63) / 64 * 64;
    return place;
}

static struct rows take_rows(uint8_t **at, size_t tokens, size_t cols) {
    const size_t blocks = cols / RV_BLOCK;
    struct rows rows = {blocks, take(at, tokens * cols), take(at, tokens * blocks * 4), take(at, tokens * blocks * 4)};
    return rows;
}

static size_t threads_of(size_t wanted) { return wanted < 1 ? 1 : wanted > MOST_THREADS ? MOST_THREADS : wanted; }

static uint8_t *lay_out(const rv_encoder *e, size_t tokens, size_t threads, uint8_t *at, struct pass *p) {
    const size_t head = tokens * RV_HEAD * sizeof(float);
    p->encoder = e;
    p->tokens = tokens;
    p->threads = threads_of(threads);
    p->key_stride = (tokens + RV_HEAD) / 16 * 16 + 16;
    p->x = take(&at, tokens * e->width * sizeof(float));
    p->wide = take_rows(&at, tokens, e->width);
    p->heads = take_rows(&at, tokens, e->width);
    p->inner = take_rows(&at, tokens, e->inner);
    p->steps = take(&at, e->layers * STEPS * sizeof *p->steps);
    for (struct worker *w = p->worker; w < p->worker + p->threads; w++) {
        w->pass = p;
        w->query = take(&at, head);
        w->key = take(&at, head);
        w->value = take(&at, head);
        w->seen = take(&at, head);
        w->keys = take(&at, p->key_stride * RV_HEAD * sizeof(float));
        w->scores = take(&at, RV_QUERIES * (e->max_tokens + RV_HEAD) * sizeof(float));
    }
    return at;
}

size_t rv_encoder_scratch(const rv_encoder *e, size_t texts, size_t ids, size_t threads) {
    struct pass p;
    uint8_t *const start = (uint8_t *)64;
    return (size_t)(lay_out(e, ids + 2 * texts, threads, start, &p) - start);
}

static void place_token(const rv_encoder *e, int32_t id, size_t position, float *x) {
    const uint8_t *row = e->pieces + (size_t)id * (e->width / RV_BLOCK * Q8_0_BLOCK);
    const float *where = e->positions + position * e->width;
    for (size_t b = 0; b < e->width / RV_BLOCK; b++, row += Q8_0_BLOCK) {
        const float scale = half(row);
        for (size_t i = 0; i < RV_BLOCK; i++, x++, where++) *x = scale * (float)(int8_t)row[2 + i] + *where;
    }
}

static size_t length_of(const int64_t *ends, size_t i) { return (size_t)(ends[i] - (i ? ends[i - 1] : 0)) + 2; }

static void multiply(const rv_encoder_kernels *k, const uint8_t *packed, size_t panel, const struct rows *rows,
                     size_t tokens, const float *bias, const float *onto, float *out, size_t stride) {
    k->panel(packed + panel * rows->blocks * RV_PANEL_BLOCK, rows->blocks, rows->q, rows->scales, rows->excess, tokens,
             bias + panel * RV_PANEL, onto, out, stride);
}

static void quantize_panel(const struct pass *p, const float *panel, size_t i, const struct rows *to) {
    p->kernels->quantize(panel, p->tokens, RV_PANEL, 1, to->q + i * RV_BLOCK, to->scales + i, to->excess + i, to->blocks);
}

static void quantize_token(const struct pass *p, size_t t) {
    const size_t blocks = p->wide.blocks, at = t * blocks;
    p->kernels->quantize(p->x + t * p->encoder->width, 1, p->encoder->width, blocks, p->wide.q + at * RV_BLOCK,
                         p->wide.scales + at, p->wide.excess + at, blocks);
}

/* The items of each step. */

static void attend(void *worker, size_t h) {
    const struct worker *w = worker;
    const struct pass *p = w->pass;
    const size_t heads = p->wide.blocks;
    float *const made[] = {w->query, w->key, w->value};
    for (size_t i = 0; i < 3; i++)
        multiply(p->kernels, w->layer->qkv, i * heads + h, &p->wide, p->tokens, w->layer->qkv_bias, NULL, made[i], RV_HEAD);
    for (size_t d = 0; d < RV_HEAD; d++)
        for (size_t t = 0; t < p->tokens; t++) w->keys[d * p->key_stride + t] = w->key[t * RV_HEAD + d];
    for (size_t i = 0, start = 0; i < p->texts; start += length_of(p->ends, i), i++)
        p->kernels->attend(w->query + start * RV_HEAD, w->keys + start, p->key_stride, w->value + start * RV_HEAD,
                           length_of(p->ends, i), w->scores, w->seen + start * RV_HEAD);
    quantize_panel(p, w->seen, h, &p->heads);
}

/* Panel i of a product is added to the hidden states. */
static void add_panel(const struct pass *p, const uint8_t *packed, const struct rows *rows, const float *bias, size_t i) {
    float *x = p->x + i * RV_PANEL;
    multiply(p->kernels, packed, i, rows, p->tokens, bias, x, x, p->encoder->width);
}

static void add_attention(void *worker, size_t i) {
    const struct worker *w = worker;
    add_panel(w->pass, w->layer->output, &w->pass->heads, w->layer->output_bias, i);
}

static void settle_token(const struct pass *p, size_t t, const float *gain, const float *shift) {
    p->kernels->norm(p->x + t * p->encoder->width, 1, p->encoder->width, gain, shift, p->encoder->epsilon);
    quantize_token(p, t);
}

static void settle_attention(void *worker, size_t t) {
    const struct worker *w = worker;
    settle_token(w->pass, t, w->layer->attention_gain, w->layer->attention_shift);
}

static void go_up(void *worker, size_t i) {
    const struct worker *w = worker;
    const struct pass *p = w->pass;
    multiply(p->kernels, w->layer->up, i, &p->wide, p->tokens, w->layer->up_bias, NULL, w->query, RV_PANEL);
    p->kernels->gelu(w->query, p->tokens * RV_PANEL);
    quantize_panel(p, w->query, i, &p->inner);
}

static void come_down(void *worker, size_t i) {
    const struct worker *w = worker;
    add_panel(w->pass, w->layer->down, &w->pass->inner, w->layer->down_bias, i);
}

static void settle_output(void *worker, size_t t) {
    const struct worker *w = worker;
    settle_token(w->pass, t, w->layer->output_gain, w->layer->output_shift);
}

static void run_layers(void *pass, size_t thread) {
    struct pass *p = pass;
    struct worker *w = &p->worker[thread];
    const size_t panels = p->wide.blocks;
    for (size_t i = 0; i < p->encoder->layers; i++) {
        rv_pool_step *step = p->steps + i * STEPS;
        w->layer = &p->encoder->layer[i];
        rv_pool_share(step++, panels, attend, w);
        rv_pool_share(step++, panels, add_attention, w);
        rv_pool_share(step++, p->tokens, settle_attention, w);
        rv_pool_share(step++, p->inner.blocks, go_up, w);
        rv_pool_share(step++, panels, come_down, w);
        rv_pool_share(step++, p->tokens, settle_output, w);
    }
}

/* From last hidden states to the vectors wanted. */
static void write_vectors(const rv_encoder *e, const float *x, size_t length, float *sentence, float *tokens) {
    for (size_t i = 0; i < e->width; i++) sentence[i] = x[i];
    for (size_t t = 1; t < length; t++)
        for (size_t i = 0; i < e->width; i++) sentence[i] += x[t * e->width + i];
    rv_normalize_f32(sentence, sentence, e->width);
    for (size_t t = 1; tokens && t + 1 < length; t++, tokens += e->width) {
        for (size_t i = 0; i < e->width; i++) tokens[i] = x[t * e->width + i] - e->token_mean[i];
        rv_normalize_f32(tokens, tokens, e->width);
    }
}

void rv_encoder_run(const rv_encoder *e, const int32_t *ids, const int64_t *ends, size_t texts, size_t threads,
                    uint8_t *scratch, float *sentences, float *tokens) {
    if (!texts) return;
    struct pass p = {.kernels = rv_encoder_kernels_in_use(), .ends = ends, .texts = texts};
    lay_out(e, (size_t)ends[texts - 1] + 2 * texts, threads, scratch, &p);
    memset(p.steps, 0, e->layers * STEPS * sizeof *p.steps);
    float *x = p.x;
    for (size_t i = 0; i < texts; i++) {
        const size_t length = length_of(ends, i);
        for (size_t t = 0; t < length; t++, x += e->width)
            place_token(e, t == 0 ? e->start : t + 1 == length ? e->end : *ids++, t, x);
    }
    for (size_t t = 0; t < p.tokens; t++) settle_token(&p, t, e->gain, e->shift);
    rv_pool_help(run_layers, &p, p.threads);
    x = p.x;
    for (size_t i = 0; i < texts; i++) {
        const size_t length = length_of(ends, i);
        write_vectors(e, x, length, sentences + i * e->width, tokens);
        if (tokens) tokens += (length - 2) * e->width;
        x += length * e->width;
    }
}

void rv_encoder_product(const uint8_t *packed, size_t rows, size_t cols, const float *x, size_t tokens,
                        const float *bias, uint8_t *scratch, float *out) {
    const rv_encoder_kernels *k = rv_encoder_kernels_in_use();
    struct rows made = take_rows(&scratch, tokens, cols);
    k->quantize(x, tokens, cols, made.blocks, made.q, made.scales, made.excess, made.blocks);
    for (size_t i = 0; i < rows / RV_PANEL; i++)
        multiply(k, packed, i, &made, tokens, bias, NULL, out + i * RV_PANEL, rows);
}
