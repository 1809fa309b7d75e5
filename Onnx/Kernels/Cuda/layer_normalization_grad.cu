// The gradient of layer normalisation over the rows of [rows, width].
#include "reduction.cuh"
#include "storage.cuh"

struct Parameters
{
    const T* output_grad; // [rows, width]
    const T* x;           // [rows, width]
    const T* scale;       // [width]
    T* x_grad;            // [rows, width]
    float2* statistics;   // [rows]: mean and inverse standard deviation; null for `together`
    float* partials;      // [strips, 2, width]: sums of g * normalized and of g over the rows of a strip
    long long rows;
    int width;
    int strips;
    float epsilon;
};

#ifdef LANES
// LANES lanes of a warp take a row, each VECTORS times four columns; a block of eight warps takes a strip of rows. What a lane needs of
// the row, and its columns' sums over the rows, are in registers: all is read once and written once.

__device__ __forceinline__ float row_sum(float value)
{
#pragma unroll
    for (int lanes = LANES / 2; lanes > 0; lanes >>= 1)
        value += __shfl_xor_sync(0xffffffffu, value, lanes);
    return value;
}

// The sum over the lanes of a warp that have the same columns.
__device__ __forceinline__ float column_sum(float value)
{
#pragma unroll
    for (int lanes = 16; lanes >= LANES; lanes >>= 1)
        value += __shfl_xor_sync(0xffffffffu, value, lanes);
    return value;
}

__device__ __forceinline__ float total(float4 value)
{
    return value.x + value.y + value.z + value.w;
}

extern "C" __global__ void together(const Parameters p)
{
    __shared__ float4 shared[8][2][LANES * VECTORS];
    const int lane = threadIdx.x % LANES, group = threadIdx.x / LANES, groups = 256 / LANES;
    const long long first = p.rows * blockIdx.x / p.strips, last = p.rows * (blockIdx.x + 1) / p.strips;
    const float4 zero = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    float4 scale[VECTORS], weighted[VECTORS], plain[VECTORS];
#pragma unroll
    for (int v = 0; v < VECTORS; v++)
    {
        const int column = (v * LANES + lane) * 4;
        scale[v] = column < p.width ? load4(p.scale + column) : zero;
        weighted[v] = plain[v] = zero;
    }
    for (long long start = first; start < last; start += groups)
    {
        const long long row = start + group;
        float4 x[VECTORS], g[VECTORS];
        float sum = 0.0f;
#pragma unroll
        for (int v = 0; v < VECTORS; v++)
        {
            const int column = (v * LANES + lane) * 4;
            const bool inside = row < last && column < p.width;
            x[v] = inside ? load4(p.x + row * p.width + column) : zero;
            g[v] = inside ? load4(p.output_grad + row * p.width + column) : zero;
            sum += total(x[v]);
        }
        const float mean = row_sum(sum) / p.width;
        float squares = 0.0f, scaled = 0.0f, products = 0.0f;
#pragma unroll
        for (int v = 0; v < VECTORS; v++)
        {
            if ((v * LANES + lane) * 4 >= p.width)
                continue;
            x[v] = make_float4(x[v].x - mean, x[v].y - mean, x[v].z - mean, x[v].w - mean);
            squares += x[v].x * x[v].x + x[v].y * x[v].y + x[v].z * x[v].z + x[v].w * x[v].w;
            const float4 s = make_float4(g[v].x * scale[v].x, g[v].y * scale[v].y, g[v].z * scale[v].z, g[v].w * scale[v].w);
            scaled += total(s);
            products += s.x * x[v].x + s.y * x[v].y + s.z * x[v].z + s.w * x[v].w;
        }
        const float inverse = rsqrtf(row_sum(squares) / p.width + p.epsilon);
        scaled = row_sum(scaled) / p.width;
        products = row_sum(products) / p.width * inverse * inverse;
#pragma unroll
        for (int v = 0; v < VECTORS; v++)
        {
            const int column = (v * LANES + lane) * 4;
            if (row >= last || column >= p.width)
                continue;
            const float4 a = g[v], c = x[v];
            store4(p.x_grad + row * p.width + column, make_float4(
                inverse * (a.x * scale[v].x - scaled - c.x * products), inverse * (a.y * scale[v].y - scaled - c.y * products),
                inverse * (a.z * scale[v].z - scaled - c.z * products), inverse * (a.w * scale[v].w - scaled - c.w * products)));
            weighted[v].x += a.x * c.x * inverse;
            weighted[v].y += a.y * c.y * inverse;
            weighted[v].z += a.z * c.z * inverse;
            weighted[v].w += a.w * c.w * inverse;
            plain[v].x += a.x;
            plain[v].y += a.y;
            plain[v].z += a.z;
            plain[v].w += a.w;
        }
    }
    const int warp = threadIdx.x >> 5;
#pragma unroll
    for (int v = 0; v < VECTORS; v++)
    {
        const float4 w = weighted[v], g = plain[v];
        shared[warp][0][v * LANES + lane] = make_float4(column_sum(w.x), column_sum(w.y), column_sum(w.z), column_sum(w.w));
        shared[warp][1][v * LANES + lane] = make_float4(column_sum(g.x), column_sum(g.y), column_sum(g.z), column_sum(g.w));
    }
    __syncthreads();
    for (int i = threadIdx.x; i < 2 * p.width; i += 256)
    {
        const int which = i / p.width, column = i % p.width;
        float sum = 0.0f;
        for (int other = 0; other < 8; other++)
            sum += reinterpret_cast<const float*>(shared[other][which])[column];
        p.partials[(long long)blockIdx.x * 2 * p.width + i] = sum;
    }
}
#endif

