/* Rows with gaps, for vectors of few lanes: those that meet a gap go through memory, lane by lane. Part of the
 * vectors' headers that include it, behind their v_load and v_store. */
/* Pixels of rows of `width`, at least LANES, with gaps of `jump` between them; the first `left` end a row. */
static inline vec v_load_rows(const float *p, int left, int width, int jump)
{
    float lanes[LANES];
    (void)width;
    if (left >= LANES || !jump)
        return v_load(p);
    for (int i = 0; i < LANES; i++)
        lanes[i] = p[i < left ? i : i + jump];
    return v_load(lanes);
}
/* The first n of them. */
static inline void v_store_rows(float *p, vec a, int n, int left, int width, int jump)
{
    float lanes[LANES];
    (void)width;
    if (n >= LANES && (left >= LANES || !jump)) {
        v_store(p, a);
        return;
    }
    v_store(lanes, a);
    for (int i = 0; i < LANES && i < n; i++)
        p[i < left ? i : i + jump] = lanes[i];
}
