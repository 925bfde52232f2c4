/* One-to-many scans: scores by the table in use, a bounded min-heap of the best, a cancel flag polled between blocks.
 */
#include "rv.h"

enum { BLOCK = 64 };

/* Whether (score a, row a) ranks below (score b, row b): lower score, or the same score and a later row. */
static int ranks_below(float score_a, int64_t row_a, float score_b, int64_t row_b) {
    return score_a < score_b || (score_a == score_b && row_a > row_b);
}

static void sift_down(int64_t *rows, float *scores, size_t size, size_t at, int64_t row, float score) {
    for (size_t child; (child = 2 * at + 1) < size; at = child) {
        if (child + 1 < size && ranks_below(scores[child + 1], rows[child + 1], scores[child], rows[child])) child++;
        if (!ranks_below(scores[child], rows[child], score, row)) break;
        rows[at] = rows[child];
        scores[at] = scores[child];
    }
    rows[at] = row;
    scores[at] = score;
}

static void sift_up(int64_t *rows, float *scores, size_t at, int64_t row, float score) {
    while (at) {
        const size_t parent = (at - 1) / 2;
        if (!ranks_below(score, row, scores[parent], rows[parent])) break;
        rows[at] = rows[parent];
        scores[at] = scores[parent];
        at = parent;
    }
    rows[at] = row;
    scores[at] = score;
}

/* The heap's root is its worst row; taking it away again and again leaves the rows sorted, best first. */
static void sort_heap(int64_t *rows, float *scores, size_t size) {
    while (size > 1) {
        const int64_t row = rows[--size];
        const float score = scores[size];
        rows[size] = rows[0];
        scores[size] = scores[0];
        sift_down(rows, scores, size, 0, row, score);
    }
}

size_t rv_topk_dot_f32(const float *m, const float *x, size_t rows, size_t cols, const uint8_t *keep, size_t k,
                       int64_t *top_rows, float *top_scores, const volatile int *cancel) {
    size_t size = 0;
    float block[BLOCK];
    for (size_t start = 0; start < rows && k; start += BLOCK) {
        if (cancel && *cancel) return 0;
        const size_t here = rows - start < BLOCK ? rows - start : BLOCK;
        rv_many_dot_f32(m + start * cols, x, block, here, cols);
        for (size_t i = 0; i < here; i++) {
            const size_t row = start + i;
            if (block[i] != block[i] || (keep && !(keep[row >> 3] >> (row & 7) & 1))) continue;
            if (size < k)
                sift_up(top_rows, top_scores, size++, (int64_t)row, block[i]);
            else if (block[i] > top_scores[0])
                sift_down(top_rows, top_scores, size, 0, (int64_t)row, block[i]);
        }
    }
    sort_heap(top_rows, top_scores, size);
    return size;
}
