// The gradient of the exact GELU: g * (Phi(x) + x * phi(x)).
#include "storage.cuh"

struct Parameters
{
    const T* output_grad; // [count]
    const T* x;           // [count]
    T* x_grad;            // [count]
    long long count;
};

__device__ __forceinline__ float slope(float g, float x)
{
    const float cumulative = 0.5f + 0.5f * erff(x * 0.70710678118654752f);
    const float density = 0.39894228040143268f * expf(-0.5f * x * x);
    return g * (cumulative + x * density);
}

extern "C" __global__ void gelu_grad(const Parameters p)
{
    const long long i = ((long long)blockIdx.x * blockDim.x + threadIdx.x) * 4;
    if (i + 4 <= p.count)
    {
        const float4 g = load4(p.output_grad + i), x = load4(p.x + i);
        store4(p.x_grad + i, make_float4(slope(g.x, x.x), slope(g.y, x.y), slope(g.z, x.z), slope(g.w, x.w)));
    }
    else
    {
        for (long long j = i; j < p.count; j++)
            store(p.x_grad + j, slope(load(p.output_grad + j), load(p.x + j)));
    }
}
