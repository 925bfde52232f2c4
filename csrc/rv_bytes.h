/* rv_sums.h over vectors of bytes with int32 sums. An instruction set's file that includes rv_int8.h or rv_bits.h
 * defines:
 *
 *   B, B_BYTES                 the byte vector and its size
 *   b_load(p) b_store(p, v)    unaligned
 *   b_load_part(p, n)          n < B_BYTES bytes, then 0
 *   I, i_zero() i_add i_sum(v)   the vector of int32 and its sum
 *   i_sum4(a, b, c, d, out)    four sums, into out[0] ... out[3] */
#define RESULT int32_t
#define VECTOR B
#define STEP B_BYTES
#define LOAD b_load
#define LOAD_PART b_load_part
#define SUM I
#define ZERO i_zero()
#define PLUS i_add
#define TOTAL i_sum
#define TOTAL4 i_sum4
