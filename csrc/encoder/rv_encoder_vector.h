/* The encoder's kernels once, over the operations an instruction set's file defines before including this:
 *
 *   V, V_LANES         floats: v_load v_store v_set v_add v_sub v_mul v_div v_min v_max, v_fma(a, b, c) = a * b + c,
 *                      v_round, v_power_of_two(whole v), v_sum, v_greatest
 *   I                  V_LANES int32, or their 4 * V_LANES bytes: i_start(excess), i_weights(p), i_spread(p): the four bytes
 *                      at p in every lane, i_add_dots(sum, weights, x): the fours' dot products added, i_float, and
 *                      i_store_bytes(p, v): whole floats, one byte a lane
 *   TILE_VECTORS, TILE_TOKENS   how many vectors of rows times how many tokens the registers hold
 *   ATTEND_QUERIES     how many queries times RV_HEAD floats they hold
 *
 * i_add_dots may want its weights unsigned: then i_weights adds 128 to them and i_start takes the excess off. */
#include "../rv_vector_exp.h"

#include <math.h>

enum { HEAD_VECTORS = RV_HEAD / V_LANES, TILE_ROWS = TILE_VECTORS * V_LANES };
#define INLINE static inline __attribute__((always_inline))

static void quantize(const float *x, size_t count, size_t stride, size_t blocks, int8_t *q, float *scales,
                     int32_t *excess, size_t row_blocks) {
    for (size_t r = 0; r < count; r++)
        for (size_t b = 0; b < blocks; b++) {
            const float *from = x + r * stride + b * RV_BLOCK;
            const size_t at = r * row_blocks + b;
            V top = v_set(0);
            for (size_t i = 0; i < RV_BLOCK; i += V_LANES) {
                const V v = v_load(from + i);
                top = v_max(top, v_max(v, v_sub(v_set(0), v)));
            }
            const float scale = v_greatest(top) / 127;
            const V inverse = v_set(scale > 0 ? 1 / scale : 0);
            V sum = v_set(0); /* of whole numbers: exact */
            for (size_t i = 0; i < RV_BLOCK; i += V_LANES) {
                const V whole = v_round(v_mul(v_load(from + i), inverse));
                i_store_bytes(q + at * RV_BLOCK + i, whole);
                sum = v_add(sum, whole);
            }
            scales[at] = scale;
            excess[at] = -128 * (int32_t)v_sum(sum);
        }
}

/* Asks for the part of a block that a tile will need `ahead` bytes from here. */
INLINE void ask_ahead(const uint8_t *block, size_t row, size_t ahead) {
    const uintptr_t from = (uintptr_t)block + row * (RV_PANEL_BLOCK / RV_PANEL) + ahead;
    for (size_t line = 0; line < TILE_ROWS * (RV_PANEL_BLOCK / RV_PANEL); line += 64)
        __builtin_prefetch((const void *)(from + line), 0, 2);
}

INLINE void tile(const uint8_t *panel, size_t row, size_t blocks, const int8_t *q, const float *scales,
                 const int32_t *excess, const size_t tokens, const float *bias, const float *onto, float *out,
                 size_t stride, size_t ahead) {
    V sums[TILE_TOKENS][TILE_VECTORS];
    for (size_t t = 0; t < tokens; t++)
        for (size_t n = 0; n < TILE_VECTORS; n++) {
            sums[t][n] = v_load(bias + n * V_LANES);
            if (onto) sums[t][n] = v_add(sums[t][n], v_load(onto + t * stride + n * V_LANES));
        }
    for (size_t b = 0; b < blocks; b++, panel += RV_PANEL_BLOCK) {
        const uint8_t *weights = panel + 4 * (RV_PANEL + row);
        if (ahead) ask_ahead(panel, row, ahead);
        I dots[TILE_TOKENS][TILE_VECTORS];
        for (size_t t = 0; t < tokens; t++)
            for (size_t n = 0; n < TILE_VECTORS; n++) dots[t][n] = i_start(excess[t * blocks + b]);
#pragma GCC unroll 8
        for (size_t k = 0; k < RV_BLOCK / 4; k++) {
            I w[TILE_VECTORS];
            for (size_t n = 0; n < TILE_VECTORS; n++) w[n] = i_weights(weights + 4 * (k * RV_PANEL + n * V_LANES));
            for (size_t t = 0; t < tokens; t++) {
                const I x = i_spread(q + (t * blocks + b) * RV_BLOCK + 4 * k);
                for (size_t n = 0; n < TILE_VECTORS; n++) dots[t][n] = i_add_dots(dots[t][n], w[n], x);
            }
        }
        for (size_t n = 0; n < TILE_VECTORS; n++) {
            const V rows = v_load((const float *)panel + row + n * V_LANES);
            for (size_t t = 0; t < tokens; t++)
                sums[t][n] = v_fma(i_float(dots[t][n]), v_mul(rows, v_set(scales[t * blocks + b])), sums[t][n]);
        }
    }
    for (size_t t = 0; t < tokens; t++)
        for (size_t n = 0; n < TILE_VECTORS; n++) v_store(out + t * stride + n * V_LANES, sums[t][n]);
}

