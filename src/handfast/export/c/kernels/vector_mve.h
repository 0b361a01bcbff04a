/* Four lanes: Arm Cortex-M with the M-profile vector extension (Helium) for floats, such as Cortex-M55.
 *
 * Its vectors take numbers below 2^-126 for 0; the networks' do not come that close to 0. */
#ifndef HANDFAST_VECTOR_H
#define HANDFAST_VECTOR_H

#include <arm_mve.h>
#include <stdint.h>
#include <string.h>

#define LANES 4

typedef float32x4_t vec;
typedef uint32x4_t mask;

static inline vec v_load(const float *p) { return vld1q_f32(p); }
static inline void v_store(float *p, vec a) { vst1q_f32(p, a); }
static inline vec v_load_n(const float *p, int n) { return vld1q_z_f32(p, vctp32q((uint32_t)n)); }
static inline void v_store_n(float *p, vec a, int n) { vst1q_p_f32(p, a, vctp32q((uint32_t)n)); }
#include "rows_by_lane.h"
static inline vec v_splat(float a) { return vdupq_n_f32(a); }
static inline vec v_add(vec a, vec b) { return vaddq_f32(a, b); }
static inline vec v_mul(vec a, vec b) { return vmulq_f32(a, b); }
static inline vec v_max(vec a, vec b) { return vmaxnmq_f32(a, b); }
static inline float v_greatest(vec a) { return vmaxnmvq_f32(vgetq_lane_f32(a, 0), a); }
static inline vec v_fma(vec a, vec b, vec c) { return vfmaq_f32(c, a, b); }

/* All bits of a lane or none: gcc 12 breaks down over predicates from comparisons. */
static inline mask v_mask(const uint32_t *table)
{
    const int32x4_t words = vreinterpretq_s32_u32(vld1q_u32(table));
    return vreinterpretq_u32_s32(vshrq_n_s32(vorrq_s32(words, vnegq_s32(words)), 31));
}
static inline vec v_load_masked(const float *p, mask m)
{
    return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(vld1q_f32(p)), m));
}

/* Only loads and stores bring every other lane together. */
static inline void v_unzip(vec first, vec second, vec *even, vec *odd)
{
    float lanes[2 * LANES];
    vst1q_f32(lanes, first);
    vst1q_f32(lanes + LANES, second);
    const float32x4x2_t apart = vld2q_f32(lanes);
    *even = apart.val[0];
    *odd = apart.val[1];
}
static inline void v_zip(vec even, vec odd, vec *first, vec *second)
{
    float lanes[2 * LANES];
    const float32x4x2_t apart = {{even, odd}};
    vst2q_f32(lanes, apart);
    *first = vld1q_f32(lanes);
    *second = vld1q_f32(lanes + LANES);
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
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_n_s32(vcvtq_s32_f32(n), 127), 23));
}

/* A product of a vector and the f-th of the weights at `w`, which stays in a scalar register. */
#define V_WEIGHTS
#define V_WEIGHT(f)
#define V_FMA_WEIGHT(f, x, sum) vfmaq_n_f32(sum, x, w[f])

#endif
