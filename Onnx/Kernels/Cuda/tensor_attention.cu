// Multi-head attention in float16 on the tensor cores: each warp has 16 queries of one head and goes through tiles of 64 keys, whose scores
// stay in registers. QUERY_WARPS warps share tiles; KEY_WARPS groups of them share the keys between them, for few queries of many keys.
// Compiled for WIDTH, the channels of a head, a multiple of 16; with BIAS where scores differ in theirs, BIAS_PAIRS where two neighbours are
// loaded at once, BOX_BIAS where it is the sum of a map's columns' and rows'; with COSINE queries and keys have norm 1 and heads a scale,
// with MARKS there are one-hot marks of what belongs together.
#include "storage.cuh"
#include "tensor_cores.cuh"
#include "exponential.cuh"
#include "multi_head_attention.cuh"

#define FULL 0xffffffffu
#define LOG2_E 1.44269504088896f
#define LN_2 0.693147180559945f
#define PADDING_PENALTY 100.0f
#define NORM_EPSILON 5e-5f

#define KEYS 64
#define GROUP_THREADS (32 * QUERY_WARPS)
#define THREADS (GROUP_THREADS * KEY_WARPS)
#define ROW (WIDTH + 8) // elements of a row in shared memory; the padding keeps rows apart in the banks
#define CHUNKS (WIDTH / 8)
#define ROWS (16 * QUERY_WARPS)

struct Cosine
{
    const float* head_scale; // with COSINE: [heads]
    const T* marks;          // with MARKS: [mark_count, L, mark_width]
    int mark_count;
    int mark_width;
};

struct Parameters
{
    const T* query;
    const T* key;
    const T* value;
    const T* bias;
    T* output;
    float* log_sum_exp; // [N, heads, L] or null
    Cosine cosine;
    int row_blocks; // blocks for the queries of a head
    Sizes sizes;
};

struct Tile
{
    T keys[KEYS * ROW];
    T values[KEYS * ROW];
#ifdef COSINE
    float inverse_norms[KEYS];
#endif
#ifdef MARKS
    unsigned int marks[KEYS];
#endif
};

// The sum over the four lanes that share a row of a product.
__device__ __forceinline__ float quad_sum(float value)
{
    value += __shfl_xor_sync(FULL, value, 1);
    return value + __shfl_xor_sync(FULL, value, 2);
}

__device__ __forceinline__ float quad_max(float value)
{
    value = fmaxf(value, __shfl_xor_sync(FULL, value, 1));
    return fmaxf(value, __shfl_xor_sync(FULL, value, 2));
}

__device__ __forceinline__ float squares(unsigned int pair)
{
    const float first = from_half((unsigned short)pair), second = from_half((unsigned short)(pair >> 16));
    return fmaf(first, first, second * second);
}

#ifdef MARKS
// The marks of a position as bits.
__device__ __forceinline__ unsigned int marks_of(const Parameters& p, long long sequence, int position)
{
    const T* marks = p.cosine.marks + (sequence % p.cosine.mark_count * p.sizes.keys + position) * p.cosine.mark_width;
    unsigned int bits = 0;
    for (int i = 0; i < p.cosine.mark_width; i++)
        bits |= (unsigned int)(load(marks + i) > 0.5f) << i;
    return bits;
}
#endif

