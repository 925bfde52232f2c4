/* check [cancel] [SET...]: every check on every instruction set of this CPU, or on the ones named; with `cancel`, how soon
 * long calls can be ended, which wants a processor to itself. Exit code 1 if any failed. */
#include "check.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { SHOWN = 3 };

const char *set_name;
rv_table set;

static struct {
    size_t compared, failures;
    double worst;
} now;
static size_t failures_in_all;

void fail(const char *operation, const char *format, ...) {
    failures_in_all++;
    if (now.failures++ >= SHOWN) return;
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s %s: ", set_name, operation);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
}

static const char *layer_of(const char *operation) {
    for (size_t i = 0; rv_kernel_name(i); i++)
        if (!strcmp(rv_kernel_name(i), operation)) return rv_kernel_layer(i, &set);
    return set_name;
}

void report(const char *operation) {
    if (!now.compared) fail(operation, "nothing was compared");
    printf("%-7s %-16s %-17s %8zu results, worst error %3.0f %% of the bound%s\n", set_name, operation,
           layer_of(operation), now.compared, 100 * now.worst, now.failures ? "  FAILED" : "");
    memset(&now, 0, sizeof now);
}

void expect(const char *operation, double got, double want, double allowed) {
    now.compared++;
    if (isnan(want) || isnan(got)) {
        if (!isnan(want) || !isnan(got)) fail(operation, "got %g, want %g", got, want);
        return;
    }
    const double greatest = 3.4028235677973366e38; /* what rounds to the greatest float, and no further */
    if (fabs(want) >= greatest) want = want > 0 ? INFINITY : -INFINITY;
    if (got == want) return;
    const double error = fabs(got - want) / allowed;
    if (!(error <= 1)) fail(operation, "got %.9g, want %.9g, allowed %.3g", got, want, allowed);
    if (error > now.worst) now.worst = error;
}

double rounding(size_t n, double magnitude) { return (8 + (double)n / 4) * 0x1p-24 * magnitude + 0x1p-149 * (double)n; }

/* A set is to be served by layers of its own: otherwise the test would test another one. */
static void check_set(void) {
    for (size_t i = 0; rv_kernel_name(i); i++) {
        const char *layer = rv_kernel_layer(i, &set);
        now.compared++;
        if (!layer || strncmp(layer, set_name, strlen(set_name))) fail(rv_kernel_name(i), "is served by %s", layer);
    }
    report("layers");
}

static void check_all(void) {
    check_set();
    check_pairs();
    check_maps();
    check_matrices();
    check_codes();
    check_scans();
    check_layers();
    check_rated();
    check_encoder();
    check_strings();
    check_terms();
    check_markers();
    check_llm();
}

static bool run(const char *name, void (*checks)(void)) {
    if (!rv_use(name) || !rv_resolve(name, &set)) return false;
    set_name = name;
    if (strcmp(rv_in_use(), name)) fail("use", "%s is in use instead", rv_in_use());
    seed_random(20260101);
    checks();
    return true;
}

int main(int count, char **names) {
    static char *const all[] = {"scalar", "sse41", "avx2", "avx512", "neon"};
    const bool timed = count > 1 && !strcmp(names[1], "cancel");
    void (*const checks)(void) = timed ? check_cancel : check_all;
    const int first = timed ? 2 : 1;
    for (int i = first; i < count; i++) {
        if (run(names[i], checks)) continue;
        fprintf(stderr, "no instruction set %s here\n", names[i]);
        return 2;
    }
    if (first == count)
        for (size_t i = 0; i < sizeof all / sizeof *all; i++) run(all[i], checks);
    return failures_in_all > 0;
}
