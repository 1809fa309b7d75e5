// Products of small float matrices on the tensor cores, a warp a matrix. These multiply tf32, which keeps 10 bits of a number's fraction;
// so each number is split into a sum of two, and of the four products of the parts the smallest is left out: all but some 2 bits remain.

struct Halves
{
    unsigned high;
    unsigned low;
};

__device__ __forceinline__ Halves split(unsigned bits)
{
    const unsigned high = (bits + 0x1000u) & 0xffffe000u;
    return {high, __float_as_uint(__uint_as_float(bits) - __uint_as_float(high))};
}

__device__ __forceinline__ void multiply_tf32(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1)
{
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// A matrix of 16 x 8.
struct SplitMatrix
{
    unsigned high[4];
    unsigned low[4];
};

__device__ __forceinline__ SplitMatrix split(const unsigned (&bits)[4])
{
    SplitMatrix matrix;
#pragma unroll
    for (int i = 0; i < 4; i++)
    {
        const Halves halves = split(bits[i]);
        matrix.high[i] = halves.high;
        matrix.low[i] = halves.low;
    }
    return matrix;
}

// c += a b for 16 x 8 and 8 x 8 matrices.
__device__ __forceinline__ void multiply(float (&c)[4], const SplitMatrix& a, Halves b0, Halves b1)
{
    multiply_tf32(c, a.low, b0.high, b1.high);
    multiply_tf32(c, a.high, b0.low, b1.low);
    multiply_tf32(c, a.high, b0.high, b1.high);
}
