// The attention of bi-level routing attention: a warp takes ROWS positions of one region and head, and 32 keys at a time of the regions
// that the region attends to. Compiled for QUERY_WIDTH and VALUE_WIDTH, the channels of a head, and ROWS (4, 8 or 16).
#include "attention_tile.cuh"
#include "bi_level_routing.cuh"
#include "exponential.cuh"
#include "reduction.cuh"

#define PARTS ((VALUE_WIDTH + 31) / 32)

struct Parameters
{
    const T* query;
    const T* key;
    const T* value;
    const int* selected;  // [N, R, top_k]
    T* output;
    float* log_sum_exp;   // [N, heads, H, W] or null
    long long items;      // warps with work
    int row_blocks;       // warps for the positions of a region
    int warp_floats;      // shared memory of a warp
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
    long long item = (long long)blockIdx.x * (blockDim.x >> 5) + warp;
    if (item >= p.items)
        return;
    float* rows = reinterpret_cast<float*>(shared_memory) + (long long)warp * p.warp_floats;
    float* tile = rows + ROWS * QUERY_WIDTH;
    float* weights = tile + 32 * tile_stride<QUERY_WIDTH>();

    const int head = (int)(item % s.heads);
    item /= s.heads;
    const int first = (int)(item % p.row_blocks) * ROWS;
    item /= p.row_blocks;
    const int region = (int)(item % s.regions);
    const long long image = item / s.regions;
    const int place = lane < ROWS && first + lane < s.tokens ? place_of(s, region, first + lane) : -1;
    if (!__any_sync(FULL, place >= 0))
        return;

    const long long query_start = image * positions_of(s) * s.query_channels + head * QUERY_WIDTH;
    const long long value_start = image * positions_of(s) * s.value_channels + head * VALUE_WIDTH;
    const int* selected = p.selected + (image * s.regions + region) * s.top_k;
    stage<ROWS, QUERY_WIDTH>(rows, QUERY_WIDTH, p.query + query_start, s.query_channels, place, s.scale * LOG2_E);

    float largest[ROWS], sum[ROWS], sums[ROWS][PARTS];
#pragma unroll
    for (int r = 0; r < ROWS; r++)
    {
        largest[r] = __int_as_float(0xff800000);  // negative infinity
        sum[r] = 0.0f;
#pragma unroll
        for (int part = 0; part < PARTS; part++)
            sums[r][part] = 0.0f;
    }

    const int keys = s.top_k * s.tokens;
    for (int start = 0; start < keys; start += 32)
    {
        const int key = start + lane;
        int key_place = -1;
        if (key < keys)
        {
            const int rank = divide(key, s.by_tokens);
            key_place = place_of(s, selected[rank], key - rank * s.tokens);
        }
        __syncwarp();
        stage<32, QUERY_WIDTH>(tile, tile_stride<QUERY_WIDTH>(), p.key + query_start, s.query_channels, key_place, 1.0f);
        __syncwarp();

        float scores[ROWS];
        multiply<QUERY_WIDTH>(scores, rows, tile + lane * tile_stride<QUERY_WIDTH>());
#pragma unroll
        for (int r = 0; r < ROWS; r++)
        {
            if (key >= keys)
                scores[r] = __int_as_float(0xff800000);
            const float now = fmaxf(largest[r], warp_max(scores[r]));
            const float shrink = exp2_fast(largest[r] - now);
            largest[r] = now;
            scores[r] = exp2_fast(scores[r] - now);
            sum[r] = fmaf(sum[r], shrink, scores[r]);
#pragma unroll
            for (int part = 0; part < PARTS; part++)
                sums[r][part] *= shrink;
        }
        put_weights(weights, scores);
        __syncwarp();

        // Four at a time, so that their values are loaded together; keys past the last have no weight.
        const int count = min(32, keys - start);
        for (int four = 0; four < count; four += 4)
        {
#pragma unroll
            for (int i = four; i < four + 4; i++)
            {
                const int at = __shfl_sync(FULL, key_place, i);
                const T* source = p.value + value_start + (long long)at * s.value_channels;
                float elements[PARTS];
#pragma unroll
                for (int part = 0; part < PARTS; part++)
                    elements[part] = at >= 0 && lane + 32 * part < VALUE_WIDTH ? load(source + lane + 32 * part) : 0.0f;
                accumulate<PARTS>(sums, weights, i, elements);
            }
        }
    }

#pragma unroll
    for (int r = 0; r < ROWS; r++)
    {
        const float total = warp_sum(sum[r]);
#pragma unroll
        for (int part = 0; part < PARTS; part++)
            sums[r][part] /= total;
        const int at = __shfl_sync(FULL, place, r);
        if (p.log_sum_exp && lane == 0 && at >= 0)
            p.log_sum_exp[(image * s.heads + head) * positions_of(s) + at] = (largest[r] + log2f(total)) * LN_2;
    }
    write_rows<VALUE_WIDTH>(p.output + value_start, s.value_channels, place, sums, 1.0f);
}
