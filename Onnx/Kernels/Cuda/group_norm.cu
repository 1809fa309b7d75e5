// Group normalisation of [batch, channels, positions] with or without SiLU, forward and backward. The elements of a group are contiguous.
#include "reduction.cuh"
#include "storage.cuh"

struct Parameters
{
    const T* output_grad;   // [batch, channels, positions]; null in the forward pass
    const T* x;             // [batch, channels, positions]
    const float* scale;     // [channels]
    const float* bias;      // [channels]
    T* result;              // [batch, channels, positions]: y, or the gradient of x
    float2* partials;       // [batch * groups, parts]: sums of x and its squares
    float4* moments;        // [batch * groups]: mean, one by deviation; backward two means more
    float* channel_sums;    // [batch, 2, channels]: what each example adds to the gradients of scale and bias
    long long positions;
    int batch;
    int channels;
    int groups;
    int parts;
    int silu;
    float epsilon;
};

__device__ __forceinline__ float sigmoid(float z)
{
    return 1.0f / (1.0f + __expf(-z));
}

// z sigmoid(z), and its derivative.
__device__ __forceinline__ float activate(float z, int silu)
{
    return silu ? z * sigmoid(z) : z;
}

__device__ __forceinline__ float slope(float z, int silu)
{
    if (!silu)
        return 1.0f;
    const float s = sigmoid(z);
    return s * (1.0f + z * (1.0f - s));
}

// Sums of x and x * x over a part of a group, x measured from the group's first element for the sake of precision. A block a group and part.
extern "C" __global__ void sums(const Parameters p)
{
    __shared__ float shared[32];
    const long long length = (long long)(p.channels / p.groups) * p.positions;
    const T* x = p.x + blockIdx.x * length;
    const float origin = load(x);
    const int step = length % 4 == 0 ? 4 : 1;
    const long long steps = length / step, last = steps * (blockIdx.y + 1) / p.parts;
    float sum = 0.0f, square = 0.0f;
    for (long long i = steps * blockIdx.y / p.parts + threadIdx.x; i < last; i += blockDim.x)
    {
        if (step == 1)
        {
            const float value = load(x + i) - origin;
            sum += value;
            square += value * value;
            continue;
        }
        const float4 four = load4(x + 4 * i);
        const float a = four.x - origin, b = four.y - origin, c = four.z - origin, d = four.w - origin;
        sum += (a + b) + (c + d);
        square += (a * a + b * b) + (c * c + d * d);
    }
    sum = block_sum(sum, shared);
    square = block_sum(square, shared);
    if (threadIdx.x == 0)
        p.partials[(long long)blockIdx.x * p.parts + blockIdx.y] = make_float2(sum, square);
}

// A thread a group.
extern "C" __global__ void moments(const Parameters p)
{
    const int group = blockIdx.x * blockDim.x + threadIdx.x;
    if (group >= p.batch * p.groups)
        return;
    const long long length = (long long)(p.channels / p.groups) * p.positions;
    double sum = 0.0, square = 0.0;
    for (int part = 0; part < p.parts; part++)
    {
        const float2 partial = p.partials[(long long)group * p.parts + part];
        sum += partial.x;
        square += partial.y;
    }
    const double offset = sum / length, variance = square / length - offset * offset;
    const float mean = (float)(load(p.x + group * length) + offset);
    p.moments[group] = make_float4(mean, rsqrtf((float)(variance > 0.0 ? variance : 0.0) + p.epsilon), 0.0f, 0.0f);
}

struct Channel
{
    float4 moments;
    float scale, bias;

    __device__ __forceinline__ Channel(const Parameters& p, long long plane)
    {
        const int channel = (int)(plane % p.channels);
        moments = p.moments[plane / (p.channels / p.groups)];
        scale = p.scale[channel];
        bias = p.bias[channel];
    }

    __device__ __forceinline__ float normalized(float x) const
    {
        return (x - moments.x) * moments.y;
    }

