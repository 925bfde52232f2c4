/* The encoder's pass over a few texts. Linear layers see one long row of tokens, attention sees each text alone, so nothing
 * is padded. A panel of 32 rows is exactly one head, and exactly one block of the next product's activations: a head's
 * queries, keys and values, and a slice of the inner layer, are made, used and quantised while they are in the cache. */
#include "rv_encoder_kernels.h"
#include "../rv.h"

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

struct pass {
    size_t tokens, key_stride;
    float *x, *query, *key, *value, *keys, *seen, *scores;
    struct rows wide, heads, inner;
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

static uint8_t *lay_out(const rv_encoder *e, size_t tokens, uint8_t *at, struct pass *p) {
    const size_t head = tokens * RV_HEAD * sizeof(float);
    p->tokens = tokens;
    p->key_stride = (tokens + RV_HEAD) / 16 * 16 + 16;
    p->x = take(&at, tokens * e->width * sizeof(float));
    p->query = take(&at, head);
    p->key = take(&at, head);
    p->value = take(&at, head);
    p->seen = take(&at, head);
    p->keys = take(&at, p->key_stride * RV_HEAD * sizeof(float));
    p->scores = take(&at, RV_QUERIES * (e->max_tokens + RV_HEAD) * sizeof(float));
    p->wide = take_rows(&at, tokens, e->width);
    p->heads = take_rows(&at, tokens, e->width);
    p->inner = take_rows(&at, tokens, e->inner);
    return at;
}

size_t rv_encoder_scratch(const rv_encoder *e, size_t texts, size_t ids) {
    struct pass p;
    uint8_t *const start = (uint8_t *)64;
    return (size_t)(lay_out(e, ids + 2 * texts, start, &p) - start);
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

static void attend_all(const rv_encoder *e, const rv_encoder_kernels *k, const rv_encoder_layer *layer,
                       const int64_t *ends, size_t texts, struct pass *p) {
    const size_t heads = e->width / RV_HEAD;
    for (size_t h = 0; h < heads; h++) {
        multiply(k, layer->qkv, h, &p->wide, p->tokens, layer->qkv_bias, NULL, p->query, RV_HEAD);
        multiply(k, layer->qkv, heads + h, &p->wide, p->tokens, layer->qkv_bias, NULL, p->key, RV_HEAD);
        multiply(k, layer->qkv, 2 * heads + h, &p->wide, p->tokens, layer->qkv_bias, NULL, p->value, RV_HEAD);
        for (size_t d = 0; d < RV_HEAD; d++)
            for (size_t t = 0; t < p->tokens; t++) p->keys[d * p->key_stride + t] = p->key[t * RV_HEAD + d];
        for (size_t i = 0, start = 0; i < texts; start += length_of(ends, i), i++)
            k->attend(p->query + start * RV_HEAD, p->keys + start, p->key_stride, p->value + start * RV_HEAD,
                      length_of(ends, i), p->scores, p->seen + start * RV_HEAD);
        k->quantize(p->seen, p->tokens, RV_HEAD, 1, p->heads.q + h * RV_BLOCK, p->heads.scales + h, p->heads.excess + h,
                    heads);
    }
    for (size_t i = 0; i < heads; i++)
        multiply(k, layer->output, i, &p->heads, p->tokens, layer->output_bias, p->x + i * RV_PANEL,
                 p->x + i * RV_PANEL, e->width);
    k->norm(p->x, p->tokens, e->width, layer->attention_gain, layer->attention_shift, e->epsilon);
}

static void feed_forward(const rv_encoder *e, const rv_encoder_kernels *k, const rv_encoder_layer *layer,
                         struct pass *p) {
    float *slice = p->query; /* free between attentions */
    k->quantize(p->x, p->tokens, e->width, p->wide.blocks, p->wide.q, p->wide.scales, p->wide.excess, p->wide.blocks);
    for (size_t i = 0; i < p->inner.blocks; i++) {
        multiply(k, layer->up, i, &p->wide, p->tokens, layer->up_bias, NULL, slice, RV_PANEL);
        k->gelu(slice, p->tokens * RV_PANEL);
        k->quantize(slice, p->tokens, RV_PANEL, 1, p->inner.q + i * RV_BLOCK, p->inner.scales + i, p->inner.excess + i,
                    p->inner.blocks);
    }
    for (size_t i = 0; i < p->wide.blocks; i++)
        multiply(k, layer->down, i, &p->inner, p->tokens, layer->down_bias, p->x + i * RV_PANEL, p->x + i * RV_PANEL,
                 e->width);
    k->norm(p->x, p->tokens, e->width, layer->output_gain, layer->output_shift, e->epsilon);
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

void rv_encoder_run(const rv_encoder *e, const int32_t *ids, const int64_t *ends, size_t texts, uint8_t *scratch,
                    float *sentences, float *tokens) {
    if (!texts) return;
    const rv_encoder_kernels *k = rv_encoder_kernels_in_use();
    struct pass p;
    lay_out(e, (size_t)ends[texts - 1] + 2 * texts, scratch, &p);
    float *x = p.x;
    for (size_t i = 0; i < texts; i++) {
        const size_t length = length_of(ends, i);
        for (size_t t = 0; t < length; t++, x += e->width)
            place_token(e, t == 0 ? e->start : t + 1 == length ? e->end : *ids++, t, x);
    }
    k->norm(p.x, p.tokens, e->width, e->gain, e->shift, e->epsilon);
    for (size_t i = 0; i < e->layers; i++) {
        k->quantize(p.x, p.tokens, e->width, p.wide.blocks, p.wide.q, p.wide.scales, p.wide.excess, p.wide.blocks);
        attend_all(e, k, &e->layer[i], ends, texts, &p);
        feed_forward(e, k, &e->layer[i], &p);
    }
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
