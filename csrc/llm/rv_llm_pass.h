/* One pass: up to RV_PASS_TOKENS tokens of several sequences, taken through all layers by all threads of the pool. Each
 * stage splits its work into units that threads take from a counter, and ends at a barrier. */
#ifndef RV_LLM_PASS_H
#define RV_LLM_PASS_H
#include "rv_llm_internal.h"

enum { RV_PASS_TOKENS = 256 };

/* Tokens [first, end) of the pass belong to one sequence, the first at `position`. */
typedef struct rv_llm_run {
    rv_llm_cache *cache;
    size_t first, end, position;
} rv_llm_run;

/* Tokens at work, and how products see them. */
typedef struct rv_llm_runs {
    rv_llm_run *run;
    rv_llm_span *span;
    size_t runs, spans, tokens;
} rv_llm_runs;

typedef struct rv_llm_pass {
    const rv_llm *model;
    rv_llm_kernels kernels;
    const volatile int *cancel;
    int cancelled;
    size_t threads;
    rv_llm_runs all, wanted; /* wanted: those whose logits are */
    int32_t *token;
    size_t *wanted_from; /* where in `all` each wanted token is */
    float *x, *q, *k, *v, *gate, *up, *turns;
    float *hidden; /* what activations are made from */
    rv_llm_activations small, large;
    float *logits;
    atomic_size_t *next; /* one counter a stage */
    uint8_t *scratch;    /* scratch_bytes for each thread */
    size_t scratch_bytes;
} rv_llm_pass;

/* The attention of one layer as one stage: queries from pass->q, results into pass->hidden. */
void rv_llm_attend(const rv_llm_pass *pass, const rv_llm_runs *runs, size_t layer, atomic_size_t *next, void *scratch);
size_t rv_llm_attend_bytes(size_t positions);

/* Turns queries and keys of one token by its position and puts keys and values into the cache. */
void rv_llm_place(const rv_llm_pass *pass, const rv_llm_run *run, size_t layer, size_t token);

/* Sines and cosines of one token's position, rope_dims / 2 pairs. */
void rv_llm_turns(const rv_llm *model, size_t position, float *turns);

/* How many counters a pass needs, and its job. */
size_t rv_llm_counters(const rv_llm *model);
void rv_llm_pass_job(void *pass, size_t thread);

#endif
