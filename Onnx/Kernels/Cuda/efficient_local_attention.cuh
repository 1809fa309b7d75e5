// The parts of efficient local attention and of its gradient; the same struct is in LocalAttentionParameters.cs.
//
// Channels are mixed only within blocks of `block_channels`. For each channel there is a strip of height + width floats: the values of
// the rows, then those of the columns. All functions are called by all threads of a block, which is whole warps, and their arrays are in
// shared or in global memory; between two of them belongs a __syncthreads().
#include "divisor.cuh"
#include "reduction.cuh"
#include "storage.cuh"

struct Sizes
{
    int channels;
    int height;
    int width;
    int strip;                   // height + width
    int plane;                   // height * width
    int kernel;
    int channels_per_group;      // of the convolution
    int channels_per_norm_group;
    int block_channels;
    int blocks;                  // blocks of an image
    int lanes_per_row;           // a power of two
    float epsilon;
    Divisor by_height;
    Divisor by_width;
    Divisor by_strip;
};

// A position of a map [channels, height, width], which moves on element by element.
struct Place
{
    int channel, row, column;

    __device__ Place(const Sizes& s, int index)
    {
        const int line = divide(index, s.by_width);
        column = index - line * s.width;
        channel = divide(line, s.by_height);
        row = line - channel * s.height;
    }

    __device__ __forceinline__ void advance(const Sizes& s)
    {
        if (++column < s.width)
            return;
        column = 0;
        if (++row < s.height)
            return;
        row = 0;
        channel++;
    }
};

__device__ __forceinline__ float gate_at(const Sizes& s, const float* gates, const Place& place)
{
    const float* strip = gates + place.channel * s.strip;
    return strip[place.row] * strip[s.height + place.column];
}

// target[i] = value(i, place) for i < count.
template <class Value>
__device__ __forceinline__ void write_map(const Sizes& s, int count, T* target, Value value)
{
    if (count % 4 == 0)
    {
        for (int i = 4 * threadIdx.x; i < count; i += 4 * blockDim.x)
        {
            Place place(s, i);
            float4 four;
            four.x = value(i, place);
            place.advance(s);
            four.y = value(i + 1, place);
            place.advance(s);
            four.z = value(i + 2, place);
            place.advance(s);
            four.w = value(i + 3, place);
            store4(target + i, four);
        }
        return;
    }
    for (int i = threadIdx.x; i < count; i += blockDim.x)
        store(target + i, value(i, Place(s, i)));
}

__device__ __forceinline__ void copy_map(int count, const T* source, T* target)
{
    if (count % 4 == 0)
    {
        for (int i = 4 * threadIdx.x; i < count; i += 4 * blockDim.x)
            store4(target + i, load4(source + i));
        return;
    }
    for (int i = threadIdx.x; i < count; i += blockDim.x)
        target[i] = source[i];
}

// Sums over the rows and the columns of maps of some channels: of row_term and column_term (at, strip, row, column).
template <class RowTerm, class ColumnTerm>
__device__ __forceinline__ void sum_strips(
    const Sizes& s, int channels, float row_factor, float column_factor, float* sums, RowTerm row_term, ColumnTerm column_term)
{
    const int rows = channels * s.height, rows_together = blockDim.x / s.lanes_per_row;
    const int lane = threadIdx.x & (s.lanes_per_row - 1);
    for (int first = 0; first < rows; first += rows_together)
    {
        const int line = first + threadIdx.x / s.lanes_per_row;
        const int channel = divide(line, s.by_height), row = line - channel * s.height;
        float sum = 0.0f;
        if (line < rows)
        {
            for (int column = lane; column < s.width; column += s.lanes_per_row)
                sum += row_term(line * s.width + column, channel * s.strip, row, column);
        }
        for (int lanes = s.lanes_per_row / 2; lanes > 0; lanes >>= 1)
            sum += __shfl_xor_sync(0xffffffffu, sum, lanes);
        if (lane == 0 && line < rows)
            sums[channel * s.strip + row] = sum * row_factor;
    }
    for (int i = threadIdx.x; i < channels * s.width; i += blockDim.x)
    {
        const int channel = divide(i, s.by_width), column = i - channel * s.width;
        float sum = 0.0f;
        for (int row = 0; row < s.height; row++)
            sum += column_term(channel * s.plane + row * s.width + column, channel * s.strip, row, column);
        sums[channel * s.strip + s.height + column] = sum * column_factor;
    }
}

