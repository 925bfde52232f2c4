/* Rankings and long calls. Rankings run on small whole numbers, whose scores are exact, so that the best rows, ties
 * included, are known; the calls that fill arrays are judged as their kernels are, over sizes of several blocks. */
#include "check.h"

#include <math.h>
#include <string.h>

enum { M, X, KEEP, ROWS_OUT, SCORES_OUT, EXTRA, GREATEST_K = 40, MOST_ROWS = 700 };

static const struct metric {
    const char *name;
    enum kind kind;
    bool least;
} metrics[] = {{"dot_f32", f32, false},  {"dot_f16", f16, false},   {"dot_bf16", bf16, false},
               {"dot_i8", i8, false},    {"sqdist_f32", f32, true}, {"sqdist_f16", f16, true},
               {"sqdist_bf16", bf16, true}, {"sqdist_i8", i8, true}, {"hamming_b1", b1, true}};

static void *small_numbers(int slot, enum kind kind, size_t elements, enum place place) {
    void *at = placed(slot, elements * kind_size(kind), kind_size(kind), place);
    for (size_t i = 0; i < numbers_in(kind, elements); i++)
        write_number(kind, at, i, kind == b1 ? (double)(random_bits() & 1) : (double)(random_bits() % 7) - 3);
    return at;
}

static double score(const struct metric *by, const void *m, const void *x, size_t row, size_t elements) {
    const size_t n = numbers_in(by->kind, elements);
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        const double a = read_number(by->kind, m, row * n + i), b = read_number(by->kind, x, i);
        sum += by->least ? (a - b) * (a - b) : a * b;
    }
    return sum;
}

static bool is_kept(const uint8_t *keep, size_t row) { return !keep || keep[row >> 3] >> (row & 7) & 1; }

/* The best row that is kept, not NaN and ranks after the last one given; `rows` if there is none. */
static size_t next_best(const double *scores, size_t rows, const uint8_t *keep, bool least, size_t last) {
    size_t best = rows;
    for (size_t r = 0; r < rows; r++) {
        if (!is_kept(keep, r) || isnan(scores[r])) continue;
        const double here = least ? -scores[r] : scores[r];
        if (last < rows) {
            const double before = least ? -scores[last] : scores[last];
            if (here > before || (here == before && r <= last)) continue;
        }
        if (best == rows || here > (least ? -scores[best] : scores[best])) best = r;
    }
    return best;
}

static void judge_ranking(const char *name, const double *scores, size_t rows, const uint8_t *keep, bool least, size_t k,
                          size_t found, const int32_t *got_rows, const float *got_scores) {
    size_t last = rows;
    for (size_t i = 0; i < k; i++) {
        const size_t best = next_best(scores, rows, keep, least, last);
        if (best == rows || i == found) {
            expect(name, (double)found, (double)i, best == rows && i == found ? 1 : 0);
            return;
        }
        expect(name, got_rows[i], (double)best, 0);
        expect(name, got_scores[i], scores[best], 0);
        last = best;
    }
    expect(name, (double)found, (double)k, 0);
}

static uint8_t *some_kept(size_t rows) {
    if (random_bits() % 3 == 0) return NULL;
    uint8_t *keep = placed(KEEP, (rows + 7) / 8, 1, AT_END);
    for (size_t i = 0; i < (rows + 7) / 8; i++) keep[i] = (uint8_t)(random_bits() & random_bits());
    return keep;
}

static void check_topk(const struct metric *by, size_t rows, size_t elements, size_t k, enum place place) {
    static double scores[MOST_ROWS];
    uint8_t *m = small_numbers(M, by->kind, rows * elements, place), *keep = some_kept(rows);
    const void *x = small_numbers(X, by->kind, elements, AT_END);
    if (rows && elements && by->kind < i8) write_number(by->kind, m, random_bits() % (rows * elements), NAN);
    for (size_t r = 0; r < rows; r++) scores[r] = score(by, m, x, r, elements);
    int32_t *got_rows = placed(ROWS_OUT, k * sizeof *got_rows, 4, AT_END);
    float *got_scores = placed(SCORES_OUT, k * sizeof *got_scores, 4, AT_END);
    const int go_on = 0;
    const size_t found = rv_topk(by->name, m, x, rows, elements, keep, k, got_rows, got_scores, &go_on);
    judge_ranking("topk", scores, rows, keep, by->least, k, found, got_rows, got_scores);
    expect_surroundings_untouched("topk", ROWS_OUT, got_rows, k * sizeof *got_rows);
    expect_surroundings_untouched("topk", SCORES_OUT, got_scores, k * sizeof *got_scores);
}

static void check_cross_topk(size_t count, size_t rows, size_t cols, size_t k) {
    static double scores[MOST_ROWS];
    const float *queries = small_numbers(X, f32, count * cols, AT_END), *m = small_numbers(M, f32, rows * cols, AT_END);
    const uint8_t *keep = some_kept(rows);
    int32_t *got_rows = placed(ROWS_OUT, count * k * sizeof *got_rows, 4, AT_END);
    float *got_scores = placed(SCORES_OUT, count * k * sizeof *got_scores, 4, AT_END);
    size_t *found = placed(EXTRA, count * sizeof *found, sizeof *found, AT_END);
    if (!rv_cross_topk(queries, m, count, rows, cols, keep, k, got_rows, got_scores, found, NULL))
        fail("cross_topk", "was cancelled");
    for (size_t q = 0; q < count; q++) {
        for (size_t r = 0; r < rows; r++) scores[r] = score(&metrics[0], m, queries + q * cols, r, cols);
        judge_ranking("cross_topk", scores, rows, keep, false, k, found[q], got_rows + q * k, got_scores + q * k);
    }
    expect_surroundings_untouched("cross_topk", ROWS_OUT, got_rows, count * k * sizeof *got_rows);
    expect_surroundings_untouched("cross_topk", EXTRA, found, count * sizeof *found);
}

