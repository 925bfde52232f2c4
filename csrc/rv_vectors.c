/* Pair kernels over vectors that know their length. */
#include "rv.h"

#include <math.h>

#define PAIR(op)                                                                                                       \
    float rv_vector_##op(const rv_vector *a, const rv_vector *b) {                                                     \
        return a->n == b->n ? rv_##op##_f32(a->numbers, b->numbers, a->n) : NAN;                                       \
    }

PAIR(dot)
PAIR(cosine)
PAIR(sqdist)
PAIR(dist)