extern "C" __global__ void __launch_bounds__(THREADS) attend(const Parameters p)
{
    extern __shared__ uint4 shared_memory[];
    const Sizes& s = p.sizes;
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    const int query_warp = warp % QUERY_WARPS, key_group = warp / QUERY_WARPS;
    const int group_thread = threadIdx.x % GROUP_THREADS;
    Tile& tile = reinterpret_cast<Tile*>(shared_memory)[key_group];

    const long long group = blockIdx.x / p.row_blocks;
    const int head = (int)(group % s.heads);
    const long long sequence = group / s.heads;
    const int block_first = (int)(blockIdx.x % p.row_blocks) * ROWS, first = block_first + query_warp * 16;
    const T* query_rows = p.query + start_of(sequence, s.queries, s.query_row, head, WIDTH);
    const T* key_rows = p.key + start_of(sequence, s.keys, s.key_row, head, WIDTH);
    const T* value_rows = p.value + start_of(sequence, s.keys, s.value_row, head, WIDTH);
    // A lane has two rows of each product, eight apart.
    const int rows[2] = {first + lane / 4, first + lane / 4 + 8};

    unsigned int queries[WIDTH / 16][4];
    float factors[2];
#pragma unroll
    for (int half = 0; half < 2; half++)
    {
        const bool is_row = rows[half] < s.queries;
        const T* row = query_rows + (long long)(is_row ? rows[half] : 0) * s.query_row + lane % 4 * 2;
        float norm = 0.0f;
#pragma unroll
        for (int k = 0; k < WIDTH / 8; k++)
        {
            const unsigned int pair = is_row ? *reinterpret_cast<const unsigned int*>(row + k * 8) : 0;
            queries[k / 2][k % 2 * 2 + half] = pair;
            norm += squares(pair);
        }
#ifdef COSINE
        factors[half] = p.cosine.head_scale[head] * LOG2_E / (sqrtf(quad_sum(norm)) + NORM_EPSILON);
#else
        factors[half] = s.scale * LOG2_E;
#endif
    }
#ifdef MARKS
    const unsigned int row_marks[2] = {
        marks_of(p, sequence, min(rows[0], s.queries - 1)), marks_of(p, sequence, min(rows[1], s.queries - 1))};
#endif
#ifdef BOX_BIAS
    // The biases of the block's queries: first those of the columns, then those of the rows.
    float* columns = reinterpret_cast<float*>(reinterpret_cast<Tile*>(shared_memory) + KEY_WARPS);
    float* lines = columns + ROWS * s.column_count;
    for (int i = threadIdx.x; i < ROWS * (s.column_count + s.row_count); i += THREADS)
    {
        const bool is_column = i < ROWS * s.column_count;
        const int count = is_column ? s.column_count : s.row_count, at = is_column ? i : i - ROWS * s.column_count;
        const long long row = sequence * s.queries + min(block_first + at / count, s.queries - 1);
        columns[i] = LOG2_E * (is_column ? s.box_columns : s.box_rows)[(row * count + at % count) * s.heads + head];
    }
    const float per_column = 1.0f / s.column_count;
    const int line_count = (int)min(s.box_extent[2 * sequence], (long long)s.row_count);
    const int column_count = (int)min(s.box_extent[2 * sequence + 1], (long long)s.column_count);
#elif defined(BIAS)
    const T* bias_rows[2];
#pragma unroll
    for (int half = 0; half < 2; half++)
        bias_rows[half] = p.bias + sequence * s.bias_batch + head * s.bias_head + min(rows[half], s.queries - 1) * s.bias_query;
#else
    const float same = load(p.bias) * LOG2_E;
#endif

    float sums[WIDTH / 8][4], largest[2], totals[2] = {0.0f, 0.0f};
    largest[0] = largest[1] = negative_infinity();
#pragma unroll
    for (int j = 0; j < WIDTH / 8; j++)
        sums[j][0] = sums[j][1] = sums[j][2] = sums[j][3] = 0.0f;

    for (int round = 0; round < s.keys; round += KEYS * KEY_WARPS)
    {
        const int start = round + key_group * KEYS;
        __syncthreads();
        for (int part = group_thread; part < KEYS * CHUNKS; part += GROUP_THREADS)
        {
            const int row = part / CHUNKS, column = part % CHUNKS * 8, key = start + row;
            uint4 keys = {0, 0, 0, 0}, values = {0, 0, 0, 0};
            if (key < s.keys)
            {
                keys = *reinterpret_cast<const uint4*>(key_rows + (long long)key * s.key_row + column);
                values = *reinterpret_cast<const uint4*>(value_rows + (long long)key * s.value_row + column);
            }
            *reinterpret_cast<uint4*>(tile.keys + row * ROW + column) = keys;
            *reinterpret_cast<uint4*>(tile.values + row * ROW + column) = values;
#ifdef COSINE
            float norm = squares(keys.x) + squares(keys.y) + squares(keys.z) + squares(keys.w);
#pragma unroll
            for (int lanes = 1; lanes < CHUNKS; lanes *= 2)
                norm += __shfl_xor_sync(FULL, norm, lanes);
            if (column == 0)
                tile.inverse_norms[row] = 1.0f / (sqrtf(norm) + NORM_EPSILON);
#endif
        }
#ifdef MARKS
        for (int row = group_thread; row < KEYS; row += GROUP_THREADS)
            tile.marks[row] = start + row < s.keys ? marks_of(p, sequence, start + row) : 0;
#endif
        __syncthreads();
        if (first >= s.queries || start >= s.keys)
            continue;

        float scores[KEYS / 8][4];
#pragma unroll
        for (int j = 0; j < KEYS / 8; j++)
            scores[j][0] = scores[j][1] = scores[j][2] = scores[j][3] = 0.0f;
#pragma unroll
        for (int k = 0; k < WIDTH / 16; k++)
#pragma unroll
            for (int j = 0; j < KEYS / 16; j++)
            {
                unsigned int keys[4];
                load_matrices(keys, tile.keys + (j * 16 + (lane & 7) + (lane >> 4) * 8) * ROW + k * 16 + (lane >> 3 & 1) * 8);
                multiply(scores[j * 2], queries[k], keys[0], keys[1]);
                multiply(scores[j * 2 + 1], queries[k], keys[2], keys[3]);
            }

        float now[2] = {largest[0], largest[1]};
#pragma unroll
        for (int j = 0; j < KEYS / 8; j++)
        {
            const int place = j * 8 + lane % 4 * 2, key = start + place;
#ifdef BOX_BIAS
            const int y = (int)((key + 0.5f) * per_column), x = key - y * s.column_count;
#endif
#pragma unroll
            for (int half = 0; half < 2; half++)
            {
#ifdef BIAS_PAIRS
                const unsigned int pair = key < s.keys ? *reinterpret_cast<const unsigned int*>(bias_rows[half] + key) : 0;
#endif
#pragma unroll
                for (int next = 0; next < 2; next++)
                {
                    float score = scores[j][half * 2 + next] * factors[half];
#ifdef COSINE
                    score *= tile.inverse_norms[place + next];
#endif
#ifdef BOX_BIAS
                    const bool wraps = next && x + 1 == s.column_count;
                    const int column = wraps ? 0 : x + next, line = wraps ? y + 1 : y;
                    const int row = query_warp * 16 + lane / 4 + half * 8;
                    score += columns[row * s.column_count + column] + lines[row * s.row_count + min(line, s.row_count - 1)];
                    if (line >= line_count || column >= column_count)
                        score -= PADDING_PENALTY * LOG2_E;
#elif defined(BIAS_PAIRS)
                    score = fmaf(from_half((unsigned short)(next ? pair >> 16 : pair)), LOG2_E, score);
#elif defined(BIAS)
                    if (key + next < s.keys)
                        score = fmaf(load(bias_rows[half] + (key + next) * s.bias_key), LOG2_E, score);
#else
                    score += same;
#endif
#ifdef MARKS
                    if (!(row_marks[half] & tile.marks[place + next]))
                        score -= PADDING_PENALTY * LOG2_E;
#endif
                    if (key + next >= s.keys)
                        score = negative_infinity();
                    scores[j][half * 2 + next] = score;
                    now[half] = fmaxf(now[half], score);
                }
            }
        }
        // Where all keys so far are masked, nothing is subtracted: the exponentials are zero.
        float offsets[2];
#pragma unroll
        for (int half = 0; half < 2; half++)
        {
            now[half] = quad_max(now[half]);
            offsets[half] = now[half] == negative_infinity() ? 0.0f : now[half];
            const float shrink = exp2_fast(largest[half] - offsets[half]);
            largest[half] = now[half];
            totals[half] *= shrink;
#pragma unroll
            for (int j = 0; j < WIDTH / 8; j++)
            {
                sums[j][half * 2] *= shrink;
                sums[j][half * 2 + 1] *= shrink;
            }
        }
#pragma unroll
        for (int k = 0; k < KEYS / 16; k++)
        {
            unsigned int weights[4];
#pragma unroll
            for (int part = 0; part < 4; part++)
            {
                const int half = part % 2;
                float* pair = scores[k * 2 + part / 2] + half * 2;
                pair[0] = exp2_fast(pair[0] - offsets[half]);
                pair[1] = exp2_fast(pair[1] - offsets[half]);
                totals[half] += pair[0] + pair[1];
                weights[part] = pack(pair[0], pair[1]);
            }
#pragma unroll
            for (int j = 0; j < WIDTH / 16; j++)
            {
                unsigned int values[4];
                load_transposed(values, tile.values + (k * 16 + (lane & 15)) * ROW + j * 16 + (lane >> 4) * 8);
                multiply(sums[j * 2], weights, values[0], values[1]);
                multiply(sums[j * 2 + 1], weights, values[2], values[3]);
            }
        }
    }
    totals[0] = quad_sum(totals[0]);
    totals[1] = quad_sum(totals[1]);

#if KEY_WARPS > 1
    // What the groups have found is put together: each scaled to the largest score of all.
    __syncthreads();
    float* found = reinterpret_cast<float*>(shared_memory);
    constexpr int FOUND = WIDTH / 8 * 4 + 4;
    float* mine = found + ((key_group * QUERY_WARPS + query_warp) * 32 + lane) * FOUND;
#pragma unroll
    for (int half = 0; half < 2; half++)
    {
        mine[half] = largest[half];
        mine[2 + half] = totals[half];
#pragma unroll
        for (int j = 0; j < WIDTH / 8; j++)
        {
            mine[4 + j * 4 + half * 2] = sums[j][half * 2];
            mine[4 + j * 4 + half * 2 + 1] = sums[j][half * 2 + 1];
        }
    }
    __syncthreads();
    if (key_group > 0)
        return;
#pragma unroll
    for (int half = 0; half < 2; half++)
    {
        for (int other = 1; other < KEY_WARPS; other++)
        {
            const float* theirs = found + ((other * QUERY_WARPS + query_warp) * 32 + lane) * FOUND;
            const float now = fmaxf(largest[half], theirs[half]);
            const float offset = now == negative_infinity() ? 0.0f : now;
            const float shrink = exp2_fast(largest[half] - offset), grow = exp2_fast(theirs[half] - offset);
            largest[half] = now;
            totals[half] = totals[half] * shrink + theirs[2 + half] * grow;
#pragma unroll
            for (int j = 0; j < WIDTH / 8; j++)
            {
                sums[j][half * 2] = sums[j][half * 2] * shrink + theirs[4 + j * 4 + half * 2] * grow;
                sums[j][half * 2 + 1] = sums[j][half * 2 + 1] * shrink + theirs[4 + j * 4 + half * 2 + 1] * grow;
            }
        }
    }
#endif

    T* output_rows = p.output + start_of(sequence, s.queries, s.output_row, head, WIDTH);
#pragma unroll
    for (int half = 0; half < 2; half++)
    {
        if (rows[half] >= s.queries)
            continue;
        const float inverse = 1.0f / totals[half];
        T* row = output_rows + (long long)rows[half] * s.output_row + lane % 4 * 2;
#pragma unroll
        for (int j = 0; j < WIDTH / 8; j++)
            *reinterpret_cast<unsigned int*>(row + j * 8) = pack(sums[j][half * 2] * inverse, sums[j][half * 2 + 1] * inverse);
        if (p.log_sum_exp && lane % 4 == 0)
            p.log_sum_exp[group * s.queries + rows[half]] = (largest[half] + log2_fast(totals[half])) * LN_2;
    }
}
