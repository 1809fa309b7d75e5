// Convolution of each channel on its own.
#include "convolution_window.cuh"
#include "storage.cuh"

struct Parameters
{
    const T* x;       // [batch, channels, height, width]
    const T* weight;  // [channels, kernel]
    const T* bias;    // [channels] or null
    T* y;             // [batch, channels, output_height, output_width]
    long long planes; // batch * channels
    int channels;
    int height;
    int width;
    int output_height;
    int output_width;
    ConvolutionWindow window;
    int rows_per_thread;  // plain: rows of the output that a thread goes down
    int planes_per_block; // plain: planes that a block holds in shared memory
};

#ifdef KERNEL_HEIGHT
// Stride and dilation 1. A thread goes down one column and keeps the window of inputs above its place in registers.
extern "C" __global__ void plain(const Parameters p)
{
    extern __shared__ float planes[];
    const int padded_width = p.output_width + KERNEL_WIDTH - 1, padded_height = p.output_height + KERNEL_HEIGHT - 1;
    const int plane_size = padded_width * padded_height;
    const long long first = (long long)blockIdx.x * p.planes_per_block;
    const int count = (int)min((long long)p.planes_per_block, p.planes - first);
    for (int i = threadIdx.x; i < count * plane_size; i += blockDim.x)
    {
        const int y = i % plane_size / padded_width - p.window.pad_top, x = i % padded_width - p.window.pad_left;
        const bool inside = y >= 0 && y < p.height && x >= 0 && x < p.width;
        planes[i] = inside ? load(p.x + ((first + i / plane_size) * p.height + y) * p.width + x) : 0.0f;
    }
    __syncthreads();

    const int strips = (p.output_height + p.rows_per_thread - 1) / p.rows_per_thread;
    const int threads_per_plane = strips * p.output_width;
    const int plane = threadIdx.x / threads_per_plane, within = threadIdx.x % threads_per_plane;
    if (plane >= count)
        return;
    const int column = within % p.output_width, top = within / p.output_width * p.rows_per_thread;
    const int bottom = min(top + p.rows_per_thread, p.output_height);
    const int channel = (int)((first + plane) % p.channels);
    const float bias = p.bias ? load(p.bias + channel) : 0.0f;
    float weights[KERNEL_HEIGHT][KERNEL_WIDTH], window[KERNEL_HEIGHT][KERNEL_WIDTH];
    const float* input = planes + plane * plane_size + column;
#pragma unroll
    for (int ky = 0; ky < KERNEL_HEIGHT; ky++)
#pragma unroll
        for (int kx = 0; kx < KERNEL_WIDTH; kx++)
        {
            weights[ky][kx] = load(p.weight + (channel * KERNEL_HEIGHT + ky) * KERNEL_WIDTH + kx);
            window[ky][kx] = ky > 0 ? input[(top + ky - 1) * padded_width + kx] : 0.0f;
        }
    T* output = p.y + (first + plane) * p.output_height * p.output_width + column;
    for (int y = top; y < bottom; y++)
    {
        float sum = bias;
#pragma unroll
        for (int ky = 0; ky < KERNEL_HEIGHT; ky++)
#pragma unroll
            for (int kx = 0; kx < KERNEL_WIDTH; kx++)
            {
                window[ky][kx] = ky + 1 < KERNEL_HEIGHT ? window[(ky + 1) % KERNEL_HEIGHT][kx]
                                                        : input[(y + ky) * padded_width + kx];
                sum += weights[ky][kx] * window[ky][kx];
            }
        store(output + y * p.output_width, sum);
    }
}
#endif

// Any strides and dilations: a thread an output.
extern "C" __global__ void any(const Parameters p)
{
    const ConvolutionWindow& w = p.window;
    const long long places = (long long)p.output_height * p.output_width;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < p.planes * places; i += (long long)gridDim.x * blockDim.x)
    {
        const long long plane = i / places;
        const int place = (int)(i % places), channel = (int)(plane % p.channels);
        const int top = place / p.output_width * w.stride_y - w.pad_top;
        const int left = place % p.output_width * w.stride_x - w.pad_left;
        float sum = p.bias ? load(p.bias + channel) : 0.0f;
        for (int ky = 0; ky < w.kernel_height; ky++)
        {
            const int y = top + ky * w.dilation_y;
            for (int kx = 0; kx < w.kernel_width; kx++)
            {
                const int x = left + kx * w.dilation_x;
                if (y >= 0 && y < p.height && x >= 0 && x < p.width)
                {
                    sum += load(p.weight + (channel * w.kernel_height + ky) * w.kernel_width + kx)
                        * load(p.x + (plane * p.height + y) * p.width + x);
                }
            }
        }
        store(p.y + i, sum);
    }
}
