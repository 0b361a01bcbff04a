/* Eight lanes: x86 with AVX2 and FMA. */
#ifndef HANDFAST_VECTOR_H
#define HANDFAST_VECTOR_H

#include <immintrin.h>
#include <stdint.h>

#define LANES 8

typedef __m256 vec;
typedef __m256 mask;

/* All bits of the first n lanes, or of all if n is larger. */
static inline __m256i v_first(int n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

static inline vec v_load(const float *p) { return _mm256_loadu_ps(p); }
static inline void v_store(float *p, vec a) { _mm256_storeu_ps(p, a); }
static inline vec v_load_n(const float *p, int n) { return _mm256_maskload_ps(p, v_first(n)); }
static inline void v_store_n(float *p, vec a, int n) { _mm256_maskstore_ps(p, v_first(n), a); }
static inline vec v_load_rows(const float *p, int left, int width, int jump)
{
    const __m256i head = v_first(left), rest = _mm256_andnot_si256(head, v_first(LANES));
    (void)width;
    if (!jump)
        return v_load(p);
    return _mm256_or_ps(_mm256_maskload_ps(p, head), _mm256_maskload_ps(p + jump, rest));
}
static inline void v_store_rows(float *p, vec a, int n, int left, int width, int jump)
{
    const __m256i all = v_first(n), head = v_first(left);
    (void)width;
    if (!jump) {
        _mm256_maskstore_ps(p, all, a);
        return;
    }
    _mm256_maskstore_ps(p, _mm256_and_si256(all, head), a);
    if (n > left && left < LANES)
        _mm256_maskstore_ps(p + jump, _mm256_andnot_si256(head, all), a);
}
static inline vec v_splat(float a) { return _mm256_set1_ps(a); }
static inline vec v_add(vec a, vec b) { return _mm256_add_ps(a, b); }
static inline vec v_mul(vec a, vec b) { return _mm256_mul_ps(a, b); }
static inline vec v_max(vec a, vec b) { return _mm256_max_ps(a, b); }
static inline float v_greatest(vec a)
{
    __m128 most = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    most = _mm_max_ps(most, _mm_movehl_ps(most, most));
    return _mm_cvtss_f32(_mm_max_ss(most, _mm_movehdup_ps(most)));
}
static inline vec v_fma(vec a, vec b, vec c) { return _mm256_fmadd_ps(a, b, c); }

/* All bits of a lane or none. */
static inline mask v_mask(const uint32_t *table)
{
    const __m256i words = _mm256_loadu_si256((const __m256i *)table);
    return _mm256_castsi256_ps(_mm256_cmpgt_epi32(words, _mm256_setzero_si256()));
}
static inline vec v_load_masked(const float *p, mask m) { return _mm256_and_ps(m, _mm256_loadu_ps(p)); }

/* In both halves of the vectors, then the middle quarters change places. */
static inline void v_unzip(vec first, vec second, vec *even, vec *odd)
{
    const __m256d evens = _mm256_castps_pd(_mm256_shuffle_ps(first, second, _MM_SHUFFLE(2, 0, 2, 0)));
    const __m256d odds = _mm256_castps_pd(_mm256_shuffle_ps(first, second, _MM_SHUFFLE(3, 1, 3, 1)));
    *even = _mm256_castpd_ps(_mm256_permute4x64_pd(evens, _MM_SHUFFLE(3, 1, 2, 0)));
    *odd = _mm256_castpd_ps(_mm256_permute4x64_pd(odds, _MM_SHUFFLE(3, 1, 2, 0)));
}
static inline void v_zip(vec even, vec odd, vec *first, vec *second)
{
    const __m256 low = _mm256_unpacklo_ps(even, odd), high = _mm256_unpackhi_ps(even, odd);
    *first = _mm256_permute2f128_ps(low, high, 0x20);
    *second = _mm256_permute2f128_ps(low, high, 0x31);
}

static inline void v_bytes(const uint8_t *p, vec *b0, vec *b1, vec *b2, vec *b3)
{
    const __m256i quads = _mm256_loadu_si256((const __m256i *)p), byte = _mm256_set1_epi32(255);
    *b0 = _mm256_cvtepi32_ps(_mm256_and_si256(quads, byte));
    *b1 = _mm256_cvtepi32_ps(_mm256_and_si256(_mm256_srli_epi32(quads, 8), byte));
    *b2 = _mm256_cvtepi32_ps(_mm256_and_si256(_mm256_srli_epi32(quads, 16), byte));
    *b3 = _mm256_cvtepi32_ps(_mm256_srli_epi32(quads, 24));
}

static inline vec v_exp2_whole(vec n)
{
    const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23));
}

#endif
