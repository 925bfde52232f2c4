/* From what a file says to a model that can be run: every type, shape and number is checked here, once. */
#include "rv_llm_internal.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Far beyond any model, and small enough that no product of three overflows. */
enum { MOST_LAYERS = 1 << 12, MOST_WIDTH = 1 << 18, MOST_HEADS = 1 << 12, MOST_HEAD_DIM = 1 << 10, MOST_INNER = 1 << 20 };
enum { MOST_VOCABULARY = 1 << 24, MOST_CONTEXT = 1 << 24 };

/* Where the reason goes; the first one stays. */
typedef struct complaint {
    char *text;
    size_t size;
    int made;
    char place[32];
} complaint;

__attribute__((format(printf, 2, 3))) static void complain(complaint *c, const char *format, ...) {
    if (c->made++ || !c->size) return;
    const int begun = snprintf(c->text, c->size, "%s", c->place);
    if (begun < 0 || (size_t)begun >= c->size) return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(c->text + begun, c->size - (size_t)begun, format, arguments);
    va_end(arguments);
}

static void check_size(complaint *c, const char *name, size_t value, size_t least, size_t most) {
    if (value < least || value > most) complain(c, "%s is %zu, not %zu to %zu", name, value, least, most);
}

static void check_number(complaint *c, const char *name, double value, double least, double most) {
    if (!(value >= least && value <= most)) complain(c, "%s is %g, not %g to %g", name, value, least, most);
}

static void check_config(complaint *c, const rv_llm_config *config) {
    check_size(c, "layers", config->layers, 1, MOST_LAYERS);
    check_size(c, "width", config->width, 1, MOST_WIDTH);
    check_size(c, "heads", config->heads, 1, MOST_HEADS);
    check_size(c, "kv_heads", config->kv_heads, 1, config->heads);
    check_size(c, "head_dim", config->head_dim, 1, MOST_HEAD_DIM);
    check_size(c, "inner", config->inner, 1, MOST_INNER);
    check_size(c, "vocabulary", config->vocabulary, 1, MOST_VOCABULARY);
    check_size(c, "context", config->context, 1, MOST_CONTEXT);
    check_size(c, "rope_dims", config->rope_dims, 0, config->head_dim);
    if (config->cache_type != RV_LLM_F16 && config->cache_type != RV_LLM_F32)
        complain(c, "cache_type is %d, neither F16 nor F32", (int)config->cache_type);
    check_number(c, "rope_base", config->rope_base, 1e-6, 1e12);
    check_number(c, "rope_scale", config->rope_scale, 1e-9, 1e9);
    check_number(c, "rope_magnitude", config->rope_magnitude, 1e-6, 1e6);
    check_number(c, "epsilon", config->epsilon, 0, 1);
    if (c->made) return;
    if (config->heads % config->kv_heads) complain(c, "kv_heads %zu do not divide heads", config->kv_heads);
    if (config->rope_dims % 2) complain(c, "rope_dims %zu is odd", config->rope_dims);
    for (size_t i = 0; config->rope_factors && i < config->rope_dims / 2; i++)
        check_number(c, "a rope factor", config->rope_factors[i], 1e-9, 1e9);
}

rv_llm_matrix rv_llm_matrix_of(const rv_llm_tensor *tensor) {
    return (rv_llm_matrix){.data = tensor->data,
                           .rows = tensor->rows,
                           .cols = tensor->cols,
                           .row_bytes = rv_llm_row_bytes(tensor->type, tensor->cols),
                           .kind = rv_llm_kind(tensor->type),
                           .type = tensor->type};
}

/* Checks first (`to` NULL), fills in afterwards: the same walk over the tensors for both. */
typedef struct walk {
    complaint *complaint;
    float *floats; /* NULL while checking */
    size_t used;
} walk;

static void fits(walk *w, const char *name, const rv_llm_tensor *tensor, size_t rows, size_t cols) {
    if (!tensor->data) complain(w->complaint, "%s is missing", name);
    else if (tensor->rows != rows || tensor->cols != cols)
        complain(w->complaint, "%s has %zu rows of %zu, not %zu of %zu", name, tensor->rows, tensor->cols, rows, cols);
    else if (!rv_llm_tensor_fits(tensor))
        complain(w->complaint, "%s of type %d does not fit %zu bytes or its blocks", name, (int)tensor->type, tensor->bytes);
}

static rv_llm_matrix matrix(walk *w, const char *name, const rv_llm_tensor *tensor, size_t rows, size_t cols) {
    fits(w, name, tensor, rows, cols);
    return w->complaint->made ? (rv_llm_matrix){0} : rv_llm_matrix_of(tensor);
}

