/* What the 1x1 and 3x3 convolutions need to know of their layers.
 *
 * A map is planes of floats, a channel each, rows without gaps. A map that a 3x3 convolution reads has
 * `dilation` rows of zeros before its first plane and after every plane, so a tap is an offset and rows need
 * no care; taps that leave a row at its left or right end are masked. */
#ifndef HANDFAST_CONVOLUTION_H
#define HANDFAST_CONVOLUTION_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    int pixels;     /* of a plane */
    int groups;
    int blocks;     /* of filters in a group */
    int channels;   /* that a filter reads */
    int in_plane;   /* floats from a channel to the next */
    int out_plane;
    int group_step; /* planes from a group's first output to the next group's */
    int filter_step; /* planes from an output to the next of its group; 1, or the groups of a shuffle */
    int relu;
    /* 3x3 only. */
    int width, dilation;
    int tail; /* outputs a group of a 1x1 convolution that takes these filters' outputs at once, or 0 */
    int tail_relu;
    const uint32_t *left, *right; /* width + 16 words, 0 in columns whose left or right tap leaves the row */
    /* A block: its biases, then the weights [channel][filter], 3x3: [column][channel][row][filter]; then
     * for each output of the tail its bias and weights. */
    const float *weights;
} convolution;

#endif