    __device__ __forceinline__ float forward(float x, int silu) const
    {
        return activate(normalized(x) * scale + bias, silu);
    }

    // The gradient before the activation.
    __device__ __forceinline__ float inner(float x, float g, int silu) const
    {
        return g * slope(normalized(x) * scale + bias, silu);
    }

    __device__ __forceinline__ float backward(float x, float g, int silu) const
    {
        return moments.y * (inner(x, g, silu) * scale - moments.z - normalized(x) * moments.w);
    }
};

// A thread takes elements in steps of four, or one by one where four do not divide a channel.
extern "C" __global__ void forward(const Parameters p)
{
    const int step = p.positions % 4 == 0 ? 4 : 1;
    const long long steps = p.positions / step, count = steps * p.batch * p.channels;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (long long)gridDim.x * blockDim.x)
    {
        const Channel c(p, i / steps);
        if (step == 1)
        {
            store(p.result + i, c.forward(load(p.x + i), p.silu));
            continue;
        }
        const float4 x = load4(p.x + 4 * i);
        store4(p.result + 4 * i, make_float4(
            c.forward(x.x, p.silu), c.forward(x.y, p.silu), c.forward(x.z, p.silu), c.forward(x.w, p.silu)));
    }
}

// A warp a channel of an example.
extern "C" __global__ void channel_sums(const Parameters p)
{
    const long long plane = ((long long)blockIdx.x * blockDim.x + threadIdx.x) >> 5;
    const int lane = threadIdx.x & 31;
    if (plane >= (long long)p.batch * p.channels)
        return;
    const Channel c(p, plane);
    const T* x = p.x + plane * p.positions;
    const T* g = p.output_grad + plane * p.positions;
    float sum = 0.0f, product = 0.0f;
    for (long long i = lane; i < p.positions; i += 32)
    {
        const float value = load(x + i), inner = c.inner(value, load(g + i), p.silu);
        sum += inner;
        product += inner * c.normalized(value);
    }
    sum = warp_sum(sum);
    product = warp_sum(product);
    if (lane == 0)
    {
        float* sums = p.channel_sums + plane / p.channels * 2 * p.channels + plane % p.channels;
        sums[0] = product;
        sums[p.channels] = sum;
    }
}

// A thread a group: the means over it of the scaled gradient and of its products with normalised values.
extern "C" __global__ void group_means(const Parameters p)
{
    const int group = blockIdx.x * blockDim.x + threadIdx.x;
    if (group >= p.batch * p.groups)
        return;
    const int channels = p.channels / p.groups, first = group % p.groups * channels;
    const float* sums = p.channel_sums + (long long)(group / p.groups) * 2 * p.channels;
    double sum = 0.0, product = 0.0;
    for (int channel = first; channel < first + channels; channel++)
    {
        product += (double)p.scale[channel] * sums[channel];
        sum += (double)p.scale[channel] * sums[p.channels + channel];
    }
    const double length = (double)channels * p.positions;
    p.moments[group].z = (float)(sum / length);
    p.moments[group].w = (float)(product / length);
}

extern "C" __global__ void backward(const Parameters p)
{
    const int step = p.positions % 4 == 0 ? 4 : 1;
    const long long steps = p.positions / step, count = steps * p.batch * p.channels;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (long long)gridDim.x * blockDim.x)
    {
        const Channel c(p, i / steps);
        if (step == 1)
        {
            store(p.result + i, c.backward(load(p.x + i), load(p.output_grad + i), p.silu));
            continue;
        }
        const float4 x = load4(p.x + 4 * i), g = load4(p.output_grad + 4 * i);
        store4(p.result + 4 * i, make_float4(
            c.backward(x.x, g.x, p.silu), c.backward(x.y, g.y, p.silu), c.backward(x.z, g.z, p.silu), c.backward(x.w, g.w, p.silu)));
    }
}
