/* FILTERS filters of a 1x1 convolution on VECTORS vectors of pixels. */
#include "convolution.h"
#include "repeat.h"

static inline const float *JOIN(JOIN(conv1_block_, FILTERS), JOIN(x, VECTORS))(
    const convolution *layer, const float *in, float *out, const float *residual, const float *w, int first,
    int count)
{
#define SET_SUM(f, v) vec sum_##f##_##v = v_splat(w[f]);
#define SET_SUMS(f) EACH_SUM_OF(SET_SUM, f)
    EACH_FILTER(SET_SUMS)
    w += FILTERS;
#define ADD_PRODUCT(f, v) sum_##f##_##v = V_FMA_WEIGHT(f, x_##v, sum_##f##_##v);
#define ADD_PRODUCTS(f)                                                                                        \
    {                                                                                                          \
        V_WEIGHT(f)                                                                                            \
        EACH_SUM_OF(ADD_PRODUCT, f)                                                                            \
    }
#define ADD_CHANNELS                                                                                           \
    for (int c = 0; c < layer->channels; c++, in += layer->in_plane, w += FILTERS) {                           \
        EACH_VECTOR(LOAD)                                                                                      \
        V_WEIGHTS                                                                                              \
        EACH_FILTER(ADD_PRODUCTS)                                                                              \
    }
    if (layer->in_jump) {
        /* Each vector's first pixel, and how many are left in its row. */
        int left = layer->width - first % layer->width, at = first + first / layer->width * layer->in_jump;
#define SET_LEFT(v)                                                                                            \
    const int left_##v = left, at_##v = at;                                                                    \
    left -= LANES;                                                                                             \
    at += LANES;                                                                                               \
    for (; left <= 0; left += layer->width)                                                                    \
        at += layer->in_jump;
        EACH_VECTOR(SET_LEFT)
#define LOAD(v) const vec x_##v = v_load_rows(in + at_##v, left_##v, layer->width, layer->in_jump);
        ADD_CHANNELS
#undef LOAD
    } else {
        in += first;
#define LOAD(v) const vec x_##v = v_load(in + (v) * LANES);
        ADD_CHANNELS
    }
#define ADD_RESIDUAL(f, v) sum_##f##_##v = v_add(sum_##f##_##v, v_load(from + (v) * LANES));
#define ADD_RESIDUALS(f)                                                                                       \
    {                                                                                                          \
        const float *const from = residual + (ptrdiff_t)(f) * layer->filter_step * layer->residual_plane;      \
        EACH_SUM_OF(ADD_RESIDUAL, f)                                                                           \
    }
    if (residual) {
        EACH_FILTER(ADD_RESIDUALS)
    }
#define CUT_SUM(f, v) sum_##f##_##v = v_max(sum_##f##_##v, v_splat(0.0f));
#define CUT_SUMS(f) EACH_SUM_OF(CUT_SUM, f)
    if (layer->relu) {
        EACH_FILTER(CUT_SUMS)
    }
#define PUT_SUM(f, v)                                                                                          \
    if (count >= ((v) + 1) * LANES)                                                                            \
        v_store(to + (v) * LANES, sum_##f##_##v);                                                              \
    else if (count > (v) * LANES)                                                                              \
        v_store_n(to + (v) * LANES, sum_##f##_##v, count - (v) * LANES);
#define PUT_SUMS(f)                                                                                            \
    {                                                                                                          \
        float *const to = out + (ptrdiff_t)(f) * layer->filter_step * layer->out_plane;                        \
        EACH_SUM_OF(PUT_SUM, f)                                                                                \
    }
    EACH_FILTER(PUT_SUMS)
    return w;
}

#undef SET_SUM
#undef SET_SUMS
#undef LOAD
#undef SET_LEFT
#undef ADD_CHANNELS
#undef ADD_PRODUCT
#undef ADD_PRODUCTS
#undef ADD_RESIDUAL
#undef ADD_RESIDUALS
#undef CUT_SUM
#undef CUT_SUMS
#undef PUT_SUM
#undef PUT_SUMS
