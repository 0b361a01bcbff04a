/* Four lanes: WebAssembly with 128-bit SIMD. It has no fused multiply-add: products are rounded. */
#ifndef HANDFAST_VECTOR_H
#define HANDFAST_VECTOR_H

#include <stdint.h>
#include <string.h>
#include <wasm_simd128.h>

#define LANES 4

typedef v128_t vec;
typedef v128_t mask;

static inline vec v_load(const float *p) { return wasm_v128_load(p); }
static inline void v_store(float *p, vec a) { wasm_v128_store(p, a); }
#include "rows_by_lane.h"
static inline vec v_load_n(const float *p, int n)
{
    float lanes[LANES] = {0};
    for (int i = 0; i < n; i++)
        lanes[i] = p[i];
    return v_load(lanes);
}
static inline void v_store_n(float *p, vec a, int n) { v_store_rows(p, a, n, LANES, 0, 0); }
static inline vec v_splat(float a) { return wasm_f32x4_splat(a); }
static inline vec v_add(vec a, vec b) { return wasm_f32x4_add(a, b); }
static inline vec v_mul(vec a, vec b) { return wasm_f32x4_mul(a, b); }
static inline vec v_max(vec a, vec b) { return wasm_f32x4_pmax(b, a); } /* b < a ? a : b, one instruction */
static inline float v_greatest(vec a)
{
    a = v_max(a, wasm_i32x4_shuffle(a, a, 2, 3, 0, 1));
    a = v_max(a, wasm_i32x4_shuffle(a, a, 1, 0, 3, 2));
    return wasm_f32x4_extract_lane(a, 0);
}
static inline vec v_fma(vec a, vec b, vec c) { return wasm_f32x4_add(wasm_f32x4_mul(a, b), c); }

static inline mask v_mask(const uint32_t *table)
{
    return wasm_i32x4_ne(wasm_v128_load(table), wasm_i32x4_const_splat(0));
}
static inline vec v_load_masked(const float *p, mask m) { return wasm_v128_and(wasm_v128_load(p), m); }

static inline void v_unzip(vec first, vec second, vec *even, vec *odd)
{
    *even = wasm_i32x4_shuffle(first, second, 0, 2, 4, 6);
    *odd = wasm_i32x4_shuffle(first, second, 1, 3, 5, 7);
}
static inline void v_zip(vec even, vec odd, vec *first, vec *second)
{
    *first = wasm_i32x4_shuffle(even, odd, 0, 4, 1, 5);
    *second = wasm_i32x4_shuffle(even, odd, 2, 6, 3, 7);
}

static inline void v_bytes(const uint8_t *p, vec *b0, vec *b1, vec *b2, vec *b3)
{
    const v128_t quads = wasm_v128_load(p), byte = wasm_i32x4_const_splat(255);
    *b0 = wasm_f32x4_convert_i32x4(wasm_v128_and(quads, byte));
    *b1 = wasm_f32x4_convert_i32x4(wasm_v128_and(wasm_u32x4_shr(quads, 8), byte));
    *b2 = wasm_f32x4_convert_i32x4(wasm_v128_and(wasm_u32x4_shr(quads, 16), byte));
    *b3 = wasm_f32x4_convert_i32x4(wasm_u32x4_shr(quads, 24));
}

static inline vec v_exp2_whole(vec n)
{
    return wasm_i32x4_shl(wasm_i32x4_add(wasm_i32x4_trunc_sat_f32x4(n), wasm_i32x4_const_splat(127)), 23);
}

#endif
