/* The public C interface: every function's contract, once.
 *
 * A kernel exists on every instruction set and is called through the table of the one in use; a set has its own version of
 * what it can do better and inherits the rest. Nothing here allocates, keeps state or reads past what its lengths say.
 * Pointers need their element's alignment and no more. Lengths may be 0. `out` may be the input itself where both have one
 * length; otherwise it overlaps nothing. NaN and infinity follow IEEE 754. Float kernels give the same bits on every call of
 * one instruction set, kernels over whole numbers the same on all of them. A float sum is within (8 + n / 4) * 2^-24 of the sum
 * of its terms' sizes; dot and cosine of bf16 may take numbers below 2^-126 for 0.
 *
 * Of two vectors, f32, f16, bf16, i8 or (hamming, jaccard) b1:
 *   dot       sum of a[i] * b[i]                     i8 exact for n <= 131072
 *   sqdist    sum of (a[i] - b[i])^2                 i8 exact for n <= 33025
 *   dist      its square root
 *   cosine    dot / (|a| |b|), in [-1, 1]; 0 when either has no length
 *   hamming   bits that differ
 *   jaccard   bits in both / bits in either; 1 when neither has any
 *   many_...  the same of every row of m (rows x cols, row after row) with x
 *
 * Element by element, f32:
 *   add mul scale   a + b, a * b, factor * x
 *   axpy            y += factor * x
 *   relu            max(x, 0)
 *   sigmoid         1 / (1 + e^-x); 0 below -87
 *   silu            x * sigmoid(x); 0 at -infinity
 *   tanh            within 3e-7 of 1
 *   gelu            x * (share of the normal distribution below x); 0 at -infinity
 *
 * Of a whole vector, f32:
 *   normalize    x / |x|; a zero vector stays zero
 *   softmax      e^((x - max) / temperature) / sum, temperature > 0; what lies 87 temperatures below the maximum is 0
 *   log_softmax  its logarithm
 *   layer_norm   (x - mean) / sqrt(variance + epsilon) * gain + bias; gain and bias of n numbers, or NULL for 1 and 0
 *   rms_norm     x / sqrt(mean square + epsilon) * gain
 *
 * Of matrices:
 *   cross_dot_f32   out[i * stride + j] = dot of row i of a with row j of b, stride >= rows_b; nothing is written between
 *   matmul_f32      out (rows x cols) = a (rows x inner) times b (inner x cols), rows of b and out `stride` >= cols apart;
 *                   nothing is written between
 *   picked_dot_i8   out[i] = dot of row rows[i] of m (any x cols) with x, whose numbers are in [-127, 127]
 *   adc_u8          out[r] = sum over p of table[p][codes[r][p]], table (parts x 256): distances to product-quantised rows
 *   best_signs_i15  for each query token, the greatest over the document's `tokens` of the sum of its numbers where the
 *                   document token's bit (lowest first, query->bytes a token) is 1; INT32_MIN if there is no token
 *
 * `build.py` hands this file, preprocessed with RV_CDEF defined, to CFFI as its declarations. */
#ifndef RV_H
#define RV_H

#ifndef RV_CDEF
#include <stddef.h>
#include <stdint.h>
#endif

/* The kinds of numbers: IEEE 754 binary32 and binary16, the upper half of binary32, whole numbers, 8 bits a byte. */
typedef float rv_f32;
typedef uint16_t rv_f16;
typedef uint16_t rv_bf16;
typedef int8_t rv_i8;
typedef uint8_t rv_b1;

enum { RV_SIGN_DIMS = 2048, RV_ROUGH_ZERO = 60, RV_ROUGH_GREATEST = 121 };

/* `count` query tokens for best_signs_i15. A token's 8 * bytes <= RV_SIGN_DIMS numbers are 128 * first + second, first in
 * [-127, 127], second in [-64, 63]: two rows of `stride` bytes each, 8 * bytes to a multiple of 64, filled with 0. What is
 * bounded from above lets kernels pass over what cannot be the greatest; rv_signs_bound makes it from the rows. The second
 * ones' positive numbers add up to second_most[q]. What four neighbouring numbers add up to where a half-byte's bits are 1
 * is at most unit[q] * (rough - RV_ROUGH_ZERO), `rough` in [0, RV_ROUGH_GREATEST] a table of 16 for each half-byte, low half
 * first, 4 * stride bytes a token. */
