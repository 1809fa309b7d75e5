// How threads lie over the rows of [rows, width]. Those of a block lie side by side over up to 256 times STEP columns and, where rows are
// narrower, over several rows; each keeps its columns and goes down a strip of rows. The same struct is in RowStrips.cs.
#include "storage.cuh"

#define THREADS 256

struct RowStrips
{
    long long rows;
    int width;
    int count;
};

struct Place
{
    int across;           // threads side by side over columns
    int together;         // rows that the block takes at a time
    int column;
    long long row, last;
};

__device__ __forceinline__ Place place(const RowStrips& s)
{
    Place at;
    at.across = min(s.width / STEP - (int)blockIdx.x * THREADS, THREADS);
    at.together = THREADS / at.across;
    at.column = (blockIdx.x * THREADS + threadIdx.x % at.across) * STEP;
    at.row = s.rows * blockIdx.y / s.count + threadIdx.x / at.across;
    at.last = (int)threadIdx.x / at.across < at.together ? s.rows * (blockIdx.y + 1) / s.count : 0;
    return at;
}

__device__ __forceinline__ void load_step(float (&values)[STEP], const T* source)
{
#if STEP == 4
    const float4 four = load4(source);
    values[0] = four.x;
    values[1] = four.y;
    values[2] = four.z;
    values[3] = four.w;
#else
    values[0] = load(source);
#endif
}

__device__ __forceinline__ void store_step(T* target, const float (&values)[STEP])
{
#if STEP == 4
    store4(target, make_float4(values[0], values[1], values[2], values[3]));
#else
    store(target, values[0]);
#endif
}

// Adds up what the threads of a block summed over their rows, to a strip's part of partials [strips, width].
__device__ __forceinline__ void store_strip(float* partials, const RowStrips& s, const Place& at, float (&sums)[STEP])
{
    __shared__ float shared[STEP][THREADS];
#pragma unroll
    for (int i = 0; i < STEP; i++)
        shared[i][threadIdx.x] = sums[i];
    __syncthreads();
    if ((int)threadIdx.x >= at.across)
        return;
#pragma unroll
    for (int i = 0; i < STEP; i++)
    {
        for (int row = 1; row < at.together; row++)
            sums[i] += shared[i][row * at.across + threadIdx.x];
        partials[(long long)blockIdx.y * s.width + at.column + i] = sums[i];
    }
}
