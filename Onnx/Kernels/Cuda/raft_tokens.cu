// Layer normalisation of a map and its turn into tokens, a block a tile.
#include "raft_tile.cuh"

struct Parameters
{
    const T* x;     // [N, H, W, C]
    const T* scale; // [C], in the order of tokens
    const T* bias;  // [C]
    T* tokens;      // [N, W, C / r, r, H]
    float epsilon;
    Sizes sizes;
};

extern "C" __global__ void raft_tokens(const Parameters p)
{
    extern __shared__ float shared[]; // [rows, C + 1]
    const Sizes s = p.sizes;
    const Tile tile = tile_at(s, blockIdx.x);
    const int count = tile.rows * s.channels, stride = tile_stride(s);
    const T* x = p.x + first_of_map(s, tile);
    for_each(
        count, MapWalk(s), [&](const MapWalk& at) { return load(x + at.row * row_pitch(s) + at.channel); },
        [&](const MapWalk& at, float value) { shared[at.row * stride + at.channel] = value; });
    __syncthreads();
    const int lane = threadIdx.x & 31;
    for (int row = threadIdx.x >> 5; row < tile.rows; row += blockDim.x >> 5)
    {
        float* values = shared + row * stride;
        float sum = 0.0f, squares = 0.0f;
        for (int c = lane; c < s.channels; c += 32)
            sum += values[c];
        const float mean = warp_sum(sum) / s.channels;
        for (int c = lane; c < s.channels; c += 32)
            squares += (values[c] - mean) * (values[c] - mean);
        const float inverse = rsqrtf(warp_sum(squares) / s.channels + p.epsilon);
        for (int c = lane; c < s.channels; c += 32)
            values[c] = (values[c] - mean) * inverse;
    }
    __syncthreads();
    T* tokens = p.tokens + first_token(s, tile);
    for_each(
        count, TokenWalk(s, tile),
        [&](const TokenWalk& at)
        {
            return shared[at.row * stride + at.channel()] * load(p.scale + at.token()) + load(p.bias + at.token());
        },
        [&](const TokenWalk& at, float value) { store(tokens + (long long)at.token() * s.height + at.row, value); });
}
