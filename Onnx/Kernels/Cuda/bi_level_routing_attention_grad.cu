// The gradient of bi-level routing attention. Scores are computed again from query, key and logsumexp; nothing is added by atomics, so
// the result is the same each time. Compiled for QUERY_WIDTH and VALUE_WIDTH, the channels of a head, and ROWS (4, 8 or 16).
#include "attention_tile.cuh"
#include "bi_level_routing.cuh"
#include "exponential.cuh"
#include "reduction.cuh"

#define QUERY_PARTS ((QUERY_WIDTH + 31) / 32)
#define VALUE_PARTS ((VALUE_WIDTH + 31) / 32)

struct Parameters
{
    const T* output_grad;
    const T* query;
    const T* key;
    const T* value;
    const T* output;
    const long long* routing;       // [N, R, top_k]
    const float* log_sum_exp;       // [N, heads, H, W]
    float* output_products;         // [N, heads, H, W], output . output_grad: made by query_grad, read by key_value_grad
    const unsigned int* selectors;  // [N, R, words], see selector_masks
    T* query_grad;
    T* key_grad;
    T* value_grad;
    long long items;                // warps with work
    int row_blocks;                 // warps for the positions of a region
    int warp_floats;                // shared memory of a warp
    int words;
    Sizes sizes;
};

// What a warp works on.
struct Item
{
    int head;
    int first;  // of the ROWS positions, counted in the region
    int region;
    long long image;
};

__device__ __forceinline__ Item item_of(const Parameters& p, long long index)
{
    Item item;
    item.head = (int)(index % p.sizes.heads);
    index /= p.sizes.heads;
    item.first = (int)(index % p.row_blocks) * ROWS;
    index /= p.row_blocks;
    item.region = (int)(index % p.sizes.regions);
    item.image = index / p.sizes.regions;
    return item;
}

// The gradient of the query, a warp ROWS positions.
extern "C" __global__ void query_grad(const Parameters p)
{
    extern __shared__ float4 shared_memory[];
    const Sizes& s = p.sizes;
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    const long long index = (long long)blockIdx.x * (blockDim.x >> 5) + warp;
    if (index >= p.items)
        return;
    float* queries = reinterpret_cast<float*>(shared_memory) + (long long)warp * p.warp_floats;
    float* output_grads = queries + ROWS * QUERY_WIDTH;
    float* keys = output_grads + ROWS * VALUE_WIDTH;
    float* values = keys + 32 * tile_stride<QUERY_WIDTH>();
    float* weights = values + 32 * tile_stride<VALUE_WIDTH>();

    const Item item = item_of(p, index);
    const int place = lane < ROWS && item.first + lane < s.tokens ? place_of(s, item.region, item.first + lane) : -1;
    if (!__any_sync(FULL, place >= 0))
        return;
    const long long query_start = item.image * positions_of(s) * s.query_channels + item.head * QUERY_WIDTH;
    const long long value_start = item.image * positions_of(s) * s.value_channels + item.head * VALUE_WIDTH;
    const long long row_start = (item.image * s.heads + item.head) * positions_of(s);
    const long long* routing = p.routing + (item.image * s.regions + item.region) * s.top_k;
    stage<ROWS, QUERY_WIDTH>(queries, QUERY_WIDTH, p.query + query_start, s.query_channels, place, s.scale * LOG2_E);
    stage<ROWS, VALUE_WIDTH>(output_grads, VALUE_WIDTH, p.output_grad + value_start, s.value_channels, place, 1.0f);
    __syncwarp();

    float log_sum_exp[ROWS], products[ROWS], sums[ROWS][QUERY_PARTS];
#pragma unroll
    for (int r = 0; r < ROWS; r++)
    {
        const int at = __shfl_sync(FULL, place, r);
        float product = 0.0f;
        for (int column = lane; at >= 0 && column < VALUE_WIDTH; column += 32)
            product = fmaf(output_grads[r * VALUE_WIDTH + column], load(p.output + value_start + (long long)at * s.value_channels + column), product);
        products[r] = warp_sum(product);
        if (lane == 0 && at >= 0)
            p.output_products[row_start + at] = products[r];
        log_sum_exp[r] = at >= 0 ? p.log_sum_exp[row_start + at] * LOG2_E : 0.0f;
#pragma unroll
        for (int part = 0; part < QUERY_PARTS; part++)
            sums[r][part] = 0.0f;
    }

    const int key_count = s.top_k * s.tokens;
    for (int start = 0; start < key_count; start += 32)
    {
        const int key = start + lane;
        int key_place = -1;
        if (key < key_count)
        {
            const int rank = divide(key, s.by_tokens);
            key_place = place_of(s, (int)routing[rank], key - rank * s.tokens);
        }
        __syncwarp();
        stage<32, QUERY_WIDTH>(keys, tile_stride<QUERY_WIDTH>(), p.key + query_start, s.query_channels, key_place, 1.0f);
        stage<32, VALUE_WIDTH>(values, tile_stride<VALUE_WIDTH>(), p.value + value_start, s.value_channels, key_place, 1.0f);
        __syncwarp();

        float scores[ROWS], grads[ROWS];
        multiply<QUERY_WIDTH>(scores, queries, keys + lane * tile_stride<QUERY_WIDTH>());
        multiply<VALUE_WIDTH>(grads, output_grads, values + lane * tile_stride<VALUE_WIDTH>());
#pragma unroll
        for (int r = 0; r < ROWS; r++)
            grads[r] = key < key_count ? exp2_fast(scores[r] - log_sum_exp[r]) * (grads[r] - products[r]) : 0.0f;
        put_weights(weights, grads);
        __syncwarp();
        add_weighted<QUERY_WIDTH>(sums, weights, keys);
    }
    write_rows<QUERY_WIDTH>(p.query_grad + query_start, s.query_channels, place, sums, s.scale);
}

