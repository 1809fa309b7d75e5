// Raft-token mixing, a block a tile of tokens: normalisation, both linear maps and the residual sum, all between in shared memory.
// A token is channel j of each of the r groups in one column of the map: rows g * H + y of a matrix whose columns are tokens. A warp
// multiplies 16 rows of the weights with 32 tokens at a time: float16 on the tensor cores, float on the ordinary units.
#include "gelu.cuh"
#include "reduction.cuh"
#include "storage.cuh"

#define THREADS 256
#define ROWS 16
#define TOKENS 32

#ifdef T_HALF
#include "tensor_cores.cuh"

#define PADDING 8 // elements; keeps rows apart in the banks

// Where a number of the weights is, in the order in which lanes take them for the tensor cores.
__device__ __forceinline__ int place(int row, int step, int inner)
{
    const int matrix = row / 16 * (inner / 16) + step / 16, lane = row % 8 * 4 + step % 8 / 2;
    return (matrix * 32 + lane) * 8 + step % 16 / 8 * 4 + row % 16 / 8 * 2 + step % 2;
}
#else
#define PADDING 0

// Where a number of the weights is: the rows that a warp takes are side by side.
__device__ __forceinline__ int place(int row, int step, int inner)
{
    return (row / ROWS * inner + step) * ROWS + row % ROWS;
}
#endif

struct Weights
{
    const T* weight; // [rows, inner]
    T* packed;       // the same in the order of place, filled up with zeros to multiples of 16
    int rows;
    int inner;
};

__device__ __forceinline__ int whole(int count)
{
    return (count + 15) / 16 * 16;
}

extern "C" __global__ void pack_weights(const Weights p)
{
    const int inner = whole(p.inner), count = whole(p.rows) * inner;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x)
    {
        const int row = i / inner, step = i % inner;
        const bool is_filling = row >= p.rows || step >= p.inner;
        store(p.packed + place(row, step, inner), is_filling ? 0.0f : load(p.weight + (long long)row * p.inner + step));
    }
}

