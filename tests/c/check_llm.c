/* The language models' kernels against their definitions in float64. Scales are 1 and numbers small enough that products are whole
 * numbers that float32 holds: those must come out exactly, on every instruction set. Then come the greatest numbers there
 * are, where a sum that does not fit would be far off. */
#include "check.h"
#include "llm/rv_llm_blocks.h"
#include "llm/rv_llm_internal.h"

#include <math.h>
#include <string.h>

enum { ROWS = 37, TOKENS = 7, MOST_COLS = 768 };

static rv_llm_kernels kernels;

static const struct kind_of_matrix {
    const char *name;
    int32_t type;
    size_t cols;
} kinds[] = {
    {"llm f32", RV_LLM_F32, 85},    {"llm f16", RV_LLM_F16, 85},     {"llm bf16", RV_LLM_BF16, 85},
    {"llm q4_0", RV_LLM_Q4_0, 480}, {"llm q5_0", RV_LLM_Q5_0, 480},  {"llm q8_0", RV_LLM_Q8_0, 480},
    {"llm q4_k", RV_LLM_Q4_K, 768}, {"llm q5_k", RV_LLM_Q5_K, 768}, {"llm q6_k", RV_LLM_Q6_K, 768},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static void set_half(uint8_t *p, double number) { write_number(f16, p, 0, number); }

/* Random weights, or all of the greatest and least size, with scales of 1. */
static void fill_weights(const struct kind_of_matrix *kind, uint8_t *weights, size_t bytes, bool greatest) {
    const uint8_t often = kind->type == RV_LLM_Q8_0 ? 0x80 : 0xff, seldom = kind->type == RV_LLM_Q8_0 ? 0x7f : 0;
    for (size_t i = 0; i < bytes; i++) weights[i] = !greatest ? (uint8_t)random_bits() : i % 5 ? often : seldom;
    const size_t rows = bytes / rv_llm_row_bytes(kind->type, kind->cols), floats = rows * kind->cols;
    for (size_t i = 0; i < floats; i++) {
        const double number = greatest ? 1000 : (double)(random_bits() % 17) - 8;
        if (kind->type == RV_LLM_F32) write_number(f32, weights, i, number);
        if (kind->type == RV_LLM_F16) write_number(f16, weights, i, number);
        if (kind->type == RV_LLM_BF16) write_number(bf16, weights, i, number);
    }
    const size_t block = kind->type == RV_LLM_Q4_0   ? RV_Q4_0_BYTES
                         : kind->type == RV_LLM_Q5_0 ? RV_Q5_0_BYTES
                         : kind->type == RV_LLM_Q8_0 ? RV_Q8_0_BYTES
                         : kind->type == RV_LLM_Q4_K ? RV_Q4_K_BYTES
                         : kind->type == RV_LLM_Q5_K ? RV_Q5_K_BYTES
                                                     : RV_Q6_K_BYTES;
    for (size_t at = 0; rv_llm_group(kind->type) && at < bytes; at += block) {
        set_half(weights + at + (kind->type == RV_LLM_Q6_K ? 208 : 0), 1);
        if (kind->type == RV_LLM_Q4_K || kind->type == RV_LLM_Q5_K) set_half(weights + at + 2, 1);
        if (kind->type == RV_LLM_Q6_K && greatest) memset(weights + at + 192, at / block % 2 ? 0x80 : 0x7f, 16);
    }
}

static rv_llm_activations activations(const struct kind_of_matrix *kind, bool greatest) {
    const size_t count = TOKENS * kind->cols, group = rv_llm_group(kind->type);
    rv_llm_activations a = {.cols = kind->cols, .group = group};
    a.x = placed(1, count * sizeof *a.x, sizeof *a.x, AT_END);
    for (size_t i = 0; i < count; i++)
        a.x[i] = greatest ? (i / 3 % 2 ? 127 : -127) * (i / kind->cols % 2 ? 1.0f : -1.0f) : (float)(random_bits() % 5) - 2;
    if (!group) return a;
    a.q = placed(2, count, 1, AT_END);
    a.scales = placed(3, count / group * sizeof *a.scales, sizeof *a.scales, AT_END);
    a.sums = placed(4, count / RV_SUM * sizeof *a.sums, sizeof *a.sums, AT_END);
    for (size_t i = 0; i < count / group; i++) a.scales[i] = 1;
    for (size_t i = 0; i < count / RV_SUM; i++) a.sums[i] = 0;
    for (size_t i = 0; i < count; i++) {
        a.q[i] = (int8_t)a.x[i];
        a.sums[i / RV_SUM] = (int16_t)(a.sums[i / RV_SUM] + a.q[i]);
    }
    return a;
}

/* The products of all rows with `count` tokens from `first` on are in `out`. */
static void expect_products(const struct kind_of_matrix *kind, const uint8_t *weights, const rv_llm_activations *a,
                            size_t rows, size_t first, size_t count, const float *out, size_t stride, bool greatest) {
    static float numbers[MOST_COLS];
    const size_t bytes = rv_llm_row_bytes(kind->type, kind->cols);
    for (size_t r = 0; r < rows; r++) {
        rv_llm_row_floats(kind->type, weights + r * bytes, kind->cols, numbers);
        for (size_t t = 0; t < count; t++) {
            double want = 0, size = 0;
            for (size_t c = 0; c < kind->cols; c++) {
                want += (double)numbers[c] * (double)a->x[(first + t) * kind->cols + c];
                size += fabs((double)numbers[c] * (double)a->x[(first + t) * kind->cols + c]);
            }
            expect(kind->name, out[t * stride + r], want, greatest ? rounding(64, size) : 1e-9);
        }
    }
}

static void check_products(const struct kind_of_matrix *kind, bool greatest) {
    const size_t bytes = rv_llm_row_bytes(kind->type, kind->cols), which = rv_llm_kind(kind->type);
    uint8_t *weights = placed(0, ROWS * bytes, 1, AT_END);
    fill_weights(kind, weights, ROWS * bytes, greatest);
    const rv_llm_activations a = activations(kind, greatest);
    float *out = placed(5, TOKENS * ROWS * sizeof *out, sizeof *out, AT_END), alone[ROWS];
    for (size_t count = 1; count <= RV_LLM_TOGETHER; count++) {
        kernels.rows[which](weights, ROWS, bytes, &a, TOKENS - count, count, out, ROWS);
        expect_products(kind, weights, &a, ROWS, TOKENS - count, count, out, ROWS, greatest);
        kernels.rows[which](weights, ROWS, bytes, &a, TOKENS - count, 1, alone, ROWS);
        if (memcmp(alone, out, sizeof alone)) fail(kind->name, "a token's sums change with what is beside it");
    }
    if (!kernels.panel_rows) return;
    const size_t panel = kernels.panel_rows, size = rv_llm_panel_bytes(kind->cols) / RV_PANEL_MOST * panel;
    void *packed = placed(6, size, 64, AT_END);
    float *wide = placed(7, TOKENS * panel * sizeof *wide, sizeof *wide, AT_END);
    for (size_t row = 0; row < ROWS; row += panel) {
        const size_t rows = ROWS - row < panel ? ROWS - row : panel;
        kernels.unpack[which](weights + row * bytes, rows, bytes, kind->cols, packed);
        for (size_t count = 1; count <= TOKENS; count++) {
            kernels.panel[which](packed, &a, TOKENS - count, count, wide, panel);
            expect_products(kind, weights + row * bytes, &a, rows, TOKENS - count, count, wide, panel, greatest);
        }
    }
    expect_surroundings_untouched(kind->name, 6, packed, size);
}

/* Groups of zeros, of numbers whose scale is too small to invert, with one number that is not finite, and of normal ones. */
static void check_quantize(size_t group) {
    enum { COLS = 512 };
    float *x = placed(0, TOKENS * COLS * sizeof *x, sizeof *x, AT_END);
    for (size_t i = 0; i < TOKENS * COLS; i++)
        x[i] = (float)random_normal() * (i < COLS ? 0 : i < 2 * COLS ? 1e-39f : i < 3 * COLS ? 1e-37f : 1);
    x[3 * COLS + 5] = NAN;
    x[4 * COLS + 300] = INFINITY;
    x[4 * COLS + 63] = -INFINITY;
    rv_llm_activations a = {.cols = COLS, .group = group, .x = x};
    a.q = placed(1, TOKENS * COLS, 1, AT_END);
    a.scales = placed(2, TOKENS * COLS / group * sizeof *a.scales, sizeof *a.scales, AT_END);
    a.sums = placed(3, TOKENS * COLS / RV_SUM * sizeof *a.sums, sizeof *a.sums, AT_END);
    kernels.quantize(&a, 0, TOKENS, 0, COLS);
    for (size_t i = 0; i < TOKENS * COLS; i += RV_SUM) {
        float top = 0;
        bool finite = true;
        for (size_t j = i / group * group; j < (i / group + 1) * group; j++) {
            top = fmaxf(top, fabsf(x[j]));
            finite = finite && isfinite(x[j]);
        }
        const float scale = finite ? top / 127 : NAN, inverse = scale >= 0x1p-126f ? 1 / scale : 0;
        double sum = 0;
        for (size_t j = i; j < i + RV_SUM; j++) {
            expect("llm quantize", a.q[j], inverse > 0 ? rintf(x[j] * inverse) : 0, 1e-9);
            if (a.q[j] < -127) fail("llm quantize", "%d is no byte to multiply by", a.q[j]);
            sum += a.q[j];
        }
        expect("llm quantize", a.sums[i / RV_SUM], sum, 1e-9);
        expect("llm quantize", a.scales[i / group], scale, 1e-30);
    }
}

static void check_halves(void) {
    for (size_t n = 0; n < 40; n++) {
        float *x = placed(0, n * sizeof *x, sizeof *x, AT_END);
        uint16_t *out = placed(1, n * sizeof *out, sizeof *out, AT_END);
        for (size_t i = 0; i < n; i++) x[i] = (float)(random_normal() * exp(random_normal() * 6));
        kernels.halves(x, out, n);
        for (size_t i = 0; i < n; i++) {
            uint16_t nearest;
            write_number(f16, &nearest, 0, fmin(fmax((double)x[i], -65504), 65504));
            expect("llm halves", read_number(f16, out, i), read_number(f16, &nearest, 0), 1e-30);
        }
        expect_surroundings_untouched("llm halves", 1, out, n * sizeof *out);
    }
}

/* One query over [first, end) in float64. */
static void expect_attention(const rv_llm_attention *a, enum kind kind, size_t t) {
    static double weights[256];
    double top = -INFINITY, sum = 0;
    for (size_t p = a->first[t]; p < a->end[t]; p++) {
        weights[p] = 0;
        for (size_t d = 0; d < a->head_dim; d++)
            weights[p] += (double)a->query[t * a->query_stride + d] *
                          read_number(kind, a->keys, (p / RV_KEY_BLOCK * a->head_dim + d) * RV_KEY_BLOCK + p % RV_KEY_BLOCK);
        top = fmax(top, weights[p]);
    }
    for (size_t p = a->first[t]; p < a->end[t]; p++) sum += weights[p] = exp(weights[p] - top);
    for (size_t d = 0; d < a->head_dim; d++) {
        double want = 0;
        for (size_t p = a->first[t]; p < a->end[t]; p++)
            want += weights[p] / sum * read_number(kind, a->values, p * a->value_stride + d);
        expect("llm attend", a->out[t * a->query_stride + d], want, 2e-5);
    }
}

static void check_attend(size_t head_dim, size_t positions, bool wide) {
    const size_t blocks = (positions + RV_KEY_BLOCK - 1) / RV_KEY_BLOCK, stride = (head_dim + 15) / 16 * 16;
    float *query = placed(0, RV_LLM_QUERIES * head_dim * sizeof *query, sizeof *query, AT_END);
    const enum kind kind = wide ? f32 : f16;
    const size_t bytes = wide ? sizeof(float) : sizeof(uint16_t);
    void *keys = placed(1, blocks * RV_KEY_BLOCK * head_dim * bytes, bytes, AT_END);
    void *values = placed(2, positions * stride * bytes, bytes, AT_END);
    float *scores = placed(3, RV_LLM_QUERIES * (blocks + 1) * RV_KEY_BLOCK * sizeof *scores, sizeof *scores, AT_END);
    float *out = placed(4, RV_LLM_QUERIES * head_dim * sizeof *out, sizeof *out, AT_END);
    for (size_t i = 0; i < RV_LLM_QUERIES * head_dim; i++) query[i] = (float)random_normal();
    for (size_t i = 0; i < blocks * RV_KEY_BLOCK * head_dim; i++) write_number(kind, keys, i, random_normal());
    for (size_t i = 0; i < positions * stride; i++) write_number(kind, values, i, random_normal());
    for (size_t queries = 1; queries <= RV_LLM_QUERIES; queries++) {
        rv_llm_attention a = {.query = query, .queries = queries, .query_stride = head_dim, .head_dim = head_dim};
        a.keys = keys, a.values = values, a.wide = wide, a.value_stride = stride, a.scores = scores, a.out = out;
        for (size_t t = 0; t < queries; t++) {
            a.end[t] = positions - (t < positions ? t : positions - 1);
            a.first[t] = t % 2 && a.end[t] > 40 ? a.end[t] - 40 : 0;
        }
        kernels.attend(&a);
        for (size_t t = 0; t < queries; t++) expect_attention(&a, kind, t);
        expect_surroundings_untouched("llm attend", 4, out, RV_LLM_QUERIES * head_dim * sizeof *out);
    }
}

void check_llm(void) {
    kernels = rv_llm_kernels_in_use();
    for (size_t i = 0; i < KINDS; i++) {
        check_products(&kinds[i], false);
        check_products(&kinds[i], true);
        report(kinds[i].name);
    }
    check_quantize(32);
    check_quantize(256);
    report("llm quantize");
    check_halves();
    report("llm halves");
    for (int wide = 0; wide < 2; wide++) {
        check_attend(8, 1, wide);
        check_attend(64, 31, wide);
        check_attend(20, 100, wide);
    }
    report("llm attend");
}
