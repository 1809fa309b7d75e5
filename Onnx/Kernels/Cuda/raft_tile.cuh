// The order of raft-token mixing. A column of the map, H positions of C channels, is one tile; its tokens are the same elements with the
// positions innermost: token (j, g, y) is channel g * C / r + j of position y, at (j * r + g) * H + y.
#include "storage.cuh"
#include "reduction.cuh"

struct Sizes
{
    long long columns; // N * W
    int height;        // H
    int width;         // W
    int channels;      // C
    int raft_size;     // r
    int rows;          // positions of a column in one tile; H, unless they do not fit into shared memory
};

// A part of a column, as the kernels take it: rows [first, first + rows) of the column.
struct Tile
{
    long long column;
    int first;
    int rows;
};

__device__ __forceinline__ int tiles_of_column(const Sizes& s)
{
    return (s.height + s.rows - 1) / s.rows;
}

__device__ __forceinline__ Tile tile_at(const Sizes& s, long long index)
{
    const int count = tiles_of_column(s);
    const int first = (int)(index % count) * s.rows;
    return {index / count, first, min(s.rows, s.height - first)};
}

// Where a tile begins in the map, and from one row of it to the next.
__device__ __forceinline__ long long first_of_map(const Sizes& s, const Tile& tile)
{
    const long long example = tile.column / s.width;
    return ((example * s.height + tile.first) * s.width + tile.column % s.width) * s.channels;
}

__device__ __forceinline__ long long row_pitch(const Sizes& s)
{
    return (long long)s.width * s.channels;
}

// Where a tile begins in the tokens.
__device__ __forceinline__ long long first_token(const Sizes& s, const Tile& tile)
{
    return tile.column * s.channels * s.height + tile.first;
}

// Rows of the tile in shared memory are one element longer than they are, so that a walk along a column meets all banks.
__device__ __forceinline__ int tile_stride(const Sizes& s)
{
    return s.channels + 1;
}

// The token number of a channel, j * r + g: also the order of the normalisation's parameters.
__device__ __forceinline__ int token_of_channel(const Sizes& s, int channel)
{
    const int per_group = s.channels / s.raft_size;
    return channel % per_group * s.raft_size + channel / per_group;
}

// Walks over a tile in steps of the block's size, channels innermost. Places are the digits of a number, so that nothing is divided.
struct MapWalk
{
    int row, channel;
    int step_row, step_channel, channels;

    __device__ __forceinline__ MapWalk(const Sizes& s) : channels(s.channels)
    {
        row = threadIdx.x / channels;
        channel = threadIdx.x % channels;
        step_row = blockDim.x / channels;
        step_channel = blockDim.x % channels;
    }

    __device__ __forceinline__ void next()
    {
        row += step_row;
        channel += step_channel;
        if (channel >= channels)
        {
            channel -= channels;
            row++;
        }
    }
};

// The same with rows innermost: row, then g, then j.
struct TokenWalk
{
    int row, g, j;
    int step_row, step_g, step_j, rows, raft_size, per_group;

    __device__ __forceinline__ TokenWalk(const Sizes& s, const Tile& tile)
        : rows(tile.rows), raft_size(s.raft_size), per_group(s.channels / s.raft_size)
    {
        row = threadIdx.x % rows;
        g = threadIdx.x / rows % raft_size;
        j = threadIdx.x / rows / raft_size;
        step_row = blockDim.x % rows;
        step_g = blockDim.x / rows % raft_size;
        step_j = blockDim.x / rows / raft_size;
    }

    __device__ __forceinline__ void next()
    {
        row += step_row;
        g += step_g;
        j += step_j;
        if (row >= rows)
        {
            row -= rows;
            g++;
        }
        if (g >= raft_size)
        {
            g -= raft_size;
            j++;
        }
    }

    __device__ __forceinline__ int channel() const
    {
        return g * per_group + j;
    }

    __device__ __forceinline__ int token() const
    {
        return j * raft_size + g;
    }
};

// write(place, read(place)) for all elements of a tile; a thread reads several before it writes, so that their waits overlap.
template <typename Walk, typename Read, typename Write>
__device__ __forceinline__ void for_each(int count, Walk walk, Read read, Write write)
{
    constexpr int BATCH = 4;
    for (int i = threadIdx.x; i < count; i += BATCH * blockDim.x)
    {
        const Walk start = walk;
        float values[BATCH];
#pragma unroll
        for (int k = 0; k < BATCH; k++)
        {
            if (i + k * (int)blockDim.x < count)
                values[k] = read(walk);
            walk.next();
        }
        Walk place = start;
#pragma unroll
        for (int k = 0; k < BATCH; k++)
        {
            if (i + k * (int)blockDim.x < count)
                write(place, values[k]);
            place.next();
        }
    }
}
