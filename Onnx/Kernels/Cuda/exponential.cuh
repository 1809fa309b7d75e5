// 2^x to about 2 ulp, 0 for negative infinity.
__device__ __forceinline__ float exp2_fast(float x)
{
    float result;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
    return result;
}
