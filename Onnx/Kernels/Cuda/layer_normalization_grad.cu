// The gradient of layer normalisation over the rows of [rows, width].
#include "reduction.cuh"

struct Parameters
{
    const float* output_grad; // [rows, width]
    const float* x;           // [rows, width]
    const float* scale;       // [width]
    float* x_grad;            // [rows, width]
    float2* statistics;       // [rows]: mean and inverse standard deviation
    float* partials;          // [strips, 2, width]: sums of g * normalized and of g over the rows of a strip
    long long rows;
    int width;
    int strips;
    float epsilon;
};

// One warp a row.
extern "C" __global__ void input_gradient(const Parameters p)
{
    const long long row = ((long long)blockIdx.x * blockDim.x + threadIdx.x) >> 5;
    const int lane = threadIdx.x & 31;
    if (row >= p.rows)
        return;
    const float* g = p.output_grad + row * p.width;
    const float* x = p.x + row * p.width;
    float sum = 0.0f;
    for (int i = lane; i < p.width; i += 32)
        sum += x[i];
    const float mean = warp_sum(sum) / p.width;
    float squares = 0.0f, scaled = 0.0f, weighted = 0.0f;
    for (int i = lane; i < p.width; i += 32)
    {
        const float centered = x[i] - mean, gradient = g[i] * p.scale[i];
        squares += centered * centered;
        scaled += gradient;
        weighted += gradient * centered;
    }
    const float inverse = rsqrtf(warp_sum(squares) / p.width + p.epsilon);
    scaled = warp_sum(scaled) / p.width;
    weighted = warp_sum(weighted) / p.width * inverse * inverse;
    for (int i = lane; i < p.width; i += 32)
        p.x_grad[row * p.width + i] = inverse * (g[i] * p.scale[i] - scaled - (x[i] - mean) * weighted);
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
            const float g = p.output_grad[row * p.width + column];
            weighted += g * (p.x[row * p.width + column] - statistics.x) * statistics.y;
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

struct Sums
{
    const float* partials; // [strips, 2, width]
    float* scale_grad;     // [width]
    float* bias_grad;      // [width]
    int width;
    int strips;
};

// A thread a column; blockIdx.y tells scale (0) from bias (1).
extern "C" __global__ void sum_strips(const Sums p)
{
    const int column = blockIdx.x * blockDim.x + threadIdx.x;
    float* result = blockIdx.y == 0 ? p.scale_grad : p.bias_grad;
    if (column >= p.width || !result)
        return;
    float sum = 0.0f;
    for (int strip = 0; strip < p.strips; strip++)
        sum += p.partials[((long long)strip * 2 + blockIdx.y) * p.width + column];
    result[column] = sum;
}
