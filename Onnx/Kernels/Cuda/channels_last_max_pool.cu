// The largest elements of windows, channels last: a thread has four channels of an output.
#include "storage.cuh"
#include "convolution_window.cuh"

struct Parameters
{
    const T* x;      // [N, H, W, C]
    T* y;            // [N, Ho, Wo, C]
    long long count; // threads with work
    int height;
    int width;
    int channels;    // a multiple of four
    int output_height;
    int output_width;
    ConvolutionWindow window;
};

extern "C" __global__ void max_pool(const Parameters p)
{
    const long long thread = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (thread >= p.count)
        return;
    const int fours = p.channels / 4;
    const int channel = (int)(thread % fours) * 4;
    const long long position = thread / fours;
    const int column = (int)(position % p.output_width), line = (int)(position / p.output_width);
    const int top = line % p.output_height * p.window.stride_y - p.window.pad_top, left = column * p.window.stride_x - p.window.pad_left;
    const T* x = p.x + (long long)(line / p.output_height) * p.height * p.width * p.channels + channel;
    const float least = __int_as_float(0xff800000);
    float4 most = make_float4(least, least, least, least);
    for (int ky = 0; ky < p.window.kernel_height; ky++)
        for (int kx = 0; kx < p.window.kernel_width; kx++)
        {
            const int y = top + ky * p.window.dilation_y, at = left + kx * p.window.dilation_x;
            if ((unsigned int)y >= (unsigned int)p.height || (unsigned int)at >= (unsigned int)p.width)
                continue;
            const float4 element = load4(x + ((long long)y * p.width + at) * p.channels);
            most = make_float4(fmaxf(most.x, element.x), fmaxf(most.y, element.y), fmaxf(most.z, element.z), fmaxf(most.w, element.w));
        }
    store4(p.y + position * p.channels + channel, most);
}