typedef struct rv_signs {
    size_t count, bytes, stride;
    int8_t *rows;
    int32_t *second_most, *unit;
    uint8_t *rough;
} rv_signs;
void rv_signs_bound(rv_signs *query);

typedef struct rv_table {
    const char *name;
#define RV_KERNEL(result, kernel, parameters, arguments) result(*kernel) parameters;
#include "rv_kernels.def"
} rv_table;

#define RV_KERNEL(result, kernel, parameters, arguments) result rv_##kernel parameters;
#include "rv_kernels.def"

/* Bits of rv_cpu_features(). */
enum {
    RV_HAS_SSE41 = 1,
    RV_HAS_AVX2 = 2,
    RV_HAS_AVX512 = 4,
    RV_HAS_VNNI = 8,
    RV_HAS_POPCNT = 16,
    RV_HAS_NEON = 32,
    RV_HAS_DOTPROD = 64,
    RV_HAS_BF16 = 128,
};
unsigned rv_cpu_features(void);

/* Fills `table` with the best kernels of the instruction set of that name ("scalar", "sse41", "avx2", "avx512", "neon")
 * and those it builds on, as far as this CPU has them. Returns 0 if this build or this CPU lacks the set. */
int rv_resolve(const char *name, rv_table *table);

/* The same for the table behind the public functions. Called at load, not while kernels run. */
int rv_use(const char *name);

/* The name of the instruction set in use. At load it is the best this CPU has. */
const char *rv_in_use(void);

/* The i-th kernel's name, NULL past the last, and the layer ("avx2", "avx512+vnni") that serves it in `table`. */
const char *rv_kernel_name(size_t i);
const char *rv_kernel_layer(size_t i, const rv_table *table);

/* Long calls take `cancel`, NULL or a flag that another thread may set: they look at it at least once a millisecond on rows
 * of up to a million numbers (rv_matmul, and float16 on the scalar set: 30,000), and return 0 once it is not 0. */

/* A many_... kernel, named without the prefix ("cosine_f16"), over any number of rows; the kernels of like name with whole
 * results. `out` has the kernel's type of number. */
int rv_many(const char *metric, const void *m, const void *x, void *out, size_t rows, size_t cols,
            const volatile int *cancel);
int rv_cross_dot(const float *a, const float *b, float *out, size_t rows_a, size_t rows_b, size_t cols,
                 const volatile int *cancel);
int rv_matmul(const float *a, const float *b, float *out, size_t rows, size_t inner, size_t cols,
              const volatile int *cancel);
int rv_adc(const float *table, const uint8_t *codes, float *out, size_t rows, size_t parts, const volatile int *cancel);

/* The k rows of m (rows x cols, fewer than 2^31 rows) that rank best by a many_... kernel, named as in rv_many: the
 * greatest, or for sqdist and hamming the least, best first, ties by lower row. Rows whose bit in `keep` (bit r & 7 of byte
 * r >> 3; NULL keeps all) is 0 are passed over, rows that score NaN never win, whole numbers are rounded to float. Writes at
 * most k rows and scores and returns how many. */
size_t rv_topk(const char *metric, const void *m, const void *x, size_t rows, size_t cols, const uint8_t *keep,
               size_t k, int32_t *top_rows, float *top_scores, const volatile int *cancel);

/* The same by dot_f32 for each of `count` queries (count x cols): top_rows and top_scores are count x k, found[q] of them
 * written. */
int rv_cross_topk(const float *queries, const float *m, size_t count, size_t rows, size_t cols, const uint8_t *keep,
                  size_t k, int32_t *top_rows, float *top_scores, size_t *found, const volatile int *cancel);

/* The nearest of `rows` >= 1 centroids to each of `count` points, ties to the lower, and the squared distance to it.
 * `half_squares` is scratch of `rows` numbers. */
int rv_assign(const float *points, const float *centroids, size_t count, size_t rows, size_t cols, float *half_squares,
              int32_t *nearest, float *distances, const volatile int *cancel);

/* A low-rank addition to a linear map, out = scale * B (A x): a is rank x in, b is out x rank (arXiv:2106.09685). */
typedef struct rv_lora {
    const float *a, *b;
    float scale;
    size_t rank, in, out;
} rv_lora;

/* out (count x out) for x (count x in). `inner` is scratch of count * rank numbers. */
int rv_lora_forward(const rv_lora *lora, const float *x, float *out, size_t count, float *inner,
                    const volatile int *cancel);

/* From the gradient in the output to those in a and b, which are added to, and in x, which is written. `inner` is scratch
 * of 2 * rank numbers. */