// The gradients of key and value, a warp ROWS positions, over the positions of all regions that attend to the region. After query_grad.
extern "C" __global__ void key_value_grad(const Parameters p)
{
    extern __shared__ float4 shared_memory[];
    const Sizes& s = p.sizes;
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    const long long index = (long long)blockIdx.x * (blockDim.x >> 5) + warp;
    if (index >= p.items)
        return;
    float* keys = reinterpret_cast<float*>(shared_memory) + (long long)warp * p.warp_floats;
    float* values = keys + ROWS * QUERY_WIDTH;
    float* queries = values + ROWS * VALUE_WIDTH;
    float* output_grads = queries + 32 * tile_stride<QUERY_WIDTH>();
    float* probability_weights = output_grads + 32 * tile_stride<VALUE_WIDTH>();
    float* grad_weights = probability_weights + 32 * WEIGHT_STRIDE;
    int* attending = reinterpret_cast<int*>(grad_weights + 32 * WEIGHT_STRIDE);

    const Item item = item_of(p, index);
    const int place = lane < ROWS && item.first + lane < s.tokens ? place_of(s, item.region, item.first + lane) : -1;
    if (!__any_sync(FULL, place >= 0))
        return;
    const long long query_start = item.image * positions_of(s) * s.query_channels + item.head * QUERY_WIDTH;
    const long long value_start = item.image * positions_of(s) * s.value_channels + item.head * VALUE_WIDTH;
    const long long row_start = (item.image * s.heads + item.head) * positions_of(s);
    const unsigned int* selectors = p.selectors + (item.image * s.regions + item.region) * p.words;
    stage<ROWS, QUERY_WIDTH>(keys, QUERY_WIDTH, p.key + query_start, s.query_channels, place, s.scale * LOG2_E);
    stage<ROWS, VALUE_WIDTH>(values, VALUE_WIDTH, p.value + value_start, s.value_channels, place, 1.0f);

    float key_sums[ROWS][QUERY_PARTS], value_sums[ROWS][VALUE_PARTS];
#pragma unroll
    for (int r = 0; r < ROWS; r++)
    {
#pragma unroll
        for (int part = 0; part < QUERY_PARTS; part++)
            key_sums[r][part] = 0.0f;
#pragma unroll
        for (int part = 0; part < VALUE_PARTS; part++)
            value_sums[r][part] = 0.0f;
    }

    for (int word = 0; word < p.words; word++)
    {
        const unsigned int bits = selectors[word];
        __syncwarp();
        if (bits >> lane & 1)
            attending[__popc(bits & ((1u << lane) - 1))] = word * 32 + lane;
        __syncwarp();
        const int query_count = __popc(bits) * s.tokens;
        for (int start = 0; start < query_count; start += 32)
        {
            const int query = start + lane;
            int query_place = -1;
            if (query < query_count)
            {
                const int rank = divide(query, s.by_tokens);
                query_place = place_of(s, attending[rank], query - rank * s.tokens);
            }
            __syncwarp();
            stage<32, QUERY_WIDTH>(queries, tile_stride<QUERY_WIDTH>(), p.query + query_start, s.query_channels, query_place, 1.0f);
            stage<32, VALUE_WIDTH>(
                output_grads, tile_stride<VALUE_WIDTH>(), p.output_grad + value_start, s.value_channels, query_place, 1.0f);
            __syncwarp();

            const float log_sum_exp = query_place >= 0 ? p.log_sum_exp[row_start + query_place] * LOG2_E : 0.0f;
            const float product = query_place >= 0 ? p.output_products[row_start + query_place] : 0.0f;
            float probabilities[ROWS], grads[ROWS];
            multiply<QUERY_WIDTH>(probabilities, keys, queries + lane * tile_stride<QUERY_WIDTH>());
            multiply<VALUE_WIDTH>(grads, values, output_grads + lane * tile_stride<VALUE_WIDTH>());
#pragma unroll
            for (int r = 0; r < ROWS; r++)
            {
                probabilities[r] = query_place >= 0 ? exp2_fast(probabilities[r] - log_sum_exp) : 0.0f;
                grads[r] = probabilities[r] * (grads[r] - product);
            }
            put_weights(probability_weights, probabilities);
            put_weights(grad_weights, grads);
            __syncwarp();
            add_weighted<VALUE_WIDTH>(value_sums, probability_weights, output_grads);
            add_weighted<QUERY_WIDTH>(key_sums, grad_weights, queries);
        }
    }
    write_rows<QUERY_WIDTH>(p.key_grad + query_start, s.query_channels, place, key_sums, s.scale);
    write_rows<VALUE_WIDTH>(p.value_grad + value_start, s.value_channels, place, value_sums, 1.0f);
}
