/* Sixteen cells of four bytes: x86 with AVX-512 BW and VNNI. Names are explained in bytes_generic.h. */
#ifndef HANDFAST_BYTES_H
#define HANDFAST_BYTES_H

#include <immintrin.h>
#include <stdint.h>

#include "vector.h"

#define MOST_VECTORS 5

typedef __m512i bytes;
typedef __m512i factors;
typedef __m512i sums;
typedef __mmask16 cells;
typedef struct { __m512i ab, cd; } rescale;

static inline __mmask16 b_first(int n) { return n >= LANES ? (__mmask16)0xffff : (__mmask16)((1u << n) - 1); }
static inline bytes b_load(const uint8_t *p)
{
    bytes a = _mm512_loadu_si512(p);
#ifdef __GNUC__
    __asm__("" : "+v"(a)); /* else gcc loads once more for each product */
#endif
    return a;
}
static inline bytes b_splat(uint32_t word) { return _mm512_set1_epi32((int)word); }
static inline cells b_cells(const uint8_t *table) { return _mm_movepi8_mask(_mm_loadu_si128((const __m128i *)table)); }
static inline bytes b_load_inside(const uint8_t *p, cells inside) { return _mm512_maskz_loadu_epi32(inside, p); }
static inline bytes b_load_or(const uint8_t *p, cells inside, bytes other)
{
    return _mm512_mask_loadu_epi32(other, inside, p);
}
static inline void b_store_n(uint8_t *p, bytes a, int n) { _mm512_mask_storeu_epi32(p, b_first(n), a); }
static inline bytes b_max(bytes a, bytes b) { return _mm512_max_epu8(a, b); }

static inline factors b_pixels(bytes a) { return a; }
static inline factors b_weights(uint32_t word) { return _mm512_set1_epi32((int)word); }
static inline sums s_splat(int32_t a) { return _mm512_set1_epi32(a); }
static inline sums s_dot(sums sum, factors pixels, factors weights) { return _mm512_dpbusd_epi32(sum, pixels, weights); }
static inline sums s_max(sums a, sums b) { return _mm512_max_epi32(a, b); }
static inline vec s_floats(sums a) { return _mm512_cvtepi32_ps(a); }

static inline rescale b_rescale(const uint32_t *multipliers)
{
    const __m512i all = _mm512_set1_epi64((int64_t)((uint64_t)multipliers[1] << 32 | multipliers[0]));
    const __m512i ab = _mm512_broadcast_i32x4(_mm_set_epi8(3, 2, 3, 2, 3, 2, 3, 2, 1, 0, 1, 0, 1, 0, 1, 0));
    const rescale r = {_mm512_shuffle_epi8(all, ab), _mm512_shuffle_epi8(all, _mm512_or_si512(ab, _mm512_set1_epi8(4)))};
    return r;
}

static inline bytes b_requantise(sums a, sums b, sums c, sums d, int shift, rescale r)
{
    const __m128i by = _mm_cvtsi32_si128(shift);
    const __m512i order = _mm512_broadcast_i32x4(_mm_set_epi8(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0));
    const __m512i ab = _mm512_packs_epi32(_mm512_sra_epi32(a, by), _mm512_sra_epi32(b, by));
    const __m512i cd = _mm512_packs_epi32(_mm512_sra_epi32(c, by), _mm512_sra_epi32(d, by));
    return _mm512_shuffle_epi8(
        _mm512_packus_epi16(_mm512_mulhrs_epi16(ab, r.ab), _mm512_mulhrs_epi16(cd, r.cd)), order);
}

static inline void b_unzip(bytes first, bytes second, bytes *even, bytes *odd)
{
    const __m512i evens = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    *even = _mm512_permutex2var_epi32(first, evens, second);
    *odd = _mm512_permutex2var_epi32(first, _mm512_or_si512(evens, _mm512_set1_epi32(1)), second);
}
static inline void b_zip(bytes even, bytes odd, bytes *first, bytes *second)
{
    const __m512i low = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    *first = _mm512_permutex2var_epi32(even, low, odd);
    *second = _mm512_permutex2var_epi32(even, _mm512_or_si512(low, _mm512_set1_epi32(8)), odd);
}

static inline void b_deal_bytes(bytes a, bytes b, bytes *even, bytes *odd)
{
    const __mmask64 odds = 0xaaaaaaaaaaaaaaaa;
    *even = _mm512_mask_mov_epi8(a, odds, _mm512_slli_epi16(b, 8));
    *odd = _mm512_mask_mov_epi8(_mm512_srli_epi16(a, 8), odds, b);
}
static inline void b_deal_pairs(bytes a, bytes b, bytes *even, bytes *odd)
{
    const __mmask32 odds = 0xaaaaaaaa;
    *even = _mm512_mask_mov_epi16(a, odds, _mm512_slli_epi32(b, 16));
    *odd = _mm512_mask_mov_epi16(_mm512_srli_epi32(a, 16), odds, b);
}
static inline bytes b_channel(bytes a, int channel) { return _mm512_srl_epi32(a, _mm_cvtsi32_si128(8 * channel)); }

#endif
