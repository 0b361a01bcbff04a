/* Code for each filter and each vector of a block, with variables of their own: compilers keep arrays of
 * sums in memory. FILTERS and VECTORS say how many: 1..8, for EACH_SUM_OF 1..6 vectors. */
#ifndef HANDFAST_REPEAT_H
#define HANDFAST_REPEAT_H

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)

#define FILTERS_1(M) M(0)
#define FILTERS_2(M) FILTERS_1(M) M(1)
#define FILTERS_3(M) FILTERS_2(M) M(2)
#define FILTERS_4(M) FILTERS_3(M) M(3)
#define FILTERS_5(M) FILTERS_4(M) M(4)
#define FILTERS_6(M) FILTERS_5(M) M(5)
#define FILTERS_7(M) FILTERS_6(M) M(6)
#define FILTERS_8(M) FILTERS_7(M) M(7)
#define EACH_FILTER(M) JOIN(FILTERS_, FILTERS)(M)

/* M(v) */
#define VECTORS_1(M) M(0)
#define VECTORS_2(M) VECTORS_1(M) M(1)
#define VECTORS_3(M) VECTORS_2(M) M(2)
#define VECTORS_4(M) VECTORS_3(M) M(3)
#define VECTORS_5(M) VECTORS_4(M) M(4)
#define VECTORS_6(M) VECTORS_5(M) M(5)
#define VECTORS_7(M) VECTORS_6(M) M(6)
#define VECTORS_8(M) VECTORS_7(M) M(7)
#define EACH_VECTOR(M) JOIN(VECTORS_, VECTORS)(M)

/* M(f, v) */
#define SUMS_1(M, f) M(f, 0)
#define SUMS_2(M, f) SUMS_1(M, f) M(f, 1)
#define SUMS_3(M, f) SUMS_2(M, f) M(f, 2)
#define SUMS_4(M, f) SUMS_3(M, f) M(f, 3)
#define SUMS_5(M, f) SUMS_4(M, f) M(f, 4)
#define SUMS_6(M, f) SUMS_5(M, f) M(f, 5)
#define EACH_SUM_OF(M, f) JOIN(SUMS_, VECTORS)(M, f)

#endif
