// The gradient of softmax over the middle axis of [outer, size, inner]: y * (g - sum(g * y)).
#include "reduction.cuh"
#include "storage.cuh"

struct Parameters
{
    const T* output_grad;
    const T* y;
    T* x_grad;
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
    const T* g = p.output_grad + row * p.size;
    const T* y = p.y + row * p.size;
    T* result = p.x_grad + row * p.size;
    float sum = 0.0f;
    if (p.size % 4 == 0)
    {
        for (int i = lane * 4; i < p.size; i += 128)
        {
            const float4 a = load4(g + i), b = load4(y + i);
            sum += a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w;
        }
        sum = warp_sum(sum);
        for (int i = lane * 4; i < p.size; i += 128)
        {
            const float4 a = load4(g + i), b = load4(y + i);
            store4(result + i, make_float4(b.x * (a.x - sum), b.y * (a.y - sum), b.z * (a.z - sum), b.w * (a.w - sum)));
        }
    }
    else
    {
        for (int i = lane; i < p.size; i += 32)
            sum += load(g + i) * load(y + i);
        sum = warp_sum(sum);
        for (int i = lane; i < p.size; i += 32)
            store(result + i, load(y + i) * (load(g + i) - sum));
    }
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
        sum += load(p.output_grad + start + (long long)i * p.inner) * load(p.y + start + (long long)i * p.inner);
    for (int i = 0; i < p.size; i++)
    {
        const long long at = start + (long long)i * p.inner;
        store(p.x_grad + at, load(p.y + at) * (load(p.output_grad + at) - sum));
    }
}
