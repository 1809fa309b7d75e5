// Consistent self-attention on the tensor cores: a warp has ROW_TILES x 16 queries of one head of an image, a block WARPS warps, which
// share tiles of KEYS keys and values. Keys come from the bank and the images by the image's list, so no tile has one that is not allowed;
// the next tile is copied while one is worked on. Compiled for WIDTH, the channels of a head, ROW_TILES, WARPS (1, 2 or 4), STAGES, the
// tiles in shared memory (1 or 2), and COPY, the bytes that are copied at once.
#include "exponential.cuh"
#include "storage.cuh"
#include "tensor_cores.cuh"
#ifndef T_HALF
#include "single_tensor_cores.cuh"
#endif

#ifdef T_HALF
#define KEYS 64
#define STEP 16 // channels, or keys, of a product
#else
#define KEYS 32
#define STEP 8
#endif
#define DEPTH ((WIDTH + STEP - 1) / STEP * STEP)
#define STRIDE (DEPTH + 16 / (int)sizeof(T)) // the padding keeps rows apart in the banks
#define COLUMN_TILES (DEPTH / 8)
#define ROWS (ROW_TILES * 16)
#define THREADS (WARPS * 32)
#define LOG2_E 1.44269504f
#define LN_2 0.693147181f
#define MINUS_INFINITY __int_as_float(0xff800000)

struct Parameters
{
    const T* query; // [G, n, N, heads * WIDTH]
    const T* key;
    const T* value;
    const T* bank_key; // [G, M, heads * WIDTH]
    const T* bank_value;
    const int* lists;     // [n, M + n * N], or null
    const int* counts;    // [n], keys of the lists
    T* output;            // [G, n, N, heads * WIDTH]
    float* log_sum_exp;   // [G, heads, n * N] or null
    int images;
    int tokens;
    int bank_tokens;
    int heads;
    int row_blocks;
    int sees_all; // without lists: all keys, or the image's own
    float scale;  // not negative
};

// The keys of an image: those of a list, or some that follow each other.
struct Keys
{
    const int* list;
    int first;
    int count;

    __device__ __forceinline__ int at(int i) const
    {
        i = min(i, count - 1);
        return list ? list[i] : first + i;
    }
};

__device__ __forceinline__ Keys keys_of(const Parameters& p, int image)
{
    const int all = p.bank_tokens + p.images * p.tokens;
    if (p.lists)
        return {p.lists + (long long)image * all, 0, p.counts[image]};
    if (p.sees_all)
        return {nullptr, 0, all};
    return {nullptr, p.bank_tokens + image * p.tokens, p.tokens};
}

// COPY bytes to shared memory, which are there after wait_for_copies.
__device__ __forceinline__ void copy(T* target, const T* source)
{
#if COPY < 4
    *target = *source;
#else
    unsigned address;
    asm("{ .reg .u64 wide; cvta.to.shared.u64 wide, %1; cvt.u32.u64 %0, wide; }" : "=r"(address) : "l"(target));
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" :: "r"(address), "l"(source), "n"(COPY) : "memory");
#endif
}

__device__ __forceinline__ void wait_for_copies()
{
    asm volatile("cp.async.wait_all;" ::: "memory");
}

// A tile of keys and their values, from number `first` on. Behind the last key that one is repeated.
__device__ __forceinline__ void fetch(
    T* key_tile, T* value_tile, const Parameters& p, const Keys& keys, int first, long long bank_start, long long image_start)
{
    const int channels = p.heads * WIDTH;
    const int parts = WIDTH * (int)sizeof(T) / COPY, part_width = COPY / (int)sizeof(T);
    for (int i = threadIdx.x; i < KEYS * parts; i += THREADS)
    {
        const int row = i / parts, channel = i % parts * part_width;
        const int key = keys.at(first + row);
        const bool is_bank = key < p.bank_tokens;
        const long long source = is_bank
            ? bank_start + (long long)key * channels + channel
            : image_start + (long long)(key - p.bank_tokens) * channels + channel;
        copy(key_tile + row * STRIDE + channel, (is_bank ? p.bank_key : p.key) + source);
        copy(value_tile + row * STRIDE + channel, (is_bank ? p.bank_value : p.value) + source);
    }
}

