/* One frame through the network: its key-points, a hash of all that came out, what it cost. */

#include "board.h"
#include "golden.h"
#include "report.h"

static const char *const sides[NETWORK_HANDS] = {"left", "right"};

static _Alignas(64) uint8_t arena[NETWORK_ARENA_BYTES];
static float keypoints[NETWORK_HANDS][NETWORK_KEYPOINTS][4];
static float heatmaps[NETWORK_HANDS][NETWORK_KEYPOINTS][NETWORK_MAP_HEIGHT][NETWORK_MAP_WIDTH];
static float visibility[NETWORK_HANDS][1 + NETWORK_KEYPOINTS];

static void report_hand(int hand)
{
    for (int k = 0; k < NETWORK_KEYPOINTS; k++) {
        report_text(sides[hand]);
        for (int i = 0; i < 4; i++) {
            report_text(" ");
            report_float(keypoints[hand][k][i]);
        }
        report_text("\n");
    }
}

int main(void)
{
    uint64_t before = board_instructions();
    int found = network_run(golden_image, &keypoints[0][0][0], arena);
    uint64_t instructions = board_instructions() - before;
    network_maps(golden_image, &heatmaps[0][0][0][0], &visibility[0][0], arena);

    for (int hand = 0; hand < NETWORK_HANDS; hand++)
        if (found >> hand & 1)
            report_hand(hand);
    report_text("found ");
    report_number((uint64_t)found);
    report_text("\nkeypoints_hash ");
    report_hash(hash_bytes(HASH_OF_NOTHING, keypoints, sizeof keypoints));
    report_text("\nmaps_hash ");
    uint64_t hash = hash_bytes(HASH_OF_NOTHING, heatmaps, sizeof heatmaps);
    report_hash(hash_bytes(hash, visibility, sizeof visibility));
    report_text("\narena_bytes ");
    report_number(NETWORK_ARENA_BYTES);
    if (instructions) {
        report_text("\ninstructions ");
        report_number(instructions);
    }
    report_text("\n");
    return 0;
}
