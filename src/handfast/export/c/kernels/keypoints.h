/* From logits to key-points (handfast.codecs.decode_heatmaps). */
#ifndef HANDFAST_KEYPOINTS_H
#define HANDFAST_KEYPOINTS_H

#include <stdint.h>
#include <string.h>

#include "vector.h"

#define WINDOW_RADIUS 3

/* e to the power of x <= 0, 0 below -87; wrong by less than 2e-7 of itself. */
static inline vec v_exp(vec x)
{
    const vec rounder = v_splat(12582912.0f);
    x = v_max(x, v_splat(-87.0f));
    const vec n = v_add(v_fma(x, v_splat(1.44269504f), rounder), v_splat(-12582912.0f));
    vec r = v_fma(n, v_splat(-0.693359375f), x);
    r = v_fma(n, v_splat(2.12194440e-4f), r);
    vec p = v_fma(v_splat(1.9875691500e-4f), r, v_splat(1.3981999507e-3f));
    p = v_fma(p, r, v_splat(8.3334519073e-3f));
    p = v_fma(p, r, v_splat(4.1665795894e-2f));
    p = v_fma(p, r, v_splat(1.6666665459e-1f));
    p = v_fma(p, r, v_splat(5.0000001201e-1f));
    p = v_fma(p, v_mul(r, r), v_add(r, v_splat(1.0f)));
    return v_mul(p, v_exp2_whole(n));
}

/* The same of one number, with the same bits. */
static inline float exp_below_zero(float x)
{
    float lanes[LANES];
    v_store(lanes, v_exp(v_splat(x)));
    return lanes[0];
}

static inline float logistic(float x)
{
    const float e = exp_below_zero(x < 0 ? x : -x);
    return x < 0 ? e / (1.0f + e) : 1.0f / (1.0f + e);
}

/* The mean of a map's softmax around its peak -> x and y in map pixels, and the share of the whole. */
static inline void decode_heatmap(const float *map, int width, int height, float *x, float *y, float *sharpness)
{
    const int pixels = width * height, whole = width - width % LANES;
    int peak = 0;
    float total = 0.0f, mass = 0.0f, of_x = 0.0f, of_y = 0.0f, greatest = map[0], parts[16];
    for (int first = 0; first < pixels; first += width) {
        const float *const row = map + first;
        float of_row = row[0];
        vec most = v_splat(of_row);
        for (int i = 0; i < whole; i += LANES)
            most = v_max(most, v_load(row + i));
        of_row = v_greatest(most);
        for (int i = whole; i < width; i++)
            of_row = row[i] > of_row ? row[i] : of_row;
        if (of_row > greatest) {
            greatest = of_row;
            peak = first;
        }
    }
    while (map[peak] != greatest && peak < pixels - 1)
        peak++;
    /* Sixteen sums, whatever the vectors: the same bits on every target. */
    for (int lane = 0; lane < 16; lane += LANES) {
        vec sum = v_splat(0.0f);
        for (int i = lane; i - lane + 16 <= pixels; i += 16)
            sum = v_add(sum, v_exp(v_add(v_load(map + i), v_splat(-greatest))));
        v_store(parts + lane, sum);
    }
    for (int i = pixels / 16 * 16; i < pixels; i++)
        total += exp_below_zero(map[i] - greatest);
    for (int lane = 0; lane < 16; lane++)
        total += parts[lane];
    for (int r = -WINDOW_RADIUS; r <= WINDOW_RADIUS; r++)
        for (int c = -WINDOW_RADIUS; c <= WINDOW_RADIUS; c++) {
            const int row = peak / width + r, column = peak % width + c;
            if (row < 0 || row >= height || column < 0 || column >= width)
                continue;
            const float p = exp_below_zero(map[row * width + column] - greatest);
            mass += p;
            of_x += p * (float)c;
            of_y += p * (float)r;
        }
    *x = (float)(peak % width) + of_x / mass;
    *y = (float)(peak / width) + of_y / mass;
    *sharpness = mass / total;
}

#endif
