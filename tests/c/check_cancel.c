/* How soon a long call returns once its flag is set: an alarm sets it while the call runs. */
#define _DEFAULT_SOURCE /* setitimer, clock_gettime */
#include "check.h"
#include "rv_index.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

enum { TRIES = 9, BYTES = 1 << 26, COLS = 384, ROWS = BYTES / 4 / COLS, RANK = 16, K = 10, SIDE = 1500 };

static volatile int cancelled;
static volatile double set_at;
static void *numbers, *more; /* BYTES of the byte 0x3f: 0.747 as floats, 63 as bytes */
static float *out;           /* room for BYTES of results */
static int32_t best_rows[256 * K];
static const char *metric;

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void on_alarm(int number) {
    (void)number;
    set_at = seconds();
    cancelled = 1;
}

static int in_order(const void *a, const void *b) { return *(const double *)a < *(const double *)b ? -1 : 1; }

/* The middle one of some tries is judged, so that a machine that was busy elsewhere for a moment fails nothing. */
static void time_call(const char *name, int (*call)(void)) {
    double waited[TRIES];
    for (int i = 0; i < TRIES; i++) {
        const struct itimerval soon = {.it_value.tv_usec = 300 + 100 * i};
        cancelled = 0;
        setitimer(ITIMER_REAL, &soon, NULL);
        const int went_on = call();
        const double returned = seconds();
        if (went_on || !cancelled) fail(name, "was not cancelled");
        while (!cancelled) continue;
        waited[i] = returned - set_at;
    }
    qsort(waited, TRIES, sizeof *waited, in_order);
    expect(name, waited[TRIES / 2], 0, 1e-3);
    report(name);
}

static size_t rows_of(const char *name) {
    return strstr(name, "f32") ? ROWS : strstr(name, "16") ? 2 * ROWS : 4 * ROWS;
}

static int many(void) { return rv_many(metric, numbers, more, out, rows_of(metric), COLS, &cancelled); }
static int topk(void) {
    return (int)rv_topk(metric, numbers, more, rows_of(metric), COLS, NULL, K, best_rows, out, &cancelled);
}
static int cross_topk(void) {
    size_t found[100];
    return rv_cross_topk(more, numbers, 100, ROWS, COLS, NULL, K, best_rows, out, found, &cancelled);
}
static int cross_dot(void) { return rv_cross_dot(more, numbers, out, 100, ROWS, COLS, &cancelled); }
static int matmul(void) { return rv_matmul(numbers, more, out, SIDE, SIDE, SIDE, &cancelled); }
static int adc(void) { return rv_adc(numbers, more, out, BYTES / 48, 48, &cancelled); }
static int assign(void) {
    static float half_squares[256];
    return rv_assign(numbers, more, ROWS, 256, COLS, half_squares, (int32_t *)out, out + ROWS, &cancelled);
}
static const rv_lora *adapter(void) {
    static rv_lora lora;
    lora = (rv_lora){more, more, 1, RANK, COLS, COLS};
    return &lora;
}
static int lora_forward(void) {
    static float inner[ROWS * RANK];
    return rv_lora_forward(adapter(), numbers, out, ROWS, inner, &cancelled);
}
static int lora_backward(void) {
    static float grad_a[RANK * COLS], grad_b[RANK * COLS], inner[2 * RANK];
    return rv_lora_backward(adapter(), numbers, numbers, ROWS, grad_a, grad_b, out, inner, &cancelled);
}
static int attention(void) {
    static float scratch[ROWS + COLS];
    return rv_attention(more, numbers, numbers, out, 100, ROWS, COLS, COLS, scratch, &cancelled);
}
static int maxsim(void) {
    enum { TOKENS = 32, DOC = 40, DOCS = BYTES / 48 / DOC };
    static int64_t starts[DOCS], counts[DOCS];
    static float weights[TOKENS];
    for (int i = 0; i < DOCS; i++) starts[i] = (int64_t)i * DOC, counts[i] = DOC;
    for (int i = 0; i < TOKENS; i++) weights[i] = 1;
    int32_t *scratch = aligned_alloc(64, (rv_maxsim_scratch(TOKENS, COLS) * sizeof *scratch + 63) / 64 * 64);
    const int went_on =
        rv_maxsim_bits(more, weights, TOKENS, COLS, numbers, starts, counts, DOCS, scratch, out, &cancelled);
    free(scratch);
    return went_on;
}
static int scan_codes(void) {
    const rv_codes codes = {numbers, more, 4 * ROWS, COLS};
    return (int)rv_scan_codes(&codes, more, NULL, 0, 4 * ROWS, K, best_rows, out, &cancelled);
}

static void *filled(void) { return memset(malloc(BYTES), 0x3f, BYTES); }

void check_cancel(void) {
    static const struct {
        const char *name;
        int (*call)(void);
    } calls[] = {{"cross_topk", cross_topk}, {"cross_dot", cross_dot},       {"matmul", matmul},
                 {"adc", adc},               {"assign", assign},             {"lora_forward", lora_forward},
                 {"attention", attention},   {"lora_backward", lora_backward}, {"maxsim", maxsim},
                 {"scan_codes", scan_codes}};
    static const char *const metrics[] = {"dot_f32", "cosine_f32", "sqdist_f32", "dot_f16", "cosine_f16",
                                          "dot_bf16", "cosine_bf16", "dot_i8", "cosine_i8"};
    signal(SIGALRM, on_alarm);
    numbers = filled(), more = filled(), out = filled();
    for (size_t i = 0; i < sizeof metrics / sizeof *metrics; i++) {
        metric = metrics[i];
        time_call(metric, many);
        time_call(metric, topk);
    }
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) time_call(calls[i].name, calls[i].call);
    free(numbers), free(more), free(out);
}
