// The gradient of efficient local attention. Where the maps of a block of channels fit into shared memory they are read once
// (`attend_grad`); elsewhere `average`, `make_gates`, `sum_gate_gradients`, `strip_gradients` and `map_gradients` do the same in steps.
// Then come the weights (`weight_gradients`) and sums over the batch (`add_parts`).
#include "efficient_local_attention.cuh"

struct Parameters
{
    const T* output_grad;  // [batch, channels, height, width]
    const T* x;            // [batch, channels, height, width]
    const T* weight;       // [channels, channels_per_group, kernel]
    const T* scale;        // [channels]
    const T* bias;         // [channels]
    T* x_grad;             // [batch, channels, height, width], or null
    float* means;          // [batch, channels, strip]
    float* convolved_grad; // [batch, channels, strip]: the gradients of what the convolution makes of the means
    float* gates;          // [batch, channels, strip]; like the next two not of `attend_grad`, which has them in shared memory
    float* gradients;      // [batch, channels, strip]: of the gates, later of the means
    float* normalized;     // [batch, channels, strip]
    float* scale_parts;    // [batch, channels]
    float* bias_parts;     // [batch, channels]
    Sizes sizes;
};

// A few numbers of a block of channels, in shared memory.
struct Statistics
{
    float* inverses; // [groups, 2]
    float* means;    // [groups, 2, 2]
    float* sums;     // [channels, 4]

    __device__ Statistics(const Sizes& s, float* memory)
    {
        const int groups = s.block_channels / s.channels_per_norm_group;
        inverses = memory;
        means = inverses + 2 * groups;
        sums = means + 4 * groups;
    }
};

// From the gradients of the gates to those of the means, of the block of channels `block` of all images.
__device__ void through_strips(
    const Parameters& p, long long block, const Statistics& statistics, const float* gates, const float* normalized, float* gradients)
{
    const Sizes& s = p.sizes;
    const int first = (int)(block % s.blocks) * s.block_channels;
    float* convolved_grad = p.convolved_grad + block * s.block_channels * s.strip;
    through_sigmoid(s, gates, normalized, gradients, statistics.sums);
    __syncthreads();
    for (int i = threadIdx.x; i < s.block_channels; i += blockDim.x)
    {
        const float* sums = statistics.sums + 4 * i;
        p.bias_parts[block * s.block_channels + i] = sums[0] + sums[2];
        p.scale_parts[block * s.block_channels + i] = sums[1] + sums[3];
    }
    through_normalization(
        s, p.scale, first, statistics.inverses, statistics.sums, normalized, gradients, statistics.means, convolved_grad);
    __syncthreads();
    convolve_back(s, p.weight, first, convolved_grad, gradients);
}

__device__ __forceinline__ float map_gradient(const Sizes& s, float output_grad, const float* gates, const float* mean_grad, const Place& place)
{
    const float* strip = mean_grad + place.channel * s.strip;
    return output_grad * gate_at(s, gates, place) + strip[place.row] / s.width + strip[s.height + place.column] / s.height;
}

// A block of threads a block of channels. Shared: the maps of x and of the output's gradient, three strips, the statistics.
extern "C" __global__ void attend_grad(const Parameters p)
{
    extern __shared__ float4 shared[];
    const Sizes& s = p.sizes;
    const int first = blockIdx.x % s.blocks * s.block_channels, count = s.block_channels * s.plane, strips = s.block_channels * s.strip;
    const int map_floats = (count * (int)sizeof(T) + 15) / 16 * 4;
    const long long start = (long long)blockIdx.x * count;
    T* x = (T*)shared;
    T* output_grad = (T*)((float*)shared + map_floats);
    float* gates = (float*)shared + 2 * map_floats;
    float* gradients = gates + strips;
    float* normalized = gradients + strips;
    const Statistics statistics(s, normalized + strips);
    float* means = p.means + (long long)blockIdx.x * strips;

    copy_map(count, p.x + start, x);
    copy_map(count, p.output_grad + start, output_grad);
    __syncthreads();
    mean_strips(s, s.block_channels, x, means);
    __syncthreads();
    convolve(s, p.weight, first, means, gradients);
    __syncthreads();
    normalize(s, gradients, normalized, statistics.inverses);
    __syncthreads();
    open_gates(s, p.scale, p.bias, first, normalized, gates);
    __syncthreads();
    gate_gradients(s, s.block_channels, x, output_grad, gates, gradients);
    __syncthreads();
    through_strips(p, blockIdx.x, statistics, gates, normalized, gradients);
    __syncthreads();
    if (p.x_grad)
        write_map(s, count, p.x_grad + start,
            [&](int i, const Place& place) { return map_gradient(s, load(output_grad + i), gates, gradients, place); });
}

// A block of threads a channel of an image.
extern "C" __global__ void average(const Parameters p)
{
    mean_strips(p.sizes, 1, p.x + (long long)blockIdx.x * p.sizes.plane, p.means + (long long)blockIdx.x * p.sizes.strip);
}

