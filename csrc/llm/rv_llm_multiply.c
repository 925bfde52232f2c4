/* Activations times matrices, shared among threads. The rows of all matrices of a stage are cut into chunks of a few tens of
 * kilobytes. Threads take them as they come, many at once while many are left: memory is read fastest in long stretches, and
 * with the last ones small threads end together. A row's sums are made whole by one thread, so that it does not matter which. */
#include "rv_llm_internal.h"
#include "../rv_pool.h"
#include "../rv.h"

#include <stdlib.h>

enum { CHUNK_BYTES = 48 << 10, MOST_CHUNKS = 16 };

size_t rv_llm_panel_bytes(size_t cols) { return RV_PANEL_MOST * ((cols + 15) / 16 * 16) * sizeof(float); }

static size_t panel_rows(const rv_llm_kernels *k) { return k->panel_rows ? k->panel_rows : 1; }

static size_t chunk_rows(const rv_llm_kernels *k, const rv_llm_matrix *m) {
    const size_t rows = panel_rows(k), wanted = CHUNK_BYTES / m->row_bytes;
    return wanted < rows ? rows : wanted / rows * rows;
}

static size_t chunks_of(const rv_llm_kernels *k, const rv_llm_matrix *m) {
    return (m->rows + chunk_rows(k, m) - 1) / chunk_rows(k, m);
}

static void by_rows(const rv_llm_kernels *k, const rv_llm_linear *l, size_t row, size_t rows, const rv_llm_span *span) {
    const rv_llm_matrix *m = l->matrix;
    for (size_t t = span->first; t < span->end; t += RV_LLM_TOGETHER) {
        const size_t left = span->end - t, tokens = left < RV_LLM_TOGETHER ? left : RV_LLM_TOGETHER;
        k->rows[m->kind](m->data + row * m->row_bytes, rows, m->row_bytes, l->from, t, tokens, l->out + t * m->rows + row,
                         m->rows);
    }
}

/* One panel's rows for the tokens of a span; a panel at the matrix's end may have rows that are not there. */
static void by_panel(const rv_llm_kernels *k, const rv_llm_linear *l, size_t row, size_t rows, const rv_llm_span *span,
                     const void *panel) {
    const rv_llm_matrix *m = l->matrix;
    if (rows == k->panel_rows) {
        k->panel[m->kind](panel, l->from, span->first, span->end - span->first, l->out + span->first * m->rows + row,
                          m->rows);
        return;
    }
    float whole[RV_PANEL_MOST];
    for (size_t t = span->first; t < span->end; t++) {
        k->panel[m->kind](panel, l->from, t, 1, whole, k->panel_rows);
        for (size_t r = 0; r < rows; r++) l->out[t * m->rows + row + r] = whole[r];
    }
}

static void by_panels(const rv_llm_kernels *k, const rv_llm_linear *l, size_t row, size_t rows, const rv_llm_span *spans,
                      size_t span_count, void *panel) {
    const rv_llm_matrix *m = l->matrix;
    for (size_t end = row + rows; row < end; row += k->panel_rows) {
        const size_t some = end - row < k->panel_rows ? end - row : k->panel_rows;
        k->unpack[m->kind](m->data + row * m->row_bytes, some, m->row_bytes, m->cols, panel);
        for (size_t i = 0; i < span_count; i++)
            if (!spans[i].few) by_panel(k, l, row, some, &spans[i], panel);
    }
}

static void add_up(const rv_llm_linear *l, size_t row, size_t rows, const rv_llm_span *span) {
    for (size_t t = span->first; t < span->end; t++) {
        const size_t at = t * l->matrix->rows + row;
        if (l->bias) rv_add_f32(l->out + at, l->bias + row, l->out + at, rows);
        if (l->onto) rv_add_f32(l->out + at, l->onto + at, l->onto + at, rows);
    }
}

static void multiply_rows(const rv_llm_kernels *k, const rv_llm_linear *l, size_t row, size_t rows,
                          const rv_llm_span *spans, size_t span_count, void *panel) {
    int prompts = 0;
    for (size_t i = 0; i < span_count; i++) {
        if (spans[i].few || !k->panel_rows) by_rows(k, l, row, rows, &spans[i]);
        else prompts = 1;
    }
    if (prompts) by_panels(k, l, row, rows, spans, span_count, panel);
    for (size_t i = 0; i < span_count && (l->bias || l->onto); i++) add_up(l, row, rows, &spans[i]);
}

