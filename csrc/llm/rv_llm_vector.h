/* The language models' kernels once, over the operations an instruction set's file defines before including this:
 *
 *   V, V_LANES      floats: v_load v_store v_set v_add v_sub v_mul v_max, v_fma(a, b, c) = a * b + c, v_round, v_sum, v_greatest;
 *                   v_load_f16(p): V_LANES float16 widened
 *   I               V_LANES int32, or their 4 * V_LANES bytes: i_load, i_set, i_add, i_sub, i_float, i_spread(p): the four bytes
 *                   at p in every lane, i_pairs(a, b): sums of two int16 products a lane, and i_store_bytes(p, v): whole
 *                   floats, one byte a lane
 *   D               dot products of unsigned codes: d_zero, d_add(sum, codes, x): the fours' products added, d_whole(sum) as I,
 *                   d_scaled(sum, scales): times a lane's int16 scale, which stands in both halves of the lane, as I. At
 *                   most 8 products of codes below 16 may be added up, 4 below 32, 2 below 64
 *   S               signed bytes, 4 * V_LANES of them, as s_load(p) gives them; i_signed(sum, weights, x): their dot products
 *                   with those of x added, to sums that began, for 32 bytes of each row, as i_start(starts, sums). `sums` are the
 *                   two of the 32 bytes of x. Where products with zeros do not come to 0, STARTS is 1, and at `starts` is
 *                   what they come to, less, an int32 a row
 *   ROWS_ABREAST    how many rows place_rows(to, stride, q) takes: codes 4 k to 4 k + 3 of each of them, one row after another,
 *                   go to k * stride, for k below 8
 *   TILE_TOKENS     how many tokens times two vectors of rows the registers hold; Q8_0_TOKENS: of Q8_0, whose sums need fewer
 *
 * A panel holds PANEL rows side by side, 4 columns of each at a time:
 *   floats      a float a row for each column
 *   small       for each block PANEL float scales, for Q8_0 PANEL starts if the set has STARTS, then 8 times PANEL times 4 codes
 *   Q4_K, Q5_K  PANEL d, PANEL least, 8 times PANEL scales, 8 times PANEL minima, each twice as int16, then the codes
 *   Q6_K        PANEL d, 16 times PANEL scales twice, 8 times PANEL pairs of scales times 32, then the codes */
#include "../rv.h"
#include "rv_llm_internal.h"

#include <float.h>

#define INLINE static inline __attribute__((always_inline))
enum { PANEL = 2 * V_LANES, CODES = 4 * PANEL };
enum { SMALL_PANEL = 4 * PANEL + 8 * CODES, Q8_0_PANEL = SMALL_PANEL + 4 * PANEL * STARTS };
enum { Q4_K_PANEL = 8 * PANEL + 16 * CODES + 64 * CODES, Q6_K_PANEL = 4 * PANEL + 24 * CODES + 64 * CODES };

/* A number in both halves of every lane. */
INLINE I i_twice(int16_t number) { return i_set((int32_t)((uint16_t)number * 0x10001u)); }

static void quantize(const rv_llm_activations *a, size_t token, size_t tokens, size_t col, size_t end) {
    for (size_t t = token; t < token + tokens; t++)
        for (size_t c = col; c < end; c += a->group) {
            const float *x = a->x + t * a->cols + c;
            int8_t *q = a->q + t * a->cols + c;
            int16_t *sums = a->sums + (t * a->cols + c) / RV_SUM;
            V top = v_set(0), none = v_set(0);
            for (size_t i = 0; i < a->group; i += V_LANES) {
                const V v = v_load(x + i);
                top = v_max(top, v_max(v, v_sub(v_set(0), v)));
                none = v_add(none, v_sub(v, v)); /* NaN if one is not finite */
            }
            const float scale = v_greatest(top) / 127 + v_sum(none);
            a->scales[(t * a->cols + c) / a->group] = scale;
            if (!(scale >= FLT_MIN)) { /* below, its inverse might be infinite */
                memset(q, 0, a->group);
                memset(sums, 0, a->group / RV_SUM * sizeof *sums);
                continue;
            }
            const V inverse = v_set(1 / scale);
            for (size_t i = 0; i < a->group; i += RV_SUM) {
                V sum = v_set(0); /* of whole numbers: exact */
                for (size_t j = 0; j < RV_SUM; j += V_LANES) {
                    const V whole = v_round(v_mul(v_load(x + i + j), inverse));
                    i_store_bytes(q + i + j, whole);
                    sum = v_add(sum, whole);
                }
                sums[i / RV_SUM] = (int16_t)v_sum(sum);
            }
        }
}

INLINE V cached(const void *numbers, size_t i, const int wide) {
    return wide ? v_load((const float *)numbers + i) : v_load_f16((const uint16_t *)numbers + i);
}

/* Scores of 2 V_LANES positions, whose keys begin with number `at`. */
INLINE void score(const rv_llm_attention *a, size_t at, size_t stride, float *scores, const size_t queries,
                  const int wide) {
    V sums[RV_LLM_QUERIES][2];
    for (size_t t = 0; t < queries; t++) sums[t][0] = sums[t][1] = v_set(0);
    for (size_t d = 0; d < a->head_dim; d++) {
        const V low = cached(a->keys, at + d * RV_KEY_BLOCK, wide);
        const V high = cached(a->keys, at + d * RV_KEY_BLOCK + V_LANES, wide);
        for (size_t t = 0; t < queries; t++) {
            const V number = v_set(a->query[t * a->query_stride + d]);
            sums[t][0] = v_fma(number, low, sums[t][0]);
            sums[t][1] = v_fma(number, high, sums[t][1]);
        }
    }
    for (size_t t = 0; t < queries; t++) {
        v_store(scores + t * stride, sums[t][0]);
        v_store(scores + t * stride + V_LANES, sums[t][1]);
    }
}

