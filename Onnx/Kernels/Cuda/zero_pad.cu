// A border of zeros around maps with channels last: a thread has four channels of a position of the result.
#include "storage.cuh"

struct Parameters
{
    const T* x;      // [N, H, W, C]
    T* y;            // [N, padded_height, padded_width, C]
    long long count; // threads with work
    int height;
    int width;
    int channels;    // a multiple of four
    int top;
    int left;
    int padded_height;
    int padded_width;
};

extern "C" __global__ void zero_pad(const Parameters p)
{
    const long long thread = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (thread >= p.count)
        return;
    const int fours = p.channels / 4;
    const int channel = (int)(thread % fours) * 4;
    const long long position = thread / fours;
    const int column = (int)(position % p.padded_width) - p.left;
    const long long line = position / p.padded_width;
    const int row = (int)(line % p.padded_height) - p.top;
    const bool is_inside = (unsigned int)row < (unsigned int)p.height && (unsigned int)column < (unsigned int)p.width;
    const long long at = ((line / p.padded_height * p.height + row) * p.width + column) * p.channels + channel;
    store4(p.y + position * p.channels + channel, is_inside ? load4(p.x + at) : make_float4(0.0f, 0.0f, 0.0f, 0.0f));
}
