/* What one feedback teaches, against its equations in float64 and counting one by one, with every array between guard
 * pages. */
#include "check.h"

#include <math.h>
#include <string.h>

enum { PARTS, VECTORS, RIGHT, FACTORS, SHIFT, OUT_ROWS, OUT_COLS, OUT_DIMS };

static float *floats(int slot, size_t count) {
    float *at = placed(slot, count * sizeof *at, sizeof *at, AT_END);
    fill(f32, at, count, NORMAL);
    return at;
}

static uint8_t *flags(int slot, size_t count) {
    uint8_t *at = placed(slot, count, 1, AT_END);
    for (size_t i = 0; i < count; i++) at[i] = random_bits() % 3 == 0;
    return at;
}

static void check_agreement(size_t rows, size_t cols) {
    float *parts = floats(PARTS, rows * cols);
    for (size_t i = 0; i < rows * cols; i++) parts[i] = roundf(parts[i]); /* so that there are ties */
    const uint8_t *right = flags(RIGHT, rows), *counts = flags(FACTORS, cols);
    double *scores = placed(OUT_ROWS, rows * sizeof *scores, sizeof *scores, AT_END), sums[200], won = 0, pairs = 0;
    for (size_t i = 0; i < rows; i++) {
        sums[i] = 0;
        for (size_t p = 0; p < cols; p++) sums[i] += counts[p] ? parts[i * cols + p] : 0;
    }
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < rows; j++)
            if (right[i] && !right[j]) pairs++, won += (sums[i] > sums[j]) + 0.5 * (sums[i] == sums[j]);
    expect("agreement", rv_agreement(parts, counts, right, rows, cols, scores), pairs > 0 ? won / pairs : -1, 1e-12);
    expect_surroundings_untouched("agreement", OUT_ROWS, scores, rows * sizeof *scores);
}

static void check_contrast(size_t rows, size_t cols, size_t dims, bool moved) {
    const float *parts = floats(PARTS, rows * cols), *vectors = floats(VECTORS, rows * dims);
    const float *factors = floats(FACTORS, cols), *shift = moved ? floats(SHIFT, dims) : NULL;
    uint8_t *right = flags(RIGHT, rows);
    right[random_bits() % rows] = 1;
    double *surplus = placed(OUT_ROWS, rows * sizeof *surplus, sizeof *surplus, AT_END), want[200], sum = 0, rights = 0;
    float *slopes = floats(OUT_COLS, cols), *pull = floats(OUT_DIMS, moved ? dims : 0);
    rv_contrast(&(rv_rated){parts, moved ? vectors : NULL, right, rows, cols, moved ? dims : 0}, factors, 1.7, shift, 0.5f,
                surplus, slopes, pull);
    for (size_t i = 0; i < rows; i++) {
        double score = 0;
        for (size_t p = 0; p < cols; p++) score += (double)factors[p] * parts[i * cols + p];
        for (size_t d = 0; moved && d < dims; d++) score += 0.5 * vectors[i * dims + d] * shift[d];
        sum += want[i] = exp(score / 1.7), rights += right[i];
    }
    for (size_t i = 0; i < rows; i++) {
        want[i] = (want[i] / sum - right[i] / rights) / 1.7;
        expect("contrast", surplus[i], want[i], moved ? 2e-5 : 1e-12);
    }
    for (size_t p = 0; p < cols; p++) {
        double slope = 0, size = 0;
        for (size_t i = 0; i < rows; i++) slope += want[i] * parts[i * cols + p], size += fabs(parts[i * cols + p]);
        expect("contrast", slopes[p], slope, (moved ? 2e-5 : 1e-7) * size);
    }
    for (size_t d = 0; moved && d < dims; d++) {
        double pulled = 0, size = 0;
        for (size_t i = 0; i < rows; i++)
            pulled += 0.5 * want[i] * vectors[i * dims + d], size += fabs(vectors[i * dims + d]);
        expect("contrast", pull[d], pulled, 2e-5 * size);
    }
    expect_surroundings_untouched("contrast", OUT_ROWS, surplus, rows * sizeof *surplus);
    expect_surroundings_untouched("contrast", OUT_COLS, slopes, cols * sizeof *slopes);
    expect_surroundings_untouched("contrast", OUT_DIMS, pull, (moved ? dims : 0) * sizeof *pull);
}

