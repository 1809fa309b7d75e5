// GELU of rows plus a bias, and its gradient. Threads of a block lie side by side over up to 256 times STEP columns and, where rows are
// narrower, over several rows; each keeps its columns and goes down a strip of rows.
#include "gelu.cuh"
#include "storage.cuh"

#define THREADS 256

struct Parameters
{
    const T* output_grad; // [rows, width]; null in the forward pass
    const T* x;           // [rows, width]
    const T* bias;        // [width]
    T* result;            // [rows, width]: y, or the gradient of x
    float* partials;      // [strips, width]: sums of the gradient of x over the rows of a strip
    long long rows;
    int width;
    int strips;
};

struct Place
{
    int across;           // threads side by side over columns
    int together;         // rows that the block takes at a time
    int column;
    long long row, last;
};

__device__ __forceinline__ Place place(const Parameters& p)
{
    Place at;
    at.across = min(p.width / STEP - (int)blockIdx.x * THREADS, THREADS);
    at.together = THREADS / at.across;
    at.column = (blockIdx.x * THREADS + threadIdx.x % at.across) * STEP;
    at.row = p.rows * blockIdx.y / p.strips + threadIdx.x / at.across;
    at.last = (int)threadIdx.x / at.across < at.together ? p.rows * (blockIdx.y + 1) / p.strips : 0;
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

extern "C" __global__ void bias_gelu(const Parameters p)
{
    const Place at = place(p);
    float bias[STEP];
    load_step(bias, p.bias + at.column);
    for (long long row = at.row; row < at.last; row += at.together)
    {
        float x[STEP];
        load_step(x, p.x + row * p.width + at.column);
#pragma unroll
        for (int i = 0; i < STEP; i++)
            x[i] = gelu(x[i] + bias[i]);
        store_step(p.result + row * p.width + at.column, x);
    }
}

extern "C" __global__ void bias_gelu_grad(const Parameters p)
{
    __shared__ float shared[STEP][THREADS];
    const Place at = place(p);
    float bias[STEP], sums[STEP] = {};
    load_step(bias, p.bias + at.column);
    for (long long row = at.row; row < at.last; row += at.together)
    {
        float x[STEP], g[STEP];
        load_step(x, p.x + row * p.width + at.column);
        load_step(g, p.output_grad + row * p.width + at.column);
#pragma unroll
        for (int i = 0; i < STEP; i++)
        {
            g[i] *= gelu_slope(x[i] + bias[i]);
            sums[i] += g[i];
        }
        store_step(p.result + row * p.width + at.column, g);
    }
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
        p.partials[(long long)blockIdx.y * p.width + at.column + i] = sums[i];
    }
}
