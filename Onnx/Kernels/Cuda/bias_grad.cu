// The gradient of a bias: the sums of a map over all axes but the channels, in parts.
#include "reduction.cuh"
#include "row_strips.cuh"

struct Rows
{
    const T* output_grad; // [rows, channels]
    float* partials;      // [strips, channels]
    RowStrips strips;
};

struct Planes
{
    const T* output_grad; // [batch, channels, positions]
    float* partials;      // [parts, channels]
    long long batch;
    int channels;
    int positions;
    int parts;
};

extern "C" __global__ void sum_rows(const Rows p)
{
    const Place at = place(p.strips);
    float sums[STEP] = {};
#pragma unroll 4
    for (long long row = at.row; row < at.last; row += at.together)
    {
        float g[STEP];
        load_step(g, p.output_grad + row * p.strips.width + at.column);
#pragma unroll
        for (int i = 0; i < STEP; i++)
            sums[i] += g[i];
    }
    store_strip(p.partials, p.strips, at, sums);
}

// A block a channel and part of its elements, which are those of all planes one after another.
extern "C" __global__ void sum_planes(const Planes p)
{
    __shared__ float shared[32];
    const int channel = blockIdx.x, steps = p.positions / STEP;
    const long long count = p.batch * steps, last = count * (blockIdx.y + 1) / p.parts;
    const long long first = count * blockIdx.y / p.parts + threadIdx.x;
    long long image = first / steps;
    int step = (int)(first % steps);
    float sum = 0.0f;
#pragma unroll 4
    for (long long i = first; i < last; i += THREADS)
    {
        float g[STEP];
        load_step(g, p.output_grad + (image * p.channels + channel) * p.positions + step * STEP);
#pragma unroll
        for (int k = 0; k < STEP; k++)
            sum += g[k];
        image += THREADS / steps;
        step += THREADS % steps;
        if (step >= steps)
        {
            step -= steps;
            image++;
        }
    }
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0)
        p.partials[(long long)blockIdx.y * p.channels + channel] = sum;
}