static void check_descend(size_t rank, size_t dims, float most) {
    static double want_a[8 * 400], want_b[8 * 400];
    float *a = floats(PARTS, rank * dims), *b = floats(VECTORS, dims * rank), *scratch = floats(OUT_ROWS, 2 * rank);
    const float *x = floats(FACTORS, dims), *grad = floats(SHIFT, dims);
    double aa = 0, bb = 0, size = 1;
    for (size_t i = 0; i < rank * dims; i++) want_a[i] = a[i], want_b[i] = b[i];
    for (size_t r = 0; r < rank; r++) {
        double inner = 0, back = 0;
        for (size_t d = 0; d < dims; d++) inner += (double)a[r * dims + d] * x[d], back += (double)grad[d] * b[d * rank + r];
        for (size_t d = 0; d < dims; d++) want_b[d * rank + r] -= 0.01 * grad[d] * inner, want_a[r * dims + d] -= 0.01 * back * x[d];
        size += fabs(inner) + fabs(back) + (double)dims;
    }
    for (size_t i = 0; i < rank * dims; i++) aa += want_a[i] * want_a[i], bb += want_b[i] * want_b[i];
    const double factor = sqrt(aa * bb) > most ? most / sqrt(aa * bb) : 1;
    rv_lora_descend(a, b, rank, dims, x, grad, 0.01f, most, scratch);
    for (size_t i = 0; i < rank * dims; i++) {
        expect("lora_descend", a[i], want_a[i], 1e-6 * size);
        expect("lora_descend", b[i], factor * want_b[i], 1e-6 * size);
    }
    expect_surroundings_untouched("lora_descend", PARTS, a, rank * dims * sizeof *a);
    expect_surroundings_untouched("lora_descend", VECTORS, b, rank * dims * sizeof *b);
    expect_surroundings_untouched("lora_descend", OUT_ROWS, scratch, 2 * rank * sizeof *scratch);
}

/* The numbers from 0 to 19 that a bit each says. */
static rv_ids some(int slot) {
    const uint64_t bits = random_bits() & 0xfffff & random_bits();
    int64_t *ids = placed(slot, (size_t)__builtin_popcountll(bits) * sizeof *ids, sizeof *ids, AT_END);
    size_t count = 0;
    for (int64_t id = 0; id < 20; id++)
        if (bits >> id & 1) ids[count++] = id;
    return (rv_ids){ids, count};
}

static bool holds(rv_ids in, int64_t id) {
    for (size_t i = 0; i < in.count; i++)
        if (in.ids[i] == id) return true;
    return false;
}

static void check_foreseen(size_t questions, size_t knots) {
    static int64_t ids[400], ends[40];
    static double worth[400], shares[40], want[4 * 10];
    static int32_t at[40];
    size_t votes = 0;
    const rv_ids right = some(RIGHT), shown = some(FACTORS), asked = some(SHIFT);
    memset(want, 0, sizeof want);
    for (size_t q = 0; q < questions; q++) {
        at[q] = (int32_t)(random_bits() % (knots - 1)), shares[q] = (double)(random_bits() % 5) / 4;
        for (size_t more = random_bits() % 10; more; more--, votes++) {
            ids[votes] = (int64_t)(random_bits() % 24) - 2, worth[votes] = (double)(random_bits() % 9) / 4 - 1;
            const double size = fabs(worth[votes]);
            const bool is_for = worth[votes] > 0;
            if (!is_for && !holds(asked, ids[votes])) continue;
            for (int hit = 0; hit <= holds(right, ids[votes]); hit++) {
                double *row = want + (2 * !is_for + hit) * knots + at[q];
                row[0] += (1 - shares[q]) * size, row[1] += shares[q] * size;
            }
        }
        ends[q] = (int64_t)votes;
    }
    double *counts = placed(OUT_ROWS, 4 * knots * sizeof *counts, sizeof *counts, AT_END);
    uint8_t *lent = placed(OUT_COLS, votes, 1, AT_END);
    rv_foreseen(&(rv_spoken){ids, worth, ends, at, shares, questions}, &right, &shown, &asked, knots, counts, lent);
    for (size_t i = 0; i < 4 * knots; i++) expect("foreseen", counts[i], want[i], 1e-12 * (1 + want[i]));
    for (size_t v = 0; v < votes; v++) expect("foreseen", lent[v], worth[v] > 0 && holds(shown, ids[v]), 0.5);
    expect_surroundings_untouched("foreseen", OUT_ROWS, counts, 4 * knots * sizeof *counts);
    expect_surroundings_untouched("foreseen", OUT_COLS, lent, votes);
}

void check_rated(void) {
    static const size_t rows[] = {1, 2, 5, 24, 150}, cols[] = {1, 3, 9}, dims[] = {1, 7, 384};
    for (size_t r = 0; r < 5; r++)
        for (size_t c = 0; c < 3; c++) check_agreement(rows[r], cols[c]);
    check_agreement(0, 3);
    report("agreement");
    for (size_t r = 0; r < 5; r++)
        for (size_t c = 0; c < 3; c++)
            for (int moved = 0; moved < 2; moved++) check_contrast(rows[r], cols[c], dims[(c + r) % 3], moved);
    report("contrast");
    for (size_t rank = 1; rank <= 4; rank++)
        for (size_t d = 0; d < 3; d++) check_descend(rank, dims[d], rank % 2 ? 1e9f : 0.3f);
    report("lora_descend");
    for (size_t round = 0; round < 200; round++) check_foreseen(round % 33, 2 + round % 8);
    report("foreseen");
}
