// The gradient of multi-head attention. Scores are computed again from query, key and logsumexp; nothing is added by atomics, so the result
// is the same each time. Compiled for QUERY_WIDTH and VALUE_WIDTH, the channels of a head, ROWS (4, 8 or 16), WARPS (1, 2 or 4), and with
// BIAS where scores differ in theirs, BOX_BIAS where that is the sum of a map's columns' and rows'.
#include "attention_tile.cuh"
#include "exponential.cuh"
#include "multi_head_attention.cuh"
#include "attention_bias.cuh"
#include "reduction.cuh"

#define QUERY_PARTS ((QUERY_WIDTH + 31) / 32)
#define VALUE_PARTS ((VALUE_WIDTH + 31) / 32)
#define SHARE (32 / WARPS)

struct Parameters
{
    const T* output_grad;
    const T* query;
    const T* key;
    const T* value;
    const T* bias;
    const T* output;
    const float* log_sum_exp;  // [N, heads, L]
    float* output_products;    // [N, heads, L], output . output_grad: made by query_grad, read by the others
    T* query_grad;             // rows as those of query, key and value
    T* key_grad;
    T* value_grad;
    float* bias_partials;      // [parts, bias_batch, bias_heads, L, S]
    float* column_grad;        // of box_columns
    float* row_grad;           // of box_rows
    int row_blocks;            // blocks for the queries, or keys, of a head
    int bias_batch;            // sequences that have biases of their own: 1 or all
    int bias_heads;            // heads that have biases of their own: 1 or all
    int parts;
    Sizes sizes;
};

// Shared memory: tiles of 32 positions, one of QUERY_WIDTH and one of VALUE_WIDTH, then what each warp has for itself.
struct Memory
{
    float* query_tile;
    float* value_tile;
    float* query_rows;  // [ROWS, QUERY_WIDTH]
    float* value_rows;  // [ROWS, VALUE_WIDTH]
    float* weights;
    float* more_weights;
};

template <int WEIGHTS>
__device__ __forceinline__ Memory lay_out(float* memory, int warp)
{
    Memory m;
    m.query_tile = memory;
    m.value_tile = m.query_tile + 32 * tile_stride<QUERY_WIDTH>();
    m.query_rows = m.value_tile + 32 * tile_stride<VALUE_WIDTH>()
        + warp * (ROWS * (QUERY_WIDTH + VALUE_WIDTH) + WEIGHTS * 32 * WEIGHT_STRIDE);
    m.value_rows = m.query_rows + ROWS * QUERY_WIDTH;
    m.weights = m.value_rows + ROWS * VALUE_WIDTH;
    m.more_weights = m.weights + 32 * WEIGHT_STRIDE;
    return m;
}

// Copies 32 positions from `start` on of two arrays, each warp its share.
__device__ __forceinline__ void stage_tiles(
    const Memory& m, int warp, const T* query_like, int query_row, const T* value_like, int value_row, int start, int positions)
{
    const int lane = threadIdx.x & 31;
    const int staged = start + warp * SHARE + lane;
    const int place = lane < SHARE && staged < positions ? staged : -1;
    stage<SHARE, QUERY_WIDTH>(
        m.query_tile + warp * SHARE * tile_stride<QUERY_WIDTH>(), tile_stride<QUERY_WIDTH>(), query_like, query_row, place, 1.0f);
    stage<SHARE, VALUE_WIDTH>(
        m.value_tile + warp * SHARE * tile_stride<VALUE_WIDTH>(), tile_stride<VALUE_WIDTH>(), value_like, value_row, place, 1.0f);
}

