// Products of a warp: ROWS rows, the same for all lanes, with a tile of 32 rows, one a lane.
#include "storage.cuh"

#define FULL 0xffffffffu
#define LOG2_E 1.44269504088896f
#define LN_2 0.693147180559945f

// Floats between the rows of a tile, such that lanes that read their rows side by side meet different banks.
template <int WIDTH>
__device__ constexpr int tile_stride()
{
    return WIDTH % 4 == 0 ? WIDTH + 4 : WIDTH | 1;
}

// Floats between the weights of two tile rows.
#define WEIGHT_STRIDE (ROWS + 4)

// Copies channels [0, WIDTH) of the map's positions times a factor. Lane i has the place of row i, -1 for zeros.
template <int COUNT, int WIDTH>
__device__ __forceinline__ void stage(float* target, int stride, const T* map, int channels, int place, float factor)
{
    const int lane = threadIdx.x & 31;
    constexpr int STEP = WIDTH % 4 == 0 ? 4 : 1, STEPS = WIDTH / STEP;
#pragma unroll 8
    for (int start = 0; start < COUNT * STEPS; start += 32)
    {
        const int i = start + lane;
        const int row = min(i / STEPS, COUNT - 1), column = i % STEPS * STEP;
        const int at = __shfl_sync(FULL, place, row);
        if (i >= COUNT * STEPS)
            continue;
        const T* source = map + (long long)at * channels + column;
        if constexpr (STEP == 4)
        {
            float4 value = at < 0 ? make_float4(0.0f, 0.0f, 0.0f, 0.0f) : load4(source);
            value.x *= factor;
            value.y *= factor;
            value.z *= factor;
            value.w *= factor;
            *reinterpret_cast<float4*>(target + row * stride + column) = value;
        }
        else
        {
            target[row * stride + column] = at < 0 ? 0.0f : load(source) * factor;
        }
    }
}

// products[r] = rows[r] . tile_row, with rows [ROWS, WIDTH].
template <int WIDTH>
__device__ __forceinline__ void multiply(float (&products)[ROWS], const float* rows, const float* tile_row)
{
#pragma unroll
    for (int r = 0; r < ROWS; r++)
        products[r] = 0.0f;
    if constexpr (WIDTH % 4 == 0)
    {
#pragma unroll 8
        for (int column = 0; column < WIDTH; column += 4)
        {
            const float4 x = *reinterpret_cast<const float4*>(tile_row + column);
#pragma unroll
            for (int r = 0; r < ROWS; r++)
            {
                const float4 y = *reinterpret_cast<const float4*>(rows + r * WIDTH + column);
                products[r] = fmaf(x.x, y.x, fmaf(x.y, y.y, fmaf(x.z, y.z, fmaf(x.w, y.w, products[r]))));
            }
        }
    }
    else
    {
#pragma unroll 4
        for (int column = 0; column < WIDTH; column++)
        {
#pragma unroll
            for (int r = 0; r < ROWS; r++)
                products[r] = fmaf(tile_row[column], rows[r * WIDTH + column], products[r]);
        }
    }
}

// The lane's weights, for all lanes to read.
__device__ __forceinline__ void put_weights(float* weights, const float (&values)[ROWS])
{
    float* target = weights + (threadIdx.x & 31) * WEIGHT_STRIDE;
#pragma unroll
    for (int r = 0; r < ROWS; r += 4)
        *reinterpret_cast<float4*>(target + r) = make_float4(values[r], values[r + 1], values[r + 2], values[r + 3]);
}

// sums[r][part] += weight of tile row `index` for row r * the lane's element of that tile row.
template <int PARTS>
__device__ __forceinline__ void accumulate(float (&sums)[ROWS][PARTS], const float* weights, int index, const float (&elements)[PARTS])
{
#pragma unroll
    for (int r = 0; r < ROWS; r += 4)
    {
        const float4 w = *reinterpret_cast<const float4*>(weights + index * WEIGHT_STRIDE + r);
#pragma unroll
        for (int part = 0; part < PARTS; part++)
        {
            sums[r][part] = fmaf(w.x, elements[part], sums[r][part]);
            sums[r + 1][part] = fmaf(w.y, elements[part], sums[r + 1][part]);
            sums[r + 2][part] = fmaf(w.z, elements[part], sums[r + 2][part]);
            sums[r + 3][part] = fmaf(w.w, elements[part], sums[r + 3][part]);
        }
    }
}

// sums[r] += the weighted sum of all tile rows; lane l has columns l, l + 32, ...
template <int WIDTH>
__device__ __forceinline__ void add_weighted(float (&sums)[ROWS][(WIDTH + 31) / 32], const float* weights, const float* tile)
{
    const int lane = threadIdx.x & 31;
    constexpr int PARTS = (WIDTH + 31) / 32;
#pragma unroll 4
    for (int i = 0; i < 32; i++)
    {
        float elements[PARTS];
#pragma unroll
        for (int part = 0; part < PARTS; part++)
            elements[part] = lane + 32 * part < WIDTH ? tile[i * tile_stride<WIDTH>() + lane + 32 * part] : 0.0f;
        accumulate<PARTS>(sums, weights, i, elements);
    }
}

// Writes rows to channels [0, WIDTH) of the map's positions. Lane r has the place of row r, -1 for none.
template <int WIDTH>
__device__ __forceinline__ void write_rows(T* map, int channels, int place, const float (&sums)[ROWS][(WIDTH + 31) / 32], float factor)
{
    const int lane = threadIdx.x & 31;
#pragma unroll
    for (int r = 0; r < ROWS; r++)
    {
        const int at = __shfl_sync(FULL, place, r);
#pragma unroll
        for (int part = 0; part < (WIDTH + 31) / 32; part++)
        {
            if (at >= 0 && lane + 32 * part < WIDTH)
                store(map + (long long)at * channels + lane + 32 * part, sums[r][part] * factor);
        }
    }
}