static const float *vector(walk *w, const char *name, const rv_llm_tensor *tensor, size_t length) {
    fits(w, name, tensor, 1, length);
    if (!w->complaint->made && rv_llm_kind(tensor->type) > RV_KIND_BF16) complain(w->complaint, "%s is quantised", name);
    if (w->complaint->made) return NULL;
    float *to = w->floats ? w->floats + w->used : NULL;
    if (to) rv_llm_row_floats(tensor->type, tensor->data, length, to);
    w->used += length;
    return to;
}

static const float *optional(walk *w, const char *name, const rv_llm_tensor *tensor, size_t length) {
    return tensor->data ? vector(w, name, tensor, length) : NULL;
}

static void take_block(walk *w, const rv_llm_config *c, const rv_llm_layer *from, rv_llm_block *to) {
    const size_t queries = c->heads * c->head_dim, keys = c->kv_heads * c->head_dim;
    to->attn_norm = vector(w, "attn_norm", &from->attn_norm, c->width);
    to->q = matrix(w, "attn_q", &from->q, queries, c->width);
    to->k = matrix(w, "attn_k", &from->k, keys, c->width);
    to->v = matrix(w, "attn_v", &from->v, keys, c->width);
    to->q_bias = optional(w, "attn_q bias", &from->q_bias, queries);
    to->k_bias = optional(w, "attn_k bias", &from->k_bias, keys);
    to->v_bias = optional(w, "attn_v bias", &from->v_bias, keys);
    to->q_norm = optional(w, "attn_q_norm", &from->q_norm, c->head_dim);
    to->k_norm = optional(w, "attn_k_norm", &from->k_norm, c->head_dim);
    to->attn_output = matrix(w, "attn_output", &from->attn_output, c->width, queries);
    to->attn_output_bias = optional(w, "attn_output bias", &from->attn_output_bias, c->width);
    to->ffn_norm = vector(w, "ffn_norm", &from->ffn_norm, c->width);
    to->gate = matrix(w, "ffn_gate", &from->gate, c->inner, c->width);
    to->up = matrix(w, "ffn_up", &from->up, c->inner, c->width);
    to->down = matrix(w, "ffn_down", &from->down, c->width, c->inner);
}

static void take_all(walk *w, const rv_llm_config *c, const rv_llm_weights *from, rv_llm *to) {
    complaint *said = w->complaint;
    to->embedding = matrix(w, "token_embd", &from->token_embedding, c->vocabulary, c->width);
    to->output_norm = vector(w, "output_norm", &from->output_norm, c->width);
    to->output = from->output.data ? matrix(w, "output", &from->output, c->vocabulary, c->width) : to->embedding;
    for (size_t i = 0; i < c->layers && !said->made; i++) {
        snprintf(said->place, sizeof said->place, "layer %zu: ", i);
        take_block(w, c, &from->layer[i], &to->block[i]);
    }
    said->place[0] = 0;
}

rv_llm *rv_llm_new(const rv_llm_config *config, const rv_llm_weights *weights, char *error, size_t size) {
    complaint said = {.text = error, .size = size};
    check_config(&said, config);
    if (said.made) return NULL;
    rv_llm *model = calloc(1, sizeof *model);
    const size_t pairs = config->rope_dims / 2;
    if (model) {
        model->config = *config;
        model->config.rope_factors = NULL;
        model->value_stride = (config->head_dim + 15) / 16 * 16;
        model->cache_bytes = rv_llm_row_bytes(config->cache_type, 1);
        model->block = calloc(config->layers, sizeof *model->block);
        model->frequencies = calloc(pairs + 1, sizeof *model->frequencies);
    }
    if (!model || !model->block || !model->frequencies) complain(&said, "there is no memory");
    walk checking = {.complaint = &said};
    if (!said.made) take_all(&checking, config, weights, model);
    if (!said.made && !(model->floats = malloc(checking.used * sizeof *model->floats))) complain(&said, "there is no memory");
    if (said.made) {
        rv_llm_free(model);
        return NULL;
    }
    walk filling = {.complaint = &said, .floats = model->floats};
    take_all(&filling, config, weights, model);
    for (size_t i = 0; i < pairs; i++)
        model->frequencies[i] = pow(config->rope_base, -2.0 * (double)i / (double)config->rope_dims) *
                                config->rope_scale / (config->rope_factors ? config->rope_factors[i] : 1.0f);
    return model;
}

void rv_llm_free(rv_llm *model) {
    if (!model) return;
    free(model->block);
    free(model->frequencies);
    free(model->floats);
    free(model);
}