// The gradient of the queries, a warp ROWS of them.
extern "C" __global__ void query_grad(const Parameters p)
{
    extern __shared__ float4 shared_memory[];
    const Sizes& s = p.sizes;
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    const Memory m = lay_out<1>(reinterpret_cast<float*>(shared_memory), warp);
    const long long group = blockIdx.x / p.row_blocks;
    const int first = ((int)(blockIdx.x % p.row_blocks) * WARPS + warp) * ROWS;
    const int head = (int)(group % s.heads);
    const long long sequence = group / s.heads;
    const int place = lane < ROWS && first + lane < s.queries ? first + lane : -1;
    const long long query_start = start_of(sequence, s.queries, s.query_row, head, QUERY_WIDTH);
    const long long key_start = start_of(sequence, s.keys, s.key_row, head, QUERY_WIDTH);
    const long long value_start = start_of(sequence, s.keys, s.value_row, head, VALUE_WIDTH);
    const long long output_start = start_of(sequence, s.queries, s.output_row, head, VALUE_WIDTH);
    stage<ROWS, QUERY_WIDTH>(m.query_rows, QUERY_WIDTH, p.query + query_start, s.query_row, place, s.scale * LOG2_E);
    stage<ROWS, VALUE_WIDTH>(m.value_rows, VALUE_WIDTH, p.output_grad + output_start, s.output_row, place, 1.0f);
    __syncwarp();

    float log_sum_exp[ROWS], products[ROWS], sums[ROWS][QUERY_PARTS];
#pragma unroll
    for (int r = 0; r < ROWS; r++)
    {
        const bool exists = first + r < s.queries;
        const T* output = p.output + output_start + (long long)(first + r) * s.output_row;
        float product = 0.0f;
        for (int column = lane; exists && column < VALUE_WIDTH; column += 32)
            product = fmaf(m.value_rows[r * VALUE_WIDTH + column], load(output + column), product);
        products[r] = warp_sum(product);
        if (lane == 0 && exists)
            p.output_products[group * s.queries + first + r] = products[r];
        log_sum_exp[r] = exists ? p.log_sum_exp[group * s.queries + first + r] * LOG2_E : 0.0f;
#ifndef BIAS
        log_sum_exp[r] -= bias_of(p.bias, s, 0, 0, 0, 0);
#endif
#pragma unroll
        for (int part = 0; part < QUERY_PARTS; part++)
            sums[r][part] = 0.0f;
    }

    for (int start = 0; start < s.keys; start += 32)
    {
        __syncthreads();
        stage_tiles(m, warp, p.key + key_start, s.key_row, p.value + value_start, s.value_row, start, s.keys);
        __syncthreads();
        if (first >= s.queries)
            continue;
        const int key = start + lane;
        float scores[ROWS], grads[ROWS];
        multiply<QUERY_WIDTH>(scores, m.query_rows, m.query_tile + lane * tile_stride<QUERY_WIDTH>());
        multiply<VALUE_WIDTH>(grads, m.value_rows, m.value_tile + lane * tile_stride<VALUE_WIDTH>());
#pragma unroll
        for (int r = 0; r < ROWS; r++)
        {
#ifdef BIAS
            if (key < s.keys)
                scores[r] += bias_of(p.bias, s, sequence, head, min(first + r, s.queries - 1), key);
#endif
            grads[r] = key < s.keys ? exp2_fast(scores[r] - log_sum_exp[r]) * (grads[r] - products[r]) : 0.0f;
        }
        put_weights(m.weights, grads);
        __syncwarp();
        add_weighted<QUERY_WIDTH>(sums, m.weights, m.query_tile);
    }
    write_rows<QUERY_WIDTH>(p.query_grad + query_start, s.query_row, place, sums, s.scale);
}

// The gradients of the keys and values, a warp ROWS of them. After query_grad.
extern "C" __global__ void key_value_grad(const Parameters p)
{
    extern __shared__ float4 shared_memory[];
    const Sizes& s = p.sizes;
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    const Memory m = lay_out<2>(reinterpret_cast<float*>(shared_memory), warp);
    const long long group = blockIdx.x / p.row_blocks;
    const int first = ((int)(blockIdx.x % p.row_blocks) * WARPS + warp) * ROWS;
    const int head = (int)(group % s.heads);
    const long long sequence = group / s.heads;
    const int place = lane < ROWS && first + lane < s.keys ? first + lane : -1;
    const long long query_start = start_of(sequence, s.queries, s.query_row, head, QUERY_WIDTH);
    const long long key_start = start_of(sequence, s.keys, s.key_row, head, QUERY_WIDTH);
    const long long value_start = start_of(sequence, s.keys, s.value_row, head, VALUE_WIDTH);
    const long long output_start = start_of(sequence, s.queries, s.output_row, head, VALUE_WIDTH);
    stage<ROWS, QUERY_WIDTH>(m.query_rows, QUERY_WIDTH, p.key + key_start, s.key_row, place, s.scale * LOG2_E);
    stage<ROWS, VALUE_WIDTH>(m.value_rows, VALUE_WIDTH, p.value + value_start, s.value_row, place, 1.0f);
#ifndef BIAS
    const float same = bias_of(p.bias, s, 0, 0, 0, 0);
#endif

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

    for (int start = 0; start < s.queries; start += 32)
    {
        __syncthreads();
        stage_tiles(m, warp, p.query + query_start, s.query_row, p.output_grad + output_start, s.output_row, start, s.queries);
        __syncthreads();
        if (first >= s.keys)
            continue;
        const int query = start + lane;
        const bool exists = query < s.queries;
        const float product = exists ? p.output_products[group * s.queries + query] : 0.0f;
        float log_sum_exp = exists ? p.log_sum_exp[group * s.queries + query] * LOG2_E : 0.0f;
#ifndef BIAS
        log_sum_exp -= same;
#endif
        float probabilities[ROWS], grads[ROWS];
        multiply<QUERY_WIDTH>(probabilities, m.query_rows, m.query_tile + lane * tile_stride<QUERY_WIDTH>());
        multiply<VALUE_WIDTH>(grads, m.value_rows, m.value_tile + lane * tile_stride<VALUE_WIDTH>());
#pragma unroll
        for (int r = 0; r < ROWS; r++)
        {
#ifdef BIAS
            if (exists)
                probabilities[r] += bias_of(p.bias, s, sequence, head, query, min(first + r, s.keys - 1));
#endif
            probabilities[r] = exists ? exp2_fast(probabilities[r] - log_sum_exp) : 0.0f;
            grads[r] = probabilities[r] * (grads[r] - product);
        }
        put_weights(m.weights, probabilities);
        put_weights(m.more_weights, grads);
        __syncwarp();
        add_weighted<VALUE_WIDTH>(value_sums, m.weights, m.value_tile);
        add_weighted<QUERY_WIDTH>(key_sums, m.more_weights, m.query_tile);
    }
    write_rows<QUERY_WIDTH>(p.key_grad + key_start, s.key_row, place, key_sums, s.scale);
    write_rows<VALUE_WIDTH>(p.value_grad + value_start, s.value_row, place, value_sums, 1.0f);
}

