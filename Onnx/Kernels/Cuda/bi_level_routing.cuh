// The regions of bi-level routing attention; the same structs are in BiLevelRoutingParameters.cs.
#include "divisor.cuh"

struct Sizes
{
    int batch;
    int height;
    int width;
    int region_height;
    int region_width;
    int region_columns;  // regions in a row of regions
    int regions;         // regions of the map
    int tokens;          // positions of a region, those beyond the map included
    int heads;
    int top_k;
    int query_channels;
    int value_channels;
    float scale;
    Divisor by_tokens;
    Divisor by_region_width;
    Divisor by_region_columns;
};

// The place in the map of a token of a region, or -1 beyond the map.
__device__ __forceinline__ int place_of(const Sizes& s, int region, int token)
{
    if ((unsigned int)region >= (unsigned int)s.regions)
        return -1;
    const int region_row = divide(region, s.by_region_columns), row = divide(token, s.by_region_width);
    const int y = region_row * s.region_height + row;
    const int x = (region - region_row * s.region_columns) * s.region_width + token - row * s.region_width;
    return y < s.height && x < s.width ? y * s.width + x : -1;
}

__device__ __forceinline__ long long positions_of(const Sizes& s)
{
    return (long long)s.height * s.width;
}