static void panel(const uint8_t *weights, size_t blocks, const int8_t *q, const float *scales, const int32_t *excess,
                  size_t tokens, const float *bias, const float *onto, float *out, size_t stride) {
    const size_t ahead = 2 * blocks * RV_PANEL_BLOCK; /* as two threads take the panels in turns */
    for (size_t row = 0; row < RV_PANEL; row += TILE_ROWS)
        for (size_t t = 0; t < tokens; t += TILE_TOKENS) {
#define TILE(count)                                                                                               \
    tile(weights, row, blocks, q + t * blocks * RV_BLOCK, scales + t * blocks, excess + t * blocks, count, bias + row, \
         onto ? onto + t * stride + row : NULL, out + t * stride + row, stride, t ? 0 : ahead)
            const size_t left = tokens - t;
            if (left >= TILE_TOKENS) TILE(TILE_TOKENS);
            else if (left == 1) TILE(1);
            else if (left == 2) TILE(2);
#if TILE_TOKENS > 3
            else if (left == 3) TILE(3);
            else if (left == 4) TILE(4);
            else TILE(5);
#endif
#undef TILE
        }
}

/* `queries` rows of a text's attention. Keys past n are read but weigh nothing. */
INLINE void attend_rows(const float *q, const float *keys, size_t key_stride, const float *v, size_t n, float *scores,
                        float *out, const size_t queries) {
    const size_t padded = (n + RV_HEAD - 1) / RV_HEAD * RV_HEAD;
    for (size_t j = 0; j < padded; j += RV_HEAD) {
        V dots[ATTEND_QUERIES][HEAD_VECTORS];
        for (size_t t = 0; t < queries; t++)
            for (size_t m = 0; m < HEAD_VECTORS; m++) dots[t][m] = v_set(0);
        for (size_t d = 0; d < RV_HEAD; d++) {
            V key[HEAD_VECTORS];
            for (size_t m = 0; m < HEAD_VECTORS; m++) key[m] = v_load(keys + d * key_stride + j + m * V_LANES);
            for (size_t t = 0; t < queries; t++) {
                const V number = v_set(q[t * RV_HEAD + d]);
                for (size_t m = 0; m < HEAD_VECTORS; m++) dots[t][m] = v_fma(number, key[m], dots[t][m]);
            }
        }
        for (size_t t = 0; t < queries; t++)
            for (size_t m = 0; m < HEAD_VECTORS; m++) v_store(scores + t * padded + j + m * V_LANES, dots[t][m]);
    }
    float shares[ATTEND_QUERIES];
    for (size_t t = 0; t < queries; t++) {
        float *row = scores + t * padded;
        for (size_t j = n; j < padded; j++) row[j] = row[0];
        V top = v_load(row);
        for (size_t j = V_LANES; j < padded; j += V_LANES) top = v_max(top, v_load(row + j));
        const V greatest = v_set(v_greatest(top));
        for (size_t j = 0; j < padded; j += V_LANES) /* e^-87 is as good as 0 beside the greatest term of 1 */
            v_store(row + j, v_exp_within(v_max(v_set(-87), v_sub(v_load(row + j), greatest))));
        for (size_t j = n; j < padded; j++) row[j] = 0;
        V sum = v_load(row);
        for (size_t j = V_LANES; j < padded; j += V_LANES) sum = v_add(sum, v_load(row + j));
        shares[t] = 1 / v_sum(sum);
    }
    V sums[ATTEND_QUERIES][HEAD_VECTORS];
    for (size_t t = 0; t < queries; t++)
        for (size_t m = 0; m < HEAD_VECTORS; m++) sums[t][m] = v_set(0);
    for (size_t j = 0; j < n; j++) {
        V value[HEAD_VECTORS];
        for (size_t m = 0; m < HEAD_VECTORS; m++) value[m] = v_load(v + j * RV_HEAD + m * V_LANES);
        for (size_t t = 0; t < queries; t++) {
            const V weight = v_set(scores[t * padded + j]);
            for (size_t m = 0; m < HEAD_VECTORS; m++) sums[t][m] = v_fma(weight, value[m], sums[t][m]);
        }
    }
    for (size_t t = 0; t < queries; t++)
        for (size_t m = 0; m < HEAD_VECTORS; m++)
            v_store(out + t * RV_HEAD + m * V_LANES, v_mul(sums[t][m], v_set(shares[t])));
}