static void check_assign(size_t count, size_t rows, size_t cols) {
    const float *points = small_numbers(X, f32, count * cols, AT_END), *m = small_numbers(M, f32, rows * cols, AT_END);
    int32_t *nearest = placed(ROWS_OUT, count * sizeof *nearest, 4, AT_END);
    float *distances = placed(SCORES_OUT, count * sizeof *distances, 4, AT_END);
    float *half_squares = placed(EXTRA, rows * sizeof *half_squares, 4, AT_END);
    if (!rv_assign(points, m, count, rows, cols, half_squares, nearest, distances, NULL)) fail("assign", "was cancelled");
    for (size_t p = 0; p < count; p++) {
        double least = INFINITY, where = 0;
        for (size_t r = 0; r < rows; r++) {
            const double square = score(&metrics[4], m, points + p * cols, r, cols);
            if (square < least) least = square, where = (double)r;
        }
        expect("assign", nearest[p], where, 0);
        expect("assign", distances[p], least, 0);
    }
    expect_surroundings_untouched("assign", ROWS_OUT, nearest, count * sizeof *nearest);
    expect_surroundings_untouched("assign", SCORES_OUT, distances, count * sizeof *distances);
    expect_surroundings_untouched("assign", EXTRA, half_squares, rows * sizeof *half_squares);
}

/* A long call whose flag is its own first result stops at the next look: what lies after that is still 0. `cost` numbers are
 * worked on for a result, and a look comes at least every 2^20. */
static void judge_cancelled(const char *name, int went_on, const float *out, size_t results, double cost) {
    size_t written = results;
    while (written && out[written - 1] == 0) written--;
    if (went_on) fail(name, "did not stop");
    expect(name, (double)written * cost, 0, 0x1p20);
}

static float *results(size_t count) { return memset(placed(SCORES_OUT, count * 4, 4, AT_END), 0, count * 4); }

static float *ones(int slot, size_t count) {
    float *at = placed(slot, count * sizeof *at, sizeof *at, AT_END);
    for (size_t i = 0; i < count; i++) at[i] = 1;
    return at;
}

static void check_cancelling(void) {
    enum { N = 4000, COLS = 64, SIDE = 500, INNER = 400 };
    const float *m = ones(M, N * COLS), *x = ones(X, SIDE * INNER);
    float *out = results(N);
    judge_cancelled("many", rv_many("dot_f32", m, x, out, N, COLS, (volatile int *)out), out, N, COLS);
    out = results(SIDE * SIDE);
    judge_cancelled("cross_dot", rv_cross_dot(x, m, out, SIDE, SIDE, INNER, (volatile int *)out), out, SIDE, INNER);
    out = results(SIDE * SIDE);
    judge_cancelled("matmul", rv_matmul(x, m, out, SIDE, INNER, SIDE, (volatile int *)out), out, SIDE, INNER);
    const uint8_t *codes = memset(placed(EXTRA, 250000, 1, AT_END), 0, 250000);
    out = results(250000);
    judge_cancelled("adc", rv_adc(m, codes, out, 250000, 1, (volatile int *)out), out, 250000, 1);
    const rv_lora lora = {ones(KEEP, 2 * COLS), ones(ROWS_OUT, 2 * 2), 1, 2, COLS, 2};
    out = results(2 * N);
    float *inner = ones(EXTRA, 2 * N);
    judge_cancelled("lora", rv_lora_forward(&lora, m, out, N, inner, (volatile int *)out), out, 2 * N, COLS);
    report("cancelling");
}

void check_scans(void) {
    for (const struct metric *by = metrics; by < metrics + sizeof metrics / sizeof *metrics; by++) {
        for (size_t i = 1; i < LENGTHS; i += 1 + i / 9)
            check_topk(by, random_bits() % 40, length(i), random_bits() % GREATEST_K, (enum place)(i % PLACES));
        check_topk(by, MOST_ROWS - 3, 37, 11, AT_END); /* several blocks */
        check_topk(by, MOST_ROWS - 3, 37, 140, AT_END);
        check_topk(by, 3, 60000, 2, AT_END);
    }
    report("topk");
    for (size_t count = 0; count <= 50; count += 7)
        for (size_t rows = 0; rows <= 330; rows += 1 + rows / 2) check_cross_topk(count, rows, 1 + rows % 35, 1 + rows % 12);
    check_cross_topk(3, 70, 2049, 5);
    check_cross_topk(200, 140, 20, 7); /* several bands */
    check_cross_topk(20, 690, 20, 150); /* more than are kept in a list */
    report("cross_topk");
    for (size_t count = 0; count <= 50; count += 7)
        for (size_t rows = 1; rows <= 330; rows += 1 + rows / 2) check_assign(count, rows, 1 + (count + rows) % 40);
    report("assign");
    check_cancelling();
}
