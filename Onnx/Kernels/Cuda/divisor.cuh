// Division by a number that is known at launch: multiplier and shift are made from it (Divisor.cs).
struct Divisor
{
    unsigned int multiplier;
    int shift;
};

__device__ __forceinline__ int divide(int number, const Divisor& by)
{
    return (int)((__umulhi((unsigned int)number, by.multiplier) + (unsigned int)number) >> by.shift);
}
