// The last step of reductions that blocks do in parts: adds the parts up in a fixed order.
#include "storage.cuh"

#define WARPS 16

struct Parameters
{
    const float* partials; // [parts, gridDim.y, width]
    T* sums[2];            // [width] for each blockIdx.y
    int parts;
    int width;
};

// A block of WARPS warps has 32 columns.
extern "C" __global__ void sum_partials(const Parameters p)
{
    __shared__ float shared[WARPS][32];
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, column = blockIdx.x * 32 + lane;
    float sum = 0.0f;
    if (column < p.width)
    {
        for (int part = warp; part < p.parts; part += WARPS)
            sum += p.partials[((long long)part * gridDim.y + blockIdx.y) * p.width + column];
    }
    shared[warp][lane] = sum;
    __syncthreads();
    if (warp > 0 || column >= p.width || !p.sums[blockIdx.y])
        return;
    for (int i = 1; i < WARPS; i++)
        sum += shared[i][lane];
    store(p.sums[blockIdx.y] + column, sum);
}
