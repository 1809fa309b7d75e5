// Self-calibrated cross attention: each warp has ROWS queries of one head of a window, a block WARPS warps, which share tiles of 32 keys
// and values, first of the window, then of its window of the support. Compiled for HEAD_WIDTH, the channels of a head, ROWS (4, 8 or 16)
// and WARPS (1, 2 or 4).
#include "attention_tile.cuh"
#include "exponential.cuh"
#include "reduction.cuh"
#include "self_calibrated_attention.cuh"

#define PARTS ((HEAD_WIDTH + 31) / 32)

struct Parameters
{
    const T* packed;
    const T* support;
    const long long* index;
    T* output;
    float* log_sum_exp;  // [N, W, heads, L] or null
    int row_blocks;      // blocks for the queries of a head
    Sizes sizes;
};

// The running softmax of a warp's queries.
struct Attention
{
    float largest[ROWS];
    float sum[ROWS];
    float sums[ROWS][PARTS];
};

__device__ __forceinline__ float warp_max(float value)
{
    for (int lanes = 16; lanes > 0; lanes >>= 1)
        value = fmaxf(value, __shfl_xor_sync(FULL, value, lanes));
    return value;
}

// Takes in the keys and values of a window, its own or with COSINE that of the support.
template <bool COSINE>
__device__ __forceinline__ void attend_to(
    Attention& a, const T* key_rows, const T* value_rows, int row, int positions, float scale, bool has_rows, const float* rows,
    const float (&norms)[ROWS], float* keys, float* values, float* weights)
{
    const int lane = threadIdx.x & 31;
    for (int start = 0; start < positions; start += 32)
    {
        __syncthreads();
        stage_tile(keys, key_rows, row, start, positions);
        stage_tile(values, value_rows, row, start, positions);
        __syncthreads();
        if (!has_rows)
            continue;

        const float* key = keys + lane * tile_stride<HEAD_WIDTH>();
        const float key_norm = COSINE ? norm_of(key) : 0.0f;
        float scores[ROWS];
        multiply<HEAD_WIDTH>(scores, rows, key);
#pragma unroll
        for (int r = 0; r < ROWS; r++)
        {
            scores[r] *= COSINE ? __fdividef(LOG2_E, fmaf(norms[r], key_norm, COSINE_EPSILON)) : scale * LOG2_E;
            const bool exists = start + lane < positions;
            // Of each tile the first key is there, so that the largest is finite.
            const float now = fmaxf(a.largest[r], warp_max(exists ? scores[r] : __int_as_float(0xff800000)));
            const float shrink = exp2_fast(a.largest[r] - now);
            a.largest[r] = now;
            scores[r] = exists ? exp2_fast(scores[r] - now) : 0.0f;
            a.sum[r] = fmaf(a.sum[r], shrink, scores[r]);
#pragma unroll
            for (int part = 0; part < PARTS; part++)
                a.sums[r][part] *= shrink;
        }
        put_weights(weights, scores);
        __syncwarp();
        add_weighted<HEAD_WIDTH>(a.sums, weights, values);
    }
}

extern "C" __global__ void attend(const Parameters p)
{
    extern __shared__ float4 shared_memory[];
    const Sizes& s = p.sizes;
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, channels = channels_of(s);
    float* keys = reinterpret_cast<float*>(shared_memory);
    float* values = keys + 32 * tile_stride<HEAD_WIDTH>();
    float* rows = values + 32 * tile_stride<HEAD_WIDTH>() + warp * (ROWS * HEAD_WIDTH + 32 * WEIGHT_STRIDE);
    float* weights = rows + ROWS * HEAD_WIDTH;

    const long long group = blockIdx.x / p.row_blocks;
    const int first = ((int)(blockIdx.x % p.row_blocks) * WARPS + warp) * ROWS;
    const int head = (int)(group % s.heads);
    const long long window = group / s.heads;
    const int place = lane < ROWS && first + lane < s.length ? first + lane : -1;
    const T* own = own_rows(p.packed, s, window, head);
    const T* support = support_rows(p.support, s, aligned(p.index, s, window), head);
    stage<ROWS, HEAD_WIDTH>(rows, HEAD_WIDTH, own, 3 * channels, place, 1.0f);
    __syncwarp();

    float norms[ROWS];
    norms_of(norms, rows);
    Attention a;
#pragma unroll
    for (int r = 0; r < ROWS; r++)
    {
        a.largest[r] = __int_as_float(0xff800000);
        a.sum[r] = 0.0f;
#pragma unroll
        for (int part = 0; part < PARTS; part++)
            a.sums[r][part] = 0.0f;
    }
    const bool has_rows = first < s.length;
    attend_to<false>(
        a, own + channels, own + 2 * channels, 3 * channels, s.length, s.scale, has_rows, rows, norms, keys, values, weights);
    attend_to<true>(
        a, support, support + channels, 2 * channels, s.support_length, 1.0f, has_rows, rows, norms, keys, values, weights);

#pragma unroll
    for (int r = 0; r < ROWS; r++)
    {
        const float total = warp_sum(a.sum[r]);
#pragma unroll
        for (int part = 0; part < PARTS; part++)
            a.sums[r][part] /= total;
        if (p.log_sum_exp && lane == 0 && first + r < s.length)
            p.log_sum_exp[group * s.length + first + r] = (a.largest[r] + log2f(total)) * LN_2;
    }
    write_rows<HEAD_WIDTH>(p.output + window * s.length * channels + head * HEAD_WIDTH, channels, place, a.sums, 1.0f);
}
