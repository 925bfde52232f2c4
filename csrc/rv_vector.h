/* The float kernels once, over a handful of vector operations. An instruction set's file defines those operations and
 * then includes this one:
 *
 *   V, V_LANES, V_REGISTERS        the vector type, its floats, how many vectors the CPU holds
 *   v_load(p) v_store(p, v)        unaligned
 *   v_load_part(p, n) v_store_part(p, v, n)   n < V_LANES: lanes past n read as 0 and are not touched in memory
 *   v_load_f16(p) v_load_bf16(p)   V_LANES narrow numbers, widened
 *   v_set(x) v_add v_sub v_mul v_div v_min v_max, v_fma(a, b, c) = a * b + c
 *   v_flush(v, x, low)             v, but 0 in the lanes where x < low
 *   v_round(v) v_power_of_two(v)   to the nearest whole number; 2^v for whole v in [-126, 127]
 *   v_sum(v) v_greatest(v)         over all lanes, always in the same order
 *   v_sum4(a, b, c, d, out)        the four sums, into out[0] ... out[3]
 *
 * v_min and v_max give the second argument where one is NaN on x86; no kernel relies on more than that NaN comes out of
 * v_max(constant, x) for a NaN in x. Sums run in float32 accumulators; where squares leave float32's comfortable range,
 * the reference, which sums in double, takes over. */
static inline V v_at(const float *p, size_t left) { return left >= V_LANES ? v_load(p) : v_load_part(p, left); }

static inline void v_put(float *p, V v, size_t left) {
    if (left >= V_LANES)
        v_store(p, v);
    else
        v_store_part(p, v, left);
}

static inline V v_load_f32(const rv_f32 *p) { return v_load(p); }
static inline V v_load_part_f32(const rv_f32 *p, size_t n) { return v_load_part(p, n); }

static inline V v_load_part_f16(const rv_f16 *p, size_t n) {
    rv_f16 part[V_LANES] = {0};
    memcpy(part, p, n * sizeof *p);
    return v_load_f16(part);
}

static inline V v_load_part_bf16(const rv_bf16 *p, size_t n) {
    rv_bf16 part[V_LANES] = {0};
    memcpy(part, p, n * sizeof *p);
    return v_load_bf16(part);
}

static inline V v_add_product(V sum, V a, V b) { return v_fma(a, b, sum); }

static inline V v_add_square(V sum, V a, V b) {
    const V difference = v_sub(a, b);
    return v_fma(difference, difference, sum);
}

#define KIND f32
#include "rv_vector_pairs.h"
#define KIND f16
#include "rv_vector_pairs.h"
#define KIND bf16
#include "rv_vector_pairs.h"
#include "rv_vector_maps.h"
#include "rv_vector_matrix.h"

/* Product quantisation: four rows at a time, so that four chains of additions run beside one another. */
static void adc_u8(const float *table, const uint8_t *codes, float *out, size_t rows, size_t parts) {
    size_t r = 0;
    for (; r + 4 <= rows; r += 4) {
        const uint8_t *row = codes + r * parts;
        float s0 = 0, s1 = 0, s2 = 0, s3 = 0;
        for (size_t p = 0; p < parts; p++) {
            const float *entries = table + p * 256;
            s0 += entries[row[p]];
            s1 += entries[row[parts + p]];
            s2 += entries[row[2 * parts + p]];
            s3 += entries[row[3 * parts + p]];
        }
        out[r] = s0, out[r + 1] = s1, out[r + 2] = s2, out[r + 3] = s3;
    }
    if (r < rows) rv_scalar_adc_u8(table, codes + r * parts, out + r, rows - r, parts);
}