// put(row, token, number) for all numbers of packed weights [rows, inner] times a matrix [inner, tokens] in shared memory.
template <typename Put>
__device__ __forceinline__ void product(const T* packed, int rows, int inner, const T* matrix, int tokens, int stride, Put put)
{
    const int lane = threadIdx.x & 31, parts = tokens / TOKENS;
    for (int item = threadIdx.x >> 5; item < rows / ROWS * parts; item += THREADS / 32)
    {
        const int first_row = item / parts * ROWS, first_token = item % parts * TOKENS;
        const T* own = packed + (long long)first_row * inner;
        float sums[4][4] = {};
#ifdef T_HALF
        for (int step = 0; step < inner; step += 16)
        {
            const uint4 quad = reinterpret_cast<const uint4*>(own)[step * 2 + lane];
            const unsigned a[4] = {quad.x, quad.y, quad.z, quad.w};
            unsigned b[2][4];
#pragma unroll
            for (int j = 0; j < 2; j++)
                load_transposed(b[j], matrix + (step + (lane & 15)) * stride + first_token + j * 16 + (lane >> 4) * 8);
#pragma unroll
            for (int j = 0; j < 4; j++)
                multiply(sums[j], a, b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
        }
#pragma unroll
        for (int j = 0; j < 4; j++)
#pragma unroll
            for (int part = 0; part < 4; part++)
                put(first_row + lane / 4 + part / 2 * 8, first_token + j * 8 + lane % 4 * 2 + part % 2, sums[j][part]);
#else
        const int own_row = lane / 8 * 4, own_token = first_token + lane % 8 * 4;
#pragma unroll 4
        for (int step = 0; step < inner; step++)
        {
            const float4 a = load4(own + step * ROWS + own_row), b = load4(matrix + step * stride + own_token);
            const float x[4] = {a.x, a.y, a.z, a.w}, y[4] = {b.x, b.y, b.z, b.w};
#pragma unroll
            for (int i = 0; i < 4; i++)
#pragma unroll
                for (int j = 0; j < 4; j++)
                    sums[i][j] = fmaf(x[i], y[j], sums[i][j]);
        }
#pragma unroll
        for (int i = 0; i < 4; i++)
#pragma unroll
            for (int j = 0; j < 4; j++)
                put(first_row + own_row + i, own_token + j, sums[i][j]);
#endif
    }
}

struct Parameters
{
    const T* x;       // [N, H, W, C]
    const T* scale;   // [C], in the order of rafts
    const T* bias;    // [C]
    const T* packed1; // [hidden, r H], by pack_weights
    const T* bias1;   // [hidden]
    const T* packed2; // [r H, hidden], by pack_weights
    const T* bias2;   // [r H]
    const T* keep;    // [N] or []
    T* y;             // [N, H, W, C]
    long long count;  // tokens: N * W * C / r
    int height;
    int width;
    int channels;
    int raft_size;
    int hidden;
    int tokens;       // in a tile: a power of two from 32 to THREADS
    int statistics;   // of a tile: an even number, at least H for each column that it touches
    int keep_step;    // 0 for one number, 1 for one an example
    float epsilon;
};

__device__ __forceinline__ long long column_start(const Parameters& p, long long column)
{
    return (column / p.width * p.height * p.width + column % p.width) * p.channels;
}

// Mean and 1 / deviation of each position of the columns from `first` to `last`, a warp a position.
__device__ __forceinline__ void take_statistics(const Parameters& p, long long first, long long last, float2* statistics)
{
    const int lane = threadIdx.x & 31, count = (int)(last - first + 1) * p.height;
    for (int i = threadIdx.x >> 5; i < count; i += THREADS / 32)
    {
        const T* values = p.x + column_start(p, first + i / p.height) + (long long)(i % p.height) * p.width * p.channels;
        float sum = 0.0f, squares = 0.0f;
        for (int c = lane; c < p.channels; c += 32)
            sum += load(values + c);
        const float mean = warp_sum(sum) / p.channels;
        for (int c = lane; c < p.channels; c += 32)
            squares += (load(values + c) - mean) * (load(values + c) - mean);
        const float inverse = rsqrtf(warp_sum(squares) / p.channels + p.epsilon);
        if (lane == 0)
            statistics[i] = make_float2(mean, inverse);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) raft_mixing(const Parameters p)
{
    extern __shared__ float4 shared[];
    const int per_group = p.channels / p.raft_size, rows = p.raft_size * p.height, stride = p.tokens + PADDING;
    const int whole_rows = whole(rows), whole_hidden = whole(p.hidden);
    float2* statistics = reinterpret_cast<float2*>(shared);
    T* tokens = reinterpret_cast<T*>(statistics + p.statistics); // [whole rows, stride]
    T* hidden = tokens + whole_rows * stride;                    // [whole hidden, stride]

    const long long first = (long long)blockIdx.x * p.tokens, last = min(first + p.tokens, p.count) - 1;
    take_statistics(p, first / per_group, last / per_group, statistics);
    __syncthreads();

    // A thread has one token, and every so many rows of it.
    const int own = threadIdx.x % p.tokens, first_row = threadIdx.x / p.tokens, row_step = THREADS / p.tokens;
    const bool exists = first + own <= last;
    const long long token = exists ? first + own : last, column = token / per_group;
    const int j = (int)(token % per_group);
    const long long start = column_start(p, column) + j;
    const float2* own_statistics = statistics + (int)(column - first / per_group) * p.height;
    auto at = [&](int row) { return start + (long long)(row % p.height) * p.width * p.channels + row / p.height * per_group; };

    for (int row = first_row; row < whole_rows; row += row_step)
    {
        float value = 0.0f;
        if (exists && row < rows)
        {
            const float2 s = own_statistics[row % p.height];
            const int raft = j * p.raft_size + row / p.height;
            value = (load(p.x + at(row)) - s.x) * s.y * load(p.scale + raft) + load(p.bias + raft);
        }
        store(tokens + row * stride + own, value);
    }
    __syncthreads();
    product(p.packed1, whole_hidden, whole_rows, tokens, p.tokens, stride, [&](int row, int column, float value)
            { store(hidden + row * stride + column, gelu(value + (row < p.hidden ? load(p.bias1 + row) : 0.0f))); });
    __syncthreads();
    product(p.packed2, whole_rows, whole_hidden, hidden, p.tokens, stride, [&](int row, int column, float value)
            { store(tokens + row * stride + column, value); });
    __syncthreads();
    if (!exists)
        return;
    const float keep = load(p.keep + column / p.width * p.keep_step);
    for (int row = first_row; row < rows; row += row_step)
        store(p.y + at(row), load(p.x + at(row)) + keep * (load(tokens + row * stride + own) + load(p.bias2 + row)));
}
