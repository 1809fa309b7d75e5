// Queries or keys of cosine attention as ordinary attention takes them: divided by their norm, times the scale of the head where there is
// one, with the marks as further channels. A warp has one head of one position.
#include "reduction.cuh"
#include "storage.cuh"

#define NORM_EPSILON 5e-5f
#define PADDING_PENALTY 100.0f

struct Parameters
{
    const T* rows;      // [N, L, row], the heads next to each other
    const float* scale; // [heads] for queries, null for keys
    const T* marks;     // [mark_count, L, mark_width] or null
    T* result;          // [N, L, heads, width + mark_width]
    long long count;    // N L heads
    int positions;      // L
    int heads;
    int width;
    int row;
    int mark_count;
    int mark_width;
};

extern "C" __global__ void normalize(const Parameters p)
{
    const long long item = ((long long)blockIdx.x * blockDim.x + threadIdx.x) / 32;
    const int lane = threadIdx.x & 31;
    if (item >= p.count)
        return;
    const int head = (int)(item % p.heads);
    const long long position = item / p.heads;
    const T* row = p.rows + position * p.row + head * p.width;
    float sum = 0.0f;
    for (int i = lane; i < p.width; i += 32)
        sum = fmaf(load(row + i), load(row + i), sum);
    const float factor = (p.scale ? p.scale[head] : 1.0f) / (sqrtf(warp_sum(sum)) + NORM_EPSILON);
    T* result = p.result + item * (p.width + p.mark_width);
    for (int i = lane; i < p.width; i += 32)
        store(result + i, load(row + i) * factor);
    // Marks that are the same add nothing to a score, others take the penalty off.
    const T* marks = p.marks + (position / p.positions % p.mark_count * p.positions + position % p.positions) * p.mark_width;
    for (int i = lane; i < p.mark_width; i += 32)
        store(result + p.width + i, p.scale ? (load(marks + i) - 1.0f) * PADDING_PENALTY : load(marks + i));
}
