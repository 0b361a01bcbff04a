/* A network whose convolutions say what each has cost: network.c, which blocks.py writes, has its calls of them in
 * COUNTED. Times in ns, or, where there is no Python, instructions. */
#include <stdint.h>

#ifdef BARE
#include "board.h"
#define NOW board_instructions
#else
#include <time.h>
static inline uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
#define NOW now_ns
#endif

static uint64_t costs[STEPS];
#define COUNTED(step, call)                                                                                    \
    {                                                                                                          \
        const uint64_t before = NOW();                                                                         \
        call costs[step] += NOW() - before;                                                                    \
    }

#include "network.c"

static _Alignas(64) uint8_t arena[NETWORK_ARENA_BYTES];

void run(const uint8_t *image, uint64_t *spent, float *keypoints)
{
    memset(costs, 0, sizeof costs);
    network_run(image, keypoints, arena);
    memcpy(spent, costs, sizeof costs);
}

#ifdef BARE
#include "image.h"
#include "report.c"

int main(void)
{
    static float keypoints[2 * NETWORK_KEYPOINTS * 4];
    uint64_t spent[STEPS];
    run(image, spent, keypoints);
    for (int step = 0; step < STEPS; step++) {
        report_number(spent[step]);
        report_text("\n");
    }
    report_hash(hash_bytes(HASH_OF_NOTHING, keypoints, sizeof keypoints));
    return 0;
}
#endif
