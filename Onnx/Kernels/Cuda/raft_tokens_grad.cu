// The gradient of raft_tokens: tokens' gradients are put back in the order of the map and go through the layer normalisation.
#include "raft_tile.cuh"

struct Parameters
{
    const T* tokens_grad; // [N, W, C / r, r, H]
    const T* x;           // [N, H, W, C]
    const T* scale;       // [C], in the order of tokens
    T* x_grad;            // [N, H, W, C]
    float* partials;      // [blocks, 2, C], in the order of tokens: sums of the gradients of scale and bias over the tiles of a block
    float epsilon;
    Sizes sizes;
};

// The block size is a multiple of 32.
extern "C" __global__ void raft_tokens_grad(const Parameters p)
{
    extern __shared__ float shared[];
    const Sizes s = p.sizes;
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
    const int stride = tile_stride(s);
    // Several threads share a channel where there are fewer channels than threads.
    const int parts = max(1, (int)blockDim.x / s.channels);
    float* gradients = shared;                           // [rows, C + 1]
    float* normalized = gradients + s.rows * stride;     // [rows, C + 1]
    float* scales = normalized + s.rows * stride;        // [C]
    float* sums = scales + s.channels;                   // [parts, 2, C]
    for (int c = threadIdx.x; c < s.channels; c += blockDim.x)
        scales[c] = load(p.scale + token_of_channel(s, c));
    for (int i = threadIdx.x; i < parts * 2 * s.channels; i += blockDim.x)
        sums[i] = 0.0f;
    const long long tiles = s.columns * tiles_of_column(s);
    for (long long index = blockIdx.x; index < tiles; index += gridDim.x)
    {
        const Tile tile = tile_at(s, index);
        const int count = tile.rows * s.channels;
        const long long first = first_of_map(s, tile);
        const T* tokens_grad = p.tokens_grad + first_token(s, tile);
        __syncthreads();
        for_each(
            count, MapWalk(s), [&](const MapWalk& at) { return load(p.x + first + at.row * row_pitch(s) + at.channel); },
            [&](const MapWalk& at, float value) { normalized[at.row * stride + at.channel] = value; });
        for_each(
            count, TokenWalk(s, tile),
            [&](const TokenWalk& at) { return load(tokens_grad + (long long)at.token() * s.height + at.row); },
            [&](const TokenWalk& at, float value) { gradients[at.row * stride + at.channel()] = value; });
        __syncthreads();
        for (int row = warp; row < tile.rows; row += warps)
        {
            T* x_grad = p.x_grad + first + row * row_pitch(s);
            const float* g = gradients + row * stride;
            float* values = normalized + row * stride;
            float sum = 0.0f, squares = 0.0f, scaled = 0.0f, weighted = 0.0f;
            for (int c = lane; c < s.channels; c += 32)
                sum += values[c];
            const float mean = warp_sum(sum) / s.channels;
            for (int c = lane; c < s.channels; c += 32)
            {
                const float centered = values[c] - mean, gradient = g[c] * scales[c];
                squares += centered * centered;
                scaled += gradient;
                weighted += gradient * centered;
            }
            const float inverse = rsqrtf(warp_sum(squares) / s.channels + p.epsilon);
            scaled = warp_sum(scaled) / s.channels;
            weighted = warp_sum(weighted) / s.channels * inverse;
            for (int c = lane; c < s.channels; c += 32)
            {
                const float value = (values[c] - mean) * inverse;
                values[c] = value;
                store(x_grad + c, inverse * (g[c] * scales[c] - scaled - value * weighted));
            }
        }
        __syncthreads();
        for (int i = threadIdx.x; i < parts * s.channels; i += blockDim.x)
        {
            const int part = i / s.channels, c = i % s.channels;
            float weighted = 0.0f, plain = 0.0f;
            for (int row = part; row < tile.rows; row += parts)
            {
                const float g = gradients[row * stride + c];
                weighted += g * normalized[row * stride + c];
                plain += g;
            }
            sums[(part * 2) * s.channels + c] += weighted;
            sums[(part * 2 + 1) * s.channels + c] += plain;
        }
    }
    __syncthreads();
    for (int i = threadIdx.x; i < 2 * s.channels; i += blockDim.x)
    {
        const int kind = i / s.channels, c = i % s.channels;
        float sum = 0.0f;
        for (int part = 0; part < parts; part++)
            sum += sums[(part * 2 + kind) * s.channels + c];
        p.partials[((long long)blockIdx.x * 2 + kind) * s.channels + token_of_channel(s, c)] = sum;
    }
}
