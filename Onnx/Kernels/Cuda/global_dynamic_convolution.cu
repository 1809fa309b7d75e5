// Global dynamic convolution: products of matrices, one a picture, the last of them with the residual sum.
// A block has TILE x TILE numbers of a product and goes along the inner axis STEP by STEP. Sums are in float. float16 goes to the tensor
// cores, float to the ordinary units: their tf32 would lose 13 bits.
#include "reduction.cuh"
#include "storage.cuh"

#define TILE 128
#define THREADS 256

struct Constants
{
    const T* projection; // [channels, tokens]
    const T* offset;     // [1]
    const T* bias;       // [channels]
    float* constants;    // [channels]
    int channels;
    int tokens;
};

// What is added to a channel at every position: projection offset + bias. A warp a channel.
extern "C" __global__ void channel_constants(const Constants p)
{
    const int channel = (blockIdx.x * blockDim.x + threadIdx.x) / 32, lane = threadIdx.x & 31;
    if (channel >= p.channels)
        return;
    float sum = 0.0f;
    for (int token = lane; token < p.tokens; token += 32)
        sum += load(p.projection + (long long)channel * p.tokens + token);
    sum = warp_sum(sum);
    if (lane == 0)
        p.constants[channel] = load(p.offset) * sum + load(p.bias + channel);
}

// result = a b, or with constants: addend + a b + constants of the rows. Each may have one matrix a picture.
struct Product
{
    const T* a;             // [rows, inner]
    const T* b;             // [inner, columns]
    const T* addend;        // [rows, columns] or null
    const float* constants; // [rows] or null
    T* result;              // [rows, columns]
    long long a_size;       // from one picture's to the next; 0 for the same one
    long long b_size;
    int rows;
    int inner;
    int columns;
};

__device__ __forceinline__ void put(const Product& p, long long picture, int row, int column, float value)
{
    if (row >= p.rows || column >= p.columns)
        return;
    const long long at = picture * p.rows * p.columns + (long long)row * p.columns + column;
    store(p.result + at, p.addend ? load(p.addend + at) + value + p.constants[row] : value);
}

#ifdef T_HALF
#include "tensor_cores.cuh"

#define STEP 32
#define A_STRIDE (STEP + 8) // elements; the padding keeps rows apart in the banks
#define B_STRIDE (TILE + 8)

// Eight elements of a matrix's row from a column on; those beyond its edges are 0.
__device__ __forceinline__ uint4 load8(const T* matrix, int rows, int columns, int row, int column)
{
    uint4 packed = {0, 0, 0, 0};
    if (row >= rows || column >= columns)
        return packed;
    const T* source = matrix + (long long)row * columns + column;
    if (columns % 8 == 0)
        return *reinterpret_cast<const uint4*>(source);
    T* elements = reinterpret_cast<T*>(&packed);
    for (int i = 0; i < 8 && column + i < columns; i++)
        elements[i] = source[i];
    return packed;
}

// Eight warps, two by four: each has 64 rows and 32 columns of the tile.
extern "C" __global__ void __launch_bounds__(THREADS) product(const Product p)
{
    alignas(16) __shared__ T a_tile[TILE * A_STRIDE];
    alignas(16) __shared__ T b_tile[STEP * B_STRIDE];
    const int first_row = blockIdx.y * TILE, first_column = blockIdx.x * TILE;
    const long long picture = blockIdx.z;
    const T* a = p.a + picture * p.a_size;
    const T* b = p.b + picture * p.b_size;
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    const int warp_row = warp / 4 * 64, warp_column = warp % 4 * 32;

    float sums[4][4][4] = {};
    uint4 a_next[2], b_next[2];
    // A thread's share of the next step's tiles: eight elements at two places of each.
    auto fetch = [&](int step)
    {
#pragma unroll
        for (int i = 0; i < 2; i++)
        {
            const int part = threadIdx.x + i * THREADS;
            a_next[i] = load8(a, p.rows, p.inner, first_row + part / (STEP / 8), step + part % (STEP / 8) * 8);
            b_next[i] = load8(b, p.inner, p.columns, step + part / (TILE / 8), first_column + part % (TILE / 8) * 8);
        }
    };
    fetch(0);
    for (int step = 0; step < p.inner; step += STEP)
    {
        __syncthreads();
#pragma unroll
        for (int i = 0; i < 2; i++)
        {
            const int part = threadIdx.x + i * THREADS;
            *reinterpret_cast<uint4*>(a_tile + part / (STEP / 8) * A_STRIDE + part % (STEP / 8) * 8) = a_next[i];
            *reinterpret_cast<uint4*>(b_tile + part / (TILE / 8) * B_STRIDE + part % (TILE / 8) * 8) = b_next[i];
        }
        __syncthreads();
        if (step + STEP < p.inner)
            fetch(step + STEP);
#pragma unroll
        for (int k = 0; k < STEP; k += 16)
        {
            unsigned a_part[4][4], b_part[2][4];
#pragma unroll
            for (int i = 0; i < 4; i++)
                load_matrices(a_part[i], a_tile + (warp_row + i * 16 + (lane & 15)) * A_STRIDE + k + (lane >> 4) * 8);
#pragma unroll
            for (int j = 0; j < 2; j++)
                load_transposed(b_part[j], b_tile + (k + (lane & 15)) * B_STRIDE + warp_column + j * 16 + (lane >> 4) * 8);
#pragma unroll
            for (int i = 0; i < 4; i++)
#pragma unroll
                for (int j = 0; j < 4; j++)
                    multiply(sums[i][j], a_part[i], b_part[j / 2][j % 2 * 2], b_part[j / 2][j % 2 * 2 + 1]);
        }
    }
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
        for (int j = 0; j < 4; j++)
#pragma unroll
            for (int part = 0; part < 4; part++)
            {
                const int row = first_row + warp_row + i * 16 + lane / 4 + part / 2 * 8;
                put(p, picture, row, first_column + warp_column + j * 8 + lane % 4 * 2 + part % 2, sums[i][j][part]);
            }
}