// The means of the rows and the columns of maps.
__device__ __forceinline__ void mean_strips(const Sizes& s, int channels, const T* maps, float* means)
{
    const auto element = [&](int at, int, int, int) { return load(maps + at); };
    sum_strips(s, channels, 1.0f / s.width, 1.0f / s.height, means, element, element);
}

// The gradients of the gates: sums of g x times the other gate.
__device__ __forceinline__ void gate_gradients(
    const Sizes& s, int channels, const T* x, const T* output_grad, const float* gates, float* gradients)
{
    sum_strips(
        s, channels, 1.0f, 1.0f, gradients,
        [&](int at, int strip, int row, int column) { return load(x + at) * load(output_grad + at) * gates[strip + s.height + column]; },
        [&](int at, int strip, int row, int column) { return load(x + at) * load(output_grad + at) * gates[strip + row]; });
}

// Where the part of a strip that a position belongs to begins and ends: rows or columns.
__device__ __forceinline__ int part_begin(const Sizes& s, int position)
{
    return position < s.height ? 0 : s.height;
}

__device__ __forceinline__ int part_end(const Sizes& s, int position)
{
    return position < s.height ? s.height : s.strip;
}

// Convolves the strips of the block whose first channel is `first`; results and strips are different memory.
__device__ __forceinline__ void convolve(const Sizes& s, const T* weight, int first, const float* strips, float* results)
{
    const int padding = s.kernel / 2;
    for (int i = threadIdx.x; i < s.block_channels * s.strip; i += blockDim.x)
    {
        const int channel = divide(i, s.by_strip), position = i - channel * s.strip;
        const int begin = max(part_begin(s, position), position - padding);
        const int end = min(part_end(s, position), position + padding + 1);
        const T* factors = weight + (long long)(first + channel) * s.channels_per_group * s.kernel + padding - position;
        const float* group = strips + channel / s.channels_per_group * s.channels_per_group * s.strip;
        float sum = 0.0f;
        for (int input = 0; input < s.channels_per_group; input++, group += s.strip, factors += s.kernel)
            for (int at = begin; at < end; at++)
                sum += load(factors + at) * group[at];
        results[i] = sum;
    }
}

// The gradient of `convolve` with respect to the strips.
__device__ __forceinline__ void convolve_back(const Sizes& s, const T* weight, int first, const float* gradients, float* results)
{
    const int padding = s.kernel / 2;
    for (int i = threadIdx.x; i < s.block_channels * s.strip; i += blockDim.x)
    {
        const int channel = divide(i, s.by_strip), position = i - channel * s.strip;
        const int begin = max(part_begin(s, position), position - padding);
        const int end = min(part_end(s, position), position + padding + 1);
        const int group = channel / s.channels_per_group * s.channels_per_group;
        const T* factors = weight + ((long long)(first + group) * s.channels_per_group + channel - group) * s.kernel + padding + position;
        const float* source = gradients + group * s.strip;
        float sum = 0.0f;
        for (int output = 0; output < s.channels_per_group; output++, source += s.strip, factors += s.channels_per_group * s.kernel)
            for (int at = begin; at < end; at++)
                sum += load(factors - at) * source[at];
        results[i] = sum;
    }
}