// A block of threads a block of channels. Shared: the statistics.
extern "C" __global__ void make_gates(const Parameters p)
{
    extern __shared__ float inverses[];
    const Sizes& s = p.sizes;
    const int first = blockIdx.x % s.blocks * s.block_channels;
    const long long start = (long long)blockIdx.x * s.block_channels * s.strip;
    convolve(s, p.weight, first, p.means + start, p.gradients + start);
    __syncthreads();
    normalize(s, p.gradients + start, p.normalized + start, inverses);
    __syncthreads();
    open_gates(s, p.scale, p.bias, first, p.normalized + start, p.gates + start);
}

// A block of threads a channel of an image.
extern "C" __global__ void sum_gate_gradients(const Parameters p)
{
    const Sizes& s = p.sizes;
    const long long map = (long long)blockIdx.x * s.plane, strip = (long long)blockIdx.x * s.strip;
    gate_gradients(s, 1, p.x + map, p.output_grad + map, p.gates + strip, p.gradients + strip);
}

// A block of threads a block of channels. Shared: the statistics.
extern "C" __global__ void strip_gradients(const Parameters p)
{
    extern __shared__ float memory[];
    const Sizes& s = p.sizes;
    const long long start = (long long)blockIdx.x * s.block_channels * s.strip;
    const int first = blockIdx.x % s.blocks * s.block_channels;
    const Statistics statistics(s, memory);
    // Once more for the inverse deviations, in memory that is free until the gradients of the convolution come.
    convolve(s, p.weight, first, p.means + start, p.convolved_grad + start);
    __syncthreads();
    normalize(s, p.convolved_grad + start, p.normalized + start, statistics.inverses);
    __syncthreads();
    through_strips(p, blockIdx.x, statistics, p.gates + start, p.normalized + start, p.gradients + start);
}

// A block of threads a channel of an image.
extern "C" __global__ void map_gradients(const Parameters p)
{
    const Sizes& s = p.sizes;
    const long long map = (long long)blockIdx.x * s.plane, strip = (long long)blockIdx.x * s.strip;
    const T* output_grad = p.output_grad + map;
    write_map(s, s.plane, p.x_grad + map, [&](int i, const Place& place)
        { return map_gradient(s, load(output_grad + i), p.gates + strip, p.gradients + strip, place); });
}

struct WeightParameters
{
    const float* means;          // [batch, channels, strip]
    const float* convolved_grad; // [batch, channels, strip]
    float* partials;             // [parts, channels, channels_per_group, kernel]
    long long batch;
    int channels_together;       // a multiple of channels_per_group that divides the channels
    int parts;
    Sizes sizes;
};

// A thread a weight: blockIdx.x counts channels_together, blockIdx.y parts of the batch, blockIdx.z blocks of their weights. Shared: the
// strips of an image with the convolution's padding around rows and columns, and their gradients with zeros in between.
extern "C" __global__ void weight_gradients(const WeightParameters p)
{
    extern __shared__ float padded[];
    const Sizes& s = p.sizes;
    const int padding = s.kernel / 2, run = s.strip + padding, pitch = run + 2 * padding;
    float* gradients = padded + p.channels_together * pitch;
    const int weights = p.channels_together * s.channels_per_group * s.kernel;
    const int weight = blockIdx.z * blockDim.x + threadIdx.x;
    const int tap = weight % s.kernel, output = weight / s.kernel / s.channels_per_group;
    const int input = output / s.channels_per_group * s.channels_per_group + weight / s.kernel % s.channels_per_group;
    const long long first = p.batch * blockIdx.y / p.parts, last = p.batch * (blockIdx.y + 1) / p.parts;
    float sum = 0.0f;
    for (long long image = first; image < last; image++)
    {
        const long long start = (image * s.channels + (long long)blockIdx.x * p.channels_together) * s.strip;
        __syncthreads();
        for (int i = threadIdx.x; i < p.channels_together * pitch; i += blockDim.x)
        {
            const int channel = i / pitch, at = i % pitch - padding;
            const int position = at < s.height ? at : at - padding;
            const bool inside = at >= 0 && (at < s.height || (position >= s.height && position < s.strip));
            padded[i] = inside ? p.means[start + channel * s.strip + position] : 0.0f;
            if (at >= 0 && at < run)
                gradients[channel * run + at] = inside ? p.convolved_grad[start + channel * s.strip + position] : 0.0f;
        }
        __syncthreads();
        if (weight < weights)
        {
            const float* g = gradients + output * run;
            const float* mean = padded + input * pitch + tap;
            for (int i = 0; i < run; i++)
                sum += g[i] * mean[i];
        }
    }
    if (weight < weights)
    {
        const long long of_part = (long long)s.channels * s.channels_per_group * s.kernel;
        p.partials[blockIdx.y * of_part + (long long)blockIdx.x * weights + weight] = sum;
    }
}

struct Parts
{
    const float* parts; // [count, width]
    T* sums;            // [width]
    long long count;
    int width;
};

// A thread a column.
extern "C" __global__ void add_parts(const Parts p)
{
    const int column = blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= p.width)
        return;
    float sum = 0.0f;
    for (long long part = 0; part < p.count; part++)
        sum += p.parts[part * p.width + column];
    store(p.sums + column, sum);
}