// scores += queries keys^T
__device__ __forceinline__ void add_products(
    float (&scores)[ROW_TILES][KEYS / 8][4], const unsigned (&queries)[DEPTH / STEP][ROW_TILES][4], const T* key_tile, int lane)
{
#pragma unroll
    for (int step = 0; step < DEPTH / STEP; step++)
    {
        const unsigned(&rows)[ROW_TILES][4] = queries[step];
#ifndef T_HALF
        SplitMatrix split_rows[ROW_TILES];
#pragma unroll
        for (int r = 0; r < ROW_TILES; r++)
            split_rows[r] = split(rows[r]);
#endif
#pragma unroll
        for (int j = 0; j < KEYS / 8; j += 2)
        {
            unsigned keys[4];
            load_matrices(keys, key_tile + (j * 8 + (lane & 7) + (lane >> 4) * 8) * STRIDE + step * STEP + (lane >> 3 & 1) * (STEP / 2));
#pragma unroll
            for (int half = 0; half < 2; half++)
            {
#ifdef T_HALF
#pragma unroll
                for (int r = 0; r < ROW_TILES; r++)
                    multiply(scores[r][j + half], rows[r], keys[2 * half], keys[2 * half + 1]);
#else
                const Halves b0 = split(keys[2 * half]), b1 = split(keys[2 * half + 1]);
#pragma unroll
                for (int r = 0; r < ROW_TILES; r++)
                    multiply(scores[r][j + half], split_rows[r], b0, b1);
#endif
            }
        }
    }
}

// Scores of the keys from number `count` on become minus infinity.
__device__ __forceinline__ void forget_from(float (&scores)[ROW_TILES][KEYS / 8][4], int count, int lane)
{
#pragma unroll
    for (int r = 0; r < ROW_TILES; r++)
#pragma unroll
        for (int i = 0; i < KEYS / 2; i++)
            if (i / 4 * 8 + (lane & 3) * 2 + i % 2 >= count)
                scores[r][i / 4][i % 4] = MINUS_INFINITY;
}

// sums += weights values. What a lane has of a product of the tensor cores is what it needs of a factor.
__device__ __forceinline__ void add_weighted(
    float (&sums)[ROW_TILES][COLUMN_TILES][4], const float (&weights)[ROW_TILES][KEYS / 8][4], const T* value_tile, int lane)
{
#ifdef T_HALF
#pragma unroll
    for (int j = 0; j < KEYS / 8; j += 2)
    {
        unsigned rows[ROW_TILES][4];
#pragma unroll
        for (int r = 0; r < ROW_TILES; r++)
        {
#pragma unroll
            for (int part = 0; part < 4; part++)
            {
                const float(&pair)[4] = weights[r][j + part / 2];
                rows[r][part] = pack(pair[part % 2 * 2], pair[part % 2 * 2 + 1]);
            }
        }
#pragma unroll
        for (int column = 0; column < COLUMN_TILES; column += 2)
        {
            unsigned values[4];
            load_transposed(values, value_tile + (j * 8 + (lane & 15)) * STRIDE + column * 8 + (lane >> 4) * 8);
#pragma unroll
            for (int r = 0; r < ROW_TILES; r++)
            {
                multiply(sums[r][column], rows[r], values[0], values[1]);
                multiply(sums[r][column + 1], rows[r], values[2], values[3]);
            }
        }
    }
#else
#pragma unroll
    for (int j = 0; j < KEYS / 8; j++)
    {
        // The keys of a product in another order, the even ones first.
        SplitMatrix rows[ROW_TILES];
#pragma unroll
        for (int r = 0; r < ROW_TILES; r++)
        {
            const float(&w)[4] = weights[r][j];
            const unsigned bits[4] = {__float_as_uint(w[0]), __float_as_uint(w[2]), __float_as_uint(w[1]), __float_as_uint(w[3])};
            rows[r] = split(bits);
        }
        const T* values = value_tile + (j * 8 + (lane & 3) * 2) * STRIDE + (lane >> 2);
#pragma unroll
        for (int column = 0; column < COLUMN_TILES; column++)
        {
            const Halves b0 = split(__float_as_uint(values[column * 8])), b1 = split(__float_as_uint(values[STRIDE + column * 8]));
#pragma unroll
            for (int r = 0; r < ROW_TILES; r++)
                multiply(sums[r][column], rows[r], b0, b1);
        }
    }
#endif
}