// The gradients of the scores, a warp ROWS queries and 32 keys (blockIdx.y), summed over a part (blockIdx.z) of the sequences and heads
// that share biases. After query_grad, or the like.
extern "C" __global__ void bias_grad(const Parameters p)
{
    extern __shared__ float4 shared_memory[];
    const Sizes& s = p.sizes;
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    const Memory m = lay_out<1>(reinterpret_cast<float*>(shared_memory), warp);
    const int bias_group = (int)(blockIdx.x / p.row_blocks);
    const int first = ((int)(blockIdx.x % p.row_blocks) * WARPS + warp) * ROWS;
    const int start = blockIdx.y * 32, key = start + lane;
    const int place = lane < ROWS && first + lane < s.queries ? first + lane : -1;
    const int sequences = s.batch / p.bias_batch, heads = s.heads / p.bias_heads;
    const long long members = (long long)sequences * heads;

    float sums[ROWS];
#pragma unroll
    for (int r = 0; r < ROWS; r++)
        sums[r] = 0.0f;
    for (long long member = members * blockIdx.z / p.parts; member < members * (blockIdx.z + 1) / p.parts; member++)
    {
        const long long sequence = bias_group / p.bias_heads * sequences + member / heads;
        const int head = bias_group % p.bias_heads * heads + (int)(member % heads);
        const long long group = sequence * s.heads + head;
        __syncthreads();
        const T* query_rows = p.query + start_of(sequence, s.queries, s.query_row, head, QUERY_WIDTH);
        const T* output_rows = p.output_grad + start_of(sequence, s.queries, s.output_row, head, VALUE_WIDTH);
        stage<ROWS, QUERY_WIDTH>(m.query_rows, QUERY_WIDTH, query_rows, s.query_row, place, s.scale * LOG2_E);
        stage<ROWS, VALUE_WIDTH>(m.value_rows, VALUE_WIDTH, output_rows, s.output_row, place, 1.0f);
        stage_tiles(
            m, warp, p.key + start_of(sequence, s.keys, s.key_row, head, QUERY_WIDTH), s.key_row,
            p.value + start_of(sequence, s.keys, s.value_row, head, VALUE_WIDTH), s.value_row, start, s.keys);
        __syncthreads();
        float scores[ROWS], grads[ROWS];
        multiply<QUERY_WIDTH>(scores, m.query_rows, m.query_tile + lane * tile_stride<QUERY_WIDTH>());
        multiply<VALUE_WIDTH>(grads, m.value_rows, m.value_tile + lane * tile_stride<VALUE_WIDTH>());
#pragma unroll
        for (int r = 0; r < ROWS; r++)
        {
            if (first + r >= s.queries || key >= s.keys)
                continue;
            const long long row = group * s.queries + first + r;
            const float score = scores[r] + bias_of(p.bias, s, sequence, head, first + r, key);
            sums[r] = fmaf(exp2_fast(score - p.log_sum_exp[row] * LOG2_E), grads[r] - p.output_products[row], sums[r]);
        }
    }
    const long long target = ((long long)blockIdx.z * p.bias_batch * p.bias_heads + bias_group) * s.queries;
#pragma unroll
    for (int r = 0; r < ROWS; r++)
    {
        if (first + r < s.queries && key < s.keys)
            p.bias_partials[(target + first + r) * s.keys + key] = sums[r];
    }
}

