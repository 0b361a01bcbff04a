/* What one core does at best: multiply-adds on the widest vectors that the compiler was told of, in registers. */

#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#elif defined(__AVX__)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif

typedef float vector __attribute__((vector_size(VECTOR_BYTES)));

enum { LANES = VECTOR_BYTES / sizeof(float), CHAINS = 12, FLOPS = 2 };

/* One step of a chain. Chains are named one by one because compilers keep arrays of vectors in memory. The empty
   assembler line hides the value, so that no step can be computed in advance. */
#define STEP(a) a = a * factor + offset; __asm__ volatile("" : VECTOR_REGISTER(a))
#if defined(__x86_64__) || defined(__i386__)
#define VECTOR_REGISTER(a) "+v"(a)
#elif defined(__aarch64__)
#define VECTOR_REGISTER(a) "+w"(a)
#else
#define VECTOR_REGISTER(a) "+m"(a)
#endif

/* Floating-point operations that peak_run(rounds) makes. */
double peak_flops(int rounds) { return (double)rounds * CHAINS * LANES * FLOPS; }

/* -> a number that depends on all of the work. Twelve chains hide four cycles' latency of two or three units. */
float peak_run(int rounds)
{
    vector factor = (vector){0} + 0.999f, offset = (vector){0} + 0.001f;
    vector a = offset, b = a + a, c = b + a, d = c + a, e = d + a, f = e + a;
    vector g = f + a, h = g + a, i = h + a, j = i + a, k = j + a, l = k + a;
    for (int round = 0; round < rounds; round++) {
        STEP(a); STEP(b); STEP(c); STEP(d); STEP(e); STEP(f);
        STEP(g); STEP(h); STEP(i); STEP(j); STEP(k); STEP(l);
    }
    vector sum = a + b + c + d + e + f + g + h + i + j + k + l;
    float total = 0;
    for (int lane = 0; lane < LANES; lane++)
        total += sum[lane];
    return total;
}
