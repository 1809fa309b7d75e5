// Products of float16 tiles on the tensor cores: a block multiplies TILE_M rows by TILE_N columns, STEP inner places at a time, both operands
// in shared memory with the inner axis last, where they are copied while earlier ones are multiplied. With HOPPER by the instructions of
// compute capability 9.0 for four warps together, else by those for a warp.
// A row has CHUNKS chunks of eight places, which lie in another order in each row, so that rows do not meet in the banks.

#define CHUNKS (STEP / 8)
#define ROW_BYTES (STEP * 2)
#define A_BYTES (TILE_M * ROW_BYTES)
#define STAGE_BYTES ((TILE_M + TILE_N) * ROW_BYTES)
#define ROWS_AT_ONCE (THREADS / CHUNKS)
#define A_ROWS (TILE_M / ROWS_AT_ONCE)
#define B_ROWS (TILE_N / ROWS_AT_ONCE)
#define RESULT_ROW (TILE_N + 8)
#if STEP == 64
#define SWIZZLE(row) ((row) & 7)
#else
#define SWIZZLE(row) ((row) >> 1 & 3)
#endif

__device__ __forceinline__ unsigned int aligned_address(const void* memory)
{
    unsigned int address;
    asm("{ .reg .u64 wide; cvta.to.shared.u64 wide, %1; cvt.u32.u64 %0, wide; }" : "=r"(address) : "l"(memory));
    return (address + 1023) & ~1023u;
}

// The same place as an ordinary pointer.
__device__ __forceinline__ void* generic_address(void* memory)
{
    unsigned int address;
    asm("{ .reg .u64 wide; cvta.to.shared.u64 wide, %1; cvt.u32.u64 %0, wide; }" : "=r"(address) : "l"(memory));
    return reinterpret_cast<char*>(memory) + (((address + 1023) & ~1023u) - address);
}

// Sixteen bytes, or zeros.
__device__ __forceinline__ void copy_async(unsigned int target, const T* source, bool is_valid)
{
    asm volatile("{ .reg .u64 place; cvta.to.global.u64 place, %1; cp.async.cg.shared.global [%0], [place], 16, %2; }"
                 :: "r"(target), "l"(source), "r"(is_valid ? 16 : 0) : "memory");
}

__device__ __forceinline__ void commit_copies()
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}

#ifdef HOPPER

#define AHEAD (STAGES - 2)
#define GROUPS (THREADS / 128)
#define M_PARTS (TILE_M / (64 * GROUPS))
#define N_PART (TILE_N < 128 ? TILE_N : 128)
#define N_PARTS (TILE_N / N_PART)

struct Sums
{
    float values[M_PARTS][N_PARTS][N_PART / 2];
};

__device__ __forceinline__ unsigned long long describe(unsigned int address)
{
    return (unsigned long long)((address & 0x3ffff) >> 4) | 1ull << 16 | 64ull << 32 | 1ull << 62;
}

#define EIGHT(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]), "+f"(d[i + 7])

__device__ __forceinline__ void multiply(float (&d)[N_PART / 2], unsigned long long a, unsigned long long b)
{
#if TILE_N < 128
    asm volatile(
        "{ .reg .pred yes; setp.ne.b32 yes, 1, 0; wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 {"
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
        "}, %32, %33, yes, 1, 1, 0, 0; }"
        : EIGHT(0), EIGHT(8), EIGHT(16), EIGHT(24)
        : "l"(a), "l"(b));
#else
    asm volatile(
        "{ .reg .pred yes; setp.ne.b32 yes, 1, 0; wgmma.mma_async.sync.aligned.m64n128k16.f32.f16.f16 {"
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
        "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
        "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
        "}, %64, %65, yes, 1, 1, 0, 0; }"
        : EIGHT(0), EIGHT(8), EIGHT(16), EIGHT(24), EIGHT(32), EIGHT(40), EIGHT(48), EIGHT(56)
        : "l"(a), "l"(b));
#endif
}

__device__ __forceinline__ void wait_for_tile()
{
    asm volatile("cp.async.wait_group %0;" :: "n"(AHEAD - 1) : "memory");
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    __syncthreads();
}

template <int LEFT>
__device__ __forceinline__ void wait_for_product()
{
    asm volatile("wgmma.wait_group.sync.aligned %0;" :: "n"(LEFT) : "memory");
}

