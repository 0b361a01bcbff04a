/* Runs the network "net" on the images of stdin and writes what it gives for each to stdout: heat-maps,
 * visibility, key-points as floats, which hands were found as an int.
 *
 * All memory lies between pages that may not be touched, once right behind one and once right before one, so
 * that a read or a write beside it ends the program; the arena is full of noise at each call. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "net.h"

#define PAGE ((size_t)65536) /* no processor has larger ones */
#define BYTES ((size_t)NET_WIDTH * NET_HEIGHT * NET_CHANNELS)
#define MAPS ((size_t)NET_HANDS * NET_KEYPOINTS * NET_MAP_WIDTH * NET_MAP_HEIGHT)
#define LOGITS ((size_t)NET_HANDS * (1 + NET_KEYPOINTS))
#define POINTS ((size_t)NET_HANDS * NET_KEYPOINTS * 4)

/* Memory that ends at a fence, or begins at one. */
static void *fenced(size_t bytes, size_t alignment, int at_end)
{
    const size_t inside = (bytes + PAGE - 1) / PAGE * PAGE;
    uint8_t *const all = mmap(NULL, inside + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED || mprotect(all + PAGE, inside, PROT_READ | PROT_WRITE))
        abort();
    return all + PAGE + (at_end ? (inside - bytes) / alignment * alignment : 0);
}

static void *noisy(uint8_t *arena)
{
    for (size_t i = 0; i < NET_ARENA_BYTES; i++)
        arena[i] = (uint8_t)rand();
    return arena;
}

static void put(const void *numbers, size_t bytes)
{
    if (fwrite(numbers, 1, bytes, stdout) != bytes)
        abort();
}

int main(void)
{
    for (int at_end = 0;; at_end = !at_end) {
        uint8_t *const image = fenced(BYTES, 1, at_end), *const arena = fenced(NET_ARENA_BYTES, 64, at_end);
        float *const heatmaps = fenced(MAPS * sizeof(float), 4, at_end);
        float *const visibility = fenced(LOGITS * sizeof(float), 4, at_end);
        float *const keypoints = fenced(POINTS * sizeof(float), 4, at_end);

        if (fread(image, 1, BYTES, stdin) != BYTES)
            return net_arena_bytes() != NET_ARENA_BYTES;
        net_maps(image, heatmaps, visibility, noisy(arena));
        const int found = net_run(image, keypoints, noisy(arena));
        put(heatmaps, MAPS * sizeof(float));
        put(visibility, LOGITS * sizeof(float));
        put(keypoints, POINTS * sizeof(float));
        put(&found, sizeof found);
    }
}
