// GELU of rows plus a bias, and its gradient.
#include "gelu.cuh"
#include "row_strips.cuh"

struct Parameters
{
    const T* output_grad; // [rows, width]; null in the forward pass
    const T* x;           // [rows, width]
    const T* bias;        // [width]
    T* result;            // [rows, width]: y, or the gradient of x
    float* partials;      // [strips, width]: sums of the gradient of x over the rows of a strip
    RowStrips strips;
};

extern "C" __global__ void bias_gelu(const Parameters p)
{
    const Place at = place(p.strips);
    float bias[STEP];
    load_step(bias, p.bias + at.column);
    for (long long row = at.row; row < at.last; row += at.together)
    {
        float x[STEP];
        load_step(x, p.x + row * p.strips.width + at.column);
#pragma unroll
        for (int i = 0; i < STEP; i++)
            x[i] = gelu(x[i] + bias[i]);
        store_step(p.result + row * p.strips.width + at.column, x);
    }
}

extern "C" __global__ void bias_gelu_grad(const Parameters p)
{
    const Place at = place(p.strips);
    float bias[STEP], sums[STEP] = {};
    load_step(bias, p.bias + at.column);
    for (long long row = at.row; row < at.last; row += at.together)
    {
        float x[STEP], g[STEP];
        load_step(x, p.x + row * p.strips.width + at.column);
        load_step(g, p.output_grad + row * p.strips.width + at.column);
#pragma unroll
        for (int i = 0; i < STEP; i++)
        {
            g[i] *= gelu_slope(x[i] + bias[i]);
            sums[i] += g[i];
        }
        store_step(p.result + row * p.strips.width + at.column, g);
    }
    store_strip(p.partials, p.strips, at, sums);
}
