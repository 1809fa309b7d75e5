// Multi-head attention of many short sequences, and its gradient: a block has SEQUENCES whole sequences in shared memory, a thread one head
// of one position, as a query and, in the gradient, then as a key. Compiled for QUERIES and KEYS, the lengths; HEADS; QUERY_WIDTH and
// VALUE_WIDTH, the channels of a head; THREADS; and with BIAS where scores differ in theirs.
#include "storage.cuh"
#include "exponential.cuh"
#include "multi_head_attention.cuh"

#define LOG2_E 1.44269504088896f
#define LN_2 0.693147180559945f
#define POSITIONS (QUERIES > KEYS ? QUERIES : KEYS)
#define QUERY_ROW (HEADS * QUERY_WIDTH)
#define VALUE_ROW (HEADS * VALUE_WIDTH)

struct Parameters
{
    const T* query;
    const T* key;
    const T* value;
    const T* bias;
    T* output;
    float* log_sum_exp;      // [N, heads, L] or null; read by the gradient
    const T* output_grad;
    float* output_products;  // [N, heads, L], output . output_grad, or null
    T* query_grad;           // rows as those of query, key and value
    T* key_grad;
    T* value_grad;
    Sizes sizes;
};

// Copies rows of WIDTH elements into shared memory, one behind the other.
template <int WIDTH>
__device__ __forceinline__ void copy_in(float* target, const T* source, int row_stride, int rows)
{
    constexpr int STEP = WIDTH % 4 == 0 ? 4 : 1, STEPS = WIDTH / STEP;
#pragma unroll 4
    for (int i = threadIdx.x; i < rows * STEPS; i += THREADS)
    {
        const T* from = source + (long long)(i / STEPS) * row_stride + i % STEPS * STEP;
        if constexpr (STEP == 4)
            reinterpret_cast<float4*>(target)[i] = load4(from);
        else
            target[i] = load(from);
    }
}

template <int WIDTH>
__device__ __forceinline__ void copy_out(T* target, const float* source, int row_stride, int rows)
{
    constexpr int STEP = WIDTH % 4 == 0 ? 4 : 1, STEPS = WIDTH / STEP;
#pragma unroll 4
    for (int i = threadIdx.x; i < rows * STEPS; i += THREADS)
    {
        T* to = target + (long long)(i / STEPS) * row_stride + i % STEPS * STEP;
        if constexpr (STEP == 4)
            store4(to, reinterpret_cast<const float4*>(source)[i]);
        else
            store(to, source[i]);
    }
}

template <int WIDTH>
__device__ __forceinline__ void read(float (&values)[WIDTH], const float* source)
{
#pragma unroll
    for (int i = 0; i < WIDTH; i++)
        values[i] = source[i];
}

template <int WIDTH>
__device__ __forceinline__ void write(float* target, const float (&values)[WIDTH])
{
#pragma unroll
    for (int i = 0; i < WIDTH; i++)
        target[i] = values[i];
}

template <int WIDTH>
__device__ __forceinline__ float dot(const float (&values)[WIDTH], const float* others)
{
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < WIDTH; i++)
        sum = fmaf(values[i], others[i], sum);
    return sum;
}

template <int WIDTH>
__device__ __forceinline__ void add_scaled(float (&sums)[WIDTH], float factor, const float* values)
{
#pragma unroll
    for (int i = 0; i < WIDTH; i++)
        sums[i] = fmaf(factor, values[i], sums[i]);
}

// The work of a thread, and the sequences of its block in shared memory.
struct Work
{
    int head;
    int position;
    int sequence;         // in the block
    long long first;      // sequence of the block
    int count;            // of sequences in the block
    float* query;         // [count, QUERIES, QUERY_ROW]
    float* key;           // [count, KEYS, QUERY_ROW]
    float* value;         // [count, KEYS, VALUE_ROW]
    float* output;        // [count, QUERIES, VALUE_ROW], or its gradient

