/* The encoder's kernels as one table an instruction set. Counts may be 0.
 *
 *   quantize  `count` rows of `blocks` blocks of 32 floats, `stride` floats apart, to bytes in [-127, 127], one scale a block
 *             (greatest size / 127) and the block's excess, -128 times the sum of its bytes; row r's first block is
 *             number r * row_blocks of q, scales and excess. Halves round to even.
 *   panel     out[t][r] = bias[r] + onto[t][r] + sum over blocks of (scale of row r * scale of token t) * (whole dot product),
 *             for RV_PANEL rows; out and onto (NULL: zeros; may be out) are `stride` floats a token
 *   attend    one head of one text: softmax over its n keys of query . key, times the values. q, v and out are RV_HEAD
 *             floats a token; keys lie as RV_HEAD rows of key_stride floats, readable up to n rounded up to 32; `scores`
 *             holds RV_QUERIES such rows
 *   norm      x[t] = (x[t] - mean) / sqrt(variance + epsilon) * gain + shift for each of `count` rows of n floats
 *   gelu      x = x times the normal distribution's share below x */
#ifndef RV_ENCODER_KERNELS_H
#define RV_ENCODER_KERNELS_H
#include "rv_encoder.h"

enum { RV_QUERIES = 8 };

typedef struct rv_encoder_kernels {
    void (*quantize)(const float *x, size_t count, size_t stride, size_t blocks, int8_t *q, float *scales,
                     int32_t *excess, size_t row_blocks);
    void (*panel)(const uint8_t *panel, size_t blocks, const int8_t *q, const float *scales, const int32_t *excess,
                  size_t tokens, const float *bias, const float *onto, float *out, size_t stride);
    void (*attend)(const float *q, const float *keys, size_t key_stride, const float *v, size_t n, float *scores,
                   float *out);
    void (*norm)(float *x, size_t count, size_t n, const float *gain, const float *shift, float epsilon);
    void (*gelu)(float *x, size_t n);
} rv_encoder_kernels;

/* Those of the instruction set in use. */
const rv_encoder_kernels *rv_encoder_kernels_in_use(void);

#endif
