/* Words where the ends allow it, and bytes. Compiled with -fno-tree-loop-distribute-patterns: compilers make
 * calls of memset and memmove of such loops. */

#include "string.h"

#include <stdint.h>

typedef uint32_t __attribute__((may_alias)) word;

static void *move(void *to, const void *from, size_t n_bytes)
{
    uint8_t *const t = to;
    const uint8_t *const f = from;
    const size_t words = ((uintptr_t)t | (uintptr_t)f) % sizeof(word) ? 0 : n_bytes / sizeof(word) * sizeof(word);
    if (t < f) {
        for (size_t i = 0; i < words; i += sizeof(word))
            *(word *)(t + i) = *(const word *)(f + i);
        for (size_t i = words; i < n_bytes; i++)
            t[i] = f[i];
    } else {
        for (size_t i = n_bytes; i > words; i--)
            t[i - 1] = f[i - 1];
        for (size_t i = words; i > 0; i -= sizeof(word))
            *(word *)(t + i - sizeof(word)) = *(const word *)(f + i - sizeof(word));
    }
    return to;
}

void *memcpy(void *restrict to, const void *restrict from, size_t n_bytes)
{
    return move(to, from, n_bytes);
}

void *memmove(void *to, const void *from, size_t n_bytes)
{
    return move(to, from, n_bytes);
}

void *memset(void *to, int byte, size_t n_bytes)
{
    uint8_t *const t = to;
    const size_t words = (uintptr_t)t % sizeof(word) ? 0 : n_bytes / sizeof(word) * sizeof(word);
    for (size_t i = 0; i < words; i += sizeof(word))
        *(word *)(t + i) = 0x01010101u * (uint8_t)byte;
    for (size_t i = words; i < n_bytes; i++)
        t[i] = (uint8_t)byte;
    return to;
}