    __device__ bool is_query() const { return sequence < count && position < QUERIES; }
    __device__ bool is_key() const { return sequence < count && position < KEYS; }
    __device__ int query_at(int i) const { return (sequence * QUERIES + i) * QUERY_ROW + head * QUERY_WIDTH; }
    __device__ int key_at(int i) const { return (sequence * KEYS + i) * QUERY_ROW + head * QUERY_WIDTH; }
    __device__ int value_at(int i) const { return (sequence * KEYS + i) * VALUE_ROW + head * VALUE_WIDTH; }
    __device__ int output_at(int i) const { return (sequence * QUERIES + i) * VALUE_ROW + head * VALUE_WIDTH; }
    // In [N, heads, L].
    __device__ long long row_at(int i) const { return ((first + sequence) * HEADS + head) * QUERIES + i; }
};

__device__ __forceinline__ Work begin(const Parameters& p, float* memory)
{
    Work w;
    w.head = threadIdx.x % HEADS;
    w.position = threadIdx.x / HEADS % POSITIONS;
    w.sequence = threadIdx.x / (HEADS * POSITIONS);
    w.first = (long long)blockIdx.x * SEQUENCES;
    const long long left = p.sizes.batch - w.first;
    w.count = left < SEQUENCES ? (int)left : SEQUENCES;
    w.query = memory;
    w.key = w.query + SEQUENCES * QUERIES * QUERY_ROW;
    w.value = w.key + SEQUENCES * KEYS * QUERY_ROW;
    w.output = w.value + SEQUENCES * KEYS * VALUE_ROW;
    copy_in<QUERY_ROW>(w.query, p.query + w.first * QUERIES * p.sizes.query_row, p.sizes.query_row, w.count * QUERIES);
    copy_in<QUERY_ROW>(w.key, p.key + w.first * KEYS * p.sizes.key_row, p.sizes.key_row, w.count * KEYS);
    copy_in<VALUE_ROW>(w.value, p.value + w.first * KEYS * p.sizes.value_row, p.sizes.value_row, w.count * KEYS);
    return w;
}

__device__ __forceinline__ float bias_of(const Parameters& p, const Work& w, int query, int key)
{
    const Sizes& s = p.sizes;
    return load(p.bias + (w.first + w.sequence) * s.bias_batch + w.head * s.bias_head + query * s.bias_query + key * s.bias_key) * LOG2_E;
}

extern "C" __global__ void __launch_bounds__(THREADS) attend_short(const Parameters p)
{
    extern __shared__ float4 shared_memory[];
    const Work w = begin(p, reinterpret_cast<float*>(shared_memory));
    __syncthreads();
    if (w.is_query())
    {
        float query[QUERY_WIDTH], scores[KEYS], output[VALUE_WIDTH];
        read(query, w.query + w.query_at(w.position));
        const float scale = p.sizes.scale * LOG2_E;
#ifndef BIAS
        const float same = load(p.bias) * LOG2_E;
#endif
        float largest = negative_infinity();
#pragma unroll
        for (int key = 0; key < KEYS; key++)
        {
#ifdef BIAS
            const float same = bias_of(p, w, w.position, key);
#endif
            scores[key] = fmaf(dot(query, w.key + w.key_at(key)), scale, same);
            largest = fmaxf(largest, scores[key]);
        }
        float sum = 0.0f;
#pragma unroll
        for (int i = 0; i < VALUE_WIDTH; i++)
            output[i] = 0.0f;
#pragma unroll
        for (int key = 0; key < KEYS; key++)
        {
            const float weight = exp2_fast(scores[key] - largest);
            sum += weight;
            add_scaled(output, weight, w.value + w.value_at(key));
        }
        const float factor = 1.0f / sum;
#pragma unroll
        for (int i = 0; i < VALUE_WIDTH; i++)
            output[i] *= factor;
        write(w.output + w.output_at(w.position), output);
        if (p.log_sum_exp)
            p.log_sum_exp[w.row_at(w.position)] = (largest + log2f(sum)) * LN_2;
    }
    __syncthreads();
    copy_out<VALUE_ROW>(p.output + w.first * QUERIES * p.sizes.output_row, w.output, p.sizes.output_row, w.count * QUERIES);
}

