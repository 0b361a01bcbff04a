/* A quad of outputs of a sum, on VECTORS vectors of cells: included by sums.h, with FILTERS defined as 4. -> the
 * weights of the next quad. */

static inline const uint32_t *sum_block(
    const sum_layer *layer, int quad, const uint32_t *w, const uint8_t *in, const cells *left, const cells *right,
    const uint8_t *const *points, uint8_t *out, int count)
{
#define SET_SUM(f, v) sums sum_##f##_##v = s_splat((int32_t)w[f]);
#define SET_SUMS(f) EACH_SUM_OF(SET_SUM, f)
    EACH_FILTER(SET_SUMS)
    const rescale by = b_rescale(w + 4);
    w += 6;
#define LOAD(v) const factors x_##v = b_pixels(b_load(p + 4 * (v) * LANES));
#define LOAD_INSIDE(v) const factors x_##v = b_pixels(b_load_inside(p + 4 * (v) * LANES, inside[v]));
#define ADD_PRODUCT(f, v) sum_##f##_##v = s_dot(sum_##f##_##v, x_##v, weight);
#define ADD_PRODUCTS(f)                                                                                        \
    {                                                                                                          \
        const factors weight = b_weights(*w++);                                                                \
        EACH_SUM_OF(ADD_PRODUCT, f)                                                                            \
    }
/* Three taps of a column, above one another, for some quads of inputs. */
#define ADD_TAPS(quads, load, add)                                                                             \
    for (int q = 0; q < (quads); q++, from += layer->in_plane)                                                 \
        for (int row = 0; row < 3; row++) {                                                                    \
            const uint8_t *const p = from + row * up;                                                          \
            EACH_VECTOR(load)                                                                                  \
            add                                                                                                \
        }
#define ADD_COLUMN(step, load)                                                                                 \
    {                                                                                                          \
        const uint8_t *from = first + (step);                                                                  \
        ADD_TAPS(seen >> 8 & 255, load, ADD_PRODUCTS(0) ADD_PRODUCTS(1))                                       \
        ADD_TAPS(seen >> 16 & 255, load, EACH_FILTER(ADD_PRODUCTS))                                            \
        ADD_TAPS(seen >> 24, load, ADD_PRODUCTS(2) ADD_PRODUCTS(3))                                            \
    }
    if (in) {
        const int seen = (int)*w++, up = 4 * layer->dilation * layer->width;
        const uint8_t *const first = in - up + (ptrdiff_t)(seen & 255) * layer->in_plane;
        ADD_COLUMN(0, LOAD)
        for (int side = -1; side <= 1; side += 2) {
            const cells *const inside = side < 0 ? left : right;
            ADD_COLUMN(4 * side * layer->dilation, LOAD_INSIDE)
        }
    }
    for (int t = 0; t < layer->points; t++) {
        const int quads = layer->point_quads[t], plane = layer->point_plane[t];
        const uint8_t *p = points[t];
        const uint32_t seen = *w++;
        switch (layer->point_kinds[t]) {
        case SHARED:
            p += (ptrdiff_t)seen * plane;
            for (int q = 0; q < quads; q++, p += plane) {
                EACH_VECTOR(LOAD)
                EACH_FILTER(ADD_PRODUCTS)
            }
            break;
#define ADD_POINT(f, v) sum_##f##_##v = s_dot(sum_##f##_##v, b_pixels(b_load(p + 4 * (v) * LANES)), weight);
#define ADD_POINTS(f)                                                                                          \
    p = points[t] + (ptrdiff_t)(seen >> 8 * (f) & 255) * plane;                                                \
    for (int q = 0; q < quads; q++, p += plane) {                                                              \
        const factors weight = b_weights(*w++);                                                                \
        EACH_SUM_OF(ADD_POINT, f)                                                                              \
    }
        case APART:
            EACH_FILTER(ADD_POINTS)
            break;
#define ADD_SELF(f)                                                                                            \
    {                                                                                                          \
        const factors weight = b_weights(seen & 255u << 8 * (f));                                              \
        EACH_SUM_OF(ADD_PRODUCT, f)                                                                            \
    }
        case SELF: {
            p += (ptrdiff_t)quad * plane;
            EACH_VECTOR(LOAD)
            EACH_FILTER(ADD_SELF)
        }
        }
    }
#define PUT(v)                                                                                                 \
    if (count > (v) * LANES)                                                                                   \
        b_store_n(                                                                                             \
            out + 4 * (v) * LANES, b_requantise(sum_0_##v, sum_1_##v, sum_2_##v, sum_3_##v, layer->shift, by), \
            count - (v) * LANES);
    EACH_VECTOR(PUT)
    return w;
}

#undef SET_SUM
#undef SET_SUMS
#undef LOAD
#undef LOAD_INSIDE
#undef ADD_PRODUCT
#undef ADD_PRODUCTS
#undef ADD_TAPS
#undef ADD_COLUMN
#undef ADD_POINT
#undef ADD_POINTS
#undef ADD_SELF
#undef PUT
