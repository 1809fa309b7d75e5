// Between a map and its windows, a thread for one or four channels of a place in the windows.
#include "storage.cuh"

struct Sizes
{
    int height, width, channels, rows, columns, size, shift;
};

struct Parameters
{
    const T* source;
    T* target;
    long long count;
    int lanes;
    Sizes sizes;
};

// The place in the map, or -1 in the filling, of a place in the windows.
__device__ __forceinline__ long long in_map(const Sizes& s, int place)
{
    const int window = place / (s.size * s.size), inside = place % (s.size * s.size);
    const int line = window / s.columns, image = line / s.rows;
    int y = line % s.rows * s.size + inside / s.size + s.shift;
    int x = window % s.columns * s.size + inside % s.size + s.shift;
    y -= y < s.rows * s.size ? 0 : s.rows * s.size;
    x -= x < s.columns * s.size ? 0 : s.columns * s.size;
    return y < s.height && x < s.width ? ((long long)image * s.height + y) * s.width + x : -1;
}

template <typename Copy>
__device__ __forceinline__ void for_element(const Parameters& p, Copy copy)
{
    const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= p.count)
        return;
    const int units = p.sizes.channels / p.lanes, place = (int)(i / units), channel = (int)(i % units) * p.lanes;
    const long long map = in_map(p.sizes, place);
    copy((long long)place * p.sizes.channels + channel, map < 0 ? -1 : map * p.sizes.channels + channel);
}

extern "C" __global__ void window_partition(const Parameters p)
{
    for_element(p, [&](long long windows, long long map)
    {
        if (p.lanes == 4)
            store4(p.target + windows, map < 0 ? make_float4(0.0f, 0.0f, 0.0f, 0.0f) : load4(p.source + map));
        else
            store(p.target + windows, map < 0 ? 0.0f : load(p.source + map));
    });
}

extern "C" __global__ void window_merge(const Parameters p)
{
    for_element(p, [&](long long windows, long long map)
    {
        if (map < 0)
            return;
        if (p.lanes == 4)
            store4(p.target + map, load4(p.source + windows));
        else
            store(p.target + map, load(p.source + windows));
    });
}