extern "C" __global__ void __launch_bounds__(THREADS) attend_short_grad(const Parameters p)
{
    extern __shared__ float4 shared_memory[];
    const Work w = begin(p, reinterpret_cast<float*>(shared_memory));
    float* log_sum_exps = w.output + SEQUENCES * QUERIES * VALUE_ROW;  // [SEQUENCES, QUERIES, HEADS], in powers of two
    float* products = log_sum_exps + SEQUENCES * QUERIES * HEADS;
    copy_in<VALUE_ROW>(w.output, p.output_grad + w.first * QUERIES * p.sizes.output_row, p.sizes.output_row, w.count * QUERIES);
    __syncthreads();

    const float scale = p.sizes.scale * LOG2_E;
#ifndef BIAS
    const float same = load(p.bias) * LOG2_E;
#endif
    float query_grad[QUERY_WIDTH], key_grad[QUERY_WIDTH], value_grad[VALUE_WIDTH];
#pragma unroll
    for (int i = 0; i < QUERY_WIDTH; i++)
        query_grad[i] = key_grad[i] = 0.0f;
#pragma unroll
    for (int i = 0; i < VALUE_WIDTH; i++)
        value_grad[i] = 0.0f;

    if (w.is_query())
    {
        float query[QUERY_WIDTH], output_grad[VALUE_WIDTH], probabilities[KEYS], grads[KEYS];
        read(query, w.query + w.query_at(w.position));
        read(output_grad, w.output + w.output_at(w.position));
        const float log_sum_exp = p.log_sum_exp[w.row_at(w.position)] * LOG2_E;
        float product = 0.0f;
#pragma unroll
        for (int key = 0; key < KEYS; key++)
        {
#ifdef BIAS
            const float same = bias_of(p, w, w.position, key);
#endif
            probabilities[key] = exp2_fast(fmaf(dot(query, w.key + w.key_at(key)), scale, same) - log_sum_exp);
            grads[key] = dot(output_grad, w.value + w.value_at(key));
            product = fmaf(probabilities[key], grads[key], product);
        }
#pragma unroll
        for (int key = 0; key < KEYS; key++)
            add_scaled(query_grad, probabilities[key] * (grads[key] - product), w.key + w.key_at(key));
        const int row = (w.sequence * QUERIES + w.position) * HEADS + w.head;
        log_sum_exps[row] = log_sum_exp;
        products[row] = product;
        if (p.output_products)
            p.output_products[w.row_at(w.position)] = product;
    }
    __syncthreads();

    if (w.is_key())
    {
        float key[QUERY_WIDTH], value[VALUE_WIDTH];
        read(key, w.key + w.key_at(w.position));
        read(value, w.value + w.value_at(w.position));
#pragma unroll 4
        for (int query = 0; query < QUERIES; query++)
        {
            const int row = (w.sequence * QUERIES + query) * HEADS + w.head;
#ifdef BIAS
            const float same = bias_of(p, w, query, w.position);
#endif
            const float* from = w.query + w.query_at(query);
            const float* output_grad = w.output + w.output_at(query);
            const float probability = exp2_fast(fmaf(dot(key, from), scale, same) - log_sum_exps[row]);
            add_scaled(value_grad, probability, output_grad);
            add_scaled(key_grad, probability * (dot(value, output_grad) - products[row]), from);
        }
    }
    __syncthreads();

    // The gradients take the places of what they are gradients of.
#pragma unroll
    for (int i = 0; i < QUERY_WIDTH; i++)
    {
        query_grad[i] *= p.sizes.scale;
        key_grad[i] *= p.sizes.scale;
    }
    if (w.is_query())
        write(w.query + w.query_at(w.position), query_grad);
    if (w.is_key())
    {
        write(w.key + w.key_at(w.position), key_grad);
        write(w.value + w.value_at(w.position), value_grad);
    }
    __syncthreads();
    copy_out<QUERY_ROW>(p.query_grad + w.first * QUERIES * p.sizes.query_row, w.query, p.sizes.query_row, w.count * QUERIES);
    copy_out<QUERY_ROW>(p.key_grad + w.first * KEYS * p.sizes.key_row, w.key, p.sizes.key_row, w.count * KEYS);
    copy_out<VALUE_ROW>(p.value_grad + w.first * KEYS * p.sizes.value_row, w.value, p.sizes.value_row, w.count * KEYS);
}