__device__ __forceinline__ void multiply_tile(Sums& sums, unsigned int tile)
{
    const unsigned int a = tile + threadIdx.x / 128 * M_PARTS * 64 * ROW_BYTES, b = tile + A_BYTES;
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#pragma unroll
    for (int k = 0; k < STEP; k += 16)
#pragma unroll
        for (int i = 0; i < M_PARTS; i++)
#pragma unroll
            for (int j = 0; j < N_PARTS; j++)
                multiply(sums.values[i][j], describe(a + i * 64 * ROW_BYTES + k * 2), describe(b + j * N_PART * ROW_BYTES + k * 2));
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

__device__ __forceinline__ void clear(Sums& sums)
{
#pragma unroll
    for (int i = 0; i < M_PARTS * N_PARTS * N_PART / 2; i++)
        sums.values[i / (N_PARTS * N_PART / 2)][i / (N_PART / 2) % N_PARTS][i % (N_PART / 2)] = 0.0f;
}

__device__ __forceinline__ void finish(Sums& sums)
{
    wait_for_product<0>();
    asm volatile("cp.async.wait_group 0;" ::: "memory");
#pragma unroll
    for (int i = 0; i < M_PARTS * N_PARTS * N_PART / 2; i++)
        asm volatile("" : "+f"(sums.values[i / (N_PARTS * N_PART / 2)][i / (N_PART / 2) % N_PARTS][i % (N_PART / 2)]) :: "memory");
}

// The sums of a thread, two neighbouring columns at a time.
template <class Take>
__device__ __forceinline__ void for_each_pair(const Sums& sums, Take take)
{
    const int lane = threadIdx.x & 31, warp = threadIdx.x / 32 % 4;
#pragma unroll
    for (int i = 0; i < M_PARTS; i++)
#pragma unroll
        for (int j = 0; j < N_PARTS; j++)
#pragma unroll
            for (int part = 0; part < N_PART / 4; part++)
            {
                const int row = ((int)threadIdx.x / 128 * M_PARTS + i) * 64 + warp * 16 + lane / 4 + part % 2 * 8;
                take(row, j * N_PART + part / 2 * 8 + lane % 4 * 2, sums.values[i][j][part * 2], sums.values[i][j][part * 2 + 1]);
            }
}

#else

#define AHEAD (STAGES - 1)
#define WARP_COLUMNS (TILE_N / WARP_N)

struct Sums
{
    float values[WARP_M / 16][WARP_N / 8][4];
};

__device__ __forceinline__ void load_matrices(unsigned int (&m)[4], unsigned int address)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(m[0]), "=r"(m[1]), "=r"(m[2]), "=r"(m[3]) : "r"(address) : "memory");
}

__device__ __forceinline__ void multiply(float (&c)[4], const unsigned int (&a)[4], unsigned int b0, unsigned int b1)
{
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

__device__ __forceinline__ void wait_for_tile()
{
    asm volatile("cp.async.wait_group %0;" :: "n"(AHEAD - 1) : "memory");
    __syncthreads();
}

__device__ __forceinline__ void multiply_tile(Sums& sums, unsigned int tile)
{
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    const int a_row = warp / WARP_COLUMNS * WARP_M + (lane & 15), b_row = warp % WARP_COLUMNS * WARP_N + (lane & 7) + (lane >> 4) * 8;
    const unsigned int a = tile + a_row * ROW_BYTES, b = tile + A_BYTES + b_row * ROW_BYTES;
#pragma unroll
    for (int k = 0; k < CHUNKS; k += 2)
    {
        unsigned int a_part[WARP_M / 16][4], b_part[WARP_N / 16][4];
#pragma unroll
        for (int i = 0; i < WARP_M / 16; i++)
            load_matrices(a_part[i], a + i * 16 * ROW_BYTES + (((k + (lane >> 4)) ^ SWIZZLE(a_row)) << 4));
#pragma unroll
        for (int j = 0; j < WARP_N / 16; j++)
            load_matrices(b_part[j], b + j * 16 * ROW_BYTES + (((k + (lane >> 3 & 1)) ^ SWIZZLE(b_row)) << 4));
#pragma unroll
        for (int i = 0; i < WARP_M / 16; i++)
#pragma unroll
            for (int j = 0; j < WARP_N / 8; j++)
                multiply(sums.values[i][j], a_part[i], b_part[j / 2][j % 2 * 2], b_part[j / 2][j % 2 * 2 + 1]);
    }
}

__device__ __forceinline__ void clear(Sums& sums)
{
#pragma unroll
    for (int i = 0; i < WARP_M / 16 * (WARP_N / 8) * 4; i++)
        sums.values[i / (WARP_N / 8 * 4)][i / 4 % (WARP_N / 8)][i % 4] = 0.0f;
}

__device__ __forceinline__ void finish(Sums& sums)
{
    asm volatile("cp.async.wait_group 0;" ::: "memory");
}

// The sums of a thread, two neighbouring columns at a time.
template <class Take>
__device__ __forceinline__ void for_each_pair(const Sums& sums, Take take)
{
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
#pragma unroll
    for (int i = 0; i < WARP_M / 16; i++)
#pragma unroll
        for (int j = 0; j < WARP_N / 8; j++)
#pragma unroll
            for (int part = 0; part < 2; part++)
            {
                const int row = warp / WARP_COLUMNS * WARP_M + i * 16 + lane / 4 + part * 8;
                take(row, warp % WARP_COLUMNS * WARP_N + j * 8 + lane % 4 * 2, sums.values[i][j][part * 2], sums.values[i][j][part * 2 + 1]);
            }
}

#endif
