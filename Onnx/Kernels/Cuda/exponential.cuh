// 2^x to about 2 ulp, 0 for negative infinity.
__device__ __forceinline__ float exp2_fast(float x)
{
    float result;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
    return result;
}

// The logarithm to base 2 to about 1e-7.
__device__ __forceinline__ float log2_fast(float x)
{
    float result;
    asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
    return result;
}
