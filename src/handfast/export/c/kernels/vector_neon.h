/* Four lanes: AArch64. */
#ifndef HANDFAST_VECTOR_H
#define HANDFAST_VECTOR_H

#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

#define LANES 4

typedef float32x4_t vec;
typedef uint32x4_t mask;

static inline vec v_load(const float *p) { return vld1q_f32(p); }
static inline void v_store(float *p, vec a) { vst1q_f32(p, a); }
#include "rows_by_lane.h"
static inline vec v_load_n(const float *p, int n)
{
    float lanes[LANES] = {0};
    for (int i = 0; i < n; i++)
        lanes[i] = p[i];
    return v_load(lanes);
}
static inline void v_store_n(float *p, vec a, int n) { v_store_rows(p, a, n, LANES, 0, 0); }
static inline vec v_splat(float a) { return vdupq_n_f32(a); }
static inline vec v_add(vec a, vec b) { return vaddq_f32(a, b); }
static inline vec v_mul(vec a, vec b) { return vmulq_f32(a, b); }
static inline vec v_max(vec a, vec b) { return vmaxq_f32(a, b); }
static inline float v_greatest(vec a) { return vmaxvq_f32(a); }
static inline vec v_fma(vec a, vec b, vec c) { return vfmaq_f32(c, a, b); }

static inline mask v_mask(const uint32_t *table)
{
    const uint32x4_t words = vld1q_u32(table);
    return vtstq_u32(words, words);
}
static inline vec v_load_masked(const float *p, mask m)
{
    return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(vld1q_f32(p)), m));
}

static inline void v_unzip(vec first, vec second, vec *even, vec *odd)
{
    *even = vuzp1q_f32(first, second);
    *odd = vuzp2q_f32(first, second);
}
static inline void v_zip(vec even, vec odd, vec *first, vec *second)
{
    *first = vzip1q_f32(even, odd);
    *second = vzip2q_f32(even, odd);
}

static inline void v_bytes(const uint8_t *p, vec *b0, vec *b1, vec *b2, vec *b3)
{
    const uint32x4_t quads = vreinterpretq_u32_u8(vld1q_u8(p)), byte = vdupq_n_u32(255);
    *b0 = vcvtq_f32_u32(vandq_u32(quads, byte));
    *b1 = vcvtq_f32_u32(vandq_u32(vshrq_n_u32(quads, 8), byte));
    *b2 = vcvtq_f32_u32(vandq_u32(vshrq_n_u32(quads, 16), byte));
    *b3 = vcvtq_f32_u32(vshrq_n_u32(quads, 24));
}

static inline vec v_exp2_whole(vec n)
{
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127)), 23));
}

/* A product of a vector and the f-th of the weights at `w`: a lane of what V_WEIGHTS fetches for all filters.
 * Behind the last weights of a layer there are zeros to fetch. */
#define V_WEIGHTS const vec weights_0 = v_load(w), weights_1 = v_load(w + 4);
#define V_WEIGHT(f)
#define V_FMA_WEIGHT(f, x, sum) vfmaq_laneq_f32(sum, x, (f) < 4 ? weights_0 : weights_1, (f) & 3)

#endif
