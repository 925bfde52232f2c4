/* One-to-many and many-to-many scans. Scores come block by block from the kernels in use and are ranked while they are in the
 * cache, never all written down; a cancel flag is polled between blocks, each of well under a millisecond. */
#include "rv.h"
#include "rv_blocks.h"
#include "rv_heap.h"

#include <math.h>
#include <string.h>

/* Rows of a block for one query and for several at once. */
enum { ROWS = 256, CROSS_ROWS = 64, FEW = 128 };

/* Rows that make a block of at most `numbers` numbers and `most` rows, by fours as the kernels take them, if they can be. */
static size_t block_rows(size_t numbers, size_t most, size_t cols, size_t left) {
    const size_t fitting = numbers / (cols + 1), rows = fitting < 1 ? 1 : fitting > most ? most : fitting;
    const size_t fours = rows < 4 ? rows : rows / 4 * 4;
    return left < fours ? left : fours;
}

/* Which of up to 64 scores exceed the bar, the first in the lowest bit; a NaN never does. Comparisons become bytes of 0 or 1, which
 * the compiler makes by vectors, and each eight of them eight bits by one multiplication. */
static uint64_t above(const float *scores, size_t count, float bar) {
    uint8_t is_above[64] = {0};
    for (size_t i = 0; i < count; i++) is_above[i] = scores[i] > bar;
    uint64_t bits = 0;
    for (size_t i = 0; i < 64; i += 8) {
        uint64_t eight;
        memcpy(&eight, is_above + i, 8);
        bits |= (eight * 0x0102040810204080) >> 56 << i;
    }
    return bits;
}

/* Up to FEW best rows are kept in order instead of in a heap: that takes fewer guesses of the CPU's. */
static void list_offer(rv_heap *best, size_t limit, int32_t row, float score) {
    size_t at = best->size;
    if (at < limit)
        best->size++;
    else if (!(score > best->scores[--at]))
        return;
    for (; at && best->scores[at - 1] < score; at--) {
        best->scores[at] = best->scores[at - 1];
        best->rows[at] = best->rows[at - 1];
    }
    best->scores[at] = score;
    best->rows[at] = row;
}

static void offer(rv_heap *best, size_t k, size_t row, float score, const uint8_t *keep) {
    if (!keep || keep[row >> 3] >> (row & 7) & 1) (k <= FEW ? list_offer : heap_offer)(best, k, (int32_t)row, score);
}

/* Offers a block of scores to the best k. Once there are k, most rows cannot enter: a later one loses a tie. */
static void rank(rv_heap *best, size_t k, const float *scores, size_t start, size_t count, const uint8_t *keep) {
    enum { STRIP = 64 };
    size_t i = 0;
    for (; i < count && best->size < k; i++)
        if (!isnan(scores[i])) offer(best, k, start + i, scores[i], keep);
    for (; i < count && k; i += STRIP)
        for (uint64_t left = above(scores + i, least(STRIP, count - i), best->scores[k <= FEW ? k - 1 : 0]); left; left &= left - 1) {
            const size_t at = i + (size_t)__builtin_ctzll(left);
            offer(best, k, start + at, scores[at], keep);
        }
}

/* Distances are ranked by their negative. */
enum { SIGN_dot = 1, SIGN_cosine = 1, SIGN_jaccard = 1, SIGN_sqdist = -1, SIGN_hamming = -1 };

#define RV_MANY(result, op, kind)                                                                                      \
    static void score_##op##_##kind(const void *m, size_t start, const void *x, float *out, size_t rows,               \
                                    size_t cols) {                                                                     \
        result block[ROWS];                                                                                            \
        rv_many_##op##_##kind((const rv_##kind *)m + start * cols, x, block, rows, cols);                              \
        for (size_t i = 0; i < rows; i++) out[i] = SIGN_##op * (float)block[i];                                        \
    }
#define RV_KERNEL(result, kernel, parameters, arguments)
#include "rv_kernels.def"

