/* What the .wasm offers: the network's functions under names that do not depend on the network, its sizes,
 * and memory for what goes in and comes out. */

#include "golden.h"

#define EXPORTED(name) __attribute__((export_name(name)))

static uint8_t image[NETWORK_HEIGHT][NETWORK_WIDTH][NETWORK_CHANNELS];
static float keypoints[NETWORK_HANDS][NETWORK_KEYPOINTS][4];
static float heatmaps[NETWORK_HANDS][NETWORK_KEYPOINTS][NETWORK_MAP_HEIGHT][NETWORK_MAP_WIDTH];
static float visibility[NETWORK_HANDS][1 + NETWORK_KEYPOINTS];
static _Alignas(64) uint8_t arena[NETWORK_ARENA_BYTES];

EXPORTED("keypoints_per_hand") int keypoints_per_hand(void) { return NETWORK_KEYPOINTS; }
EXPORTED("image_bytes") int image_bytes(void) { return sizeof image; }
EXPORTED("golden_image") const void *golden_image_address(void) { return golden_image; }
EXPORTED("image") void *image_address(void) { return image; }
EXPORTED("keypoints") void *keypoints_address(void) { return keypoints; }
EXPORTED("heatmaps") void *heatmaps_address(void) { return heatmaps; }
EXPORTED("heatmaps_bytes") int heatmaps_bytes(void) { return sizeof heatmaps; }
EXPORTED("visibility") void *visibility_address(void) { return visibility; }

EXPORTED("run") int run(void) { return network_run(image[0][0], keypoints[0][0], arena); }
EXPORTED("maps") void maps(void) { network_maps(image[0][0], heatmaps[0][0][0], visibility[0], arena); }
