/* The public C interface. Every kernel exists for every instruction set and is called through the table of the one in
 * use; nothing here allocates, keeps state or reads past what its lengths say. Pointers need no alignment. Lengths may
 * be 0. NaN and infinity follow IEEE 754. Float kernels give the same bits on every call of one instruction set, integer
 * kernels the same on all of them.
 *
 *   dot_f32       sum of a[i] * b[i]; four accumulators, so the error grows with n / (4 * lanes)
 *   cosine_f32    dot / (|a| |b|), clipped to [-1, 1]; 0 when either has no length
 *   sqdist_f32    sum of (a[i] - b[i])^2
 *   dist_f32      its square root
 *   normalize_f32 x / |x| into out (may be x itself); a zero vector stays zero
 *   softmax_f32   exp(x[i] - max) / sum into out (may be x itself)
 *   matvec_f32    out[r] = dot of row r of m (rows x cols, row after row) with x; out overlaps neither
 *   dot_i8        sum of a[i] * b[i] in int32, exact for n <= 131072
 *   best_signs_i15  for each of `count` query tokens, the greatest over the document's `tokens` of the sum of its numbers
 *                 where the document token's bit (lowest first, `bytes` <= RV_SIGN_DIMS / 8 a token) is 1; INT32_MIN if
 *                 there is none. A query token is two rows of `stride` bytes (8 * bytes or more, to a multiple of 64, zero
 *                 filled): numbers are 128 * first + second, second in [-64, 63]
 */
#ifndef RV_H
#define RV_H

#include <stddef.h>
#include <stdint.h>

enum { RV_SIGN_DIMS = 2048 };

typedef struct rv_table {
    const char *name;
#define RV_KERNEL(result, kernel, parameters, arguments) result(*kernel) parameters;
#include "rv_kernels.def"
#undef RV_KERNEL
} rv_table;

/* Bits of rv_cpu_features(). */
enum { RV_HAS_SSE41 = 1, RV_HAS_AVX2 = 2, RV_HAS_AVX512 = 4, RV_HAS_NEON = 8 };

unsigned rv_cpu_features(void);

/* The table of that name ("scalar", "sse41", "avx2", "avx512", "neon"), or NULL if this build or this CPU lacks it. */
const rv_table *rv_table_named(const char *name);

/* cdef */
/* Whether this build and this CPU have the instruction set of that name. */
int rv_has(const char *name);

/* Chooses the table behind the public functions, 0 if there is none of that name. Called once, at load. */
int rv_use(const char *name);

/* The name of the table in use. */
const char *rv_in_use(void);
/* end cdef */

#define RV_KERNEL(result, kernel, parameters, arguments) result rv_##kernel parameters;
#include "rv_kernels.def"
#undef RV_KERNEL

/* cdef */
/* The k rows of m (rows x cols) with the greatest dot product with x, best first, ties by lower row. Rows whose bit in
 * `keep` (bit r & 7 of byte r >> 3; NULL keeps all) is 0 are passed over. Writes at most k rows and scores and returns
 * how many. Stops early, returning 0, once *cancel (may be NULL) is not 0. Rows that score NaN never win. */
size_t rv_topk_dot_f32(const float *m, const float *x, size_t rows, size_t cols, const uint8_t *keep, size_t k,
                       int64_t *top_rows, float *top_scores, const volatile int *cancel);

/* Weighted MaxSim of each of `docs` documents: the weighted mean over the `count` query tokens (count x dims) of the
 * greatest sum of query[d] * sign[d] / sqrt(dims) over the document's tokens. Document i is rows offsets[i] up to
 * offsets[i + 1] of `bits`, one token of dims / 8 bytes a row, sign +1 where the bit (lowest first) is 1, else -1. An
 * empty document, or weights that sum to 0, score 0; a query that is not finite scores NaN. dims is a multiple of 8, at
 * most 2048; `scratch` holds rv_maxsim_scratch(count, dims) numbers. Returns 0 if *cancel (may be NULL) ended it. */
int rv_maxsim_bits(const float *tokens, const float *weights, size_t count, size_t dims, const uint8_t *bits,
                   const int64_t *offsets, size_t docs, int32_t *scratch, float *scores, const volatile int *cancel);
size_t rv_maxsim_scratch(size_t count, size_t dims);
/* end cdef */

#endif
