// Tokens are put back in the order of the map and added to it, and the way back of their gradient. A block a tile, or some of them.
#include "raft_tile.cuh"

struct Parameters
{
    const T* x;      // [N, H, W, C]
    const T* tokens; // [N, W, C / r, r, H]
    const T* bias;   // [r, H]
    const T* keep;   // [N], or [] where keeps_examples is 0
    T* y;            // [N, H, W, C]
    int keeps_examples;
    Sizes sizes;
};

extern "C" __global__ void raft_residual(const Parameters p)
{
    extern __shared__ float shared[]; // [rows, C + 1]
    const Sizes s = p.sizes;
    const Tile tile = tile_at(s, blockIdx.x);
    const int count = tile.rows * s.channels, stride = tile_stride(s);
    const T* tokens = p.tokens + first_token(s, tile);
    const T* bias = p.bias + tile.first;
    for_each(
        count, TokenWalk(s, tile),
        [&](const TokenWalk& at)
        {
            return load(tokens + (long long)at.token() * s.height + at.row) + load(bias + at.g * s.height + at.row);
        },
        [&](const TokenWalk& at, float value) { shared[at.row * stride + at.channel()] = value; });
    __syncthreads();
    const float keep = load(p.keep + (p.keeps_examples ? tile.column / s.width : 0));
    const long long first = first_of_map(s, tile);
    for_each(
        count, MapWalk(s), [&](const MapWalk& at) { return load(p.x + first + at.row * row_pitch(s) + at.channel); },
        [&](const MapWalk& at, float value)
        {
            store(p.y + first + at.row * row_pitch(s) + at.channel, value + keep * shared[at.row * stride + at.channel]);
        });
}

struct GradParameters
{
    const T* y_grad;  // [N, H, W, C]
    const T* keep;    // [N] or []
    T* tokens_grad;   // [N, W, C / r, r, H]
    float* partials;  // [blocks, r, H]: sums of the bias's gradient over the tiles of a block
    int keeps_examples;
    Sizes sizes;
};

extern "C" __global__ void raft_residual_grad(const GradParameters p)
{
    extern __shared__ float shared[]; // [rows, C + 1], then [r, H]
    const Sizes s = p.sizes;
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
    const int stride = tile_stride(s), per_group = s.channels / s.raft_size;
    float* sums = shared + s.rows * stride;
    for (int i = threadIdx.x; i < s.raft_size * s.height; i += blockDim.x)
        sums[i] = 0.0f;
    const long long tiles = s.columns * tiles_of_column(s);
    for (long long index = blockIdx.x; index < tiles; index += gridDim.x)
    {
        const Tile tile = tile_at(s, index);
        const float keep = load(p.keep + (p.keeps_examples ? tile.column / s.width : 0));
        const int count = tile.rows * s.channels;
        const T* y_grad = p.y_grad + first_of_map(s, tile);
        __syncthreads();
        for_each(
            count, MapWalk(s), [&](const MapWalk& at) { return keep * load(y_grad + at.row * row_pitch(s) + at.channel); },
            [&](const MapWalk& at, float value) { shared[at.row * stride + at.channel] = value; });
        __syncthreads();
        T* tokens_grad = p.tokens_grad + first_token(s, tile);
        for_each(
            count, TokenWalk(s, tile), [&](const TokenWalk& at) { return shared[at.row * stride + at.channel()]; },
            [&](const TokenWalk& at, float value) { store(tokens_grad + (long long)at.token() * s.height + at.row, value); });
        // A warp an element of the bias.
        for (int i = warp; i < s.raft_size * tile.rows; i += warps)
        {
            const int g = i / tile.rows, row = i % tile.rows;
            float sum = 0.0f;
            for (int j = lane; j < per_group; j += 32)
                sum += shared[row * stride + g * per_group + j];
            sum = warp_sum(sum);
            if (lane == 0)
                sums[g * s.height + tile.first + row] += sum;
        }
    }
    __syncthreads();
    for (int i = threadIdx.x; i < s.raft_size * s.height; i += blockDim.x)
        p.partials[(long long)blockIdx.x * s.raft_size * s.height + i] = sums[i];
}