/* Sixteen numbers of the weighted sum of values, the last of which may be padding. */
INLINE void mix(const rv_llm_attention *a, size_t d, size_t first, size_t end, const float *weights, size_t stride,
                const size_t queries, const int wide) {
    enum { VECTORS = 16 / V_LANES };
    V sums[RV_LLM_QUERIES][VECTORS];
    for (size_t t = 0; t < queries; t++)
        for (size_t n = 0; n < VECTORS; n++) sums[t][n] = v_set(0);
    for (size_t p = first; p < end; p++) {
        V value[VECTORS];
        for (size_t n = 0; n < VECTORS; n++) value[n] = cached(a->values, p * a->value_stride + d + n * V_LANES, wide);
        for (size_t t = 0; t < queries; t++)
            for (size_t n = 0; n < VECTORS; n++)
                sums[t][n] = v_fma(v_set(weights[t * stride + p - first]), value[n], sums[t][n]);
    }
    for (size_t t = 0; t < queries; t++) {
        float *out = a->out + t * a->query_stride + d, part[16];
        const size_t left = a->head_dim - d;
        for (size_t n = 0; n < VECTORS; n++) v_store(part + n * V_LANES, sums[t][n]);
        memcpy(out, part, (left < 16 ? left : 16) * sizeof *out);
    }
}

/* Positions are taken from the block of the least `first` on, so that each falls into the same lane whatever queries are together. */
INLINE void attend_queries(const rv_llm_attention *a, const size_t queries, const int wide) {
    size_t first = a->first[0], end = a->end[0];
    for (size_t t = 1; t < queries; t++) {
        first = a->first[t] < first ? a->first[t] : first;
        end = a->end[t] > end ? a->end[t] : end;
    }
    first = first / RV_KEY_BLOCK * RV_KEY_BLOCK;
    const size_t stride = (end - first + RV_KEY_BLOCK - 1) / RV_KEY_BLOCK * RV_KEY_BLOCK;
    for (size_t p = 0; p < stride; p += RV_KEY_BLOCK)
        for (size_t lane = 0; lane < RV_KEY_BLOCK; lane += 2 * V_LANES)
            score(a, (first + p) * a->head_dim + lane, stride, a->scores + p + lane, queries, wide);
    for (size_t t = 0; t < queries; t++) {
        float *scores = a->scores + t * stride;
        for (size_t p = first; p < a->first[t]; p++) scores[p - first] = -INFINITY;
        for (size_t p = a->end[t]; p < first + stride; p++) scores[p - first] = -INFINITY;
        rv_softmax_f32(scores, 1, scores, stride);
    }
    for (size_t d = 0; d < a->head_dim; d += 16) mix(a, d, first, end, a->scores, stride, queries, wide);
}

INLINE void attend_over(const rv_llm_attention *a, const int wide) {
    switch (a->queries) {
    case 1: attend_queries(a, 1, wide); break;
    case 2: attend_queries(a, 2, wide); break;
    case 3: attend_queries(a, 3, wide); break;
    case 4: attend_queries(a, 4, wide); break;
    case 5: attend_queries(a, 5, wide); break;
    default: attend_queries(a, 6, wide); break;
    }
}

static void attend(const rv_llm_attention *a) {
    if (a->wide) attend_over(a, 1);
    else attend_over(a, 0);
}

/* Rows far apart in turn, since one core gets more out of memory when it reads several pages at once (Zen 3: 20 GB/s of four
 * streams, 14 of one): STREAMS of them for one token, two for several, whose sums fill the registers. A row's sums are the
 * same in any company. */
enum { STREAMS = 4 };
#define ROWS(kind)                                                                                                     \
    static void rows_##kind(const uint8_t *weights, size_t rows, size_t row_bytes, const rv_llm_activations *a,        \
                            size_t token, size_t tokens, float *out, size_t stride) {                                  \
        const size_t abreast = tokens == 1 ? STREAMS : 2, apart = rows / abreast;                                      \
        size_t r = 0;                                                                                                  \
        for (; r < apart; r++, weights += row_bytes, out++) {                                                          \
            if (tokens == 1) ROWS_##kind(STREAMS, apart, 1);                                                           \
            else if (tokens == 2) ROWS_##kind(2, apart, 2);                                                            \
            else if (tokens == 3) ROWS_##kind(2, apart, 3);                                                            \
            else ROWS_##kind(2, apart, 4);                                                                             \
        }                                                                                                              \
        r *= abreast, weights += (r - apart) * row_bytes, out += r - apart;                                            \
        for (; r < rows; r++, weights += row_bytes, out++) {                                                           \
            if (tokens == 1) ROWS_##kind(1, 0, 1);                                                                     \
            else if (tokens == 2) ROWS_##kind(1, 0, 2);                                                                \
            else if (tokens == 3) ROWS_##kind(1, 0, 3);                                                                \
            else ROWS_##kind(1, 0, 4);                                                                                 \
        }                                                                                                              \
    }

#include "rv_llm_vector_floats.h"
#include "rv_llm_vector_panels.h"
