// Convolution of each channel on its own, channels last: a thread has two channels and WIDTH_PER_THREAD outputs side by side, whose windows
// share what it loads. Compiled for KERNEL_HEIGHT and KERNEL_WIDTH; with PLAIN windows are neither apart nor spread.
#include "storage.cuh"
#include "convolution_window.cuh"
#include "two_channels.cuh"

#ifdef PLAIN
#define WIDTH_PER_THREAD 4
#define COLUMNS (WIDTH_PER_THREAD + KERNEL_WIDTH - 1)
#else
#define WIDTH_PER_THREAD 1
#define COLUMNS KERNEL_WIDTH
#endif

struct Parameters
{
    const T* x;      // [N, H, W, C]
    const T* weight; // [kH, kW, C]
    const T* bias;   // [C]
    T* y;            // [N, Ho, Wo, C]
    long long count; // threads with work
    int height;
    int width;
    int channels;    // even
    int output_height;
    int output_width;
    ConvolutionWindow window;
};

extern "C" __global__ void convolve(const Parameters p)
{
    const long long thread = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (thread >= p.count)
        return;
    const int pairs = p.channels / 2, groups = (p.output_width + WIDTH_PER_THREAD - 1) / WIDTH_PER_THREAD;
    const int channel = (int)(thread % pairs) * 2;
    const int group = (int)(thread / pairs % groups), line = (int)(thread / pairs / groups);
    const int picture = line / p.output_height, row = line % p.output_height, first = group * WIDTH_PER_THREAD;
    const int top = row * p.window.stride_y - p.window.pad_top, left = first * p.window.stride_x - p.window.pad_left;
    const T* x = p.x + (long long)picture * p.height * p.width * p.channels + channel;

    Two sums[WIDTH_PER_THREAD];
#pragma unroll
    for (int i = 0; i < WIDTH_PER_THREAD; i++)
        sums[i] = load_two(p.bias + channel);
    for (int ky = 0; ky < KERNEL_HEIGHT; ky++)
    {
        const int y = top + ky * p.window.dilation_y;
        if ((unsigned int)y >= (unsigned int)p.height)
            continue;
        Two elements[COLUMNS];
#pragma unroll
        for (int i = 0; i < COLUMNS; i++)
        {
            const int column = left + i * p.window.dilation_x;
            elements[i] = (unsigned int)column < (unsigned int)p.width
                ? load_two(x + ((long long)y * p.width + column) * p.channels) : Two{0.0f, 0.0f};
        }
#pragma unroll
        for (int kx = 0; kx < KERNEL_WIDTH; kx++)
        {
            const Two weight = load_two(p.weight + (ky * KERNEL_WIDTH + kx) * p.channels + channel);
#pragma unroll
            for (int i = 0; i < WIDTH_PER_THREAD; i++)
            {
                sums[i].first = fmaf(weight.first, elements[i + kx].first, sums[i].first);
                sums[i].second = fmaf(weight.second, elements[i + kx].second, sums[i].second);
            }
        }
    }
    T* y = p.y + ((long long)line * p.output_width + first) * p.channels + channel;
#pragma unroll
    for (int i = 0; i < WIDTH_PER_THREAD; i++)
    {
        if (first + i < p.output_width)
            store_two(y + (long long)i * p.channels, sums[i]);
    }
}
