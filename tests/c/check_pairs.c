/* Operations on two vectors, and on every row of a matrix with one vector, for every kind of number. */
#include "check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum op { dot, cosine, sqdist, dist, hamming, jaccard };
enum { FIRST, SECOND, OUT, GREATEST = 4099 * 4 };

/* What the numbers say, and how far a float sum may be from it. */
typedef struct oracle {
    double want, allowed;
} oracle;

static oracle judge(enum op op, enum kind kind, const void *a, const void *b, size_t elements) {
    const size_t n = numbers_in(kind, elements);
    const bool exact = kind == i8 || kind == b1;
    double ab = 0, aa = 0, bb = 0, size = 0, square = 0, differing = 0, either = 0;
    for (size_t i = 0; i < n; i++) {
        const double x = read_number(kind, a, i), y = read_number(kind, b, i);
        ab += x * y, aa += x * x, bb += y * y, size += fabs(x * y), square += (x - y) * (x - y);
        differing += x != y, either += x || y;
    }
    switch (op) {
    case dot:
        return (oracle){ab, exact ? 0 : rounding(n, size)};
    case sqdist:
        return (oracle){square, exact ? 0 : rounding(n, square)};
    case dist:
        return (oracle){sqrt(square), rounding(n, sqrt(square))};
    case cosine:
        if (aa == 0 || bb == 0) return (oracle){0, 0};
        return (oracle){ab / (sqrt(aa) * sqrt(bb)), rounding(n, 1)};
    case hamming:
        return (oracle){differing, 0};
    case jaccard:
        return (oracle){either ? ab / either : 1, 0x1p-24};
    }
    abort();
}

#define RV_PAIR(result, op, kind)                                                                                      \
    static double op##_##kind(const void *a, const void *b, size_t n) { return (double)set.op##_##kind(a, b, n); }
#define RV_KERNEL(result, kernel, parameters, arguments)
#include "rv_kernels.def"

#define RV_MANY(result, op, kind)                                                                                      \
    static void many_##op##_##kind(const void *m, const void *x, double *out, size_t rows, size_t cols) {              \
        result *results = placed(OUT, rows * sizeof *results, sizeof *results, AT_END);                                \
        set.many_##op##_##kind(m, x, results, rows, cols);                                                             \
        for (size_t r = 0; r < rows; r++) out[r] = (double)results[r];                                                 \
        expect_surroundings_untouched("many_" #op "_" #kind, OUT, results, rows * sizeof *results);                    \
    }
#define RV_KERNEL(result, kernel, parameters, arguments)
#include "rv_kernels.def"

static const struct pair {
    const char *name;
    enum op op;
    enum kind kind;
    double (*run)(const void *, const void *, size_t);
} pairs[] = {
#define RV_PAIR(result, op, kind) {#op "_" #kind, op, kind, op##_##kind},
#define RV_KERNEL(result, kernel, parameters, arguments)
#include "rv_kernels.def"
};

static const struct many {
    const char *name;
    enum op op;
    enum kind kind;
    void (*run)(const void *, const void *, double *, size_t, size_t);
} manies[] = {
#define RV_MANY(result, op, kind) {"many_" #op "_" #kind, op, kind, many_##op##_##kind},
#define RV_KERNEL(result, kernel, parameters, arguments)
#include "rv_kernels.def"
};

static bool is_float(enum kind kind) { return kind == f32 || kind == f16 || kind == bf16; }

/* The same numbers at every place give the same bits, the ones the oracle allows. */
static void check_pair_on(const struct pair *pair, size_t n, enum pattern pattern) {
    static uint8_t a[GREATEST], b[GREATEST];
    const size_t size = kind_size(pair->kind);
    fill(pair->kind, a, n, pattern);
    fill(pair->kind, b, n, pattern);
    const oracle oracle = judge(pair->op, pair->kind, a, b, n);
    double first = 0;
    for (enum place place = AT_START; place < PLACES; place++) {
        const void *at_a = memcpy(placed(FIRST, n * size, size, place), a, n * size);
        const void *at_b = memcpy(placed(SECOND, n * size, size, PLACES - 1 - place), b, n * size);
        const double got = pair->run(at_a, at_b, n);
        expect(pair->name, got, oracle.want, oracle.allowed);
        if (place == AT_START) first = got;
        if (memcmp(&first, &got, sizeof got))
            fail(pair->name, "n = %zu: %a at one place, %a at another", n, first, got);
    }
}

/* One NaN or infinity anywhere, the tail included, comes out as IEEE 754 has it. */
static void check_pair_with_specials(const struct pair *pair, size_t n) {
    static const double specials[] = {NAN, INFINITY, -INFINITY};
    const size_t size = kind_size(pair->kind);
    for (size_t s = 0; s < sizeof specials / sizeof *specials; s++) {
        void *a = placed(FIRST, n * size, size, AT_END), *b = placed(SECOND, n * size, size, AT_START);
        fill(pair->kind, a, n, NORMAL);
        fill(pair->kind, b, n, NORMAL);
        write_number(pair->kind, a, s ? random_bits() % n : n - 1, specials[s]);
        const oracle oracle = judge(pair->op, pair->kind, a, b, n);
        expect(pair->name, pair->run(a, b, n), oracle.want, 0);
    }
}

static void check_many(const struct many *many, size_t rows, size_t cols) {
    const size_t size = kind_size(many->kind);
    const enum pattern pattern = random_bits() % PATTERNS, other = random_bits() % PATTERNS;
    uint8_t *m = placed(FIRST, rows * cols * size, size, AT_END);
    void *x = placed(SECOND, cols * size, size, AT_END);
    double got[16];
    fill(many->kind, m, rows * cols, pattern);
    fill(many->kind, x, cols, is_float(many->kind) ? pattern : other);
    for (size_t i = 0; i < cols && many->kind == i8 && other % 2; i++) /* some kernels fare better without -128 */
        if (read_number(i8, x, i) == -128) write_number(i8, x, i, -127);
    many->run(m, x, got, rows, cols);
    for (size_t r = 0; r < rows; r++) {
        const oracle oracle = judge(many->op, many->kind, m + r * cols * size, x, cols);
        expect(many->name, got[r], oracle.want, oracle.allowed);
    }
}

void check_pairs(void) {
    for (const struct pair *pair = pairs; pair < pairs + sizeof pairs / sizeof *pairs; pair++) {
        for (size_t i = 0; i < LENGTHS; i++)
            for (enum pattern pattern = NORMAL; pattern < PATTERNS; pattern++) check_pair_on(pair, length(i), pattern);
        for (size_t n = 1; n < 70 && is_float(pair->kind); n++) check_pair_with_specials(pair, n);
        report(pair->name);
    }
    for (const struct many *many = manies; many < manies + sizeof manies / sizeof *manies; many++) {
        for (size_t i = 0; i < LENGTHS; i++)
            for (size_t rows = 0; rows <= 9; rows += 1 + (i > 70)) check_many(many, rows, length(i));
        report(many->name);
    }
}