// Rows of any width. One warp a row.
extern "C" __global__ void input_gradient(const Parameters p)
{
    const long long row = ((long long)blockIdx.x * blockDim.x + threadIdx.x) >> 5;
    const int lane = threadIdx.x & 31;
    if (row >= p.rows)
        return;
    const T* g = p.output_grad + row * p.width;
    const T* x = p.x + row * p.width;
    float sum = 0.0f;
    for (int i = lane; i < p.width; i += 32)
        sum += load(x + i);
    const float mean = warp_sum(sum) / p.width;
    float squares = 0.0f, scaled = 0.0f, weighted = 0.0f;
    for (int i = lane; i < p.width; i += 32)
    {
        const float centered = load(x + i) - mean, gradient = load(g + i) * load(p.scale + i);
        squares += centered * centered;
        scaled += gradient;
        weighted += gradient * centered;
    }
    const float inverse = rsqrtf(warp_sum(squares) / p.width + p.epsilon);
    scaled = warp_sum(scaled) / p.width;
    weighted = warp_sum(weighted) / p.width * inverse * inverse;
    for (int i = lane; i < p.width; i += 32)
    {
        const float gradient = load(g + i) * load(p.scale + i);
        store(p.x_grad + row * p.width + i, inverse * (gradient - scaled - (load(x + i) - mean) * weighted));
    }
    if (lane == 0)
        p.statistics[row] = make_float2(mean, inverse);
}

// Blocks of 32 columns by 8 rows; blockIdx.y is the strip.
extern "C" __global__ void column_sums(const Parameters p)
{
    __shared__ float shared[2][8][32];
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    const int column = blockIdx.x * 32 + lane;
    const long long first = p.rows * blockIdx.y / p.strips, last = p.rows * (blockIdx.y + 1) / p.strips;
    float weighted = 0.0f, plain = 0.0f;
    if (column < p.width)
    {
        for (long long row = first + warp; row < last; row += 8)
        {
            const float2 statistics = p.statistics[row];
            const float g = load(p.output_grad + row * p.width + column);
            weighted += g * (load(p.x + row * p.width + column) - statistics.x) * statistics.y;
            plain += g;
        }
    }
    shared[0][warp][lane] = weighted;
    shared[1][warp][lane] = plain;
    __syncthreads();
    if (warp < 2 && column < p.width)
    {
        float sum = 0.0f;
        for (int i = 0; i < 8; i++)
            sum += shared[warp][i][lane];
        p.partials[((long long)blockIdx.y * 2 + warp) * p.width + column] = sum;
    }
}
