// Convolution of float16 maps whose channels are the last axis, as a product of matrices: rows are the output's positions, the inner axis
// is the window's places and channels, columns are output channels. A block has TILE_M x TILE_N numbers of the product and goes along the
// inner axis STEP by STEP; the next steps' operands are on their way to shared memory meanwhile. Sums are in float.
#include "storage.cuh"
#include "async_tiles.cuh"

struct Parameters
{
    const T* x;         // [N, H, W, C]
    const T* x2;        // [N, H, W, C2]: further channels of the same map, or null
    const T* weight;    // [O, kH, kW, C + C2]
    const T* bias;      // [O] or null
    const T* residual;  // like y, or null
    T* y;               // [N, Ho, Wo, O], or where SCATTER is defined [N, 2 Ho, 2 Wo, O / 4]
    int positions;      // N Ho Wo
    int height;
    int width;
    int channels;
    int channels2;
    int output_height;
    int output_width;
    int outputs;
    int kernel_height;
    int kernel_width;
    int stride_y;
    int stride_x;
    int dilation_y;
    int dilation_x;
    int pad_y;
    int pad_x;
    int is_rectified;
};

// Eight elements of an output's position, from an output channel on.
__device__ __forceinline__ void put(const Parameters& p, int position, int output, uint4 packed)
{
    long long at;
#ifdef SCATTER
    const int depth = p.outputs / 4, quarter = output / depth;
    const int column = position % p.output_width, line = position / p.output_width;
    at = ((2LL * line + quarter / 2) * (2 * p.output_width) + 2 * column + quarter % 2) * depth + output % depth;
#else
    at = (long long)position * p.outputs + output;
#endif
    T* values = reinterpret_cast<T*>(&packed);
    const int count = min(8, p.outputs - output);
    const bool is_whole = p.outputs % 8 == 0;
    if (p.residual)
    {
        uint4 added = {0, 0, 0, 0};
        T* addends = reinterpret_cast<T*>(&added);
        if (is_whole)
            added = *reinterpret_cast<const uint4*>(p.residual + at);
        else
        {
#pragma unroll
            for (int i = 0; i < 8; i++)
                addends[i] = i < count ? p.residual[at + i] : 0;
        }
#pragma unroll
        for (int i = 0; i < 8; i++)
            values[i] = to_half(from_half(values[i]) + from_half(addends[i]));
    }
    if (p.is_rectified)
    {
#pragma unroll
        for (int i = 0; i < 8; i++)
            values[i] = values[i] & 0x8000 && (values[i] & 0x7fff) <= 0x7c00 ? 0 : values[i];
    }
    if (is_whole)
        *reinterpret_cast<uint4*>(p.y + at) = packed;
    else
    {
#pragma unroll
        for (int i = 0; i < 8; i++)
        {
            if (i < count)
                p.y[at + i] = values[i];
        }
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) convolve(const Parameters p)
{
    extern __shared__ uint4 memory[];
    const unsigned tiles = aligned_address(memory);
    const int column_tiles = (p.outputs + TILE_N - 1) / TILE_N;
    const int first_output = blockIdx.x % column_tiles * TILE_N, first_position = blockIdx.x / column_tiles * TILE_M;
    const int depth = p.channels + p.channels2, inner = p.kernel_height * p.kernel_width * depth;
    const int steps = (inner + STEP - 1) / STEP;

    // A thread fetches the same eight inner places of some rows.
    const int chunk = threadIdx.x % CHUNKS, own_row = threadIdx.x / CHUNKS;
    int corner[A_ROWS];        // the pixel at the upper left of a position's window
    unsigned int inside[A_ROWS]; // bits of the window's lines inside the map, and from bit 16 on of its columns
#pragma unroll
    for (int i = 0; i < A_ROWS; i++)
    {
        const int position = first_position + own_row + i * ROWS_AT_ONCE;
        corner[i] = 0;
        inside[i] = 0;
        if (position < p.positions)
        {
            const int line = position / p.output_width, picture = line / p.output_height;
            const int left = position % p.output_width * p.stride_x - p.pad_x, top = line % p.output_height * p.stride_y - p.pad_y;
            corner[i] = (picture * p.height + top) * p.width + left;
            for (int k = 0; k < p.kernel_height; k++)
                inside[i] |= (unsigned int)((unsigned int)(top + k * p.dilation_y) < (unsigned int)p.height) << k;
            for (int k = 0; k < p.kernel_width; k++)
                inside[i] |= (unsigned int)((unsigned int)(left + k * p.dilation_x) < (unsigned int)p.width) << (16 + k);
        }
    }
    const T* weights[B_ROWS];
    bool is_output[B_ROWS];
#pragma unroll
    for (int i = 0; i < B_ROWS; i++)
    {
        const int output = first_output + own_row + i * ROWS_AT_ONCE;
        is_output[i] = output < p.outputs;
        weights[i] = p.weight + (is_output[i] ? (long long)output * inner : 0);
    }
    int place = chunk * 8, channel = chunk * 8, tap_y = 0, tap_x = 0;
    auto next_tap = [&]()
    {
        while (channel >= depth)
        {
            channel -= depth;
            if (++tap_x == p.kernel_width)
            {
                tap_x = 0;
                tap_y++;
            }
        }
    };
    next_tap();
    auto fetch = [&](int stage)
    {
        const unsigned target = tiles + stage * STAGE_BYTES + own_row * ROW_BYTES + ((chunk ^ SWIZZLE(own_row)) << 4);
        const bool is_inner = place < inner;
        const bool is_second = channel >= p.channels;
        const T* source = is_second ? p.x2 + (channel - p.channels) : p.x + channel;
        const int row = is_second ? p.channels2 : p.channels;
        const int tap = tap_y * p.dilation_y * p.width + tap_x * p.dilation_x;
        const unsigned int bits = 1u << tap_y | 1u << (16 + tap_x);
#pragma unroll
        for (int i = 0; i < A_ROWS; i++)
        {
            const bool is_valid = is_inner && (inside[i] & bits) == bits;
            copy_async(target + i * ROWS_AT_ONCE * ROW_BYTES, is_valid ? source + (long long)(corner[i] + tap) * row : p.x, is_valid);
        }
#pragma unroll
        for (int i = 0; i < B_ROWS; i++)
        {
            const bool is_valid = is_inner && is_output[i];
            copy_async(target + A_BYTES + i * ROWS_AT_ONCE * ROW_BYTES, is_valid ? weights[i] + place : p.weight, is_valid);
        }
        place += STEP;
        channel += STEP;
        next_tap();
    };

    Sums sums;
    clear(sums);
#pragma unroll
    for (int stage = 0; stage < AHEAD; stage++)
    {
        if (stage < steps)
            fetch(stage);
        commit_copies();
    }
    for (int step = 0; step < steps; step++)
    {
        wait_for_tile();
#ifndef HOPPER
        if (step + AHEAD < steps)
            fetch((step + AHEAD) % STAGES);
        commit_copies();
#endif
        multiply_tile(sums, tiles + step % STAGES * STAGE_BYTES);
#ifdef HOPPER
        if (step + AHEAD < steps)
            fetch((step + AHEAD) % STAGES);
        commit_copies();
        wait_for_product<1>();
#endif
    }
    finish(sums);
    __syncthreads();

    // Through shared memory, so that neighbouring threads write neighbouring channels.
    T* results = reinterpret_cast<T*>(generic_address(memory));
    for_each_pair(sums, [&](int row, int column, float first, float second)
    {
        const int output = first_output + column;
        if (p.bias)
        {
            first += output < p.outputs ? load(p.bias + output) : 0.0f;
            second += output + 1 < p.outputs ? load(p.bias + output + 1) : 0.0f;
        }
        *reinterpret_cast<unsigned int*>(results + row * RESULT_ROW + column) = to_half(first) | (unsigned int)to_half(second) << 16;
    });
    __syncthreads();
    for (int part = threadIdx.x; part < TILE_M * TILE_N / 8; part += THREADS)
    {
        const int row = part / (TILE_N / 8), column = part % (TILE_N / 8) * 8;
        if (first_position + row < p.positions && first_output + column < p.outputs)
            put(p, first_position + row, first_output + column, *reinterpret_cast<uint4*>(results + row * RESULT_ROW + column));
    }
}
