// Efficient local attention. Where a block of channels fits into shared memory its map is read once and written once (`attend`);
// elsewhere it is read twice: `average`, `make_gates`, `apply_gates`.
#include "efficient_local_attention.cuh"

struct Parameters
{
    const T* x;      // [batch, channels, height, width]
    const T* weight; // [channels, channels_per_group, kernel]
    const T* scale;  // [channels]
    const T* bias;   // [channels]
    T* y;            // [batch, channels, height, width]
    float* strips;   // [batch, channels, strip]: the means, later their gates; not of `attend`
    float* convolved; // [batch, channels, strip]; not of `attend`
    Sizes sizes;
};

// A block of threads a block of channels. Shared: the map, two strips, the inverse deviations.
extern "C" __global__ void attend(const Parameters p)
{
    extern __shared__ float4 shared[];
    const Sizes& s = p.sizes;
    const int first = blockIdx.x % s.blocks * s.block_channels, count = s.block_channels * s.plane;
    const long long start = (long long)blockIdx.x * count;
    T* map = (T*)shared;
    float* strips = (float*)shared + (count * (int)sizeof(T) + 15) / 16 * 4;
    float* convolved = strips + s.block_channels * s.strip;
    float* inverses = convolved + s.block_channels * s.strip;

    copy_map(count, p.x + start, map);
    __syncthreads();
    mean_strips(s, s.block_channels, map, strips);
    __syncthreads();
    convolve(s, p.weight, first, strips, convolved);
    __syncthreads();
    normalize(s, convolved, strips, inverses);
    __syncthreads();
    open_gates(s, p.scale, p.bias, first, strips, strips);
    __syncthreads();
    write_map(s, count, p.y + start, [&](int i, const Place& place) { return load(map + i) * gate_at(s, strips, place); });
}

// A block of threads a channel of an image.
extern "C" __global__ void average(const Parameters p)
{
    mean_strips(p.sizes, 1, p.x + (long long)blockIdx.x * p.sizes.plane, p.strips + (long long)blockIdx.x * p.sizes.strip);
}

// A block of threads a block of channels. Shared: the inverse deviations.
extern "C" __global__ void make_gates(const Parameters p)
{
    extern __shared__ float inverses[];
    const Sizes& s = p.sizes;
    const int first = blockIdx.x % s.blocks * s.block_channels;
    const long long start = (long long)blockIdx.x * s.block_channels * s.strip;
    convolve(s, p.weight, first, p.strips + start, p.convolved + start);
    __syncthreads();
    normalize(s, p.convolved + start, p.strips + start, inverses);
    __syncthreads();
    open_gates(s, p.scale, p.bias, first, p.strips + start, p.strips + start);
}

// A block of threads a channel of an image.
extern "C" __global__ void apply_gates(const Parameters p)
{
    const Sizes& s = p.sizes;
    const T* x = p.x + (long long)blockIdx.x * s.plane;
    const float* gates = p.strips + (long long)blockIdx.x * s.strip;
    write_map(s, s.plane, p.y + (long long)blockIdx.x * s.plane,
        [&](int i, const Place& place) { return load(x + i) * gate_at(s, gates, place); });
}
