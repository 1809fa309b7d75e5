// The keys that an image of a story may attend to as a list, in their order. A block an image.

#define THREADS 1024

struct Parameters
{
    const unsigned char* key_mask; // [n, keys]
    int* lists;                    // [n, keys]
    int* counts;                   // [n]
    int keys;
    int first_own; // of the first image
    int tokens;
};

extern "C" __global__ void __launch_bounds__(THREADS) list_keys(const Parameters p)
{
    __shared__ int warp_counts[THREADS / 32];
    const int image = blockIdx.x, lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    const unsigned char* mask = p.key_mask + (long long)image * p.keys;
    int* list = p.lists + (long long)image * p.keys;
    const int first_own = p.first_own + image * p.tokens;
    int before = 0;
    for (int start = 0; start < p.keys; start += THREADS)
    {
        const int key = start + threadIdx.x;
        const bool is_allowed = key < p.keys && (mask[key] || (key >= first_own && key < first_own + p.tokens));
        const unsigned allowed = __ballot_sync(0xffffffffu, is_allowed);
        __syncthreads();
        if (lane == 0)
            warp_counts[warp] = __popc(allowed);
        __syncthreads();
        int position = before + __popc(allowed & ((1u << lane) - 1));
        for (int i = 0; i < THREADS / 32; i++)
        {
            if (i < warp)
                position += warp_counts[i];
            before += warp_counts[i];
        }
        if (is_allowed)
            list[position] = key;
    }
    if (threadIdx.x == 0)
        p.counts[image] = before;
}
