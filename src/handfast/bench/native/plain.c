/* A network's layers as textbooks write them, for maps [channel][row][column] of one image. */

#include <stdint.h>
#include <string.h>

typedef struct {
    int channels_in, height_in, width_in;
    int channels_out, height_out, width_out;
    int kernel, groups, stride, dilation, pad, relu;
} Convolution;

void bytes_to_floats(const uint8_t *in, float *out, int n)
{
    for (int i = 0; i < n; i++)
        out[i] = (float)in[i] / 255.0f;
}

static float finished(float sum, int relu) { return relu && sum < 0 ? 0 : sum; }

/* weight [channel out][channel in of its group][row][column]. */
void convolve_directly(const Convolution *layer, const float *in, const float *weight, const float *bias,
                       float *out)
{
    const int depth = layer->channels_in / layer->groups, filters = layer->channels_out / layer->groups;
    const int kernel = layer->kernel, height = layer->height_in, width = layer->width_in;
    for (int filter = 0; filter < layer->channels_out; filter++) {
        const float *group_in = in + filter / filters * depth * height * width;
        const float *filter_weight = weight + filter * depth * kernel * kernel;
        for (int y = 0; y < layer->height_out; y++)
            for (int x = 0; x < layer->width_out; x++) {
                float sum = bias[filter];
                for (int channel = 0; channel < depth; channel++)
                    for (int i = 0; i < kernel; i++) {
                        const int row = y * layer->stride + i * layer->dilation - layer->pad;
                        if (row < 0 || row >= height)
                            continue;
                        const float *in_row = group_in + (channel * height + row) * width;
                        const float *weight_row = filter_weight + (channel * kernel + i) * kernel;
                        for (int j = 0; j < kernel; j++) {
                            const int column = x * layer->stride + j * layer->dilation - layer->pad;
                            if (column >= 0 && column < width)
                                sum += weight_row[j] * in_row[column];
                        }
                    }
                *out++ = finished(sum, layer->relu);
            }
    }
}

/* Each output's inputs as a column of a matrix [channel, row and column of the kernel][output]. */
static void unfold(const Convolution *layer, int depth, const float *in, float *columns)
{
    for (int channel = 0; channel < depth; channel++, in += layer->height_in * layer->width_in)
        for (int i = 0; i < layer->kernel; i++)
            for (int j = 0; j < layer->kernel; j++)
                for (int y = 0; y < layer->height_out; y++)
                    for (int x = 0; x < layer->width_out; x++) {
                        const int row = y * layer->stride + i * layer->dilation - layer->pad;
                        const int column = x * layer->stride + j * layer->dilation - layer->pad;
                        const int is_row = row >= 0 && row < layer->height_in;
                        const int is_inside = is_row && column >= 0 && column < layer->width_in;
                        *columns++ = is_inside ? in[row * layer->width_in + column] : 0;
                    }
}

/* As convolve_directly, by a matrix product for each group. columns: room for the unfolded input of one group. */
void convolve_as_products(const Convolution *layer, const float *in, const float *weight, const float *bias,
                          float *out, float *columns)
{
    const int depth = layer->channels_in / layer->groups, filters = layer->channels_out / layer->groups;
    const int terms = depth * layer->kernel * layer->kernel, outputs = layer->height_out * layer->width_out;
    const int as_it_is = layer->kernel == 1 && layer->stride == 1 && layer->pad == 0;
    for (int group = 0; group < layer->groups; group++) {
        const float *matrix = in + group * depth * layer->height_in * layer->width_in;
        if (!as_it_is) {
            unfold(layer, depth, matrix, columns);
            matrix = columns;
        }
        for (int filter = group * filters; filter < (group + 1) * filters; filter++)
            for (int output = 0; output < outputs; output++) {
                float sum = bias[filter];
                for (int term = 0; term < terms; term++)
                    sum += weight[filter * terms + term] * matrix[term * outputs + output];
                *out++ = finished(sum, layer->relu);
            }
    }
}

void add(const float *first, const float *second, float *out, int n, int relu)
{
    for (int i = 0; i < n; i++)
        out[i] = finished(first[i] + second[i], relu);
}

void copy(const float *in, float *out, int n) { memcpy(out, in, (size_t)n * sizeof *out); }

void shuffle_channels(const float *in, float *out, int channels, int cells, int groups)
{
    const int group_channels = channels / groups;
    for (int group = 0; group < groups; group++)
        for (int i = 0; i < group_channels; i++)
            copy(in + (group * group_channels + i) * cells, out + (i * groups + group) * cells, cells);
}

static float larger(float a, float b) { return a > b ? a : b; }

/* An odd last row or column is left out. */
void halve_by_maximum(const float *in, float *out, int channels, int height_in, int width_in)
{
    for (int channel = 0; channel < channels; channel++, in += height_in * width_in)
        for (int y = 0; y < height_in / 2; y++)
            for (int x = 0; x < width_in / 2; x++) {
                const float *above = in + 2 * y * width_in + 2 * x, *below = above + width_in;
                *out++ = larger(larger(above[0], above[1]), larger(below[0], below[1]));
            }
}

void double_by_nearest(const float *in, float *out, int channels, int height_in, int width_in)
{
    for (int channel = 0; channel < channels; channel++, in += height_in * width_in)
        for (int y = 0; y < 2 * height_in; y++)
            for (int x = 0; x < 2 * width_in; x++)
                *out++ = in[y / 2 * width_in + x / 2];
}

void largest_of_each(const float *in, float *out, int channels, int cells)
{
    for (int channel = 0; channel < channels; channel++, in += cells) {
        out[channel] = in[0];
        for (int cell = 1; cell < cells; cell++)
            out[channel] = larger(out[channel], in[cell]);
    }
}
