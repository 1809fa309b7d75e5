// Two neighbouring elements, in float, from an address that is a multiple of their size.
struct Two
{
    float first;
    float second;
};

__device__ __forceinline__ Two load_two(const T* source)
{
#ifdef T_HALF
    const unsigned int bits = *reinterpret_cast<const unsigned int*>(source);
    return {from_half((unsigned short)bits), from_half((unsigned short)(bits >> 16))};
#else
    return {source[0], source[1]};
#endif
}

__device__ __forceinline__ void store_two(T* target, Two value)
{
#ifdef T_HALF
    *reinterpret_cast<unsigned int*>(target) = to_half(value.first) | (unsigned int)to_half(value.second) << 16;
#else
    target[0] = value.first;
    target[1] = value.second;
#endif
}