int rv_lora_backward(const rv_lora *lora, const float *x, const float *grad_out, size_t count, float *grad_a,
                     float *grad_b, float *grad_x, float *inner, const volatile int *cancel);

/* One step against the gradients, which become 0. */
void rv_lora_update(float *parameters, float *gradients, float rate, size_t n);

/* A rated search: `parts` (rows x cols) of its rows' scores, which of them were right (0 or 1) and, where question vectors
 * are to move, the rows' vectors (rows x dims). */
typedef struct rv_rated {
    const float *parts, *vectors;
    const uint8_t *right;
    size_t rows, cols, dims;
} rv_rated;

/* The share of pairs of a right row and a wrong one whose scores order them rightly, ties half; -1 without a pair. A row's
 * score, kept in `scores` (rows), is the sum of its parts over the columns where `counts` is not 0. */
double rv_agreement(const float *parts, const uint8_t *counts, const uint8_t *right, size_t rows, size_t cols,
                    double *scores);

/* With score_i = factors . parts_i + gain * (shift . vectors_i) (no second term where `shift` is NULL), the gradients of minus
 * the mean over right rows, of which there is one, of log softmax(score / temperature): in each score (`surplus`, rows), in
 * each factor (`slopes`, cols) and, where there is a shift, in that (`pull`, dims). Sums over rows are float64, but for
 * `pull`. */
void rv_contrast(const rv_rated *search, const float *factors, double temperature, const float *shift, float gain,
                 double *surplus, float *slopes, float *pull);

/* One step of gradient descent at `rate` on a low-rank addition B (A x), a rank x dims and b dims x rank, whose output at x
 * has the gradient `grad`; where the product of the lengths of a and b is then above `most`, b is scaled to bring it there.
 * `scratch` has 2 * rank numbers. */
void rv_lora_descend(float *a, float *b, size_t rank, size_t dims, const float *x, const float *grad, float rate,
                     float most, float *scratch);

/* Ids in ascending order. */
typedef struct rv_ids {
    const int64_t *ids;
    size_t count;
} rv_ids;

/* What was said of other questions: question q spoke of the ids from ends[q - 1] to before ends[q], each for (worth > 0) or
 * against; it lies on a curve between knot knots[q] and the next, shares[q] of the way. */
typedef struct rv_spoken {
    const int64_t *ids;
    const double *worth;
    const int64_t *ends;
    const int32_t *knots;
    const double *shares;
    size_t questions;
} rv_spoken;

/* How well that foresaw the ids that are right now. `counts` (4 x knots): the worth of what was said for, and of that part
 * where the id is right; the same of what was said against ids that are `asked` about; each shared between the question's two
 * knots. lent[v] tells whether v was spoken for and is `shown`. Every knots[q] + 1 is less than `knots`. */
void rv_foreseen(const rv_spoken *spoken, const rv_ids *right, const rv_ids *shown, const rv_ids *asked, size_t knots,
                 double *counts, uint8_t *lent);

/* out = sum of weights[i] * row ids[i] of the table (rows x cols), weights 1 if NULL. 0 if an id is none of its rows. */
int rv_pool(const float *table, const int32_t *ids, const float *weights, float *out, size_t rows, size_t count,
            size_t cols);

/* One step of FastGRNN (arXiv:1901.02358): with s = input + recurrent, z = sigmoid(s + gate_bias) and c = tanh(s +
 * candidate_bias), state = (zeta (1 - z) + nu) c + z state. `scratch` has 2 n numbers. */
void rv_fastgrnn_step(const float *input, const float *recurrent, const float *gate_bias, const float *candidate_bias,
                      float zeta, float nu, float *state, size_t n, float *scratch);

/* out (count x value_cols) = softmax(queries keys^T / sqrt(key_cols)) values, `rows` of keys and values. `scratch`
 * has rows + value_cols numbers. */
int rv_attention(const float *queries, const float *keys, const float *values, float *out, size_t count, size_t rows,
                 size_t key_cols, size_t value_cols, float *scratch, const volatile int *cancel);

/* Weighted MaxSim of each of `docs` documents: the weighted mean over the `count` query tokens (count x dims) of the
 * greatest sum of query[d] * sign[d] / sqrt(dims) over the document's tokens. Document i is counts[i] rows of `bits` from
 * row starts[i] on, one token of dims / 8 bytes a row, sign +1 where the bit (lowest first) is 1, else -1. An empty
 * document, or weights that sum to 0, score 0; a query that is not finite scores NaN. dims is a multiple of 8, at most
 * RV_SIGN_DIMS; `scratch` holds rv_maxsim_scratch(count, dims) numbers. Threads of the process's pool help unless another
 * call has them. Returns 0 if *cancel (may be NULL) ended it. */
