// Batch normalisation of [batch, channels, positions] by the statistics of the batch, forward and backward.
#include "reduction.cuh"

struct Parameters
{
    const float* output_grad;      // [batch, channels, positions]; null in the forward pass
    const float* x;                // [batch, channels, positions]
    const float* scale;            // [channels]
    const float* bias;             // [channels]; null in the backward pass
    const float* running_mean;     // [channels]
    const float* running_variance; // [channels]
    float* result;                 // [batch, channels, positions]: y, or the gradient of x
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

// Sums of x, x * x, g and g * x over a part of the batch, x measured from the channel's first element for the sake of precision.
// A block a channel and part.
extern "C" __global__ void sums(const Parameters p)
{
    __shared__ float shared[32];
    const int channel = blockIdx.x, part = blockIdx.y;
    const float origin = p.x[(long long)channel * p.positions];
    const long long first = p.batch * part / p.parts, last = p.batch * (part + 1) / p.parts;
    float x_sum = 0.0f, square_sum = 0.0f, g_sum = 0.0f, product_sum = 0.0f;
    for (long long image = first; image < last; image++)
    {
        const long long start = (image * p.channels + channel) * p.positions;
        for (int i = threadIdx.x; i < p.positions; i += blockDim.x)
        {
            const float x = p.x[start + i] - origin;
            x_sum += x;
            square_sum += x * x;
            if (p.output_grad)
            {
                const float g = p.output_grad[start + i];
                g_sum += g;
                product_sum += g * x;
            }
        }
    }
    x_sum = block_sum(x_sum, shared);
    square_sum = block_sum(square_sum, shared);
    if (p.output_grad)
    {
        g_sum = block_sum(g_sum, shared);
        product_sum = block_sum(product_sum, shared);
    }
    if (threadIdx.x == 0)
        ((float4*)p.partials)[(long long)part * p.channels + channel] = make_float4(x_sum, square_sum, g_sum, product_sum);
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
    m.mean = (float)(p.x[(long long)channel * p.positions] + offset);
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

// blockIdx.y counts planes (image and channel) in steps of gridDim.y.
extern "C" __global__ void apply(const Parameters p)
{
    for (long long plane = blockIdx.y; plane < p.batch * p.channels; plane += gridDim.y)
    {
        const float4 c = p.coefficients[plane % p.channels];
        for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < p.positions; i += gridDim.x * blockDim.x)
        {
            const long long at = plane * p.positions + i;
            p.result[at] = p.output_grad ? p.output_grad[at] * c.x + p.x[at] * c.y + c.z : p.x[at] * c.x + c.y;
        }
    }
}