/* Chunks [first, end) of a matrix, one by one if they are gone over more than once, so that they stay in the cache. */
static void multiply_chunks(const rv_llm_kernels *k, const rv_llm_linear *l, size_t first, size_t end,
                            const rv_llm_span *spans, size_t span_count, void *panel) {
    const size_t rows = chunk_rows(k, l->matrix), step = spans[span_count - 1].end > RV_LLM_TOGETHER ? 1 : end - first;
    for (; first < end; first += step) {
        const size_t row = first * rows, left = l->matrix->rows - row;
        multiply_rows(k, l, row, left < step * rows ? left : step * rows, spans, span_count, panel);
    }
}

void rv_llm_multiply(const rv_llm_kernels *k, const rv_llm_linear *linears, size_t count, const rv_llm_span *spans,
                     size_t span_count, size_t threads, atomic_size_t *next, void *panel) {
    size_t total = 0;
    for (size_t i = 0; i < count; i++) total += chunks_of(k, linears[i].matrix);
    for (size_t seen; (seen = atomic_load_explicit(next, memory_order_relaxed)) < total;) {
        const size_t share = (total - seen) / (2 * threads - 1);
        const size_t some = share < 1 ? 1 : share < MOST_CHUNKS ? share : MOST_CHUNKS;
        size_t first = atomic_fetch_add_explicit(next, some, memory_order_relaxed), end = first + some;
        for (size_t i = 0; i < count && end; i++) {
            const size_t chunks = chunks_of(k, linears[i].matrix), until = end < chunks ? end : chunks;
            if (first < until) multiply_chunks(k, &linears[i], first, until, spans, span_count, panel);
            first -= first < chunks ? first : chunks;
            end -= until;
        }
    }
}

/* What the job of rv_llm_product works on. */
struct product {
    rv_llm_kernels kernels;
    rv_llm_linear linear;
    rv_llm_span span;
    atomic_size_t next;
    size_t threads, panel_bytes;
    uint8_t *panels;
};

static void multiply(void *context, size_t thread) {
    struct product *p = context;
    const rv_llm_activations *a = p->linear.from;
    for (size_t t = thread; a->group && t < p->span.end; t += p->threads) p->kernels.quantize(a, t, 1, 0, a->cols);
    rv_pool_meet();
    rv_llm_multiply(&p->kernels, &p->linear, 1, &p->span, 1, p->threads, &p->next, p->panels + thread * p->panel_bytes);
}

int rv_llm_product(const rv_llm_tensor *matrix, const float *x, size_t tokens, float *out) {
    if (!rv_llm_tensor_fits(matrix)) return RV_LLM_BAD_TOKEN;
    const rv_llm_matrix m = rv_llm_matrix_of(matrix);
    rv_llm_activations a = {.cols = m.cols, .group = rv_llm_group(m.type), .x = (float *)x};
    struct product p = {.kernels = rv_llm_kernels_in_use(),
                        .linear = {.matrix = &m, .from = &a, .out = out},
                        .span = {.end = tokens, .few = tokens <= RV_LLM_TOGETHER},
                        .threads = rv_pool_take(NULL),
                        .panel_bytes = rv_llm_panel_bytes(m.cols)};
    a.q = malloc(tokens * m.cols + 1);
    a.scales = malloc(tokens * m.cols / RV_SUM * sizeof *a.scales + 1);
    a.sums = malloc(tokens * m.cols / RV_SUM * sizeof *a.sums + 1);
    p.panels = aligned_alloc(64, p.threads * p.panel_bytes);
    const int made = a.q && a.scales && a.sums && p.panels;
    if (made) rv_pool_run(multiply, &p);
    rv_pool_release();
    free(a.q);
    free(a.scales);
    free(a.sums);
    free(p.panels);
    return made ? RV_LLM_OK : RV_LLM_OUT_OF_MEMORY;
}
