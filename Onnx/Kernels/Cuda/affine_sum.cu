// x scale + addend + shift, with a scale and a shift for each place of the last axis: a thread has four places of a row.
#include "storage.cuh"

struct Parameters
{
    const T* x;      // [rows, channels]
    const T* scale;  // [channels]
    const T* addend; // like x
    const T* shift;  // [channels]
    T* y;            // like x
    long long count; // threads with work
    int channels;    // a multiple of four
    int is_rectified;
};

extern "C" __global__ void affine_sum(const Parameters p)
{
    const long long at = ((long long)blockIdx.x * blockDim.x + threadIdx.x) * 4;
    if (at >= p.count * 4)
        return;
    const int channel = (int)(at % p.channels);
    const float4 x = load4(p.x + at), scale = load4(p.scale + channel), addend = load4(p.addend + at), shift = load4(p.shift + channel);
    float4 y = make_float4(
        fmaf(x.x, scale.x, addend.x + shift.x), fmaf(x.y, scale.y, addend.y + shift.y),
        fmaf(x.z, scale.z, addend.z + shift.z), fmaf(x.w, scale.w, addend.w + shift.w));
    if (p.is_rectified)
        y = make_float4(fmaxf(y.x, 0.0f), fmaxf(y.y, 0.0f), fmaxf(y.z, 0.0f), fmaxf(y.w, 0.0f));
    store4(p.y + at, y);
}
