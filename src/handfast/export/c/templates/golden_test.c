/* Runs the network on the golden frame and compares its key-points with those expected; exit status 1 if they
 * differ. golden.h says which network. */

#include <stdio.h>

#include "golden.h"

#define NUMBERS (NETWORK_HANDS * NETWORK_KEYPOINTS * 4)

static const char *const sides[] = {"left", "right"};
static uint8_t room[NETWORK_ARENA_BYTES + 63];
static float keypoints[NUMBERS];

int main(void)
{
    uint8_t *const arena = room + (-(uintptr_t)room & 63); /* aligned to 64 bytes */
    const int found = network_run(golden_image, keypoints, arena);
    int equal = found == GOLDEN_FOUND;

    printf("          x px    y px  visible  sharpness\n");
    for (int i = 0; i < NUMBERS; i += 4) {
        const int hand = i / 4 / NETWORK_KEYPOINTS, keypoint = i / 4 % NETWORK_KEYPOINTS;
        if (found >> hand & 1)
            printf("%-5s %2d %6.2f  %6.2f    %5.2f      %5.2f\n", sides[hand], keypoint, keypoints[i],
                   keypoints[i + 1], keypoints[i + 2], keypoints[i + 3]);
    }
    for (int i = 0; i < NUMBERS; i++) {
        const float difference = keypoints[i] - golden_keypoints[i];
        equal &= -GOLDEN_TOLERANCE <= difference && difference <= GOLDEN_TOLERANCE; /* not so if it is no number */
    }
    printf("found %d, expected %d\n%s\n", found, GOLDEN_FOUND, equal ? "PASS" : "FAIL");
    return !equal;
}
