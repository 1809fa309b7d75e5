// Elements as they are stored: float, or float16 with T_HALF. All arithmetic is in float.
#ifdef T_HALF
typedef unsigned short T;

__device__ __forceinline__ float from_half(unsigned short bits)
{
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    return value;
}

__device__ __forceinline__ unsigned short to_half(float value)
{
    unsigned short bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
}

__device__ __forceinline__ float load(const T* source)
{
    return from_half(*source);
}

__device__ __forceinline__ void store(T* target, float value)
{
    *target = to_half(value);
}

// Four elements from an address that is a multiple of their size.
__device__ __forceinline__ float4 load4(const T* source)
{
    const ushort4 bits = *reinterpret_cast<const ushort4*>(source);
    return make_float4(from_half(bits.x), from_half(bits.y), from_half(bits.z), from_half(bits.w));
}

__device__ __forceinline__ void store4(T* target, float4 value)
{
    *reinterpret_cast<ushort4*>(target) = make_ushort4(to_half(value.x), to_half(value.y), to_half(value.z), to_half(value.w));
}
#else
typedef float T;

__device__ __forceinline__ float load(const T* source)
{
    return *source;
}

__device__ __forceinline__ void store(T* target, float value)
{
    *target = value;
}

// Four elements from an address that is a multiple of their size.
__device__ __forceinline__ float4 load4(const T* source)
{
    return *reinterpret_cast<const float4*>(source);
}

__device__ __forceinline__ void store4(T* target, float4 value)
{
    *reinterpret_cast<float4*>(target) = value;
}
#endif
