/* One cell of four bytes: any C99 compiler.
 *
 * Every bytes_TARGET.h gives the same names, LANES cells wide, and the same bits. Bytes are without a sign,
 * weights with one; words hold the byte of the first channel lowest.
 */
#ifndef HANDFAST_BYTES_H
#define HANDFAST_BYTES_H

#include <stdint.h>
#include <string.h>
#if defined(__ARM_FEATURE_SIMD32)
#include <arm_acle.h>
#endif

#include "vector.h"

#define MOST_VECTORS 1 /* whose sums of four outputs fit the registers */

typedef uint32_t bytes; /* four channels of each cell */
typedef int32_t sums;   /* one number a cell */
typedef int cells;      /* which of them */
typedef struct { int32_t multiplier[4]; } rescale;

static inline bytes b_load(const uint8_t *p)
{
    bytes a;
    memcpy(&a, p, 4);
    return a;
}
static inline bytes b_splat(uint32_t word) { return word; }
/* Cells whose byte of the table is 255, not 0. */
static inline cells b_cells(const uint8_t *table) { return *table != 0; }
static inline bytes b_load_inside(const uint8_t *p, cells inside) { return inside ? b_load(p) : 0; }
static inline bytes b_load_or(const uint8_t *p, cells inside, bytes other) { return inside ? b_load(p) : other; }
/* The first n cells, of LANES if n is more. */
static inline void b_store_n(uint8_t *p, bytes a, int n)
{
    (void)n;
    memcpy(p, &a, 4);
}
static inline bytes b_max(bytes a, bytes b)
{
    bytes most = 0;
    for (int byte = 0; byte < 32; byte += 8) {
        const uint32_t x = a >> byte & 255, y = b >> byte & 255;
        most |= (x > y ? x : y) << byte;
    }
    return most;
}

static inline sums s_splat(int32_t a) { return a; }
#if defined(__ARM_FEATURE_SIMD32)
/* Cortex-M4 and M7: bytes 0 and 2, and 1 and 3, as 16-bit numbers. */
typedef struct { int32_t even, odd; } factors;
static inline factors b_pixels(bytes a)
{
    const factors f = {(int32_t)__uxtb16(a), (int32_t)__uxtb16(a >> 8)};
    return f;
}
static inline factors b_weights(uint32_t word)
{
    const factors f = {__sxtb16((int32_t)word), __sxtb16((int32_t)(word >> 8))};
    return f;
}
static inline sums s_dot(sums sum, factors pixels, factors weights)
{
    return __smlad(pixels.odd, weights.odd, __smlad(pixels.even, weights.even, sum));
}
#else
typedef uint32_t factors; /* bytes or weights as products take them */
static inline factors b_pixels(bytes a) { return a; }
static inline factors b_weights(uint32_t word) { return word; }
/* sum + the products of four bytes and four weights. */
static inline sums s_dot(sums sum, factors pixels, factors weights)
{
    for (int byte = 0; byte < 32; byte += 8)
        sum += (int32_t)(pixels >> byte & 255) * (int8_t)(weights >> byte & 255);
    return sum;
}
#endif
static inline sums s_max(sums a, sums b) { return a > b ? a : b; }
static inline vec s_floats(sums a) { return (float)a; }

/* Four 16-bit multipliers in two words. */
static inline rescale b_rescale(const uint32_t *multipliers)
{
    rescale r;
    for (int c = 0; c < 4; c++)
        r.multiplier[c] = (int32_t)(multipliers[c / 2] >> 16 * (c % 2) & 0xffff);
    return r;
}
static inline uint32_t b_requantised(sums sum, int shift, int32_t multiplier)
{
    int32_t half = sum >> shift; /* of a number with a sign, which all compilers shift by its sign */
#if defined(__ARM_FEATURE_SIMD32)
    return (uint32_t)__usat((__ssat(half, 16) * multiplier + 16384) >> 15, 8);
#else
    half = half > 32767 ? 32767 : half < -32768 ? -32768 : half;
    half = (half * multiplier + 16384) >> 15;
    return (uint32_t)(half > 255 ? 255 : half < 0 ? 0 : half);
#endif
}
/* Sums of four channels -> bytes (handfast.compression.integer.requantise). */
static inline bytes b_requantise(sums a, sums b, sums c, sums d, int shift, rescale r)
{
    return b_requantised(a, shift, r.multiplier[0]) | b_requantised(b, shift, r.multiplier[1]) << 8 |
           b_requantised(c, shift, r.multiplier[2]) << 16 | b_requantised(d, shift, r.multiplier[3]) << 24;
}

/* Even and odd cells of 2 LANES. */
static inline void b_unzip(bytes first, bytes second, bytes *even, bytes *odd) { *even = first; *odd = second; }
static inline void b_zip(bytes even, bytes odd, bytes *first, bytes *second) { *first = even; *second = odd; }

/* From each cell of a and of b the bytes, or the pairs of bytes, in even and in odd places, in turn. */
static inline void b_deal_bytes(bytes a, bytes b, bytes *even, bytes *odd)
{
    *even = (a & 0x00ff00ffu) | (b & 0x00ff00ffu) << 8;
    *odd = (a >> 8 & 0x00ff00ffu) | (b & 0xff00ff00u);
}
static inline void b_deal_pairs(bytes a, bytes b, bytes *even, bytes *odd)
{
    *even = (a & 0xffffu) | b << 16;
    *odd = a >> 16 | (b & 0xffff0000u);
}
/* A channel as the first of its cell. */
static inline bytes b_channel(bytes a, int channel) { return a >> 8 * channel; }

#endif
