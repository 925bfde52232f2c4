/* A BERT encoder on Q8_0 weights: ids of word pieces to sentence and token vectors.
 *
 * Matrices are laid out in panels of RV_PANEL rows (rv_encoder_pack): for every block of 32 columns the rows' float
 * scales, then their bytes, four columns of each row at a time. Activations are quantised the same way, one scale for each
 * 32 numbers of a token. The whole numbers are the same on every instruction set, and a text's vectors the same bits
 * whatever is encoded beside it. */
#ifndef RV_ENCODER_H
#define RV_ENCODER_H

#ifndef RV_CDEF
#include <stddef.h>
#include <stdint.h>
#endif

enum { RV_PANEL = 32, RV_BLOCK = 32, RV_HEAD = 32, RV_PANEL_BLOCK = 4 * RV_PANEL + RV_PANEL * RV_BLOCK };

/* One layer: packed matrices (`qkv` has 3 * width rows: all queries, keys, values) and float vectors. */
typedef struct rv_encoder_layer {
    const uint8_t *qkv, *output, *up, *down;
    const float *qkv_bias, *output_bias, *up_bias, *down_bias;
    const float *attention_gain, *attention_shift, *output_gain, *output_shift;
} rv_encoder_layer;

/* `pieces`: the vocabulary as rows of Q8_0 blocks. `positions`: width floats for each of max_tokens positions, the token
 * type's vector included. width = heads * RV_HEAD; width and inner are multiples of RV_BLOCK. */
typedef struct rv_encoder {
    size_t width, inner, layers, vocabulary, max_tokens;
    float epsilon;
    int32_t start, end;
    const uint8_t *pieces;
    const float *positions, *gain, *shift;
    const float *token_mean;
    const rv_encoder_layer *layer;
} rv_encoder;

/* Packs Q8_0 rows (rows x cols, both multiples of 32), their scales times `factor`, into rows * cols / 32 * 36 bytes. */
void rv_encoder_pack(const uint8_t *q8_0, size_t rows, size_t cols, float factor, uint8_t *packed);

/* Encodes `texts` texts: text i is ids[ends[i - 1]] up to ids[ends[i]], each in [0, vocabulary), at most max_tokens - 2 of
 * them. Writes sentence vectors (texts x width), unit length, and, unless `tokens` is NULL, one row of width for each id: its
 * last hidden state less token_mean, unit length. At most `threads` are at it: the caller's own and, unless another call has
 * them, those of the process's pool. `scratch` is rv_encoder_scratch(encoder, texts, ids, threads) bytes, 64-aligned. */
void rv_encoder_run(const rv_encoder *encoder, const int32_t *ids, const int64_t *ends, size_t texts, size_t threads,
                    uint8_t *scratch, float *sentences, float *tokens);
size_t rv_encoder_scratch(const rv_encoder *encoder, size_t texts, size_t ids, size_t threads);

/* For tests: the product of `tokens` rows of x (tokens x cols) with a packed matrix, on the instruction set in use, into out
 * (tokens x rows), bias added. `scratch` is tokens * cols / 32 * 40 bytes. */
void rv_encoder_product(const uint8_t *packed, size_t rows, size_t cols, const float *x, size_t tokens,
                        const float *bias, uint8_t *scratch, float *out);

#endif
