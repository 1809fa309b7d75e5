// The gradient of a grouped convolution with respect to its weights.
#include "convolution_window.cuh"
#include "reduction.cuh"
#include "storage.cuh"

struct Parameters
{
    const T* output_grad; // [batch, outputs, output_height, output_width]
    const T* x;           // [batch, inputs, height, width]
    float* partials;      // depthwise: [parts, channels, kernel]
    T* result;            // any: [outputs, inputs / group, kernel]
    long long batch;
    int outputs;
    int inputs;
    int height;
    int width;
    int output_height;
    int output_width;
    ConvolutionWindow window;
    int group;
    int parts;
    int rows_per_thread;  // depthwise: rows of the output that a thread goes down
    int planes_per_block; // depthwise: images that a block holds in shared memory at a time
};

#ifdef KERNEL_HEIGHT
// One channel a group, stride and dilation 1. A block takes a channel (blockIdx.x) and a part of the batch (blockIdx.y); a thread goes
// down one column and keeps the window of inputs above its place, and the sums of all weights, in registers.
extern "C" __global__ void depthwise(const Parameters p)
{
    extern __shared__ float planes[];
    __shared__ float sums[32];
    const int channel = blockIdx.x;
    const int padded_width = p.output_width + KERNEL_WIDTH - 1, padded_height = p.output_height + KERNEL_HEIGHT - 1;
    const int plane_size = padded_width * padded_height;
    const int strips = (p.output_height + p.rows_per_thread - 1) / p.rows_per_thread;
    const int threads_per_plane = strips * p.output_width;
    const int plane = threadIdx.x / threads_per_plane, within = threadIdx.x % threads_per_plane;
    const int column = within % p.output_width, top = within / p.output_width * p.rows_per_thread;
    const int bottom = min(top + p.rows_per_thread, p.output_height);
    const long long first = p.batch * blockIdx.y / p.parts, last = p.batch * (blockIdx.y + 1) / p.parts;

    float weights[KERNEL_HEIGHT][KERNEL_WIDTH] = {};
    for (long long image = first; image < last; image += p.planes_per_block)
    {
        const int count = (int)min((long long)p.planes_per_block, last - image);
        __syncthreads();
        for (int i = threadIdx.x; i < count * plane_size; i += blockDim.x)
        {
            const int y = i % plane_size / padded_width - p.window.pad_top, x = i % padded_width - p.window.pad_left;
            const bool inside = y >= 0 && y < p.height && x >= 0 && x < p.width;
            planes[i] = inside ? load(p.x + (((image + i / plane_size) * p.inputs + channel) * p.height + y) * p.width + x) : 0.0f;
        }
        __syncthreads();
        if (plane >= count)
            continue;
        const float* input = planes + plane * plane_size + column;
        const T* g = p.output_grad + ((image + plane) * p.outputs + channel) * p.output_height * p.output_width + column;
        float window[KERNEL_HEIGHT][KERNEL_WIDTH];
#pragma unroll
        for (int ky = 1; ky < KERNEL_HEIGHT; ky++)
#pragma unroll
            for (int kx = 0; kx < KERNEL_WIDTH; kx++)
                window[ky][kx] = input[(top + ky - 1) * padded_width + kx];
        for (int y = top; y < bottom; y++)
        {
            const float gradient = load(g + y * p.output_width);
#pragma unroll
            for (int ky = 0; ky < KERNEL_HEIGHT; ky++)
#pragma unroll
                for (int kx = 0; kx < KERNEL_WIDTH; kx++)
                {
                    window[ky][kx] = ky + 1 < KERNEL_HEIGHT ? window[(ky + 1) % KERNEL_HEIGHT][kx]
                                                            : input[(y + ky) * padded_width + kx];
                    weights[ky][kx] += gradient * window[ky][kx];
                }
        }
    }
#pragma unroll
    for (int ky = 0; ky < KERNEL_HEIGHT; ky++)
#pragma unroll
        for (int kx = 0; kx < KERNEL_WIDTH; kx++)
        {
            const float sum = block_sum(weights[ky][kx], sums);
            if (threadIdx.x == 0)
                p.partials[((long long)blockIdx.y * p.outputs + channel) * (KERNEL_HEIGHT * KERNEL_WIDTH) + ky * KERNEL_WIDTH + kx] = sum;
        }
}
#endif

// Any grouped convolution: a block an element of the weights.
extern "C" __global__ void any(const Parameters p)
{
    const ConvolutionWindow& w = p.window;
    __shared__ float sums[32];
    const int kernel_x = blockIdx.x % w.kernel_width, kernel_y = blockIdx.x / w.kernel_width % w.kernel_height;
    const int inputs_per_group = p.inputs / p.group;
    const int rest = blockIdx.x / (w.kernel_width * w.kernel_height);
    const int output = rest / inputs_per_group;
    const int input = output / (p.outputs / p.group) * inputs_per_group + rest % inputs_per_group;
    const long long places = (long long)p.output_height * p.output_width;
    float sum = 0.0f;
    for (long long i = threadIdx.x; i < p.batch * places; i += blockDim.x)
    {
        const long long image = i / places;
        const int place = (int)(i % places);
        const int y = place / p.output_width * w.stride_y + kernel_y * w.dilation_y - w.pad_top;
        const int x = place % p.output_width * w.stride_x + kernel_x * w.dilation_x - w.pad_left;
        if (y >= 0 && y < p.height && x >= 0 && x < p.width)
        {
            sum += load(p.output_grad + (image * p.outputs + output) * places + place)
                * load(p.x + ((image * p.inputs + input) * p.height + y) * p.width + x);
        }
    }
    sum = block_sum(sum, sums);
    if (threadIdx.x == 0)
        store(p.result + blockIdx.x, sum);
}
