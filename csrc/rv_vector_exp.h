/* The exponential function over the vector operations that an instruction set's file defines before including this. */
#ifndef RV_VECTOR_EXP_H
#define RV_VECTOR_EXP_H

/* e^v for -87 <= v <= 88: 2^k e^r with k = round(v / ln 2), r reduced in two steps, e^r by Taylor's series to r^7 / 7!
 * (relative error below 2e-7 on |r| <= ln(2) / 2). */
static inline V v_exp_within(V v) {
    const V k = v_round(v_mul(v, v_set(1.44269504f)));
    V r = v_fma(k, v_set(-0.693359375f), v);
    r = v_fma(k, v_set(2.12194440e-4f), r);
    V p = v_set(1.0f / 5040);
    p = v_fma(p, r, v_set(1.0f / 720));
    p = v_fma(p, r, v_set(1.0f / 120));
    p = v_fma(p, r, v_set(1.0f / 24));
    p = v_fma(p, r, v_set(1.0f / 6));
    p = v_fma(p, r, v_set(0.5f));
    p = v_fma(p, r, v_set(1));
    p = v_fma(p, r, v_set(1));
    return v_mul(p, v_power_of_two(k));
}

#endif
