// Batch normalisation of [batch, channels, positions] by the statistics of the batch, forward and backward.
#include "reduction.cuh"
#include "storage.cuh"

struct Parameters
{
    const T* output_grad;          // [batch, channels, positions]; null in the forward pass
    const T* x;                    // [batch, channels, positions]
    const float* scale;            // [channels]
    const float* bias;             // [channels]; null in the backward pass
    const float* running_mean;     // [channels]
    const float* running_variance; // [channels]
    T* result;                     // [batch, channels, positions]: y, or the gradient of x
    float* first;                  // [channels]: the new running mean, or the gradient of scale
    float* second;                 // [channels]: the new running variance, or the gradient of bias
    float* partials;               // [parts, channels, 4]
    float4* coefficients;          // [channels]
    long long batch;
    int channels;
    int positions;
    int parts;
    float epsilon;
    float momentum;
};

struct Sums
{
    float x, square, g, product;

    __device__ __forceinline__ void add(float value)
    {
        x += value;
        square += value * value;
    }

    __device__ __forceinline__ void add(float value, float gradient)
    {
        add(value);
        g += gradient;
        product += gradient * value;
    }
};

// Sums of x, x * x, g and g * x over a part of the batch, x measured from the channel's first element for the sake of precision.
// A block a channel and part.
extern "C" __global__ void sums(const Parameters p)
{
    __shared__ float shared[32];
    const int channel = blockIdx.x, part = blockIdx.y;
    const float origin = load(p.x + (long long)channel * p.positions);
    const long long first = p.batch * part / p.parts, last = p.batch * (part + 1) / p.parts;
    // Planes are read four by four where their size allows it; small planes share the block's threads.
    const unsigned int step = p.positions % 4 == 0 ? 4 : 1, steps = p.positions / step;
    Sums sums = {};
    const unsigned int count = (unsigned int)((last - first) * steps);
    for (unsigned int i = threadIdx.x; i < count; i += blockDim.x)
    {
        const long long image = first + i / steps, at = (image * p.channels + channel) * p.positions + i % steps * step;
        if (step == 1)
        {
            const float x = load(p.x + at) - origin;
            if (p.output_grad)
                sums.add(x, load(p.output_grad + at));
            else
                sums.add(x);
            continue;
        }
        const float4 x = load4(p.x + at);
        if (p.output_grad)
        {
            const float4 g = load4(p.output_grad + at);
            sums.add(x.x - origin, g.x);
            sums.add(x.y - origin, g.y);
            sums.add(x.z - origin, g.z);
            sums.add(x.w - origin, g.w);
        }
        else
        {
            sums.add(x.x - origin);
            sums.add(x.y - origin);
            sums.add(x.z - origin);
            sums.add(x.w - origin);
        }
    }
    sums.x = block_sum(sums.x, shared);
    sums.square = block_sum(sums.square, shared);
    if (p.output_grad)
    {
        sums.g = block_sum(sums.g, shared);
        sums.product = block_sum(sums.product, shared);
    }
    if (threadIdx.x == 0)
        ((float4*)p.partials)[(long long)part * p.channels + channel] = make_float4(sums.x, sums.square, sums.g, sums.product);
}

struct Moments
{
    float count, mean, variance, g_sum, product_sum; // the last two with x measured from the mean
};

__device__ Moments moments(const Parameters& p, int channel)
{
    double x_sum = 0.0, square_sum = 0.0, g_sum = 0.0, product_sum = 0.0;
    for (int part = 0; part < p.parts; part++)
    {
        const float4 sums = ((const float4*)p.partials)[(long long)part * p.channels + channel];
        x_sum += sums.x;
        square_sum += sums.y;
        g_sum += sums.z;
        product_sum += sums.w;
    }
    const double count = (double)p.batch * p.positions, offset = x_sum / count;
    const double variance = square_sum / count - offset * offset;
    Moments m;
    m.count = (float)count;
    m.mean = (float)(load(p.x + (long long)channel * p.positions) + offset);
    m.variance = (float)(variance > 0.0 ? variance : 0.0);
    m.g_sum = (float)g_sum;
    m.product_sum = (float)(product_sum - offset * g_sum);
    return m;
}

// A thread a channel: y = x * coefficients.x + coefficients.y.
extern "C" __global__ void forward_coefficients(const Parameters p)
{
    const int channel = blockIdx.x * blockDim.x + threadIdx.x;
    if (channel >= p.channels)
        return;
    const Moments m = moments(p, channel);
    const float factor = p.scale[channel] * rsqrtf(m.variance + p.epsilon);
    p.coefficients[channel] = make_float4(factor, p.bias[channel] - m.mean * factor, 0.0f, 0.0f);
    const float unbiased = m.variance * (m.count / fmaxf(m.count - 1.0f, 1.0f));
    p.first[channel] = p.running_mean[channel] + p.momentum * (m.mean - p.running_mean[channel]);
    p.second[channel] = p.running_variance[channel] + p.momentum * (unbiased - p.running_variance[channel]);
}

// A thread a channel: the gradient of x is g * coefficients.x + x * coefficients.y + coefficients.z.
extern "C" __global__ void backward_coefficients(const Parameters p)
{
    const int channel = blockIdx.x * blockDim.x + threadIdx.x;
    if (channel >= p.channels)
        return;
    const Moments m = moments(p, channel);
    const float inverse = rsqrtf(m.variance + p.epsilon);
    const float factor = p.scale[channel] * inverse, slope = -factor * inverse * inverse * m.product_sum / m.count;
    p.coefficients[channel] = make_float4(factor, slope, -factor * m.g_sum / m.count - slope * m.mean, 0.0f);
    p.first[channel] = m.product_sum * inverse;
    p.second[channel] = m.g_sum;
}

// A thread takes elements in steps of four, or one by one where four do not divide a plane.
extern "C" __global__ void apply(const Parameters p)
{
    const unsigned int step = p.positions % 4 == 0 ? 4 : 1, steps = p.positions / step;
    const unsigned int count = (unsigned int)(p.batch * p.channels * steps);
    for (unsigned int i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x)
    {
        const float4 c = p.coefficients[i / steps % p.channels];
        const long long at = (long long)i * step;
        if (step == 1)
        {
            const float x = load(p.x + at);
            store(p.result + at, p.output_grad ? load(p.output_grad + at) * c.x + x * c.y + c.z : x * c.x + c.y);
            continue;
        }
        const float4 x = load4(p.x + at);
        if (p.output_grad)
        {
            const float4 g = load4(p.output_grad + at);
            store4(p.result + at, make_float4(g.x * c.x + x.x * c.y + c.z, g.y * c.x + x.y * c.y + c.z,
                                              g.z * c.x + x.z * c.y + c.z, g.w * c.x + x.w * c.y + c.z));
        }
        else
        {
            store4(p.result + at, make_float4(x.x * c.x + c.y, x.y * c.x + c.y, x.z * c.x + c.y, x.w * c.x + c.y));
        }
    }
}
