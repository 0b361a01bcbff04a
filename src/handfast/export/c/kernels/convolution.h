/* What the 1x1 and 3x3 convolutions need to know of their layers.
 *
 * A map is planes of floats, a channel each. Convolutions run over some of its rows as one line of pixels
 * without gaps. What a 3x3 convolution reads lies in a window with the rows above and below them, zeros outside
 * the map, so a tap is an offset and rows need no care; taps that leave a row at its left or right end are
 * masked. The window of a dilated convolution has every d-th row, which makes the rows of its taps neighbours
 * (the comb of the paper's section 3); what it writes then goes to every d-th row. */
#ifndef HANDFAST_CONVOLUTION_H
#define HANDFAST_CONVOLUTION_H

#include <stddef.h>
#include <stdint.h>

#include "vector.h"

/* A product of a vector and the f-th of the weights at `w`, which V_WEIGHTS may fetch for all filters, and
 * V_WEIGHT for one; some processors have a way of their own. */
#ifndef V_FMA_WEIGHT
#define V_WEIGHTS
#define V_WEIGHT(f) const vec weight_##f = v_splat(w[f]);
#define V_FMA_WEIGHT(f, x, sum) v_fma(weight_##f, x, sum)
#endif

typedef struct {
    int groups;
    int blocks;     /* of filters in a group */
    int vectors;    /* of pixels that a block has, where there are so many */
    int channels;   /* that a filter reads */
    int in_plane;   /* floats from a channel to the next */
    int out_plane;
    int residual_plane;
    int group_step; /* planes from a group's first output to the next group's */
    int filter_step; /* planes from an output to the next of its group; 1, or the groups of a shuffle */
    int relu;
    int width;
    int in_jump;  /* 1x1: floats between the rows that are read */
    /* 3x3 only. */
    int row;      /* floats from a tap to the one below */
    int dilation; /* from a tap to the one at its right */
    int jump;     /* floats between the rows that are written, and those of the residual */
    int tail; /* outputs a group of a 1x1 convolution that takes these filters' outputs at once, or 0 */
    int tail_relu;
    const uint32_t *left, *right; /* width + 16 words, 0 in columns whose left or right tap leaves the row */
    /* A block: its biases, then the weights [channel][filter], 3x3: [column][channel][row][filter]; then
     * for each output of the tail its bias and weights. Zeros for filters that a last block lacks. */
    const float *weights;
} convolution;

#endif
