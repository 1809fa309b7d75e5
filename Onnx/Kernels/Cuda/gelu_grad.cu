// The gradient of the exact GELU: g * (Phi(x) + x * phi(x)).

struct Parameters
{
    const float* output_grad; // [count]
    const float* x;           // [count]
    float* x_grad;            // [count]
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
        const float4 g = *(const float4*)(p.output_grad + i);
        const float4 x = *(const float4*)(p.x + i);
        *(float4*)(p.x_grad + i) = make_float4(slope(g.x, x.x), slope(g.y, x.y), slope(g.z, x.z), slope(g.w, x.w));
    }
    else
    {
        for (long long j = i; j < p.count; j++)
            p.x_grad[j] = slope(p.output_grad[j], p.x[j]);
    }
}
