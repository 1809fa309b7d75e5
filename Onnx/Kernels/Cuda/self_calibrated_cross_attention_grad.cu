// The gradient of self-calibrated cross attention. Scores are computed again from the inputs and logsumexp; nothing is added by atomics, so
// the result is the same each time. Compiled for HEAD_WIDTH, the channels of a head, ROWS (4, 8 or 16) and WARPS (1, 2 or 4).
#include "attention_tile.cuh"
#include "exponential.cuh"
#include "reduction.cuh"
#include "self_calibrated_attention.cuh"

#define PARTS ((HEAD_WIDTH + 31) / 32)

struct Parameters
{
    const T* output_grad;
    const T* packed;
    const T* support;
    const long long* index;
    const T* output;
    const float* log_sum_exp;  // [N, W, heads, L]
    float* output_products;    // [N, W, heads, L], output . output_grad: made by query_grad, read by the others
    T* packed_grad;
    T* support_grad;
    int batch;
    int row_blocks;  // blocks for the queries, or keys, of a head
    Sizes sizes;
};

// Shared memory: two tiles of 32 positions, then what each warp has for itself.
struct Memory
{
    float* key_tile;
    float* value_tile;
    float* key_rows;    // [ROWS, HEAD_WIDTH]
    float* value_rows;  // [ROWS, HEAD_WIDTH]
    float* weights;
    float* more_weights;
};

template <int WEIGHTS>
__device__ __forceinline__ Memory lay_out(float* memory, int warp)
{
    Memory m;
    m.key_tile = memory;
    m.value_tile = m.key_tile + 32 * tile_stride<HEAD_WIDTH>();
    m.key_rows = m.value_tile + 32 * tile_stride<HEAD_WIDTH>() + warp * (2 * ROWS * HEAD_WIDTH + WEIGHTS * 32 * WEIGHT_STRIDE);
    m.value_rows = m.key_rows + ROWS * HEAD_WIDTH;
    m.weights = m.value_rows + ROWS * HEAD_WIDTH;
    m.more_weights = m.weights + 32 * WEIGHT_STRIDE;
    return m;
}

__device__ __forceinline__ void clear(float (&sums)[ROWS][PARTS])
{
#pragma unroll
    for (int r = 0; r < ROWS; r++)
    {
#pragma unroll
        for (int part = 0; part < PARTS; part++)
            sums[r][part] = 0.0f;
    }
}

// What the norms take from the gradients of rows: sums[r] -= rows[r] / norms[r] * the sum of falls[r] over the lanes.
__device__ __forceinline__ void subtract_units(
    float (&sums)[ROWS][PARTS], const float* rows, const float (&norms)[ROWS], const float (&falls)[ROWS])
{
    const int lane = threadIdx.x & 31;
#pragma unroll
    for (int r = 0; r < ROWS; r++)
    {
        const float fall = warp_sum(falls[r]);
        const float factor = norms[r] > 0.0f ? fall / norms[r] : 0.0f;
#pragma unroll
        for (int part = 0; part < PARTS; part++)
        {
            if (lane + 32 * part < HEAD_WIDTH)
                sums[r][part] -= factor * rows[r * HEAD_WIDTH + lane + 32 * part];
        }
    }
}

// The state of a warp's queries.
struct Queries
{
    float norms[ROWS];
    float log_sum_exps[ROWS];  // in powers of two
    float products[ROWS];
    float falls[ROWS];  // what the norms take from the gradient, each lane its keys' part
    float sums[ROWS][PARTS];
};

// Adds what the keys of a window, the queries' own or with COSINE that of the support, contribute to the gradient of the queries.
template <bool COSINE>
__device__ __forceinline__ void add_keys(
    Queries& q, const Memory& m, const T* key_rows, const T* value_rows, int row, int positions, float scale, bool has_rows)
{
    const int lane = threadIdx.x & 31;
    for (int start = 0; start < positions; start += 32)
    {
        __syncthreads();
        stage_tile(m.key_tile, key_rows, row, start, positions);
        stage_tile(m.value_tile, value_rows, row, start, positions);
        __syncthreads();
        if (!has_rows)
            continue;
        const float* key = m.key_tile + lane * tile_stride<HEAD_WIDTH>();
        const float key_norm = COSINE ? norm_of(key) : 0.0f;
        float scores[ROWS], grads[ROWS];
        multiply<HEAD_WIDTH>(scores, m.key_rows, key);
        multiply<HEAD_WIDTH>(grads, m.value_rows, m.value_tile + lane * tile_stride<HEAD_WIDTH>());
#pragma unroll
        for (int r = 0; r < ROWS; r++)
        {
            const float factor = COSINE ? __fdividef(1.0f, fmaf(q.norms[r], key_norm, COSINE_EPSILON)) : scale;
            const float score = scores[r] * factor;
            const float probability = start + lane < positions ? exp2_fast(score * LOG2_E - q.log_sum_exps[r]) : 0.0f;
            grads[r] = probability * (grads[r] - q.products[r]) * factor;
            if (COSINE)
                q.falls[r] = fmaf(grads[r] * score, key_norm, q.falls[r]);
        }
        put_weights(m.weights, grads);
        __syncwarp();
        add_weighted<HEAD_WIDTH>(q.sums, m.weights, m.key_tile);
    }
}

