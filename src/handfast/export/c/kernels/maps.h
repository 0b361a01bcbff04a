/* What moves, pools and up-samples maps. Planes are rows of `width` floats without gaps. */

/* Zeros before the first plane, after each, and beside the rows of zeros: what 3x3 taps see outside a map. */
static inline void zero_guards(float *map, int channels, int plane, int pixels, int before)
{
    memset(map - before, 0, (size_t)before * sizeof *map);
    for (int c = 0; c < channels; c++)
        memset(map + (ptrdiff_t)c * plane + pixels, 0, (size_t)(plane - pixels) * sizeof *map);
}

/* The largest of each 2x2 cells. width, height: of what is read. */
static inline void max_pool(const float *in, int in_plane, int width, int height, int channels, float *out, int out_plane)
{
    const int cells = width / 2;
    for (int c = 0; c < channels; c++)
        for (int y = 0; y < height / 2; y++) {
            const float *const top = in + (ptrdiff_t)c * in_plane + (ptrdiff_t)2 * y * width;
            const float *const bottom = top + width;
            float *const to = out + (ptrdiff_t)c * out_plane + (ptrdiff_t)y * cells;
            int x = 0;
            for (; x + LANES <= cells; x += LANES) {
                const vec first = v_max(v_load(top + 2 * x), v_load(bottom + 2 * x));
                const vec second = v_max(v_load(top + 2 * x + LANES), v_load(bottom + 2 * x + LANES));
                vec even, odd;
                v_unzip(first, second, &even, &odd);
                v_store(to + x, v_max(even, odd));
            }
            for (; x < cells; x++) {
                const float left = top[2 * x] > bottom[2 * x] ? top[2 * x] : bottom[2 * x];
                const float right = top[2 * x + 1] > bottom[2 * x + 1] ? top[2 * x + 1] : bottom[2 * x + 1];
                to[x] = left > right ? left : right;
            }
        }
}

/* The largest value of each plane. */
static inline void global_max(const float *in, int in_plane, int pixels, int channels, float *out)
{
    for (int c = 0; c < channels; c++, in += in_plane) {
        float greatest = in[0];
        int i = 0;
        if (pixels >= LANES) {
            vec most = v_load(in);
            for (i = LANES; i + LANES <= pixels; i += LANES)
                most = v_max(most, v_load(in + i));
            greatest = v_greatest(most);
        }
        for (; i < pixels; i++)
            greatest = in[i] > greatest ? in[i] : greatest;
        out[c] = greatest;
    }
}

static inline void add_maps(const float *a, const float *b, int pixels, int plane, int channels, int relu, float *out)
{
    for (int c = 0; c < channels; c++, a += plane, b += plane, out += plane)
        for (int i = 0; i < pixels; i++) {
            const float sum = a[i] + b[i];
            out[i] = relu && sum < 0.0f ? 0.0f : sum;
        }
}

/* Twice the rows and columns by nearest neighbour, then a depth-wise 3x3 convolution: each of four phases is
 * a 2x2 convolution of what is read, which has a row of zeros before and after each plane.
 * weights: for each channel its bias and [row phase][column phase][row][column]. left, right: as in convolution,
 * for dilation 1. */
static inline void upsample_depthwise(
    const float *in, int in_plane, int width, int height, int channels, const uint32_t *left, const uint32_t *right,
    const float *w, int relu, float *out, int out_plane)
{
    for (int c = 0; c < channels; c++, in += in_plane, out += out_plane, w += 17)
        for (int y = 0; y < height; y++)
            for (int x = 0; x < width; x += LANES) {
                const mask has_left = v_mask(left + x), has_right = v_mask(right + x);
                const int count = width - x;
                vec near[3][3];
                for (int r = 0; r < 3; r++) {
                    const float *const p = in + (ptrdiff_t)(y - 1 + r) * width + x;
                    near[r][0] = v_load_masked(p - 1, has_left);
                    near[r][1] = v_load(p);
                    near[r][2] = v_load_masked(p + 1, has_right);
                }
                for (int a = 0; a < 2; a++) {
                    vec phase[2], first, second;
                    for (int b = 0; b < 2; b++) {
                        const float *const k = w + 1 + 8 * a + 4 * b;
                        vec sum = v_fma(v_splat(k[0]), near[a][b], v_splat(w[0]));
                        sum = v_fma(v_splat(k[1]), near[a][b + 1], sum);
                        sum = v_fma(v_splat(k[2]), near[a + 1][b], sum);
                        sum = v_fma(v_splat(k[3]), near[a + 1][b + 1], sum);
                        phase[b] = relu ? v_max(sum, v_splat(0.0f)) : sum;
                    }
                    float *const to = out + (ptrdiff_t)(2 * y + a) * 2 * width + 2 * x;
                    v_zip(phase[0], phase[1], &first, &second);
                    if (2 * count >= LANES)
                        v_store(to, first);
                    else
                        v_store_n(to, first, 2 * count);
                    if (2 * count >= 2 * LANES)
                        v_store(to + LANES, second);
                    else if (2 * count > LANES)
                        v_store_n(to + LANES, second, 2 * count - LANES);
                }
            }
}
