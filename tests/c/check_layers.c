/* Small layers of networks against their equations in float64, with every array between guard pages. */
#include "check.h"

#include <math.h>
#include <string.h>

enum { A, B, X, GRAD, OUT, GRAD_A, GRAD_B, SCRATCH };

static float *numbers(int slot, size_t count, enum place place) {
    float *at = placed(slot, count * sizeof *at, sizeof *at, place);
    fill(f32, at, count, NORMAL);
    return at;
}

static void untouched(const char *name, int slot, const float *at, size_t count) {
    expect_surroundings_untouched(name, slot, at, count * sizeof *at);
}

static void check_forward(const rv_lora *lora, size_t count) {
    const float *x = numbers(X, count * lora->in, AT_END);
    float *out = numbers(OUT, count * lora->out, AT_END), *inner = numbers(SCRATCH, count * lora->rank, AT_END);
    if (!rv_lora_forward(lora, x, out, count, inner, NULL)) fail("lora_forward", "was cancelled");
    for (size_t i = 0; i < count; i++) {
        for (size_t o = 0; o < lora->out; o++) {
            double want = 0, size = 0;
            for (size_t r = 0; r < lora->rank; r++) {
                for (size_t c = 0; c < lora->in; c++) {
                    const double term = (double)lora->b[o * lora->rank + r] * lora->a[r * lora->in + c] *
                                        x[i * lora->in + c] * lora->scale;
                    want += term, size += fabs(term);
                }
            }
            expect("lora_forward", out[i * lora->out + o], want, 4 * rounding(lora->in + lora->rank, size));
        }
    }
    untouched("lora_forward", OUT, out, count * lora->out);
    untouched("lora_forward", SCRATCH, inner, count * lora->rank);
}

/* The gradients of sum(grad * forward): in x grad B A, in A (grad B)^T x, in B grad^T (x A^T), all times the scale. */
static void check_backward(const rv_lora *lora, size_t count) {
    const size_t in = lora->in, outs = lora->out, rank = lora->rank;
    const float *x = numbers(X, count * in, AT_END), *grad = numbers(GRAD, count * outs, AT_END);
    float *grad_x = numbers(OUT, count * in, AT_END), *inner = numbers(SCRATCH, 2 * rank, AT_END);
    float *grad_a = memset(placed(GRAD_A, rank * in * 4, 4, AT_END), 0, rank * in * 4);
    float *grad_b = memset(placed(GRAD_B, outs * rank * 4, 4, AT_END), 0, outs * rank * 4);
    if (!rv_lora_backward(lora, x, grad, count, grad_a, grad_b, grad_x, inner, NULL)) fail("lora_backward", "was cancelled");
    static double want_a[64 * 200], size_a[64 * 200], want_b[200 * 64], size_b[200 * 64];
    for (size_t i = 0; i < rank * in; i++) want_a[i] = size_a[i] = 0;
    for (size_t i = 0; i < rank * outs; i++) want_b[i] = size_b[i] = 0;
    for (size_t i = 0; i < count; i++) {
        for (size_t c = 0; c < in; c++) {
            double want = 0, size = 0;
            for (size_t r = 0; r < rank; r++)
                for (size_t o = 0; o < outs; o++) {
                    const double g = (double)lora->scale * grad[i * outs + o], back = g * lora->b[o * rank + r];
                    want += back * lora->a[r * in + c], size += fabs(back * lora->a[r * in + c]);
                    want_a[r * in + c] += back * x[i * in + c], size_a[r * in + c] += fabs(back * x[i * in + c]);
                    const double step = g * lora->a[r * in + c] * x[i * in + c];
                    want_b[o * rank + r] += step, size_b[o * rank + r] += fabs(step);
                }
            expect("lora_backward", grad_x[i * in + c], want, 4 * rounding(outs + rank, size));
        }
    }
    for (size_t i = 0; i < rank * in; i++)
        expect("lora_backward", grad_a[i], want_a[i], 4 * rounding(outs + count, size_a[i]));
    for (size_t i = 0; i < rank * outs; i++)
        expect("lora_backward", grad_b[i], want_b[i], 4 * rounding(in + count, size_b[i]));
    untouched("lora_backward", OUT, grad_x, count * in);
    untouched("lora_backward", GRAD_A, grad_a, rank * in);
    untouched("lora_backward", GRAD_B, grad_b, outs * rank);
    untouched("lora_backward", SCRATCH, inner, 2 * rank);
    rv_lora_update(grad_a, grad_b, 0.5f, rank * (in < outs ? in : outs));
    for (size_t i = 0; i < rank * (in < outs ? in : outs); i++) {
        expect("lora_update", grad_b[i], 0, 0);
        if (i == 0) expect("lora_update", grad_a[0], want_a[0] - 0.5 * want_b[0], 4 * rounding(in + outs + count, size_a[0] + size_b[0]));
    }
    untouched("lora_update", GRAD_A, grad_a, rank * in);
}