// The gradient of the queries, a warp ROWS of them of one head of a window.
extern "C" __global__ void query_grad(const Parameters p)
{
    extern __shared__ float4 shared_memory[];
    const Sizes& s = p.sizes;
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, channels = channels_of(s);
    const Memory m = lay_out<1>(reinterpret_cast<float*>(shared_memory), warp);
    const long long group = blockIdx.x / p.row_blocks;
    const int first = ((int)(blockIdx.x % p.row_blocks) * WARPS + warp) * ROWS;
    const int head = (int)(group % s.heads);
    const long long window = group / s.heads;
    const int place = lane < ROWS && first + lane < s.length ? first + lane : -1;
    const T* own = own_rows(p.packed, s, window, head);
    const T* support = support_rows(p.support, s, aligned(p.index, s, window), head);
    const long long output_start = window * s.length * channels + head * HEAD_WIDTH;
    stage<ROWS, HEAD_WIDTH>(m.key_rows, HEAD_WIDTH, own, 3 * channels, place, 1.0f);
    stage<ROWS, HEAD_WIDTH>(m.value_rows, HEAD_WIDTH, p.output_grad + output_start, channels, place, 1.0f);
    __syncwarp();

    Queries q;
    norms_of(q.norms, m.key_rows);
    clear(q.sums);
#pragma unroll
    for (int r = 0; r < ROWS; r++)
    {
        const bool exists = first + r < s.length;
        const T* output = p.output + output_start + (long long)(first + r) * channels;
        float product = 0.0f;
        for (int column = lane; exists && column < HEAD_WIDTH; column += 32)
            product = fmaf(m.value_rows[r * HEAD_WIDTH + column], load(output + column), product);
        q.products[r] = warp_sum(product);
        if (lane == 0 && exists)
            p.output_products[group * s.length + first + r] = q.products[r];
        q.log_sum_exps[r] = exists ? p.log_sum_exp[group * s.length + first + r] * LOG2_E : 0.0f;
        q.falls[r] = 0.0f;
    }
    const bool has_rows = first < s.length;
    add_keys<false>(q, m, own + channels, own + 2 * channels, 3 * channels, s.length, s.scale, has_rows);
    add_keys<true>(q, m, support, support + channels, 2 * channels, s.support_length, 1.0f, has_rows);
    subtract_units(q.sums, m.key_rows, q.norms, q.falls);
    write_rows<HEAD_WIDTH>(p.packed_grad + (own - p.packed), 3 * channels, place, q.sums, 1.0f);
}

// The state of a warp's keys.
struct Keys
{
    float norms[ROWS];
    float falls[ROWS];  // what the norms take from the gradient, each lane its queries' part
    float key_sums[ROWS][PARTS];
    float value_sums[ROWS][PARTS];
};

// Adds what the queries of a window contribute to the gradients of keys and values, their own or with COSINE those of the support.
template <bool COSINE>
__device__ __forceinline__ void add_queries(Keys& k, const Memory& m, const Parameters& p, long long window, int head, bool has_rows)
{
    const Sizes& s = p.sizes;
    const int lane = threadIdx.x & 31, channels = channels_of(s);
    const T* query_rows = own_rows(p.packed, s, window, head);
    const T* output_rows = p.output_grad + window * s.length * channels + head * HEAD_WIDTH;
    const long long group = window * s.heads + head;
    for (int start = 0; start < s.length; start += 32)
    {
        __syncthreads();
        stage_tile(m.key_tile, query_rows, 3 * channels, start, s.length);
        stage_tile(m.value_tile, output_rows, channels, start, s.length);
        __syncthreads();
        if (!has_rows)
            continue;
        const bool exists = start + lane < s.length;
        const float product = exists ? p.output_products[group * s.length + start + lane] : 0.0f;
        const float log_sum_exp = exists ? p.log_sum_exp[group * s.length + start + lane] * LOG2_E : 0.0f;
        const float* query = m.key_tile + lane * tile_stride<HEAD_WIDTH>();
        const float query_norm = COSINE ? norm_of(query) : 0.0f;
        float probabilities[ROWS], grads[ROWS];
        multiply<HEAD_WIDTH>(probabilities, m.key_rows, query);
        multiply<HEAD_WIDTH>(grads, m.value_rows, m.value_tile + lane * tile_stride<HEAD_WIDTH>());
#pragma unroll
        for (int r = 0; r < ROWS; r++)
        {
            const float factor = COSINE ? __fdividef(1.0f, fmaf(k.norms[r], query_norm, COSINE_EPSILON)) : s.scale;
            const float score = probabilities[r] * factor;
            probabilities[r] = exists ? exp2_fast(score * LOG2_E - log_sum_exp) : 0.0f;
            grads[r] = probabilities[r] * (grads[r] - product) * factor;
            if (COSINE)
                k.falls[r] = fmaf(grads[r] * score, query_norm, k.falls[r]);
        }
        put_weights(m.weights, probabilities);
        put_weights(m.more_weights, grads);
        __syncwarp();
        add_weighted<HEAD_WIDTH>(k.value_sums, m.weights, m.value_tile);
        add_weighted<HEAD_WIDTH>(k.key_sums, m.more_weights, m.key_tile);
    }
}