// Normalises the strips of a block, a warp the rows or the columns of a group at a time; inverses [groups, 2] is what they were
// multiplied by.
__device__ __forceinline__ void normalize(const Sizes& s, const float* strips, float* normalized, float* inverses)
{
    const int lane = threadIdx.x & 31, warps = blockDim.x >> 5;
    const int parts = s.block_channels / s.channels_per_norm_group * 2;
    for (int part = threadIdx.x >> 5; part < parts; part += warps)
    {
        const bool rows = part % 2 == 0;
        const int length = rows ? s.height : s.width, count = length * s.channels_per_norm_group;
        const Divisor by_length = rows ? s.by_height : s.by_width;
        const int start = part / 2 * s.channels_per_norm_group * s.strip + (rows ? 0 : s.height);
        const auto place = [&](int i)
        {
            const int channel = divide(i, by_length);
            return start + channel * s.strip + i - channel * length;
        };
        float sum = 0.0f;
        for (int i = lane; i < count; i += 32)
            sum += strips[place(i)];
        const float mean = warp_sum(sum) / count;
        float squares = 0.0f;
        for (int i = lane; i < count; i += 32)
        {
            const float centered = strips[place(i)] - mean;
            squares += centered * centered;
        }
        const float inverse = 1.0f / sqrtf(warp_sum(squares) / count + s.epsilon);
        for (int i = lane; i < count; i += 32)
            normalized[place(i)] = (strips[place(i)] - mean) * inverse;
        if (lane == 0)
            inverses[part] = inverse;
    }
}

// The gates of a block from its normalised strips; may be the same memory.
__device__ __forceinline__ void open_gates(
    const Sizes& s, const T* scale, const T* bias, int first, const float* normalized, float* gates)
{
    for (int i = threadIdx.x; i < s.block_channels * s.strip; i += blockDim.x)
    {
        const int channel = first + divide(i, s.by_strip);
        gates[i] = 1.0f / (1.0f + expf(-(normalized[i] * load(scale + channel) + load(bias + channel))));
    }
}

// From the gradients of the gates, in place, those before the sigmoid; sums [channels, 4] are of them and of them times the normalised
// values, for the rows, then for the columns. A warp the rows or the columns of a channel at a time.
__device__ __forceinline__ void through_sigmoid(
    const Sizes& s, const float* gates, const float* normalized, float* gradients, float* sums)
{
    const int lane = threadIdx.x & 31, warps = blockDim.x >> 5;
    for (int part = threadIdx.x >> 5; part < 2 * s.block_channels; part += warps)
    {
        const bool rows = part % 2 == 0;
        const int start = part / 2 * s.strip + (rows ? 0 : s.height), end = start + (rows ? s.height : s.width);
        float sum = 0.0f, weighted = 0.0f;
        for (int i = start + lane; i < end; i += 32)
        {
            const float gradient = gradients[i] * gates[i] * (1.0f - gates[i]);
            gradients[i] = gradient;
            sum += gradient;
            weighted += gradient * normalized[i];
        }
        sum = warp_sum(sum);
        weighted = warp_sum(weighted);
        if (lane == 0)
        {
            sums[2 * part] = sum;
            sums[2 * part + 1] = weighted;
        }
    }
}

// From the gradients before the sigmoid those of what the convolution gives; means [groups, 2, 2] is memory to work with. Has a barrier.
__device__ __forceinline__ void through_normalization(
    const Sizes& s, const T* scale, int first, const float* inverses, const float* sums, const float* normalized, const float* gradients,
    float* means, float* results)
{
    const int parts = s.block_channels / s.channels_per_norm_group * 2;
    for (int part = threadIdx.x; part < parts; part += blockDim.x)
    {
        float sum = 0.0f, weighted = 0.0f;
        for (int i = 0; i < s.channels_per_norm_group; i++)
        {
            const int channel = part / 2 * s.channels_per_norm_group + i;
            const float factor = load(scale + first + channel);
            sum += factor * sums[4 * channel + part % 2 * 2];
            weighted += factor * sums[4 * channel + part % 2 * 2 + 1];
        }
        const float count = (float)(part % 2 == 0 ? s.height : s.width) * s.channels_per_norm_group;
        means[2 * part] = sum / count;
        means[2 * part + 1] = weighted / count;
    }
    __syncthreads();
    for (int i = threadIdx.x; i < s.block_channels * s.strip; i += blockDim.x)
    {
        const int channel = divide(i, s.by_strip);
        const int part = channel / s.channels_per_norm_group * 2 + (i - channel * s.strip < s.height ? 0 : 1);
        const float gradient = gradients[i] * load(scale + first + channel);
        results[i] = inverses[part] * (gradient - means[2 * part] - normalized[i] * means[2 * part + 1]);
    }
}