static void check_pool(size_t rows, size_t count, size_t cols, bool weighted) {
    const float *table = numbers(A, rows * cols, AT_END), *weights = weighted ? numbers(B, count, AT_END) : NULL;
    float *out = numbers(OUT, cols, AT_END);
    int32_t *ids = placed(X, count * sizeof *ids, sizeof *ids, AT_END);
    for (size_t i = 0; i < count; i++) ids[i] = (int32_t)(random_bits() % rows);
    if (!rv_pool(table, ids, weights, out, rows, count, cols)) fail("pool", "refused good ids");
    for (size_t c = 0; c < cols; c++) {
        double want = 0, size = 0;
        for (size_t i = 0; i < count; i++) {
            const double term = (weights ? weights[i] : 1.0) * table[(size_t)ids[i] * cols + c];
            want += term, size += fabs(term);
        }
        expect("pool", out[c], want, 4 * rounding(count, size)); /* one sum an element */
    }
    untouched("pool", OUT, out, cols);
    if (!count) return;
    ids[random_bits() % count] = weighted ? -1 : (int32_t)rows;
    if (rv_pool(table, ids, weights, out, rows, count, cols)) fail("pool", "followed an id out of the table");
}

static void check_fastgrnn(size_t n, double special) {
    float *input = numbers(A, n, AT_END), *recurrent = numbers(B, n, AT_START), *gate = numbers(X, n, PAST_START);
    float *candidate = numbers(GRAD, n, AT_END), *state = numbers(OUT, n, AT_END), *scratch = numbers(SCRATCH, 2 * n, AT_END);
    static double want[8192];
    if (n && special != 0) input[random_bits() % n] = (float)special;
    for (size_t i = 0; i < n; i++) {
        const double s = (double)input[i] + recurrent[i], z = 1 / (1 + exp(-(s + gate[i])));
        want[i] = ((double)0.7f * (1 - z) + (double)0.1f) * tanh(s + candidate[i]) + z * state[i];
    }
    rv_fastgrnn_step(input, recurrent, gate, candidate, 0.7f, 0.1f, state, n, scratch);
    for (size_t i = 0; i < n; i++) expect("fastgrnn_step", state[i], want[i], 2e-6 * (1 + fabs(want[i])));
    untouched("fastgrnn_step", OUT, state, n);
    untouched("fastgrnn_step", SCRATCH, scratch, 2 * n);
}

static void check_attention(size_t count, size_t rows, size_t cols, size_t value_cols) {
    const float *q = numbers(A, count * cols, AT_END), *keys = numbers(B, rows * cols, AT_END);
    const float *values = numbers(X, rows * value_cols, AT_END);
    float *out = numbers(OUT, count * value_cols, AT_END), *scratch = numbers(SCRATCH, rows + value_cols, AT_END);
    if (!rv_attention(q, keys, values, out, count, rows, cols, value_cols, scratch, NULL)) fail("attention", "was cancelled");
    static double weights[8192];
    for (size_t i = 0; i < count; i++) {
        double sum = 0, top = -INFINITY, blur = 0;
        for (size_t r = 0; r < rows; r++) {
            double dot = 0, size = 0;
            for (size_t c = 0; c < cols; c++) {
                const double term = (double)q[i * cols + c] * keys[r * cols + c];
                dot += term, size += fabs(term);
            }
            weights[r] = dot / sqrt((double)cols);
            top = fmax(top, weights[r]);
            blur = fmax(blur, rounding(cols, size) / sqrt((double)cols));
        }
        for (size_t r = 0; r < rows; r++) blur = fmax(blur, 3e-7 * (top - weights[r]));
        for (size_t r = 0; r < rows; r++) sum += weights[r] = exp(weights[r] - top);
        for (size_t c = 0; c < value_cols; c++) {
            double want = 0, size = 0;
            for (size_t r = 0; r < rows; r++) {
                const double term = weights[r] / sum * values[r * value_cols + c];
                want += term, size += fabs(term);
            }
            expect("attention", out[i * value_cols + c], want, 4 * rounding(rows, size) + 4 * blur * size);
        }
    }
    untouched("attention", OUT, out, count * value_cols);
    untouched("attention", SCRATCH, scratch, rows + value_cols);
}

