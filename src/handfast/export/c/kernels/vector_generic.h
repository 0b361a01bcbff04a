/* Vectors of one lane: any C99 compiler, and cores whose floats are scalars (Cortex-M4, M7).
 *
 * Every vector_TARGET.h gives the same names. Targets with a fused multiply-add give the same bits.
 */
#ifndef HANDFAST_VECTOR_H
#define HANDFAST_VECTOR_H

#include <stdint.h>
#include <string.h>

#define LANES 1

typedef float vec;
typedef int mask;

static inline vec v_load(const float *p) { return *p; }
static inline void v_store(float *p, vec a) { *p = a; }
/* The first n lanes, 0 < n <= LANES. */
static inline vec v_load_n(const float *p, int n) { (void)n; return *p; }
static inline void v_store_n(float *p, vec a, int n) { (void)n; *p = a; }
/* Pixels of rows of `width`, at least LANES, with gaps of `jump` between them; the first `left` end a row. */
static inline vec v_load_rows(const float *p, int left, int width, int jump)
{
    (void)left, (void)width, (void)jump;
    return *p;
}
/* The first n of them. */
static inline void v_store_rows(float *p, vec a, int n, int left, int width, int jump)
{
    (void)n, (void)left, (void)width, (void)jump;
    *p = a;
}
static inline vec v_splat(float a) { return a; }
static inline vec v_add(vec a, vec b) { return a + b; }
static inline vec v_mul(vec a, vec b) { return a * b; }
static inline vec v_max(vec a, vec b) { return a > b ? a : b; }
static inline float v_greatest(vec a) { return a; }
/* a b + c, rounded once where the target can. */
static inline vec v_fma(vec a, vec b, vec c)
{
#ifdef __FP_FAST_FMAF
    return __builtin_fmaf(a, b, c);
#else
    return a * b + c;
#endif
}

/* Lanes whose word of the table is not 0. */
static inline mask v_mask(const uint32_t *table) { return *table != 0; }
/* 0 in the other lanes. */
static inline vec v_load_masked(const float *p, mask m) { return m ? *p : 0.0f; }

/* Even and odd elements of a row of 2 LANES. */
static inline void v_unzip(vec first, vec second, vec *even, vec *odd) { *even = first; *odd = second; }
static inline void v_zip(vec even, vec odd, vec *first, vec *second) { *first = even; *second = odd; }

/* Every fourth of 4 LANES bytes, beginning with the 0th, 1st, 2nd and 3rd. */
static inline void v_bytes(const uint8_t *p, vec *b0, vec *b1, vec *b2, vec *b3)
{
    *b0 = p[0];
    *b1 = p[1];
    *b2 = p[2];
    *b3 = p[3];
}

/* 2 to the power of whole numbers, -126..127. */
static inline vec v_exp2_whole(vec n)
{
    const int32_t bits = ((int32_t)n + 127) * (1 << 23);
    float power;
    memcpy(&power, &bits, sizeof power);
    return power;
}

#endif
