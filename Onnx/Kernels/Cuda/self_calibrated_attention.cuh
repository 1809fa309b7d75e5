// What self-calibrated cross attention and its gradient have in common, after attention_tile.cuh. The same struct is in
// SelfCalibratedSizes.cs.

#define COSINE_EPSILON 1e-7f

struct Sizes
{
    int windows;  // of an element of the batch
    int length;   // positions of a window
    int support_batch;
    int support_windows;
    int support_length;
    int heads;
    float scale;  // of the products with a window's own keys
};

__device__ __forceinline__ int channels_of(const Sizes& s)
{
    return s.heads * HEAD_WIDTH;
}

// The rows of a head of a window's queries, 3 channels_of(s) apart; the keys and values are channels_of(s) behind each other.
__device__ __forceinline__ const T* own_rows(const T* packed, const Sizes& s, long long window, int head)
{
    return packed + window * s.length * 3 * channels_of(s) + head * HEAD_WIDTH;
}

// The rows of a head of the keys of a window of the support, 2 channels_of(s) apart.
__device__ __forceinline__ const T* support_rows(const T* support, const Sizes& s, long long window, int head)
{
    return support + window * s.support_length * 2 * channels_of(s) + head * HEAD_WIDTH;
}

// The window of the support, among those of all its elements, that a window attends to. What is beyond the last counts as the last.
__device__ __forceinline__ long long aligned(const long long* index, const Sizes& s, long long window)
{
    const long long chosen = max(0ll, min(index[window], (long long)s.support_windows - 1));
    return window / s.windows % s.support_batch * s.support_windows + chosen;
}

__device__ __forceinline__ float norm_of(const float* row)
{
    float sum = 0.0f;
#pragma unroll 8
    for (int column = 0; column < HEAD_WIDTH; column++)
        sum = fmaf(row[column], row[column], sum);
    return sqrtf(sum);
}

// The norms of ROWS rows that lie one behind another.
__device__ __forceinline__ void norms_of(float (&norms)[ROWS], const float* rows)
{
    const int lane = threadIdx.x & 31;
#pragma unroll
    for (int r = 0; r < ROWS; r++)
    {
        float sum = 0.0f;
        for (int column = lane; column < HEAD_WIDTH; column += 32)
            sum = fmaf(rows[r * HEAD_WIDTH + column], rows[r * HEAD_WIDTH + column], sum);
        norms[r] = sqrtf(warp_sum(sum));
    }
}

// Copies 32 positions from `start` on into a tile, each warp its share.
__device__ __forceinline__ void stage_tile(float* tile, const T* rows, int row, int start, int positions)
{
    constexpr int SHARE = 32 / WARPS;
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    const int staged = start + warp * SHARE + lane;
    const int place = lane < SHARE && staged < positions ? staged : -1;
    stage<SHARE, HEAD_WIDTH>(tile + warp * SHARE * tile_stride<HEAD_WIDTH>(), tile_stride<HEAD_WIDTH>(), rows, row, place, 1.0f);
}