static void attend(const float *q, const float *keys, size_t key_stride, const float *v, size_t n, float *scores,
                   float *out) {
    size_t t = 0;
    for (; t + ATTEND_QUERIES <= n; t += ATTEND_QUERIES)
        attend_rows(q + t * RV_HEAD, keys, key_stride, v, n, scores, out + t * RV_HEAD, ATTEND_QUERIES);
    for (; t < n; t++) attend_rows(q + t * RV_HEAD, keys, key_stride, v, n, scores, out + t * RV_HEAD, 1);
}

static void norm(float *x, size_t count, size_t n, const float *gain, const float *shift, float epsilon) {
    for (size_t r = 0; r < count; r++, x += n) {
        V total = v_set(0), squares = total;
        for (size_t i = 0; i < n; i += V_LANES) total = v_add(total, v_load(x + i));
        const V mean = v_set(v_sum(total) / (float)n);
        for (size_t i = 0; i < n; i += V_LANES) {
            const V centred = v_sub(v_load(x + i), mean);
            squares = v_fma(centred, centred, squares);
        }
        const V scale = v_set(1 / sqrtf(v_sum(squares) / (float)n + epsilon));
        for (size_t i = 0; i < n; i += V_LANES) {
            const V normal = v_mul(v_sub(v_load(x + i), mean), scale);
            v_store(x + i, v_fma(normal, v_load(gain + i), v_load(shift + i)));
        }
    }
}

/* x (1/2 + g(x)) with g(x) = erf(x / sqrt 2) / 2 = x p(x^2) fitted on |x| <= 5.3 by Chebyshev polynomials, in powers of
 * 2 x^2 / 5.3^2 - 1; beyond, g stays. Within 1e-6 of the exact form. */
static void gelu(float *x, size_t n) {
    static const float terms[] = {-0.000528279152f, 0.00156546244f, -0.00176638042f, 0.00219148716f,
                                  -0.00512624189f,  0.00934505546f, -0.0135550396f, 0.0187849479f,
                                  -0.0252079706f,   0.0320970536f,  -0.0395982111f, 0.0492633926f,
                                  -0.0665182399f,   0.133392568f};
    const V edge = v_set(5.3f), half = v_set(0.5f);
    for (size_t i = 0; i < n; i += V_LANES) {
        const V v = v_load(x + i);
        const V within = v_max(v_min(v, edge), v_sub(v_set(0), edge));
        const V u = v_fma(v_mul(within, within), v_set(2 / (5.3f * 5.3f)), v_set(-1));
        V p = v_set(terms[0]);
        for (size_t k = 1; k < sizeof terms / sizeof *terms; k++) p = v_fma(p, u, v_set(terms[k]));
        v_store(x + i, v_mul(v, v_fma(within, p, half)));
    }
}
