/* Eight cells of four bytes: x86 with AVX2; with AVX-VNNI if the compiler may use it. Names are explained in
 * bytes_generic.h. */
#ifndef HANDFAST_BYTES_H
#define HANDFAST_BYTES_H

#include <immintrin.h>
#include <stdint.h>

#include "vector.h"

#define MOST_VECTORS 2

typedef __m256i bytes;
typedef __m256i sums;
typedef __m256i cells;
typedef struct { __m256i ab, cd; } rescale;

static inline bytes b_load(const uint8_t *p) { return _mm256_loadu_si256((const __m256i *)p); }
static inline bytes b_splat(uint32_t word) { return _mm256_set1_epi32((int)word); }
static inline cells b_cells(const uint8_t *table)
{
    return _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)table));
}
static inline bytes b_load_inside(const uint8_t *p, cells inside) { return _mm256_and_si256(b_load(p), inside); }
static inline bytes b_load_or(const uint8_t *p, cells inside, bytes other)
{
    return _mm256_blendv_epi8(other, b_load(p), inside);
}
static inline void b_store_n(uint8_t *p, bytes a, int n)
{
    const __m256i lane = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
    if (n >= LANES)
        _mm256_storeu_si256((__m256i *)p, a);
    else
        _mm256_maskstore_epi32((int *)p, _mm256_cmpgt_epi32(_mm256_set1_epi32(n), lane), a);
}
static inline bytes b_max(bytes a, bytes b) { return _mm256_max_epu8(a, b); }

static inline sums s_splat(int32_t a) { return _mm256_set1_epi32(a); }
#if defined(__AVXVNNI__)
typedef __m256i factors;
static inline factors b_pixels(bytes a) { return a; }
static inline factors b_weights(uint32_t word) { return _mm256_set1_epi32((int)word); }
static inline sums s_dot(sums sum, factors pixels, factors weights)
{
    return _mm256_dpbusd_avx_epi32(sum, pixels, weights);
}
#else
/* Bytes 0 and 2, and 1 and 3, as 16-bit numbers: pmaddubsw would saturate at sums of two products. */
typedef struct { __m256i even, odd; } factors;
static inline factors b_pixels(bytes a)
{
    const factors f = {_mm256_and_si256(a, _mm256_set1_epi32(0x00ff00ff)), _mm256_srli_epi16(a, 8)};
    return f;
}
static inline factors b_weights(uint32_t word)
{
    const __m256i w = _mm256_set1_epi32((int)word);
    const factors f = {_mm256_srai_epi16(_mm256_slli_epi16(w, 8), 8), _mm256_srai_epi16(w, 8)};
    return f;
}
static inline sums s_dot(sums sum, factors pixels, factors weights)
{
    const __m256i odd = _mm256_madd_epi16(pixels.odd, weights.odd);
    return _mm256_add_epi32(sum, _mm256_add_epi32(_mm256_madd_epi16(pixels.even, weights.even), odd));
}
#endif
static inline sums s_max(sums a, sums b) { return _mm256_max_epi32(a, b); }
static inline vec s_floats(sums a) { return _mm256_cvtepi32_ps(a); }

static inline rescale b_rescale(const uint32_t *multipliers)
{
    const __m256i all = _mm256_set1_epi64x((int64_t)((uint64_t)multipliers[1] << 32 | multipliers[0]));
    const __m256i ab = _mm256_broadcastsi128_si256(_mm_set_epi8(3, 2, 3, 2, 3, 2, 3, 2, 1, 0, 1, 0, 1, 0, 1, 0));
    const rescale r = {_mm256_shuffle_epi8(all, ab), _mm256_shuffle_epi8(all, _mm256_or_si256(ab, _mm256_set1_epi8(4)))};
    return r;
}

static inline bytes b_requantise(sums a, sums b, sums c, sums d, int shift, rescale r)
{
    const __m128i by = _mm_cvtsi32_si128(shift);
    const __m256i order = _mm256_broadcastsi128_si256(_mm_set_epi8(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0));
    const __m256i ab = _mm256_packs_epi32(_mm256_sra_epi32(a, by), _mm256_sra_epi32(b, by));
    const __m256i cd = _mm256_packs_epi32(_mm256_sra_epi32(c, by), _mm256_sra_epi32(d, by));
    return _mm256_shuffle_epi8(
        _mm256_packus_epi16(_mm256_mulhrs_epi16(ab, r.ab), _mm256_mulhrs_epi16(cd, r.cd)), order);
}

static inline void b_unzip(bytes first, bytes second, bytes *even, bytes *odd)
{
    const __m256 a = _mm256_castsi256_ps(first), b = _mm256_castsi256_ps(second);
    *even = _mm256_permute4x64_epi64(_mm256_castps_si256(_mm256_shuffle_ps(a, b, 0x88)), 0xd8);
    *odd = _mm256_permute4x64_epi64(_mm256_castps_si256(_mm256_shuffle_ps(a, b, 0xdd)), 0xd8);
}
static inline void b_zip(bytes even, bytes odd, bytes *first, bytes *second)
{
    const __m256i low = _mm256_unpacklo_epi32(even, odd), high = _mm256_unpackhi_epi32(even, odd);
    *first = _mm256_permute2x128_si256(low, high, 0x20);
    *second = _mm256_permute2x128_si256(low, high, 0x31);
}

static inline void b_deal_bytes(bytes a, bytes b, bytes *even, bytes *odd)
{
    const __m256i odds = _mm256_set1_epi16((short)0xff00);
    *even = _mm256_blendv_epi8(a, _mm256_slli_epi16(b, 8), odds);
    *odd = _mm256_blendv_epi8(_mm256_srli_epi16(a, 8), b, odds);
}
static inline void b_deal_pairs(bytes a, bytes b, bytes *even, bytes *odd)
{
    *even = _mm256_blend_epi16(a, _mm256_slli_epi32(b, 16), 0xaa);
    *odd = _mm256_blend_epi16(_mm256_srli_epi32(a, 16), b, 0xaa);
}
static inline bytes b_channel(bytes a, int channel) { return _mm256_srl_epi32(a, _mm_cvtsi32_si128(8 * channel)); }

#endif
