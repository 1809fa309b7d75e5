// The gradient of softmax over the middle axis of [outer, size, inner]: y * (g - sum(g * y)).
#include "reduction.cuh"

struct Parameters
{
    const float* output_grad;
    const float* y;
    float* x_grad;
    long long outer;
    int size;
    int inner;
};

// One warp a row, for inner = 1.
extern "C" __global__ void softmax_grad_rows(const Parameters p)
{
    const long long row = ((long long)blockIdx.x * blockDim.x + threadIdx.x) >> 5;
    const int lane = threadIdx.x & 31;
    if (row >= p.outer)
        return;
    const float* g = p.output_grad + row * p.size;
    const float* y = p.y + row * p.size;
    float sum = 0.0f;
    for (int i = lane; i < p.size; i += 32)
        sum += g[i] * y[i];
    sum = warp_sum(sum);
    for (int i = lane; i < p.size; i += 32)
        p.x_grad[row * p.size + i] = y[i] * (g[i] - sum);
}

// One thread a column, for inner > 1.
extern "C" __global__ void softmax_grad_columns(const Parameters p)
{
    const long long column = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= p.outer * p.inner)
        return;
    const long long start = column / p.inner * p.size * p.inner + column % p.inner;
    float sum = 0.0f;
    for (int i = 0; i < p.size; i++)
        sum += p.output_grad[start + (long long)i * p.inner] * p.y[start + (long long)i * p.inner];
    for (int i = 0; i < p.size; i++)
    {
        const long long at = start + (long long)i * p.inner;
        p.x_grad[at] = p.y[at] * (p.output_grad[at] - sum);
    }
}
