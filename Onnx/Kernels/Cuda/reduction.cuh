// Sums over the lanes of a warp and over the threads of a block, in a fixed order.

__device__ __forceinline__ float warp_sum(float value)
{
    for (int lanes = 16; lanes > 0; lanes >>= 1)
        value += __shfl_xor_sync(0xffffffffu, value, lanes);
    return value;
}

// The sum over all threads of the block, in every thread. `shared` holds 32 floats; blocks are whole warps.
__device__ __forceinline__ float block_sum(float value, float* shared)
{
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    value = warp_sum(value);
    __syncthreads();
    if (lane == 0)
        shared[warp] = value;
    __syncthreads();
    return warp_sum(lane < (int)(blockDim.x >> 5) ? shared[lane] : 0.0f);
}