__device__ __forceinline__ void begin(Keys& k, const Memory& m, const T* key_rows, const T* value_rows, int row, int place)
{
    stage<ROWS, HEAD_WIDTH>(m.key_rows, HEAD_WIDTH, key_rows, row, place, 1.0f);
    stage<ROWS, HEAD_WIDTH>(m.value_rows, HEAD_WIDTH, value_rows, row, place, 1.0f);
    __syncwarp();
    norms_of(k.norms, m.key_rows);
    clear(k.key_sums);
    clear(k.value_sums);
#pragma unroll
    for (int r = 0; r < ROWS; r++)
        k.falls[r] = 0.0f;
}

// The gradients of a window's own keys and values, a warp ROWS of them. After query_grad.
extern "C" __global__ void own_grad(const Parameters p)
{
    extern __shared__ float4 shared_memory[];
    const Sizes& s = p.sizes;
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, channels = channels_of(s);
    const Memory m = lay_out<2>(reinterpret_cast<float*>(shared_memory), warp);
    const long long group = blockIdx.x / p.row_blocks;
    const int first = ((int)(blockIdx.x % p.row_blocks) * WARPS + warp) * ROWS;
    const int head = (int)(group % s.heads);
    const long long window = group / s.heads;
    const int place = lane < ROWS && first + lane < s.length ? first + lane : -1;
    const T* keys = own_rows(p.packed, s, window, head) + channels;
    Keys k;
    begin(k, m, keys, keys + channels, 3 * channels, place);
    add_queries<false>(k, m, p, window, head, first < s.length);
    T* target = p.packed_grad + (keys - p.packed);
    write_rows<HEAD_WIDTH>(target, 3 * channels, place, k.key_sums, 1.0f);
    write_rows<HEAD_WIDTH>(target + channels, 3 * channels, place, k.value_sums, 1.0f);
}

// The gradients of the keys and values of a window of the support, a warp ROWS of them, over all windows that attend to it. After
// query_grad.
extern "C" __global__ void support_grad(const Parameters p)
{
    extern __shared__ float4 shared_memory[];
    const Sizes& s = p.sizes;
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, channels = channels_of(s);
    const Memory m = lay_out<2>(reinterpret_cast<float*>(shared_memory), warp);
    const long long group = blockIdx.x / p.row_blocks;
    const int first = ((int)(blockIdx.x % p.row_blocks) * WARPS + warp) * ROWS;
    const int head = (int)(group % s.heads);
    const long long chosen = group / s.heads;
    const int place = lane < ROWS && first + lane < s.support_length ? first + lane : -1;
    const T* keys = support_rows(p.support, s, chosen, head);
    Keys k;
    begin(k, m, keys, keys + channels, 2 * channels, place);
    for (int element = (int)(chosen / s.support_windows); element < p.batch; element += s.support_batch)
    {
        for (int i = 0; i < s.windows; i++)
        {
            const long long window = (long long)element * s.windows + i;
            if (aligned(p.index, s, window) == chosen)
                add_queries<true>(k, m, p, window, head, first < s.support_length);
        }
    }
    subtract_units(k.key_sums, m.key_rows, k.norms, k.falls);
    T* target = p.support_grad + (keys - p.support);
    write_rows<HEAD_WIDTH>(target, 2 * channels, place, k.key_sums, 1.0f);
    write_rows<HEAD_WIDTH>(target + channels, 2 * channels, place, k.value_sums, 1.0f);
}