static const struct metric {
    const char *name;
    void (*score)(const void *m, size_t start, const void *x, float *out, size_t rows, size_t cols);
    int sign;
} metrics[] = {
#define RV_MANY(result, op, kind) {#op "_" #kind, score_##op##_##kind, SIGN_##op},
#define RV_KERNEL(result, kernel, parameters, arguments)
#include "rv_kernels.def"
};

size_t rv_topk(const char *metric, const void *m, const void *x, size_t rows, size_t cols, const uint8_t *keep,
               size_t k, int32_t *top_rows, float *top_scores, const volatile int *cancel) {
    const struct metric *by = metrics;
    while (strcmp(by->name, metric))
        if (++by == metrics + sizeof metrics / sizeof *metrics) return 0;
    rv_heap heap = {top_rows, top_scores, 0};
    float scores[ROWS];
    for (size_t start = 0, here; start < rows; start += here) {
        if (cancel && *cancel) return 0;
        here = block_rows(1 << 15, ROWS, cols, rows - start);
        by->score(m, start, x, scores, here, cols);
        rank(&heap, k, scores, start, here, keep);
    }
    if (k > FEW) heap_sort(&heap);
    for (size_t i = 0; i < heap.size; i++) top_scores[i] *= (float)by->sign;
    return heap.size;
}

int rv_cross_topk(const float *queries, const float *m, size_t count, size_t rows, size_t cols, const uint8_t *keep,
                  size_t k, int32_t *top_rows, float *top_scores, size_t *found, const volatile int *cancel) {
    float scores[RV_BAND * CROSS_ROWS];
    const size_t band = cross_band(count, cols);
    memset(found, 0, count * sizeof *found);
    for (size_t first = 0; first < count; first += band) {
        const size_t end = least(count, first + band);
        for (size_t start = 0; start < rows; start += CROSS_ROWS) {
            const size_t here = least(CROSS_ROWS, rows - start);
            if (!cross_blocks(queries + first * cols, m + start * cols, scores, end - first, here, cols, CROSS_ROWS, cancel))
                return 0;
            for (size_t q = first; q < end; q++) {
                rv_heap heap = {top_rows + q * k, top_scores + q * k, found[q]};
                rank(&heap, k, scores + (q - first) * CROSS_ROWS, start, here, keep);
                found[q] = heap.size;
            }
        }
        for (size_t q = first; q < end; q++) {
            rv_heap heap = {top_rows + q * k, top_scores + q * k, found[q]};
            if (k > FEW) heap_sort(&heap);
        }
    }
    return 1;
}

/* |x - c|^2 is least where x . c - |c|^2 / 2 is greatest. */
int rv_assign(const float *points, const float *centroids, size_t count, size_t rows, size_t cols, float *half_squares,
              int32_t *nearest, float *distances, const volatile int *cancel) {
    float scores[RV_BAND * CROSS_ROWS], best[RV_BAND];
    const size_t band = cross_band(count, cols);
    for (size_t c = 0; c < rows; c++)
        half_squares[c] = rv_dot_f32(centroids + c * cols, centroids + c * cols, cols) / 2;
    for (size_t p = 0; p < count; p += band) {
        const size_t points_here = least(band, count - p);
        for (size_t i = 0; i < points_here; i++) best[i] = -INFINITY, nearest[p + i] = 0;
        for (size_t start = 0; start < rows; start += CROSS_ROWS) {
            const size_t here = least(CROSS_ROWS, rows - start);
            if (!cross_blocks(points + p * cols, centroids + start * cols, scores, points_here, here, cols, CROSS_ROWS, cancel))
                return 0;
            for (size_t i = 0; i < points_here; i++) {
                for (size_t c = 0; c < here; c++) {
                    const float score = scores[i * CROSS_ROWS + c] - half_squares[start + c];
                    if (score > best[i]) best[i] = score, nearest[p + i] = (int32_t)(start + c);
                }
            }
        }
        for (size_t i = p; i < p + points_here; i++)
            distances[i] = rv_sqdist_f32(points + i * cols, centroids + (size_t)nearest[i] * cols, cols);
    }
    return 1;
}
