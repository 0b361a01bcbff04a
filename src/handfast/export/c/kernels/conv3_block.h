/* FILTERS filters of a 3x3 convolution on VECTORS vectors of pixels.
 *
 * The sums run over columns, channels, rows, in this order on every target. */
#include "convolution.h"
#include "repeat.h"

static inline const float *JOIN(JOIN(conv3_block_, FILTERS), JOIN(x, VECTORS))(
    const convolution *layer, const float *in, float *out, const float *residual, const float *w, int first,
    int count)
{
    const int plane = layer->in_plane, row = layer->row, channels = layer->channels;
    const float *x;

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
#define ADD_TAP(offset)                                                                                        \
    {                                                                                                          \
        const float *const p = x + (offset);                                                                   \
        EACH_VECTOR(LOAD)                                                                                      \
        V_WEIGHTS                                                                                              \
        EACH_FILTER(ADD_PRODUCTS)                                                                              \
        w += FILTERS;                                                                                          \
    }
#define ADD_COLUMN                                                                                             \
    for (int c = 0; c < channels; c++, x += plane) {                                                           \
        ADD_TAP(-row)                                                                                          \
        ADD_TAP(0)                                                                                             \
        ADD_TAP(row)                                                                                           \
    }
    /* The column of each vector's first pixel, and where it is written. */
    int column = first % layer->width, at = first + first / layer->width * layer->jump;
#define SET_COLUMN(v)                                                                                          \
    const int column_##v = column, at_##v = at;                                                                \
    column += LANES;                                                                                           \
    at += LANES;                                                                                               \
    for (; column >= layer->width; column -= layer->width)                                                     \
        at += layer->jump;
    EACH_VECTOR(SET_COLUMN)
#define SET_MASK(v) const mask mask_##v = v_mask(table + column_##v);
#define LOAD(v) const vec x_##v = v_load_masked(p + (v) * LANES, mask_##v);
    {
        const uint32_t *const table = layer->left;
        EACH_VECTOR(SET_MASK)
        x = in - layer->dilation;
        ADD_COLUMN
    }
#undef LOAD
#define LOAD(v) const vec x_##v = v_load(p + (v) * LANES);
    x = in;
    ADD_COLUMN
#undef LOAD
#define LOAD(v) const vec x_##v = v_load_masked(p + (v) * LANES, mask_##v);
    {
        const uint32_t *const table = layer->right;
        EACH_VECTOR(SET_MASK)
        x = in + layer->dilation;
        ADD_COLUMN
    }
#undef LOAD

#define CUT_SUM(f, v) sum_##f##_##v = v_max(sum_##f##_##v, v_splat(0.0f));
#define CUT_SUMS(f) EACH_SUM_OF(CUT_SUM, f)
    if (layer->relu) {
        EACH_FILTER(CUT_SUMS)
    }

#define PUT(v, value)                                                                                          \
    if (count > (v) * LANES)                                                                                   \
        v_store_rows(to + at_##v, value, count - (v) * LANES, layer->width - column_##v, layer->width, layer->jump);

    if (!layer->tail) {
#define PUT_SUM(f, v) PUT(v, sum_##f##_##v)
#define PUT_SUMS(f)                                                                                            \
    {                                                                                                          \
        float *const to = out + (ptrdiff_t)(f) * layer->filter_step * layer->out_plane;                        \
        EACH_SUM_OF(PUT_SUM, f)                                                                                \
    }
        EACH_FILTER(PUT_SUMS)
        return w;
    }
    for (int o = 0; o < layer->tail; o++) {
        float *const to = out + (ptrdiff_t)o * layer->out_plane;
#define SET_TAIL(v) vec y_##v = v_splat(w[0]);
#define ADD_TAIL(f, v) y_##v = v_fma(weight_##f, sum_##f##_##v, y_##v);
#define ADD_TAILS(f)                                                                                           \
    {                                                                                                          \
        const vec weight_##f = v_splat(w[1 + (f)]);                                                            \
        EACH_SUM_OF(ADD_TAIL, f)                                                                               \
    }
        EACH_VECTOR(SET_TAIL)
        EACH_FILTER(ADD_TAILS)
        w += 1 + FILTERS;
        if (residual) {
            const float *const from = residual + (ptrdiff_t)o * layer->residual_plane;
#define ADD_RESIDUAL(v) y_##v = v_add(y_##v, v_load_rows(from + at_##v, layer->width - column_##v, layer->width, layer->jump));
            EACH_VECTOR(ADD_RESIDUAL)
        }
#define CUT_TAIL(v) y_##v = v_max(y_##v, v_splat(0.0f));
        if (layer->tail_relu) {
            EACH_VECTOR(CUT_TAIL)
        }
#define PUT_TAIL(v) PUT(v, y_##v)
        EACH_VECTOR(PUT_TAIL)
    }
    return w;
}

#undef SET_SUM
#undef SET_SUMS
#undef ADD_PRODUCT
#undef ADD_PRODUCTS
#undef ADD_TAP
#undef ADD_COLUMN
#undef SET_MASK
#undef SET_COLUMN
#undef CUT_SUM
#undef CUT_SUMS
#undef PUT
#undef PUT_SUM
#undef PUT_SUMS
#undef SET_TAIL
#undef ADD_TAIL
#undef ADD_TAILS
#undef ADD_RESIDUAL
#undef CUT_TAIL
#undef PUT_TAIL
