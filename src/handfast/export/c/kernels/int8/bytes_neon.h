/* Four cells of four bytes: AArch64, with sdot if the compiler may use it. Names are explained in bytes_generic.h.
 *
 * Products of bytes without and with a sign need a newer core than this: pixels lose 128, and the biases hold what
 * that makes of the sums. */
#ifndef HANDFAST_BYTES_H
#define HANDFAST_BYTES_H

#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

#include "vector.h"

#define MOST_VECTORS 5

typedef uint8x16_t bytes;
typedef int8x16_t factors;
typedef int32x4_t sums;
typedef uint8x16_t cells;
typedef struct { int16x8_t ab, cd; } rescale;

static inline bytes b_load(const uint8_t *p) { return vld1q_u8(p); }
static inline bytes b_splat(uint32_t word) { return vreinterpretq_u8_u32(vdupq_n_u32(word)); }
static inline cells b_cells(const uint8_t *table)
{
    static const uint8_t repeat[16] = {0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3};
    return vqtbl1q_u8(vld1q_u8(table), vld1q_u8(repeat));
}
static inline bytes b_load_inside(const uint8_t *p, cells inside) { return vandq_u8(b_load(p), inside); }
static inline bytes b_load_or(const uint8_t *p, cells inside, bytes other) { return vbslq_u8(inside, b_load(p), other); }
static inline void b_store_n(uint8_t *p, bytes a, int n)
{
    uint8_t lanes[16];
    if (n >= LANES) {
        vst1q_u8(p, a);
        return;
    }
    vst1q_u8(lanes, a);
    memcpy(p, lanes, 4 * (size_t)n);
}
static inline bytes b_max(bytes a, bytes b) { return vmaxq_u8(a, b); }

static inline factors b_pixels(bytes a) { return vreinterpretq_s8_u8(veorq_u8(a, vdupq_n_u8(128))); }
static inline factors b_weights(uint32_t word) { return vreinterpretq_s8_u32(vdupq_n_u32(word)); }
static inline sums s_splat(int32_t a) { return vdupq_n_s32(a); }
static inline sums s_dot(sums sum, factors pixels, factors weights)
{
#if defined(__ARM_FEATURE_DOTPROD)
    return vdotq_s32(sum, pixels, weights);
#else
    const int16x8_t low = vmull_s8(vget_low_s8(pixels), vget_low_s8(weights));
    const int16x8_t high = vmull_high_s8(pixels, weights);
    return vaddq_s32(sum, vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)));
#endif
}
static inline sums s_max(sums a, sums b) { return vmaxq_s32(a, b); }
static inline vec s_floats(sums a) { return vcvtq_f32_s32(a); }

static inline rescale b_rescale(const uint32_t *multipliers)
{
    const int16x4_t all = vreinterpret_s16_u32(vld1_u32(multipliers));
    const rescale r = {
        vcombine_s16(vdup_lane_s16(all, 0), vdup_lane_s16(all, 1)),
        vcombine_s16(vdup_lane_s16(all, 2), vdup_lane_s16(all, 3))};
    return r;
}

static inline bytes b_requantise(sums a, sums b, sums c, sums d, int shift, rescale r)
{
    static const uint8_t order[16] = {0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15};
    const int32x4_t by = vdupq_n_s32(-shift);
    const int16x8_t ab = vcombine_s16(vqmovn_s32(vshlq_s32(a, by)), vqmovn_s32(vshlq_s32(b, by)));
    const int16x8_t cd = vcombine_s16(vqmovn_s32(vshlq_s32(c, by)), vqmovn_s32(vshlq_s32(d, by)));
    const uint8x16_t codes =
        vcombine_u8(vqmovun_s16(vqrdmulhq_s16(ab, r.ab)), vqmovun_s16(vqrdmulhq_s16(cd, r.cd)));
    return vqtbl1q_u8(codes, vld1q_u8(order));
}

static inline void b_unzip(bytes first, bytes second, bytes *even, bytes *odd)
{
    const uint32x4_t a = vreinterpretq_u32_u8(first), b = vreinterpretq_u32_u8(second);
    *even = vreinterpretq_u8_u32(vuzp1q_u32(a, b));
    *odd = vreinterpretq_u8_u32(vuzp2q_u32(a, b));
}
static inline void b_zip(bytes even, bytes odd, bytes *first, bytes *second)
{
    const uint32x4_t a = vreinterpretq_u32_u8(even), b = vreinterpretq_u32_u8(odd);
    *first = vreinterpretq_u8_u32(vzip1q_u32(a, b));
    *second = vreinterpretq_u8_u32(vzip2q_u32(a, b));
}

static inline void b_deal_bytes(bytes a, bytes b, bytes *even, bytes *odd)
{
    *even = vtrn1q_u8(a, b);
    *odd = vtrn2q_u8(a, b);
}
static inline void b_deal_pairs(bytes a, bytes b, bytes *even, bytes *odd)
{
    const uint16x8_t first = vreinterpretq_u16_u8(a), second = vreinterpretq_u16_u8(b);
    *even = vreinterpretq_u8_u16(vtrn1q_u16(first, second));
    *odd = vreinterpretq_u8_u16(vtrn2q_u16(first, second));
}
static inline bytes b_channel(bytes a, int channel)
{
    return vreinterpretq_u8_u32(vshlq_u32(vreinterpretq_u32_u8(a), vdupq_n_s32(-8 * channel)));
}

#endif
