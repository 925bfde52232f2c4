/* Small layers of networks, as compositions of kernels: low-rank adapters, pooled table rows, a FastGRNN cell, attention.
 * Scratch space is the caller's. */
#include "rv.h"

#include <math.h>
#include <string.h>

/* Samples between two looks at the cancel flag. */
static size_t samples(const rv_lora *lora, size_t left) {
    const size_t fitting = ((size_t)1 << 18) / ((lora->in + lora->out) * lora->rank + 1), most = fitting ? fitting : 1;
    return left < most ? left : most;
}

int rv_lora_forward(const rv_lora *lora, const float *x, float *out, size_t count, float *inner,
                    const volatile int *cancel) {
    for (size_t start = 0, here; start < count; start += here) {
        if (cancel && *cancel) return 0;
        here = samples(lora, count - start);
        rv_cross_dot_f32(x + start * lora->in, lora->a, inner, here, lora->rank, lora->in, lora->rank);
        rv_scale_f32(inner, lora->scale, inner, here * lora->rank);
        rv_cross_dot_f32(inner, lora->b, out + start * lora->out, here, lora->out, lora->rank, lora->out);
    }
    return 1;
}

int rv_lora_backward(const rv_lora *lora, const float *x, const float *grad_out, size_t count, float *grad_a,
                     float *grad_b, float *grad_x, float *inner, const volatile int *cancel) {
    float *back = inner + lora->rank;
    for (size_t i = 0; i < count; i++) {
        if (cancel && *cancel) return 0;
        const float *here = x + i * lora->in, *from = grad_out + i * lora->out;
        rv_many_dot_f32(lora->a, here, inner, lora->rank, lora->in);
        for (size_t o = 0; o < lora->out; o++)
            rv_axpy_f32(lora->scale * from[o], inner, grad_b + o * lora->rank, lora->rank);
        rv_matmul_f32(from, lora->b, back, 1, lora->out, lora->rank, lora->rank);
        rv_scale_f32(back, lora->scale, back, lora->rank);
        for (size_t r = 0; r < lora->rank; r++) rv_axpy_f32(back[r], here, grad_a + r * lora->in, lora->in);
        rv_matmul_f32(back, lora->a, grad_x + i * lora->in, 1, lora->rank, lora->in, lora->in);
    }
    return 1;
}

void rv_lora_update(float *parameters, float *gradients, float rate, size_t n) {
    rv_axpy_f32(-rate, gradients, parameters, n);
    memset(gradients, 0, n * sizeof *gradients);
}

int rv_pool(const float *table, const int32_t *ids, const float *weights, float *out, size_t rows, size_t count,
            size_t cols) {
    for (size_t i = 0; i < count; i++)
        if (ids[i] < 0 || (size_t)ids[i] >= rows) return 0;
    memset(out, 0, cols * sizeof *out);
    for (size_t i = 0; i < count; i++) rv_axpy_f32(weights ? weights[i] : 1, table + (size_t)ids[i] * cols, out, cols);
    return 1;
}

void rv_fastgrnn_step(const float *input, const float *recurrent, const float *gate_bias, const float *candidate_bias,
                      float zeta, float nu, float *state, size_t n, float *scratch) {
    float *gate = scratch, *candidate = scratch + n;
    rv_add_f32(input, recurrent, gate, n);
    rv_add_f32(gate, candidate_bias, candidate, n);
    rv_add_f32(gate, gate_bias, gate, n);
    rv_sigmoid_f32(gate, gate, n);
    rv_tanh_f32(candidate, candidate, n);
    for (size_t i = 0; i < n; i++) state[i] = (zeta * (1 - gate[i]) + nu) * candidate[i] + gate[i] * state[i];
}

/* The values' weighted sum goes block by block too, each added to what is there. */
int rv_attention(const float *queries, const float *keys, const float *values, float *out, size_t count, size_t rows,
                 size_t key_cols, size_t value_cols, float *scratch, const volatile int *cancel) {
    const size_t fitting = ((size_t)1 << 17) / (value_cols + 1), most = fitting ? fitting : 1;
    float *shares = scratch, *part = scratch + rows;
    for (size_t q = 0; q < count; q++, out += value_cols) {
        if (!rv_many("dot_f32", keys, queries + q * key_cols, shares, rows, key_cols, cancel)) return 0;
        rv_softmax_f32(shares, sqrtf((float)key_cols), shares, rows);
        memset(out, 0, value_cols * sizeof *out);
        for (size_t start = 0; start < rows; start += most) {
            if (cancel && *cancel) return 0;
            const size_t here = rows - start < most ? rows - start : most;
            rv_matmul_f32(shares + start, values + start * value_cols, part, 1, here, value_cols, value_cols);
            rv_add_f32(out, part, out, value_cols);
        }
    }
    return 1;
}
