/* Sixteen lanes: x86 with AVX-512F. */
#ifndef HANDFAST_VECTOR_H
#define HANDFAST_VECTOR_H

#include <immintrin.h>
#include <stdint.h>

#define LANES 16

typedef __m512 vec;
typedef __mmask16 mask;

static inline __mmask16 v_first(int n) { return (__mmask16)((1u << n) - 1); }

static inline vec v_load(const float *p) { return _mm512_loadu_ps(p); }
static inline void v_store(float *p, vec a) { _mm512_storeu_ps(p, a); }
static inline vec v_load_n(const float *p, int n) { return _mm512_maskz_loadu_ps(v_first(n), p); }
static inline void v_store_n(float *p, vec a, int n) { _mm512_mask_storeu_ps(p, v_first(n), a); }
/* Pixels of rows of `width`, at least LANES, with gaps of `jump` between them; the first `left` end a row. */
static inline __mmask16 v_head(int left) { return v_first(left < LANES ? left : LANES); }
static inline vec v_load_rows(const float *p, int left, int width, int jump)
{
    const __mmask16 head = v_head(left);
    (void)width;
    if (!jump)
        return v_load(p);
    return _mm512_mask_loadu_ps(_mm512_maskz_loadu_ps(head, p), (__mmask16)~head, p + jump);
}
/* The first n of them. */
static inline void v_store_rows(float *p, vec a, int n, int left, int width, int jump)
{
    const __mmask16 head = v_head(left), all = v_head(n), rest = all & (__mmask16)~head;
    (void)width;
    if (!jump) {
        _mm512_mask_storeu_ps(p, all, a);
        return;
    }
    _mm512_mask_storeu_ps(p, all & head, a);
    if (rest)
        _mm512_mask_storeu_ps(p + jump, rest, a);
}
static inline vec v_splat(float a) { return _mm512_set1_ps(a); }
static inline vec v_add(vec a, vec b) { return _mm512_add_ps(a, b); }
static inline vec v_mul(vec a, vec b) { return _mm512_mul_ps(a, b); }
static inline vec v_max(vec a, vec b) { return _mm512_max_ps(a, b); }
static inline float v_greatest(vec a) { return _mm512_reduce_max_ps(a); }
static inline vec v_fma(vec a, vec b, vec c) { return _mm512_fmadd_ps(a, b, c); }

static inline mask v_mask(const uint32_t *table)
{
    const __m512i words = _mm512_loadu_si512(table);
    return _mm512_test_epi32_mask(words, words);
}
static inline vec v_load_masked(const float *p, mask m) { return _mm512_maskz_loadu_ps(m, p); }

static inline void v_unzip(vec first, vec second, vec *even, vec *odd)
{
    const __m512i evens = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    *even = _mm512_permutex2var_ps(first, evens, second);
    *odd = _mm512_permutex2var_ps(first, _mm512_or_si512(evens, _mm512_set1_epi32(1)), second);
}
static inline void v_zip(vec even, vec odd, vec *first, vec *second)
{
    const __m512i low = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    *first = _mm512_permutex2var_ps(even, low, odd);
    *second = _mm512_permutex2var_ps(even, _mm512_or_si512(low, _mm512_set1_epi32(8)), odd);
}

static inline void v_bytes(const uint8_t *p, vec *b0, vec *b1, vec *b2, vec *b3)
{
    const __m512i quads = _mm512_loadu_si512(p), byte = _mm512_set1_epi32(255);
    *b0 = _mm512_cvtepi32_ps(_mm512_and_si512(quads, byte));
    *b1 = _mm512_cvtepi32_ps(_mm512_and_si512(_mm512_srli_epi32(quads, 8), byte));
    *b2 = _mm512_cvtepi32_ps(_mm512_and_si512(_mm512_srli_epi32(quads, 16), byte));
    *b3 = _mm512_cvtepi32_ps(_mm512_srli_epi32(quads, 24));
}

static inline vec v_exp2_whole(vec n)
{
    const __m512i exponent = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));
    return _mm512_castsi512_ps(_mm512_slli_epi32(exponent, 23));
}

#endif