int rv_maxsim_bits(const float *tokens, const float *weights, size_t count, size_t dims, const uint8_t *bits,
                   const int64_t *starts, const int64_t *counts, size_t docs, int32_t *scratch, float *scores,
                   const volatile int *cancel);
size_t rv_maxsim_scratch(size_t count, size_t dims);

/* A number for each of `docs` runs of rows of `cols` bytes, laid out as above, by which damage shows: any change to a run
 * changes it but for one in 2^64, a change within eight bytes always does. */
void rv_digest_rows(const uint8_t *rows, size_t cols, const int64_t *starts, const int64_t *counts, size_t docs,
                    uint64_t *digests);

/* Where each of `count` strings begins in `bytes`, laid out as GGUF has them: a little-endian 64-bit length and that many
 * bytes of text, one after the other. Returns how many bytes they take, SIZE_MAX if `size` bytes do not hold them. */
size_t rv_string_starts(const uint8_t *bytes, size_t size, size_t count, int64_t *starts);

/* Which of up to 254 markers, texts of two bytes and more, occur in a text. `rv_markers_build` lays them into
 * rv_markers_size(count) bytes of `memory` (8-aligned): they follow one another in `text`, which must outlive it, marker i
 * ending before ends[i] (ascending). Returns 0 if there are too many or one is too short. */
size_t rv_markers_size(size_t count);
int rv_markers_build(void *memory, const uint8_t *text, const int64_t *ends, size_t count);

/* Sets found[i], one byte a marker and all 0 before, to 1 where marker i occurs; returns how many do. */
size_t rv_markers_find(const void *memory, const uint8_t *text, size_t bytes, uint8_t *found);

/* The index terms of a text, in order, each the CRC-32 of its UTF-8. ASCII words are letters and digits, with single _ ' .
 * or - between them; each gives its parts (digits; small letters, a capital before them; capitals) in small letters, common
 * words left out, plural and verb endings taken off, and where there are several the first 64 letters of them joined. What
 * follows a byte 0xfe, up to a blank, control character or other such byte, is one part in small letters already, what
 * follows 0xff a term as it stands; all other bytes beyond ASCII stand between words. `ids` holds 3 bytes / 2 numbers; returns
 * how many were written. */
size_t rv_terms(const uint8_t *text, size_t bytes, uint32_t *ids);

/* Leaves the distinct ones of `count` ids, in order of their first, and how often each occurs (65,535 at most); returns how
 * many they are. `slots` is scratch of `slot_count` numbers, a power of two above `count`. */
size_t rv_count_terms(uint32_t *ids, size_t count, uint16_t *often, uint32_t *slots, size_t slot_count);

/* BERT's uncased WordPiece. `rv_wordpiece_build` lays a vocabulary into rv_wordpiece_size(pieces) bytes of `memory`
 * (8-aligned): piece i is the i-th of `strings`, each a 64-bit length and its UTF-8 bytes as a GGUF file has them, with
 * U+2581 before those that begin a word. `strings` must outlive it. Returns 0 if they run past `bytes` or lack one of
 * [PAD] [UNK] [CLS] [SEP] [MASK]; pieces over 255 bytes are never found. */
size_t rv_wordpiece_size(size_t pieces);
int rv_wordpiece_build(void *memory, const uint8_t *strings, size_t bytes, size_t pieces);

/* The ids of `texts` UTF-8 texts that follow one another in `text`, text i ending before ends[i] (ascending); its ids end
 * before id_ends[i]. `ids` holds ends[texts - 1] numbers: no text has more ids than bytes. Bytes that are no UTF-8 are
 * left out, as control characters are. */
void rv_wordpiece_encode(const void *memory, const uint8_t *text, const int64_t *ends, size_t texts, int32_t *ids,
                         int64_t *id_ends);

/* The unit vector of each text's summed rows: row id of `table` (int8, dims a row) times scales[id], over the ids that end
 * before ends[i]. A text without ids, or whose rows cancel out, gives zeros. */
void rv_static_pool(const int8_t *table, const float *scales, size_t dims, const int32_t *ids, const int64_t *ends,
                    size_t texts, float *out);

#endif
