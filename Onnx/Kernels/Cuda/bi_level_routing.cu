// Which regions each region of bi-level routing attention attends to, and for the gradient, which regions attend to each.
#include "bi_level_routing.cuh"
#include "reduction.cuh"
#include "storage.cuh"

#define QUERIES 8  // regions that a block of `route` takes, one a warp for the selection

struct MeanParameters
{
    const T* query;
    const T* key;
    float* query_means;
    float* key_means;
    Sizes sizes;
};

// A block an image's region, y = 0 for the query and 1 for the key: [N, R, Cq] means over the positions on the map.
extern "C" __global__ void region_means(const MeanParameters p)
{
    const Sizes& s = p.sizes;
    const int region = blockIdx.x % s.regions, image = blockIdx.x / s.regions;
    const int top = region / s.region_columns * s.region_height, left = region % s.region_columns * s.region_width;
    const int height = min(s.region_height, s.height - top), width = min(s.region_width, s.width - left);
    const T* map = (blockIdx.y == 0 ? p.query : p.key) + image * positions_of(s) * s.query_channels;
    float* means = (blockIdx.y == 0 ? p.query_means : p.key_means) + (long long)blockIdx.x * s.query_channels;
    for (int channel = threadIdx.x; channel < s.query_channels; channel += blockDim.x)
    {
        float sum = 0.0f;
        for (int row = 0; row < height; row++)
        {
            const T* source = map + ((long long)(top + row) * s.width + left) * s.query_channels + channel;
            for (int column = 0; column < width; column++)
                sum += load(source + (long long)column * s.query_channels);
        }
        means[channel] = sum / (float)(height * width);
    }
}

struct RouteParameters
{
    const float* query_means;
    const float* key_means;
    int* selected;       // [N, R, top_k]
    long long* routing;  // the same for the caller, or null
    Sizes sizes;
};

// Unsigned numbers in the order of floats; 0 is below all.
__device__ __forceinline__ unsigned int ordered(float value)
{
    const unsigned int bits = __float_as_uint(value + 0.0f);
    return max(bits & 0x80000000u ? ~bits : bits | 0x80000000u, 1u);
}

// A block QUERIES regions of an image. Shared: QUERIES query means, then QUERIES rows of R ordered similarities.
extern "C" __global__ void route(const RouteParameters p)
{
    extern __shared__ float shared[];
    const Sizes& s = p.sizes;
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
    const int blocks = (s.regions + QUERIES - 1) / QUERIES;
    const int image = blockIdx.x / blocks, first = blockIdx.x % blocks * QUERIES;
    const int count = min(QUERIES, s.regions - first);
    float* queries = shared;
    unsigned int* similarities = reinterpret_cast<unsigned int*>(shared + QUERIES * s.query_channels);

    const float* query_means = p.query_means + ((long long)image * s.regions + first) * s.query_channels;
    for (int i = threadIdx.x; i < QUERIES * s.query_channels; i += blockDim.x)
        queries[i] = i < count * s.query_channels ? query_means[i] : 0.0f;
    __syncthreads();

    const float* key_means = p.key_means + (long long)image * s.regions * s.query_channels;
    for (int region = warp; region < s.regions; region += warps)
    {
        float sums[QUERIES] = {};
        for (int channel = lane; channel < s.query_channels; channel += 32)
        {
            const float key = key_means[(long long)region * s.query_channels + channel];
#pragma unroll
            for (int i = 0; i < QUERIES; i++)
                sums[i] = fmaf(queries[i * s.query_channels + channel], key, sums[i]);
        }
#pragma unroll
        for (int i = 0; i < QUERIES; i++)
        {
            const float sum = warp_sum(sums[i]);
            if (lane == 0)
                similarities[i * s.regions + region] = ordered(sum);
        }
    }
    __syncthreads();

    for (int query = warp; query < count; query += warps)
    {
        unsigned int* row = similarities + query * s.regions;
        const long long target = ((long long)image * s.regions + first + query) * s.top_k;
        for (int rank = 0; rank < s.top_k; rank++)
        {
            // The most similar region that is left, of equals the first.
            unsigned long long best = 0;
            for (int region = lane; region < s.regions; region += 32)
                best = max(best, (unsigned long long)row[region] << 32 | (0xffffffffu - (unsigned int)region));
            for (int lanes = 16; lanes > 0; lanes >>= 1)
                best = max(best, __shfl_xor_sync(0xffffffffu, best, lanes));
            const int region = (int)(0xffffffffu - (unsigned int)best);
            if (lane == 0)
            {
                row[region] = 0;
                p.selected[target + rank] = region;
                if (p.routing)
                    p.routing[target + rank] = region;
            }
            __syncwarp();
        }
    }
}

struct MaskParameters
{
    const long long* routing;  // [N, R, top_k]
    unsigned int* selectors;   // [N, R, words]: bit q of row r is set where region q attends to region r
    int words;
    Sizes sizes;
};

// A block an image.
extern "C" __global__ void selector_masks(const MaskParameters p)
{
    const Sizes& s = p.sizes;
    const long long* routing = p.routing + (long long)blockIdx.x * s.regions * s.top_k;
    unsigned int* selectors = p.selectors + (long long)blockIdx.x * s.regions * p.words;
    for (int i = threadIdx.x; i < s.regions * p.words; i += blockDim.x)
        selectors[i] = 0;
    __syncthreads();
    for (int i = threadIdx.x; i < s.regions * s.top_k; i += blockDim.x)
    {
        const int query = i / s.top_k;
        const long long region = routing[i];
        if (region >= 0 && region < s.regions)
            atomicOr(selectors + region * p.words + (query >> 5), 1u << (query & 31));
    }
}
