// The exact GELU: x * Phi(x), with the normal distribution's cumulative function Phi and density phi.
#include "exponential.cuh"

struct Normal
{
    float cumulative, density;
};

// Formula 7.1.26 of Abramowitz and Stegun, exact to 1.5e-7: cheaper than erff, which would take longer than memory does.
__device__ __forceinline__ Normal normal(float x)
{
    const float exponential = exp2_fast(x * x * -0.72134752f);
    const float t = __fdividef(1.0f, fmaf(0.3275911f * 0.70710678f, fabsf(x), 1.0f));
    float p = fmaf(1.061405429f, t, -1.453152027f);
    p = fmaf(p, t, 1.421413741f);
    p = fmaf(p, t, -0.284496736f);
    p = fmaf(p, t, 0.254829592f);
    const float tail = 0.5f * p * t * exponential;
    Normal result;
    result.cumulative = x < 0.0f ? tail : 1.0f - tail;
    result.density = 0.39894228f * exponential;
    return result;
}

__device__ __forceinline__ float gelu(float x)
{
    return x * normal(x).cumulative;
}

__device__ __forceinline__ float gelu_slope(float x)
{
    const Normal n = normal(x);
    return fmaf(x, n.density, n.cumulative);
}