#ifdef BOX_BIAS
// The gradients of the biases of columns and rows, a warp ROWS queries. Tiles are parts of a row of the map: each lane has a column, whose
// sum over the rows stays with it, and the sums of rows gather in shared memory. After query_grad.
extern "C" __global__ void box_bias_grad(const Parameters p)
{
    extern __shared__ float4 shared_memory[];
    const Sizes& s = p.sizes;
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    const Memory m = lay_out<0>(reinterpret_cast<float*>(shared_memory), warp);
    const Memory end = lay_out<0>(reinterpret_cast<float*>(shared_memory), WARPS);
    float* row_sums = end.query_rows + warp * ROWS * s.row_count;
    const long long group = blockIdx.x / p.row_blocks;
    const int first = ((int)(blockIdx.x % p.row_blocks) * WARPS + warp) * ROWS;
    const int head = (int)(group % s.heads);
    const long long sequence = group / s.heads;
    const int place = lane < ROWS && first + lane < s.queries ? first + lane : -1;
    const T* key_rows = p.key + start_of(sequence, s.keys, s.key_row, head, QUERY_WIDTH);
    const T* value_rows = p.value + start_of(sequence, s.keys, s.value_row, head, VALUE_WIDTH);
    stage<ROWS, QUERY_WIDTH>(
        m.query_rows, QUERY_WIDTH, p.query + start_of(sequence, s.queries, s.query_row, head, QUERY_WIDTH), s.query_row, place,
        s.scale * LOG2_E);
    stage<ROWS, VALUE_WIDTH>(
        m.value_rows, VALUE_WIDTH, p.output_grad + start_of(sequence, s.queries, s.output_row, head, VALUE_WIDTH), s.output_row, place,
        1.0f);
    for (int i = lane; i < ROWS * s.row_count; i += 32)
        row_sums[i] = 0.0f;

    float log_sum_exp[ROWS], products[ROWS];
#pragma unroll
    for (int r = 0; r < ROWS; r++)
    {
        const long long row = group * s.queries + min(first + r, s.queries - 1);
        log_sum_exp[r] = p.log_sum_exp[row] * LOG2_E;
        products[r] = p.output_products[row];
    }
    for (int start = 0; start < s.column_count; start += 32)
    {
        const int x = start + lane;
        float column_sums[ROWS];
#pragma unroll
        for (int r = 0; r < ROWS; r++)
            column_sums[r] = 0.0f;
        for (int y = 0; y < s.row_count; y++)
        {
            __syncthreads();
            stage_tiles(m, warp, key_rows, s.key_row, value_rows, s.value_row, y * s.column_count + start, (y + 1) * s.column_count);
            __syncthreads();
            if (first >= s.queries)
                continue;
            float scores[ROWS], grads[ROWS];
            multiply<QUERY_WIDTH>(scores, m.query_rows, m.query_tile + lane * tile_stride<QUERY_WIDTH>());
            multiply<VALUE_WIDTH>(grads, m.value_rows, m.value_tile + lane * tile_stride<VALUE_WIDTH>());
#pragma unroll
            for (int r = 0; r < ROWS; r++)
            {
                float grad = 0.0f;
                if (x < s.column_count && first + r < s.queries)
                {
                    const float score = scores[r] + bias_of(p.bias, s, sequence, head, first + r, y * s.column_count + x);
                    grad = exp2_fast(score - log_sum_exp[r]) * (grads[r] - products[r]);
                }
                column_sums[r] += grad;
                const float sum = warp_sum(grad);
                if (lane == 0)
                    row_sums[r * s.row_count + y] += sum;
            }
        }
#pragma unroll
        for (int r = 0; r < ROWS; r++)
        {
            if (x < s.column_count && first + r < s.queries)
                p.column_grad[((sequence * s.queries + first + r) * s.column_count + x) * s.heads + head] = column_sums[r];
        }
    }
    __syncwarp();
    for (int i = lane; i < ROWS * s.row_count; i += 32)
    {
        const int r = i / s.row_count, y = i - r * s.row_count;
        if (first + r < s.queries)
            p.row_grad[((sequence * s.queries + first + r) * s.row_count + y) * s.heads + head] = row_sums[i];
    }
}
#endif

struct BiasSums
{
    const float* partials;  // [parts, groups, L, S]
    T* bias_grad;           // [groups, L or 1, S]
    int parts;
    int groups;
    int queries;
    int keys;
    int bias_queries;
};

// A thread an element of the bias.
extern "C" __global__ void sum_bias_grads(const BiasSums p)
{
    const long long index = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= (long long)p.groups * p.bias_queries * p.keys)
        return;
    const int key = (int)(index % p.keys), first_query = (int)(index / p.keys % p.bias_queries);
    const long long group = index / p.keys / p.bias_queries;
    const int last_query = p.bias_queries == 1 ? p.queries : first_query + 1;
    float sum = 0.0f;
    for (int part = 0; part < p.parts; part++)
    {
        for (int query = first_query; query < last_query; query++)
            sum += p.partials[(((long long)part * p.groups + group) * p.queries + query) * p.keys + key];
    }
    store(p.bias_grad + index, sum);
}
