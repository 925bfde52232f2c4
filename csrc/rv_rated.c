/* What one feedback teaches, worked out while the caller waits: arrays here are short, and each of these calls takes the
 * place of dozens of operations on them. */
#include "rv.h"

#include <math.h>
#include <string.h>

double rv_agreement(const float *parts, const uint8_t *counts, const uint8_t *right, size_t rows, size_t cols,
                    double *scores) {
    size_t pairs = 0;
    double won = 0;
    for (size_t i = 0; i < rows; i++) {
        scores[i] = 0;
        for (size_t p = 0; p < cols; p++) scores[i] += counts[p] ? (double)parts[i * cols + p] : 0;
    }
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; right[i] && j < rows; j++)
            if (!right[j]) pairs++, won += scores[i] > scores[j] ? 1 : scores[i] == scores[j] ? 0.5 : 0;
    return pairs ? won / (double)pairs : -1;
}

void rv_contrast(const rv_rated *search, const float *factors, double temperature, const float *shift, float gain,
                 double *surplus, float *slopes, float *pull) {
    const size_t rows = search->rows, cols = search->cols, dims = search->dims;
    double greatest = -INFINITY, sum = 0, rights = 0;
    for (size_t i = 0; i < rows; i++) {
        surplus[i] = 0;
        for (size_t p = 0; p < cols; p++) surplus[i] += (double)factors[p] * search->parts[i * cols + p];
        if (shift) surplus[i] += (double)gain * rv_dot_f32(search->vectors + i * dims, shift, dims);
        surplus[i] /= temperature;
        greatest = surplus[i] > greatest ? surplus[i] : greatest;
        rights += search->right[i];
    }
    for (size_t i = 0; i < rows; i++) sum += surplus[i] = exp(surplus[i] - greatest);
    for (size_t i = 0; i < rows; i++) surplus[i] = (surplus[i] / sum - search->right[i] / rights) / temperature;
    for (size_t p = 0; p < cols; p++) {
        double slope = 0;
        for (size_t i = 0; i < rows; i++) slope += surplus[i] * search->parts[i * cols + p];
        slopes[p] = (float)slope;
    }
    if (!shift) return;
    memset(pull, 0, dims * sizeof *pull);
    for (size_t i = 0; i < rows; i++) rv_axpy_f32((float)(gain * surplus[i]), search->vectors + i * dims, pull, dims);
}

void rv_lora_descend(float *a, float *b, size_t rank, size_t dims, const float *x, const float *grad, float rate,
                     float most, float *scratch) {
    float *inner = scratch, *back = scratch + rank;
    rv_many_dot_f32(a, x, inner, rank, dims);
    rv_matmul_f32(grad, b, back, 1, dims, rank, rank);
    for (size_t d = 0; d < dims; d++)
        for (size_t r = 0; r < rank; r++) b[d * rank + r] -= rate * grad[d] * inner[r];
    for (size_t r = 0; r < rank; r++) rv_axpy_f32(-rate * back[r], x, a + r * dims, dims);
    const double aa = rv_dot_f32(a, a, rank * dims), bb = rv_dot_f32(b, b, rank * dims), size = sqrt(aa * bb);
    if (size > most) rv_scale_f32(b, (float)(most / size), b, rank * dims);
}

static int is_in(const rv_ids *ids, int64_t id) {
    size_t low = 0, high = ids->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (ids->ids[middle] < id) low = middle + 1;
        else high = middle;
    }
    return low < ids->count && ids->ids[low] == id;
}

void rv_foreseen(const rv_spoken *spoken, const rv_ids *right, const rv_ids *shown, const rv_ids *asked, size_t knots,
                 double *counts, uint8_t *lent) {
    memset(counts, 0, 4 * knots * sizeof *counts);
    for (size_t q = 0, v = 0; q < spoken->questions; q++) {
        double sums[4] = {0, 0, 0, 0};
        for (; v < (size_t)spoken->ends[q]; v++) {
            const int64_t id = spoken->ids[v];
            const double worth = spoken->worth[v];
            const int is_for = worth > 0, is_right = is_in(right, id);
            lent[v] = (uint8_t)(is_for && is_in(shown, id));
            if (is_for) sums[0] += worth, sums[1] += is_right ? worth : 0;
            else if (worth < 0 && is_in(asked, id)) sums[2] -= worth, sums[3] -= is_right ? worth : 0;
        }
        for (size_t row = 0; row < 4; row++) {
            double *at = counts + row * knots + spoken->knots[q];
            at[0] += (1 - spoken->shares[q]) * sums[row];
            at[1] += spoken->shares[q] * sums[row];
        }
    }
}