/* Documents of tokens that follow one another, the last one first; empty ones among them. */
static void check_maxsim(size_t count, size_t bytes, size_t docs) {
    const size_t dims = bytes * 8;
    const float *tokens = numbers(A, count * dims, AT_END);
    float *weights = numbers(B, count, AT_END), *scores = numbers(OUT, docs, AT_END);
    int64_t *starts = placed(GRAD, 2 * docs * sizeof *starts, sizeof *starts, AT_END), *counts = starts + docs;
    size_t in_all = 0;
    for (size_t i = docs; i-- > 0; in_all += (size_t)counts[i]) {
        starts[i] = (int64_t)in_all;
        counts[i] = (int64_t)(random_bits() % 6);
    }
    uint8_t *bits = placed(X, in_all * bytes, 1, AT_END);
    for (size_t i = 0; i < in_all * bytes; i++) bits[i] = (uint8_t)random_bits();
    for (size_t q = 0; q < count; q++) weights[q] = fabsf(weights[q]) + 0.1f;
    const size_t room = rv_maxsim_scratch(count, dims);
    int32_t *scratch = placed(SCRATCH, room * sizeof *scratch, 64, AT_END);
    const int go_on = 0;
    if (!rv_maxsim_bits(tokens, weights, count, dims, bits, starts, counts, docs, scratch, scores, &go_on))
        fail("maxsim", "was cancelled");
    for (size_t doc = 0; doc < docs; doc++) {
        double want = 0, total = 0, greatest = 0;
        for (size_t q = 0; q < count; q++) {
            double best = counts[doc] ? -INFINITY : 0;
            for (int64_t t = starts[doc]; t < starts[doc] + counts[doc]; t++) {
                double sum = 0;
                for (size_t d = 0; d < dims; d++)
                    sum += (read_number(b1, bits + (size_t)t * bytes, d) > 0 ? 1 : -1) * (double)tokens[q * dims + d];
                best = fmax(best, sum / sqrt((double)dims));
            }
            for (size_t d = 0; d < dims; d++) greatest = fmax(greatest, fabs((double)tokens[q * dims + d]));
            want += weights[q] * best, total += weights[q];
        }
        expect("maxsim", scores[doc], want / total, sqrt((double)dims) / 32638 * greatest + 1e-6);
    }
    untouched("maxsim", OUT, scores, docs);
    expect_surroundings_untouched("maxsim", SCRATCH, scratch, room * sizeof *scratch);
}

void check_layers(void) {
    for (size_t in = 1; in <= 190; in += 1 + in / 3)
        for (size_t rank = 1; rank <= 16; rank += rank < 3 ? 1 : 13) {
            const size_t outs = 1 + (in * 7 + rank) % 61;
            const rv_lora lora = {numbers(A, rank * in, AT_END), numbers(B, outs * rank, AT_END), 0.5f, rank, in, outs};
            for (size_t count = 0; count <= 9; count += 1 + count) {
                check_forward(&lora, count);
                check_backward(&lora, count);
            }
        }
    report("lora");
    for (size_t i = 0; i < LENGTHS; i++) check_pool(1 + i % 9, i % 14, length(i), i % 2);
    report("pool");
    for (size_t i = 0; i < LENGTHS; i++) check_fastgrnn(length(i), i % 3 == 1 ? NAN : i % 3 == 2 ? 40 : 0);
    report("fastgrnn_step");
    for (size_t rows = 1; rows <= 300; rows += 1 + rows / 2)
        for (size_t cols = 1; cols <= 70; cols += 1 + cols / 2) check_attention(rows % 5, rows, cols, 1 + (rows * cols) % 67);
    check_attention(2, 3001, 33, 60); /* several blocks of values */
    report("attention");
    for (size_t bytes = 1; bytes <= 48; bytes += 1 + bytes / 5)
        for (size_t docs = 0; docs < 12; docs++) check_maxsim(1 + (bytes + docs) % 7, bytes, docs);
    report("maxsim");
}