extern "C" __global__ void __launch_bounds__(THREADS) attend(const Parameters p)
{
    extern __shared__ uint4 shared_memory[];
    T* query_tile = reinterpret_cast<T*>(shared_memory);
    T* key_tiles = query_tile + WARPS * ROWS * STRIDE;
    T* value_tiles = key_tiles + STAGES * KEYS * STRIDE;
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    const int block = (int)(blockIdx.x % p.row_blocks), head = (int)(blockIdx.x / p.row_blocks % p.heads);
    const long long picture = blockIdx.x / p.row_blocks / p.heads;
    const long long group = picture / p.images;
    const int image = (int)(picture % p.images), channels = p.heads * WIDTH;
    const long long query_start = picture * p.tokens * channels + head * WIDTH;
    const long long bank_start = group * p.bank_tokens * channels + head * WIDTH;
    const long long image_start = group * p.images * p.tokens * channels + head * WIDTH;
    const Keys keys = keys_of(p, image);
    const int tiles = (keys.count + KEYS - 1) / KEYS;

    // Channels beyond the head's have to be zero.
    const int size = (WARPS * ROWS + 2 * STAGES * KEYS) * STRIDE;
    if (DEPTH != WIDTH)
    {
        for (int i = threadIdx.x; i < size; i += THREADS)
            store(query_tile + i, 0.0f);
        __syncthreads();
    }
    for (int i = threadIdx.x; i < WARPS * ROWS * WIDTH; i += THREADS)
    {
        const int row = i / WIDTH, channel = i % WIDTH;
        const int token = min(block * WARPS * ROWS + row, p.tokens - 1);
        query_tile[row * STRIDE + channel] = p.query[query_start + (long long)token * channels + channel];
    }
    __syncthreads();
    unsigned queries[DEPTH / STEP][ROW_TILES][4];
#pragma unroll
    for (int step = 0; step < DEPTH / STEP; step++)
#pragma unroll
        for (int r = 0; r < ROW_TILES; r++)
            load_matrices(
                queries[step][r],
                query_tile + (warp * ROWS + r * 16 + (lane & 15)) * STRIDE + step * STEP + (lane >> 4) * (STEP / 2));

    float largest[ROW_TILES][2], totals[ROW_TILES][2], sums[ROW_TILES][COLUMN_TILES][4];
#pragma unroll
    for (int r = 0; r < ROW_TILES; r++)
    {
#pragma unroll
        for (int half = 0; half < 2; half++)
        {
            largest[r][half] = MINUS_INFINITY;
            totals[r][half] = 0.0f;
        }
#pragma unroll
        for (int column = 0; column < COLUMN_TILES; column++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                sums[r][column][i] = 0.0f;
    }

    const float scale = p.scale * LOG2_E;
#if STAGES == 2
    fetch(key_tiles, value_tiles, p, keys, 0, bank_start, image_start);
#endif
    for (int tile = 0; tile < tiles; tile++)
    {
        const int at = tile % STAGES * KEYS * STRIDE;
#if STAGES == 1
        __syncthreads();
        fetch(key_tiles, value_tiles, p, keys, tile * KEYS, bank_start, image_start);
#endif
        wait_for_copies();
        __syncthreads();
#if STAGES == 2
        const int next = (tile + 1) % STAGES * KEYS * STRIDE;
        if (tile + 1 < tiles)
            fetch(key_tiles + next, value_tiles + next, p, keys, (tile + 1) * KEYS, bank_start, image_start);
#endif
        float scores[ROW_TILES][KEYS / 8][4] = {};
        add_products(scores, queries, key_tiles + at, lane);

        const int left = keys.count - tile * KEYS;
        if (left < KEYS)
            forget_from(scores, left, lane);
#pragma unroll
        for (int r = 0; r < ROW_TILES; r++)
        {
#pragma unroll
            for (int half = 0; half < 2; half++)
            {
                float most = largest[r][half];
#pragma unroll
                for (int i = 0; i < KEYS / 4; i++)
                    most = fmaxf(most, scores[r][i / 2][half * 2 + i % 2]);
                most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 1));
                most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 2));
                const float factor = exp2_fast((largest[r][half] - most) * scale);
                largest[r][half] = most;
                float total = totals[r][half] * factor;
#pragma unroll
                for (int i = 0; i < KEYS / 4; i++)
                {
                    float& score = scores[r][i / 2][half * 2 + i % 2];
                    score = exp2_fast(fmaf(score, scale, -most * scale));
                    total += score;
                }
                totals[r][half] = total;
#pragma unroll
                for (int column = 0; column < COLUMN_TILES; column++)
                {
                    sums[r][column][half * 2] *= factor;
                    sums[r][column][half * 2 + 1] *= factor;
                }
            }
        }
        add_weighted(sums, scores, value_tiles + at, lane);
    }

#pragma unroll
    for (int r = 0; r < ROW_TILES; r++)
    {
#pragma unroll
        for (int half = 0; half < 2; half++)
        {
            float total = totals[r][half];
            total += __shfl_xor_sync(0xffffffffu, total, 1);
            total += __shfl_xor_sync(0xffffffffu, total, 2);
            const int token = (block * WARPS + warp) * ROWS + r * 16 + half * 8 + (lane >> 2);
            if (token >= p.tokens)
                continue;
            T* output = p.output + query_start + (long long)token * channels;
            const float factor = 1.0f / total;
#pragma unroll
            for (int i = 0; i < COLUMN_TILES * 2; i++)
            {
                const int channel = i / 2 * 8 + (lane & 3) * 2 + i % 2;
                if (channel < WIDTH)
                    store(output + channel, sums[r][i / 2][half * 2 + i % 2] * factor);
            }
            if (p.log_sum_exp && (lane & 3) == 0)
            {
                const long long row = (group * p.heads + head) * p.images * p.tokens + (long long)image * p.tokens + token;
                p.log_sum_exp[row] = (largest[r][half] * scale + log2_fast(total)) * LN_2;
            }
        }
    }
}