#else

#define STEP 8

// A thread has 8 x 8 numbers of the tile: rows and columns 4 i .. 4 i + 3 and 64 further on.
extern "C" __global__ void __launch_bounds__(THREADS) product(const Product p)
{
    alignas(16) __shared__ float a_tile[STEP][TILE + 4]; // transposed
    alignas(16) __shared__ float b_tile[STEP][TILE];
    const int first_row = blockIdx.y * TILE, first_column = blockIdx.x * TILE;
    const long long picture = blockIdx.z;
    const T* a = p.a + picture * p.a_size;
    const T* b = p.b + picture * p.b_size;
    const int own_row = threadIdx.x / 16 * 4, own_column = threadIdx.x % 16 * 4;

    float sums[8][8] = {};
    float a_next[4], b_next[4];
    auto fetch = [&](int step)
    {
#pragma unroll
        for (int i = 0; i < 4; i++)
        {
            const int part = threadIdx.x + i * THREADS;
            const int a_row = first_row + part / STEP, a_column = step + part % STEP;
            a_next[i] = a_row < p.rows && a_column < p.inner ? load(a + (long long)a_row * p.inner + a_column) : 0.0f;
            const int b_row = step + part / TILE, b_column = first_column + part % TILE;
            b_next[i] = b_row < p.inner && b_column < p.columns ? load(b + (long long)b_row * p.columns + b_column) : 0.0f;
        }
    };
    fetch(0);
    for (int step = 0; step < p.inner; step += STEP)
    {
        __syncthreads();
#pragma unroll
        for (int i = 0; i < 4; i++)
        {
            const int part = threadIdx.x + i * THREADS;
            a_tile[part % STEP][part / STEP] = a_next[i];
            b_tile[part / TILE][part % TILE] = b_next[i];
        }
        __syncthreads();
        if (step + STEP < p.inner)
            fetch(step + STEP);
#pragma unroll
        for (int k = 0; k < STEP; k++)
        {
            alignas(16) float x[8], y[8];
#pragma unroll
            for (int half = 0; half < 2; half++)
            {
                *reinterpret_cast<float4*>(x + half * 4) = *reinterpret_cast<const float4*>(&a_tile[k][own_row + half * 64]);
                *reinterpret_cast<float4*>(y + half * 4) = *reinterpret_cast<const float4*>(&b_tile[k][own_column + half * 64]);
            }
#pragma unroll
            for (int i = 0; i < 8; i++)
#pragma unroll
                for (int j = 0; j < 8; j++)
                    sums[i][j] = fmaf(x[i], y[j], sums[i][j]);
        }
    }
#pragma unroll
    for (int i = 0; i < 8; i++)
#pragma unroll
        for (int j = 0; j < 8; j++)
        {
            const int row = first_row + own_row + i / 4 * 64 + i % 4, column = first_column + own_column + j / 4 * 64 + j % 4;
            put(p, picture, row, column, sums[i][j]);
        }
}

#endif
