// The gradient of the exact GELU.
#include "gelu.cuh"
#include "storage.cuh"

struct Parameters
{
    const T* output_grad; // [count]
    const T* x;           // [count]
    T* x_grad;            // [count]
    long long count;
};

extern "C" __global__ void gelu_grad(const Parameters p)
{
    const long long i = ((long long)blockIdx.x * blockDim.x + threadIdx.x) * 4;
    if (i + 4 <= p.count)
    {
        const float4 g = load4(p.output_grad + i), x = load4(p.x + i);
        store4(p.x_grad + i,
            make_float4(g.x * gelu_slope(x.x), g.y * gelu_slope(x.y), g.z * gelu_slope(x.z), g.w * gelu_slope(x.w)));
    }
    else
    {
        for (long long j = i; j < p.count; j++)
            store(p.x_grad + j, load(p.output_grad + j) * gelu_slope(load(p.x + j)));
    }
}
