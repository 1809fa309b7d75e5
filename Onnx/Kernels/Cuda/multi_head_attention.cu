// Multi-head attention: each warp has ROWS queries of one head, a block WARPS warps, which share tiles of 32 keys and values. Compiled for
// QUERY_WIDTH and VALUE_WIDTH, the channels of a head, ROWS (4, 8 or 16), WARPS (1, 2 or 4), and with BIAS where scores differ in theirs,
// BOX_BIAS where that is the sum of a map's columns' and rows'.
#include "attention_tile.cuh"
#include "exponential.cuh"
#include "multi_head_attention.cuh"
#include "attention_bias.cuh"
#include "reduction.cuh"

#define PARTS ((VALUE_WIDTH + 31) / 32)

struct Parameters
{
    const T* query;
    const T* key;
    const T* value;
    const T* bias;
    T* output;
    float* log_sum_exp;  // [N, heads, L] or null
    int row_blocks;      // blocks for the queries of a head
    Sizes sizes;
};

__device__ __forceinline__ float warp_max(float value)
{
    for (int lanes = 16; lanes > 0; lanes >>= 1)
        value = fmaxf(value, __shfl_xor_sync(FULL, value, lanes));
    return value;
}

extern "C" __global__ void attend(const Parameters p)
{
    extern __shared__ float4 shared_memory[];
    const Sizes& s = p.sizes;
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    float* keys = reinterpret_cast<float*>(shared_memory);
    float* values = keys + 32 * tile_stride<QUERY_WIDTH>();
    float* rows = values + 32 * tile_stride<VALUE_WIDTH>() + warp * (ROWS * QUERY_WIDTH + 32 * WEIGHT_STRIDE);
    float* weights = rows + ROWS * QUERY_WIDTH;

    const long long group = blockIdx.x / p.row_blocks;
    const int first = ((int)(blockIdx.x % p.row_blocks) * WARPS + warp) * ROWS;
    const int head = (int)(group % s.heads);
    const long long sequence = group / s.heads;
    const int place = lane < ROWS && first + lane < s.queries ? first + lane : -1;
    const T* key_rows = p.key + start_of(sequence, s.keys, s.key_row, head, QUERY_WIDTH);
    const T* value_rows = p.value + start_of(sequence, s.keys, s.value_row, head, VALUE_WIDTH);
    stage<ROWS, QUERY_WIDTH>(
        rows, QUERY_WIDTH, p.query + start_of(sequence, s.queries, s.query_row, head, QUERY_WIDTH), s.query_row, place, s.scale * LOG2_E);
#ifndef BIAS
    const float same = bias_of(p.bias, s, sequence, head, 0, 0);
#endif

    float largest[ROWS], sum[ROWS], sums[ROWS][PARTS];
#pragma unroll
    for (int r = 0; r < ROWS; r++)
    {
        largest[r] = negative_infinity();
        sum[r] = 0.0f;
#pragma unroll
        for (int part = 0; part < PARTS; part++)
            sums[r][part] = 0.0f;
    }

    for (int start = 0; start < s.keys; start += 32)
    {
        // A warp copies its share of the tile.
        constexpr int SHARE = 32 / WARPS;
        const int staged = start + warp * SHARE + lane;
        const int key_place = lane < SHARE && staged < s.keys ? staged : -1;
        __syncthreads();
        stage<SHARE, QUERY_WIDTH>(
            keys + warp * SHARE * tile_stride<QUERY_WIDTH>(), tile_stride<QUERY_WIDTH>(), key_rows, s.key_row, key_place, 1.0f);
        stage<SHARE, VALUE_WIDTH>(
            values + warp * SHARE * tile_stride<VALUE_WIDTH>(), tile_stride<VALUE_WIDTH>(), value_rows, s.value_row, key_place, 1.0f);
        __syncthreads();
        if (first >= s.queries)
            continue;

        const int key = start + lane;
        float scores[ROWS];
        multiply<QUERY_WIDTH>(scores, rows, keys + lane * tile_stride<QUERY_WIDTH>());
#pragma unroll
        for (int r = 0; r < ROWS; r++)
        {
#ifdef BIAS
            if (key < s.keys)
                scores[r] += bias_of(p.bias, s, sequence, head, min(first + r, s.queries - 1), key);
#else
            scores[r] += same;
#endif
            if (key >= s.keys)
                scores[r] = negative_infinity();
            const float now = fmaxf(largest[r], warp_max(scores[r]));
            // Where all keys so far are masked, nothing is subtracted: the exponentials are zero.
            const float offset = now == negative_infinity() ? 0.0f : now;
            const float shrink = exp2_fast(largest[r] - offset);
            largest[r] = now;
            scores[r] = exp2_fast(scores[r] - offset);
            sum[r] = fmaf(sum[r], shrink, scores[r]);
#pragma unroll
            for (int part = 0; part < PARTS; part++)
                sums[r][part] *= shrink;
        }
        put_weights(weights, scores);
        __syncwarp();
        add_weighted<VALUE_WIDTH>(sums, weights, values);
    }

#pragma unroll
    for (int r = 0; r < ROWS; r++)
    {
        const float total = warp_sum(sum[r]);
#pragma unroll
        for (int part = 0; part < PARTS; part++)
            sums[r][part] /= total;
        if (p.log_sum_exp && lane == 0 && first + r < s.queries)
            p.log_sum_exp[group * s.queries + first + r] = (largest[r] + log2f(total)) * LN_2;
    }
    write_rows<VALUE_WIDTH>(p.output + start_of(sequence, s.queries, s.output_row, head, VALUE_WIDTH), s.output_row, place, sums, 1.0f);
}
